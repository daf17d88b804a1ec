"""What was measured, as Markdown."""

from collections.abc import Iterable, Sequence
from typing import Any


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table.

    >>> print(table(["a", "b"], [[1, 2]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |".replace(" --- ", "---") for line in lines)


def probed(found: dict[str, Any]) -> str:
    """The tables of `probe.probe`, one after another."""
    about, accuracy, information = found["conditions"], found["accuracy"], found["information"]
    policies, sources = list(accuracy), list(information)
    rows = [[one, *(_interval(accuracy[policy][one]) for policy in policies)] for one in sources]
    for name, title in (("majority", "always the commonest phone"), ("above_chance", "codes, from chance (0) to 100")):
        rows.append([title, *(_percent(accuracy[policy][sources[0]][name]) for policy in policies)])
    names = ("nmi", "v_measure", "purity", "bits")
    told = [[one, *(f"{information[one][name]:.3f}" for name in names)] for one in sources]
    linear, manners, speaker = found["linear"], found["manners"], found["speaker"]
    return "\n\n".join([
        f"{about['codes']} codes at {about['frame_rate']:g} Hz, mapped on {about['train_minutes']:.1f} min of "
        f"{about['train_speakers']} speakers, scored on {about['test_minutes']:.1f} min of {about['test_speakers']}; "
        f"{len(about['phones'])} phones of 41 occur.",
        table(["phones right, % (95 % interval)", *policies], rows),
        table(["edges cut", "NMI", "V-measure", "purity", "bits a frame"], told),
        table(
            ["linear probe, edges cut", *(f"{width} codes" for width in linear)],
            [["phones right, %", *map(_percent, linear.values())]],
        ),
        table(["codes, edges cut", *manners], [["phones right, %", *map(_percent, manners.values())]]),
        table(
            ["ABX error, % (chance: 50)", "within a speaker", "across speakers"],
            [[name, _percent(one["within"]), _percent(one["across"])] for name, one in found["abx"].items()],
        ),
        f"Speaker, from the codes of an utterance: {_percent(speaker['accuracy'])} % right of {speaker['speakers']}; "
        f"always the commonest: {_percent(speaker['majority'])} %.",
    ]) + "\n"  # fmt: skip


def evaluated(summary: dict[str, dict[str, tuple[float, float, float]]], units: dict[str, str]) -> str:
    """The table of `evaluate.summary`: systems against measures, `units` by measure, means with their intervals."""
    names = list(dict.fromkeys(name for one in summary.values() for name in one))
    header = ["", *(f"{name} ({units[name]})" if units.get(name) else name for name in names)]
    rows = ([system, *(_mean(*one[name]) if name in one else "" for name in names)] for system, one in summary.items())
    return table(header, rows) + "\n"


def _mean(value: float, low: float, high: float) -> str:
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _interval(one: dict[str, float]) -> str:
    return f"{_percent(one['accuracy'])} ({_percent(one['low'])} to {_percent(one['high'])})"
