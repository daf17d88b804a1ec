"""SIMD intrinsics: each against NumPy, lane by lane."""

import numba
import numpy as np
import pytest

from vqspeech.engines import simd

DRAWS = np.random.default_rng(0).standard_normal((4, 32)).astype(np.float32)


@numba.njit
def _add(out, a, b, c):
    simd.store(out, 0, simd.add(simd.load(a, 0), simd.load(b, 0)))


@numba.njit
def _multiply(out, a, b, c):
    simd.store(out, 0, simd.multiply(simd.load(a, 0), simd.load(b, 0)))


@numba.njit
def _divide(out, a, b, c):
    simd.store(out, 0, simd.divide(simd.load(a, 0), simd.load(b, 0)))


@numba.njit
def _multiply_add(out, a, b, c):
    simd.store(out, 0, simd.multiply_add(simd.load(a, 0), simd.load(b, 0), simd.load(c, 0)))


@numba.njit
def _clamp(out, a, b, c):
    simd.store(out, 0, simd.clamp(simd.load(a, 0), simd.fill(np.float32(-0.5)), simd.fill(np.float32(0.25))))


@numba.njit
def _spread(out, a, b, c):
    simd.store(out, 0, simd.spread(a, 5))


@numba.njit
def _offset(out, a, b, c):
    simd.store(out, 7, simd.load(a, 3))


@numba.njit
def _reduce(out, a, b, c):
    out[0], out[1] = simd.highest(simd.load(a, 0)), simd.total(simd.load(a, 0))


@numba.njit
def _panel(out, weights, place):
    w0, w1, w2, w3 = simd.load_panel(weights, place)
    simd.store(out, 0, w0)
    simd.store(out, 16, w1)
    simd.store(out, 32, w2)
    simd.store(out, 48, w3)


def shifted(out, a):
    return np.concatenate([out[:7], a[3:19], out[23:]])


TWINS = {
    "add": (_add, lambda out, a, b, c: np.concatenate([(a + b)[:16], out[16:]])),
    "multiply": (_multiply, lambda out, a, b, c: np.concatenate([(a * b)[:16], out[16:]])),
    "divide": (_divide, lambda out, a, b, c: np.concatenate([(a / b)[:16], out[16:]])),
    "multiply_add": (_multiply_add, lambda out, a, b, c: np.concatenate([(a * b + c)[:16], out[16:]])),
    "clamp": (_clamp, lambda out, a, b, c: np.concatenate([np.clip(a, -0.5, 0.25)[:16], out[16:]])),
    "spread": (_spread, lambda out, a, b, c: np.concatenate([np.full(16, a[5]), out[16:]])),
    "load and store": (_offset, lambda out, a, b, c: shifted(out, a)),
    "highest and total": (_reduce, lambda out, a, b, c: np.concatenate([[a[:16].max(), a[:16].sum()], out[2:]])),
}


@pytest.mark.parametrize("name", TWINS)
def test_an_instruction_is_what_numpy_says_and_leaves_what_is_beside_it(name):
    instruction, twin = TWINS[name]
    out, *operands = DRAWS.copy()
    expected = twin(out.copy(), *operands)
    instruction(out, *operands)
    assert np.allclose(out, expected, rtol=1e-6, atol=1e-6)


def test_a_panel_of_float32_is_64_numbers_in_their_order():
    weights, out = np.arange(100, dtype=np.float32), np.zeros(64, np.float32)
    _panel(out, weights, 30)
    assert np.array_equal(out, weights[30:94])


def test_a_panel_of_bfloat16_has_pairs_in_one_word_the_first_below():
    """Words hold two halves of a float32 each: 16 low ones, then the 16 high ones of the same words."""
    numbers = np.arange(64, dtype=np.float32) - 32  # exact in bfloat16
    halves = (numbers.view(np.uint32) >> 16).astype(np.uint16).reshape(2, 2, 16)
    stored, out = halves.transpose(0, 2, 1).reshape(-1).copy(), np.zeros(64, np.float32)
    _panel(out, stored, 0)
    assert np.array_equal(out, numbers)
