#!/usr/bin/env python
"""Recordings that training never saw, each with a voice to be said in: pairs.py [--own] COUNT DATA_DIR... -- VOICE...

COUNT recordings of each directory, spread evenly over it; the voices take turns, and none is its own source's.
With --own, only recordings of these voices, each to be said in its own.
"""

import sys
from itertools import cycle

from vqspeech.data import corpus


def main(own_voice: bool, count: int, directories: list[str], speakers: list[str]) -> None:
    """Prints rows of a source, a tab and a voice."""
    turn = cycle(speakers)
    for directory in directories:
        utterances = [utt for utt in corpus.read(directory) if (utt.end_s or 4.0) - utt.start_s > 2.0]
        utterances = [
            utt for utt in utterances if (utt.speaker in speakers if own_voice else {utt.speaker} != {*speakers})
        ]
        for index in range(min(count, len(utterances))):
            utt = utterances[index * len(utterances) // min(count, len(utterances))]
            print(utt.path, utt.speaker if own_voice else next(name for name in turn if name != utt.speaker), sep="\t")


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--own"]
    separator = arguments.index("--")
    main("--own" in sys.argv, int(arguments[0]), arguments[1:separator], arguments[separator + 1 :])
