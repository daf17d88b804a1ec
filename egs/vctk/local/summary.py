#!/usr/bin/env python
"""What a run measured on held-out speech, and where its conversions lie: summary.py RUN_DIR CONVERTED_DIR PRIOR_DIR."""

import json
import sys
from pathlib import Path


def main(run: str, converted: str, prior: str) -> None:
    """Prints the newest of each number, and the recordings."""
    newest = newest_of(run)
    vocoder = f"{run}/vocoder"
    vocoder_numbers = newest_of(vocoder) if Path(vocoder).exists() else newest
    if "held_out_bits_per_sample" in vocoder_numbers:
        bits = vocoder_numbers["held_out_bits_per_sample"]
        print(f"  {bits:.3f} bits per sample by the WaveNet (8 is knowing nothing)")
    print(f"  {newest['held_out_codes_used']:.0f} codes in use, perplexity {newest['held_out_perplexity']:.0f}")
    if "held_out_contour" in newest:
        print(f"  {newest['held_out_contour']:.2f} is how closely the loudness of what it speaks follows (1: wholly)")
    print(f"  after {newest['step']:.0f} steps, {newest['minutes']:.1f} min of training; the run: {run}")
    learned = newest_of(prior)
    bits = {name.removesuffix("_bits_per_code"): value for name, value in learned.items() if "bits_per_code" in name}
    print(f"  {bits['held_out']:.2f} bits per code by the prior after {learned['minutes']:.1f} min; the run: {prior}")
    print(f"  (all alike {bits['uniform']:.2f}, as often as each comes {bits['unigram']:.2f}, ", end="")
    print(f"as often as it follows the one before {bits['order_1']:.2f})")
    probed = Path(run) / "probe.json"
    if probed.exists():
        accuracy = json.loads(probed.read_text(encoding="utf-8"))["accuracy"]["edges cut"]
        shares = {name: 100 * score["accuracy"] for name, score in accuracy.items()}
        print(f"  {shares['codes']:.1f} % of phones told from one code; always the commonest ", end="")
        print(f"{100 * accuracy['codes']['majority']:.1f}, k-means of MFCC {shares['k-means of MFCC']:.1f}")
    print(f"The report, for a browser: {run}/report.html")
    print("Converted recordings:")
    for path in sorted(Path(converted).glob("*.wav")):
        print(f"  {path}")


def newest_of(run: str) -> dict[str, float]:
    """The newest of each number that a run measured."""
    newest: dict[str, float] = {}
    for line in (Path(run) / "log.jsonl").read_text(encoding="utf-8").splitlines():
        newest |= json.loads(line)
    return newest


if __name__ == "__main__":
    main(*sys.argv[1:])
