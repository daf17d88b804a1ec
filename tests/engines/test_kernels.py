"""Kernels: approximations within their error bounds."""

import numba
import numpy as np

from vqspeech.engines import kernels, simd


@numba.njit
def gates_(z, a, b):
    for c in range(0, len(z), 16):
        simd.store(z, c, kernels.gate(simd.load(a, c), simd.load(b, c)))


def test_the_gate_is_within_a_millionth():
    a, b = (grid.flatten() for grid in np.meshgrid(*[np.linspace(-20, 20, 400, dtype=np.float32)] * 2))
    z = np.empty_like(a)
    gates_(z, a, b)
    assert np.abs(z - np.tanh(a.astype(np.float64)) / (1 + np.exp(-b.astype(np.float64)))).max() < 1e-6


def test_the_exponential_is_within_four_millionths_of_itself():
    x = np.linspace(-87, 0, 20001, dtype=np.float32)
    wanted = np.exp(x.astype(np.float64))
    assert max(abs(kernels.exp(value) / expected - 1) for value, expected in zip(x, wanted, strict=True)) < 4e-6
    assert kernels.exp(np.float32(-1e30)) == 0
