#!/usr/bin/env python
"""Some speakers of a data directory apart: hold_out.py DATA_DIR NAMES OUT writes OUT/train and OUT/unseen."""

import sys
from pathlib import Path

from vqspeech import InputError
from vqspeech.data import corpus


def main(directory: str, names: str, out: str) -> None:
    """Writes the two directories."""
    unseen = set(Path(names).read_text(encoding="utf-8").split())
    utterances = corpus.read(directory)
    if not unseen & {utt.speaker for utt in utterances}:
        raise InputError(f"{names}: names no speaker of {directory}")
    corpus.write(Path(out) / "train", [utt for utt in utterances if utt.speaker not in unseen])
    corpus.write(Path(out) / "unseen", [utt for utt in utterances if utt.speaker in unseen])


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except InputError as error:
        sys.exit(f"hold_out.py: {error}")
