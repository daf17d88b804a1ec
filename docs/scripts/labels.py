"""Distance of the phone boundaries of two labellings: python docs/scripts/labels.py DATA_DIR OTHER_DIR."""

import sys

import numpy as np

from vqspeech.data import phones


def main(one: str, other: str) -> None:
    """Prints the distance of each boundary of the first from the nearest of the second."""
    first, second = phones.read(one), phones.read(other)
    both = [key for key in first if key in second]
    errors = np.concatenate([phones.boundary_errors(first[key], second[key]) for key in both])
    print(f"{len(errors)} boundaries of {len(both)} utterances: median {1000 * np.median(errors):.0f} ms")
    for limit_ms in (10, 20, 50):
        print(f"within {limit_ms} ms: {100 * (1000 * errors <= limit_ms + 1e-6).mean():.0f} %")


if __name__ == "__main__":
    main(*sys.argv[1:])
