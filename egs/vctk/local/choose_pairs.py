#!/usr/bin/env python
"""Pairs for listening: recordings of a data directory, each with a voice that is not its own.

choose_pairs.py DATA_DIR SPEAKERS_TXT COUNT prints rows of a path, a tab and a speaker; recordings and voices are spread
evenly over their tables, so that they differ as much as they can.
"""

import sys
from pathlib import Path

from vqspeech.data import corpus


def main(directory: str, table: str, count: str) -> None:
    """Prints the pairs."""
    utterances, speakers = corpus.read(directory), Path(table).read_text(encoding="utf-8").split()
    number = min(int(count), len(utterances))
    for index in range(number):
        utt = utterances[index * len(utterances) // number]
        candidates = [speaker for speaker in speakers if speaker != utt.speaker] or speakers
        print(utt.path, candidates[(2 * index + 1) * len(candidates) // (2 * number)], sep="\t")


if __name__ == "__main__":
    main(*sys.argv[1:])
