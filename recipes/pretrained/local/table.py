#!/usr/bin/env python
"""The tables of a card, as Markdown, from what measure.sh measured of a model: table.py OUT MODEL."""

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean

from vqspeech.evaluation import evaluate, tables
from vqspeech.models import hub, speaker_table

SETS = {
    "known": "known speakers, other voices", "own": "known speakers, own voices", "unseen": "unknown native speakers",
    "accented": "unknown speakers, accented and noisy",
}  # fmt: skip
HOW = {
    "wavenet-2": "english-16k, WaveNet", "source-filter-2": "english-16k, source-filter",
    "wavenet-1": "one codebook, WaveNet", "source-filter-1": "one codebook, source-filter",
}  # fmt: skip
COLUMNS = {
    "wer": "WER", "cer": "CER", "to_target": "SECS", "nearer_target": "nearer to the target", "dnsmos": "DNSMOS",
    "f0_correlation": "F0 corr.", "voicing_error": "voicing error", "estoi": "ESTOI",
}  # fmt: skip


def main(out: Path, model: str) -> None:
    """Prints a table for each set of pairs, one of the voices and one of the speed."""
    print(tables.markdown([*sets(out), voices(out, model), speed(out)]))


def sets(out: Path) -> list[tables.Table]:
    """Means of each set of pairs, by system."""
    parts: list[tables.Table] = []
    for name, title in SETS.items():
        rows: dict[str, list[str]] = {}
        sources = set()
        for run, system in HOW.items():
            path = out / f"{name}-{run}/evaluation.json"
            if not path.exists():  # measuring was stopped
                continue
            results = read(path)
            sources |= {row["source"] for row in results["rows"]}
            for key, means in evaluate.summary(results).items():
                shown = [measure in means and (name, measure) != ("own", "nearer_target") for measure in COLUMNS]
                cells = [f"{means[one][0]:.2f}" if show else "" for one, show in zip(COLUMNS, shown, strict=True)]
                rows.setdefault(system if key == evaluate.CONVERSION else key, cells)
        parts.append(
            tables.Table(
                [f"{len(sources)} recordings, {title}", *COLUMNS.values()],
                [[key, *rows[key]] for key in sorted(rows, key=[*HOW.values(), *rows].index)],
            )
        )
    return parts


def voices(out: Path, model: str) -> tables.Table:
    """What is known of each voice, and the likeness and DNSMOS of conversions to it."""
    conversions = defaultdict(list)
    for row in read(out / "voices-wavenet-2/evaluation.json")["rows"]:
        if row["system"] == evaluate.CONVERSION:
            conversions[row["speaker"]].append(row)
    rows = [
        [
            speaker.name, f"{speaker.seconds / 60:.1f}", speaker.sex, speaker.accent,
            *(f"{mean(row[key] for row in conversions[speaker.name]):.2f}" for key in ("to_target", "dnsmos")),
        ]
        for speaker in speaker_table.read(hub.resolve(model)).values()
        if conversions[speaker.name]
    ]  # fmt: skip
    return tables.Table(["voice", "minutes", "sex", "accent", "SECS", "DNSMOS"], rows)


def speed(out: Path) -> tables.Table:
    """Whole tasks on one core."""
    rows = [row for row in read(out / "bench.json") if "task" in row]
    return tables.Table(
        ["one core", "times real time"], [[row["task"], f"{row['times_real_time']:.0f}"] for row in rows]
    )


def read(path: Path):
    """The content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
