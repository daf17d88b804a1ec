"""Bits of simple coders."""

import numpy as np
import pytest

from vqspeech.evaluation import metrics


def test_bits_of_simple_coders():
    assert metrics.unigram_bits([np.array([0, 1, 2, 3])], [np.array([0, 3])], 4) == 2
    rhythm = np.tile([0, 1], 2000)
    assert metrics.order_1_bits([], [rhythm], 2) < 0.05
    assert metrics.unigram_bits([rhythm], [rhythm], 2) == pytest.approx(1.0)
    noise = np.random.default_rng(0).integers(8, size=20000)
    assert metrics.order_1_bits([noise], [noise[::-1]], 8) == pytest.approx(3.0, abs=0.02)
