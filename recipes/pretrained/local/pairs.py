#!/usr/bin/env python
"""Recordings that training never saw, each with a voice to be said in: pairs.py [--own] COUNT DATA_DIR... -- VOICE...

COUNT recordings of each directory, spread evenly over it; the voices take turns, and none is its own source's.
With --own, only recordings of these voices, each to be said in its own.
"""

import sys
from itertools import cycle

from vqspeech.data import corpus


def main(own: bool, count: int, directories: list[str], speakers: list[str]) -> None:
    """Prints rows of a source, a tab and a voice."""
    turn = cycle(speakers)
    for directory in directories:
        utterances = [one for one in corpus.read(directory) if (one.end_s or 4.0) - one.start_s > 2.0]
        utterances = [one for one in utterances if not own or one.speaker in speakers]
        for place in range(min(count, len(utterances))):
            one = utterances[place * len(utterances) // min(count, len(utterances))]
            print(one.path, one.speaker if own else next(name for name in turn if name != one.speaker), sep="\t")


if __name__ == "__main__":
    arguments = [one for one in sys.argv[1:] if one != "--own"]
    between = arguments.index("--")
    main("--own" in sys.argv, int(arguments[0]), arguments[1:between], arguments[between + 1 :])
