#!/usr/bin/env python
"""What an index of many utterances costs, and how fast crops come of it: scale.py PACKED [--utterances 1000000].

PACKED is a packed folder of real speech; the index is that of an imagined corpus with utterances as long as its own.
Figures for docs/explanation/scale.md.
"""

import resource
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from vqspeech.data.archives import Manifest, MulawShards, Row
from vqspeech.data.batches import Crops, CropSampler

SHARD = 10_000
CROP = 40_960


def main(packed: Path, utterances: Annotated[int, typer.Option(help="Of the imagined corpus.")] = 1_000_000) -> None:
    """Prints a table."""
    real = MulawShards(packed)
    lengths, speakers = real.rows.length, max(100, utterances // 500)
    rng = np.random.default_rng(0)

    def shards():  # what reading tables gives, one at a time
        for shard in range(-(-utterances // SHARD)):
            told = rng.choice(lengths, SHARD)
            names = rng.integers(speakers, size=SHARD)
            yield [
                Row(f"s{name:06d}-{shard:05d}-{at:05d}", f"s{name:06d}", shard, at, int(length))
                for at, (name, length) in enumerate(zip(names, told, strict=True))
            ]

    before, began = _bytes(), time.monotonic()
    rows = Manifest(shards())
    imagined = type("Imagined", (), {"rows": rows, "speakers": rows.speakers})()
    print(f"| utterances | {len(rows):,}, {rows.length.sum() / real.sample_rate / 3600:,.0f} hours |\n|---|---|")
    print(f"| index | {time.monotonic() - began:.1f} s to make and to read |")
    began = time.monotonic()
    schedule = CropSampler([imagined], rows.speakers, CROP, 0, 0.5, mixed=8)
    schedule._order(0)
    print(f"| order of an epoch | {time.monotonic() - began:.1f} s |")
    print(f"| memory | {(_bytes() - before) / len(rows):.0f} bytes an utterance at most |")
    crops = Crops([real], real.speakers, CROP, 320, 0)
    began, number = time.monotonic(), 2000
    for _ in islice((crops[at] for at in range(number)), number):
        pass
    took = time.monotonic() - began
    rate = f"{number / took:,.0f} a second and process, {number * CROP / took / 1e6:,.0f} MB/s"
    print(f"| crops of {CROP:,} samples | {rate} |")


def _bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    typer.run(main)
