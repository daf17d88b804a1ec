#!/usr/bin/env python
"""Bits per sample of adaptive linear prediction: python docs/scripts/linear.py DATA_DIR...

Each sample of packed speech is foretold from the 24 before it, by recursive least squares (Haykin, Adaptive Filter
Theory, chapter 10); what it is in classes of mu-law has the share of a logistic about that, as wide as the prediction
has lately been off.  A WaveNet that says no more of speech than this has not learned much.
"""

import sys

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.signal import lfilter

from vqspeech.audio import mulaw
from vqspeech.data.archives import MulawShards

ORDER, FORGET, BEGIN, LATELY, WIDTH, LEAST, ASTRAY = 24, 0.997, 1e-3, 0.9, 0.65, 1e-4, 1e-3


@njit(fastmath=True)
def foretold(wave: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each sample, (time,), is expected to be."""
    weights, past, inverse = np.zeros(ORDER), np.zeros(ORDER), np.eye(ORDER) / BEGIN
    found = np.zeros(len(wave))
    for at, sample in enumerate(wave):
        found[at] = weights @ past
        moved = inverse @ past
        gain = moved / (FORGET + past @ moved)
        weights += gain * (sample - found[at])
        inverse = (inverse - np.outer(gain, moved)) / FORGET
        inverse = (inverse + inverse.T) / 2
        past[1:] = past[:-1].copy()
        past[0] = sample
    return found


def bits(classes: NDArray[np.uint8]) -> float:
    """What an utterance costs, all samples together."""
    levels = mulaw.LEVELS.astype(np.float64)
    middles = (levels[1:] + levels[:-1]) / 2
    low, high = np.concatenate([[-2], middles]), np.concatenate([middles, [2]])
    wave = levels[classes]
    expected = foretold(wave)
    acoustic_losses = lfilter([1 - LATELY], [1, -LATELY], np.abs(wave - expected))
    scale = WIDTH * np.concatenate([[0.01], acoustic_losses[:-1]]) + LEAST
    below = lambda edge: 1 / (1 + np.exp(-np.clip((edge[classes] - expected) / scale, -40, 40)))  # noqa: E731
    share = (1 - ASTRAY) * (below(high) - below(low)) + ASTRAY / len(levels)
    return float(-np.log2(share).sum())


if __name__ == "__main__":
    for directory in sys.argv[1:]:
        packed = MulawShards(f"{directory}/packed")
        total = sum(bits(np.asarray(packed[at])) for at in range(len(packed)))
        print(f"{directory}: {total / packed.rows.length.sum():.2f} bits a sample")
