"""Roofline: the two loops that are timed compute what they say, so that no compiler may leave them out."""

import numpy as np
import pytest

from vqspeech.engines.roofline import multiply_often, read_all


@pytest.mark.parametrize("times", [0, 1, 7])
def test_every_sum_gets_its_products(times):
    numbers = np.arange(192, dtype=np.float32) / 16
    before = numbers.copy()
    multiply_often(numbers, times)
    assert np.allclose(numbers, 2 * before + times * before[0] * before[1])  # the sums are added to where they began


@pytest.mark.parametrize("times", [0, 1, 3])
def test_every_number_is_read_as_often_as_asked(times):
    numbers = np.random.default_rng(0).integers(-8, 8, 64 * 5).astype(np.float32)
    assert np.array_equal(read_all(numbers, times), times * numbers.reshape(-1, 64).sum(0))
