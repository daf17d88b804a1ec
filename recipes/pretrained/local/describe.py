#!/usr/bin/env python
"""What is known of speakers, written into a model's table of voices: describe.py MODEL_DIR SPEAKERS_TSV.

SPEAKERS_TSV has columns name, sex, accent; a name may end in `*`, and the first row that fits is taken.
"""

import csv
import sys
from fnmatch import fnmatchcase
from pathlib import Path

from vqspeech.models import speaker_table


def main(folder: str, table: str) -> None:
    """Fills in sex and accent."""
    with Path(table).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    described = []
    for speaker in speaker_table.read(Path(folder)).values():
        row = next((row for row in rows if fnmatchcase(speaker.name, row["name"])), {})
        described.append(speaker._replace(sex=row.get("sex", ""), accent=row.get("accent", "")))
    speaker_table.write(Path(folder), described)


if __name__ == "__main__":
    main(*sys.argv[1:])
