#!/usr/bin/env python
"""Recordings that training never saw, each with voices to be said in: pairs.py COUNT DATA_DIR... -- VOICE...

COUNT recordings of each directory, spread evenly over it; the voices take turns, and none is its own source's.
"""

import sys
from itertools import cycle

from vqspeech import corpus


def main(count: int, directories: list[str], speakers: list[str]) -> None:
    """Prints rows of a source, a tab and a voice."""
    turn = cycle(speakers)
    for directory in directories:
        utterances = [one for one in corpus.read(directory) if (one.end_s or 4.0) - one.start_s > 2.0]
        for place in range(min(count, len(utterances))):
            one = utterances[place * len(utterances) // min(count, len(utterances))]
            print(one.path, next(name for name in turn if name != one.speaker), sep="\t")


if __name__ == "__main__":
    between = sys.argv.index("--")
    main(int(sys.argv[1]), sys.argv[2:between], sys.argv[between + 1 :])
