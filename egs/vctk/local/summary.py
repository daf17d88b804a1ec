#!/usr/bin/env python
"""What a run measured on held-out speech, and where its conversions lie: summary.py RUN_DIR CONVERTED_DIR."""

import json
import sys
from pathlib import Path


def main(run: str, converted: str) -> None:
    """Prints the newest of each number, and the recordings."""
    newest: dict[str, float] = {}
    for line in (Path(run) / "log.jsonl").read_text(encoding="utf-8").splitlines():
        newest |= json.loads(line)
    print(f"  {newest['held_out_bits_per_sample']:.3f} bits per sample (8 is knowing nothing)")
    print(f"  {newest['held_out_codes_used']:.0f} codes in use, perplexity {newest['held_out_perplexity']:.0f}")
    if "held_out_contour" in newest:
        print(f"  {newest['held_out_contour']:.2f} is how closely the loudness of what it speaks follows (1: wholly)")
    print(f"  after {newest['step']:.0f} steps, {newest['minutes']:.1f} min of training; the run: {run}")
    print("Converted recordings:")
    for path in sorted(Path(converted).glob("*.wav")):
        print(f"  {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
