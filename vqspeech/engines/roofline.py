"""Roofline of one core: peak multiply-adds and memory bandwidth (Williams et al., 2009)."""

# pyright: reportCallIssue=false
# (intrinsics are defined with a typing context and called without it)

import numpy as np

from vqspeech.engines.kernels import COLUMN_TILE, add_sums_, sums
from vqspeech.engines.simd import fill, load, load_panel, spread
from vqspeech.system.jit import jit


@jit
def multiply_often(numbers, times):
    """Multiply-adds in registers only, 12 vectors of 16 sums, `times` each: the peak rate of a core."""
    a, b = spread(numbers, 0), spread(numbers, 1)
    s0, s1, s2, s3 = load(numbers, 0), load(numbers, 16), load(numbers, 32), load(numbers, 48)
    s4, s5, s6, s7 = load(numbers, 64), load(numbers, 80), load(numbers, 96), load(numbers, 112)
    s8, s9, s10, s11 = load(numbers, 128), load(numbers, 144), load(numbers, 160), load(numbers, 176)
    for _ in range(times):
        s0, s1, s2, s3 = sums(a, b, b, b, b, s0, s1, s2, s3)
        s4, s5, s6, s7 = sums(a, b, b, b, b, s4, s5, s6, s7)
        s8, s9, s10, s11 = sums(a, b, b, b, b, s8, s9, s10, s11)
    add_sums_(numbers, 0, s0, s1, s2, s3)
    add_sums_(numbers, 64, s4, s5, s6, s7)
    add_sums_(numbers, 128, s8, s9, s10, s11)


@jit
def read_all(numbers, times):
    """Sum of float32 numbers, a multiple of 64 of them, read `times` times: the memory bandwidth of a core."""
    s0 = s1 = s2 = s3 = fill(np.float32(0))
    ones = fill(np.float32(1))
    for _ in range(times):
        for at in range(0, len(numbers), COLUMN_TILE):
            w0, w1, w2, w3 = load_panel(numbers, at)
            s0, s1, s2, s3 = sums(ones, w0, w1, w2, w3, s0, s1, s2, s3)
    total = np.zeros(COLUMN_TILE, np.float32)
    add_sums_(total, 0, s0, s1, s2, s3)
    return total
