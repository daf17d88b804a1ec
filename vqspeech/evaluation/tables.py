"""Tables of results in Markdown and HTML."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple


class Table(NamedTuple):
    """A heading of columns and rows of cells, all text; the first column names the row."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


Parts = list[str | Table]
"""Sentences and tables, in order."""


def markdown(parts: Iterable[str | Table]) -> str:
    """Sentences and tables as Markdown.

    >>> print(markdown(["One.", Table(["a", "b"], [["1", "2"]])]))
    One.
    <BLANKLINE>
    | a | b |
    |---|---|
    | 1 | 2 |
    """

    def lines(table: Table) -> str:
        header, *rows = ("| " + " | ".join(cells) + " |" for cells in (table.header, *table.rows))
        return "\n".join([header, "|---" * len(table.header) + "|", *rows])

    return "\n\n".join(part if isinstance(part, str) else lines(part) for part in parts)


def probed(results: dict[str, Any]) -> Parts:
    """What `probe.probe` found."""
    conditions, accuracy, information = results["conditions"], results["accuracy"], results["information"]
    policies, sources = list(accuracy), list(information)
    rows = [[source, *(_interval(accuracy[policy][source]) for policy in policies)] for source in sources]
    for name, title in (("majority", "always the commonest phone"), ("above_chance", "codes, from chance (0) to 100")):
        rows.append([title, *(_percent(accuracy[policy][sources[0]][name]) for policy in policies)])
    names = ("nmi", "v_measure", "purity", "bits")
    information_rows = [[source, *(f"{information[source][name]:.3f}" for name in names)] for source in sources]
    linear, manners, speaker = results["linear"], results["manners"], results["speaker"]
    learned = "learned with phone labels" if conditions.get("phone_labels") else "learned without labels"
    return [
        f"{conditions['codes']} codes at {conditions['frame_rate']:g} Hz, {learned}, "
        f"mapped on {conditions['train_minutes']:.1f} min of {conditions['train_speakers']} speakers, "
        f"scored on {conditions['test_minutes']:.1f} min of {conditions['test_speakers']}; "
        f"{len(conditions['phones'])} phones of 41 occur.",
        Table(["phones right, % (95 % interval)", *policies], rows),
        Table(["edges cut", "NMI", "V-measure", "purity", "bits a frame"], information_rows),
        Table(
            ["linear probe, edges cut", *(f"{width} code{'s' * (width != '1')}" for width in map(str, linear))],
            [["phones right, %", *map(_percent, linear.values())]],
        ),
        Table(["codes, edges cut", *manners], [["phones right, %", *map(_percent, manners.values())]]),
        Table(
            ["ABX error, % (chance: 50)", "within a speaker", "across speakers"],
            [[name, _percent(errors["within"]), _percent(errors["across"])] for name, errors in results["abx"].items()],
        ),
        f"Speaker, from the codes of an utterance: {_percent(speaker['accuracy'])} % right of {speaker['speakers']}; "
        f"always the commonest: {_percent(speaker['majority'])} %.",
    ]


def evaluated(summary: dict[str, dict[str, tuple[float, float, float]]], units: dict[str, str]) -> Table:
    """What `evaluate.summary` gives, measures against systems: means with their intervals; `units` by measure."""
    names = list(dict.fromkeys(name for measures in summary.values() for name in measures))
    rows = [
        [f"{name}, {units[name]}" if units.get(name) else name]
        + [_mean(*measures[name]) if name in measures else "" for measures in summary.values()]
        for name in names
    ]
    return Table(["mean (95 % interval)", *summary], rows)


def _mean(value: float, low: float, high: float) -> str:
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.1f}"


def _interval(accuracy: dict[str, float]) -> str:
    return f"{_percent(accuracy['accuracy'])} ({_percent(accuracy['low'])} to {_percent(accuracy['high'])})"
