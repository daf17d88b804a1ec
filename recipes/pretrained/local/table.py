#!/usr/bin/env python
"""The tables of a card from evaluations by measure.sh, as Markdown: table.py OUT."""

import json
import sys
from pathlib import Path

from vqspeech.evaluation import evaluate, tables

SETS = {
    "known": "known speakers, other voices", "own": "known speakers, own voices", "unseen": "unknown native speakers",
    "accented": "unknown speakers, accented and noisy",
}  # fmt: skip
HOW = {
    "source-filter-2": "english-16k, source-filter", "wavenet-2": "english-16k, WaveNet",
    "source-filter-1": "one codebook, source-filter",
}  # fmt: skip
COLUMNS = {
    "wer": "WER", "cer": "CER", "to_target": "SECS to the target", "to_source": "to the source",
    "nearer_target": "nearer to the target", "dnsmos": "DNSMOS", "f0_correlation": "F0 correlation",
    "voicing_error": "voicing error", "estoi": "ESTOI",
}  # fmt: skip


def main(out: Path) -> None:
    """Prints a table for each set of pairs."""
    parts: tables.Parts = []
    for name, title in SETS.items():
        rows: dict[str, list[str]] = {}
        sources = set()
        for run, system in HOW.items():
            path = out / f"{name}-{run}/evaluation.json"
            if not path.exists():  # measuring was stopped
                continue
            results = json.loads(path.read_text(encoding="utf-8"))
            sources |= {row["source"] for row in results["rows"]}
            for key, means in evaluate.summary(results).items():
                mean = [f"{means[measure][0]:.2f}" if measure in means else "" for measure in COLUMNS]
                rows.setdefault(system if key == evaluate.CONVERSION else key, mean)
        parts.append(
            tables.Table([f"{len(sources)} recordings, {title}", *COLUMNS.values()], [[k, *v] for k, v in rows.items()])
        )
    print(tables.markdown(parts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
