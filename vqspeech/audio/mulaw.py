"""Mu-law companding: samples in [-1, 1] as 256 classes, and back."""

import functools
import math
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqspeech.system.jit import jit

CLASSES = 256
MU = CLASSES - 1
_CELLS = 1 << 14  # of [-1, 1), narrow enough to hold the border of one class or two


def compress(wave: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The mu-law class of each sample: floor((F(x) + 1) / 2 * 255 + 1/2), F(x) = sgn x log(1 + 255|x|) / log 256.

    Rounding to the nearest of 256 levels makes `expand` an exact inverse on all of them; truncating, as
    often done, loses half of the levels.  Samples beyond [-1, 1] are clipped; what is no number becomes 0.

    Source: ITU-T G.711 without its 8-segment approximation; van den Oord et al. (2016), section 2.2.

    >>> compress(np.array([-1.0, 0.0, 1.0]))
    array([  0, 128, 255], dtype=uint8)
    """
    wave = np.asarray(wave)
    classes = np.empty(wave.shape, np.uint8)
    _loops()[0](np.ascontiguousarray(wave).reshape(-1), *_borders(), classes.reshape(-1))
    return classes


def expand(classes: NDArray[np.integer]) -> NDArray[np.float32]:
    """The wave at the centre of each mu-law class, the inverse of `compress`.

    >>> bool((compress(expand(np.arange(256))) == np.arange(256)).all())
    True
    """
    classes = np.asarray(classes)
    wave = np.empty(classes.shape, np.float32)
    _loops()[1](np.ascontiguousarray(classes).reshape(-1), LEVELS, wave.reshape(-1))
    return wave


def compress_tensor(wave: Any) -> Any:
    """`compress` of a torch tensor, on its device."""
    import torch

    borders = torch.from_numpy(_borders()[0][:-1]).to(wave.device)
    return torch.bucketize(wave.double().nan_to_num(), borders, right=True, out_int32=True).to(torch.uint8)


def as_classes(packed: NDArray) -> NDArray[np.uint8]:
    """The mu-law classes of packed samples of either kind."""
    return packed if packed.dtype == np.uint8 else compress(packed.astype(np.float32) / 32768)


def as_wave(packed: NDArray) -> NDArray[np.float32]:
    """The wave of packed samples of either kind."""
    return LEVELS[packed] if packed.dtype == np.uint8 else packed.astype(np.float32) / np.float32(32768)


def formula(x: NDArray[np.float64]) -> NDArray[np.int64]:
    """What `compress` tabulates, for x in [-1, 1], as far as the logarithm of this machine is exact."""
    curved = np.sign(x) * np.log1p(MU * np.abs(x)) / math.log1p(MU)
    return np.floor((curved + 1) / 2 * MU + 0.5).astype(np.int64)


def _inverse(q: float) -> Decimal:
    """F^-1(2q/255 - 1) = sgn (256^|2q/255 - 1| - 1) / 255, in digits enough to be the same on every machine."""
    with localcontext(prec=40):
        curved = Decimal(2 * q - MU) / MU
        return ((CLASSES ** abs(curved) - 1) / MU).copy_sign(curved)


LEVELS = np.array([float(_inverse(q)) for q in range(CLASSES)], np.float32)
"""The wave of each class, (256,)."""
SILENCE = int(formula(np.zeros(1))[0])
"""The class of a zero sample: what stands before the first sample of any recording."""


@functools.cache
def _loops() -> tuple[Any, Any]:
    return jit(_compress), jit(_expand)


@functools.cache
def _borders() -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """The least sample above each class, and the class at the lower edge of each cell.

    The least float64 at or above F^-1 is the same on every machine; where a bisection of the formula ends is not.
    """
    exact = [_inverse(q + 0.5) for q in range(CLASSES - 1)]
    above = np.array([x if Decimal(x) >= y else math.nextafter(x, 2) for y in exact for x in [float(y)]])
    first = np.searchsorted(above, np.arange(_CELLS) / (_CELLS / 2) - 1, side="right")
    return np.append(above, np.inf), first.astype(np.uint8)


def _compress(wave, above, first, classes):
    cells = len(first) / 2
    for n in range(len(wave)):
        x = np.float64(wave[n])
        if not x > -1:
            classes[n] = 0
        elif x >= 1:
            classes[n] = 255
        else:
            c = first[int((x + 1) * cells)]
            while x >= above[c]:
                c += 1
            classes[n] = c


def _expand(classes, levels, wave):
    for n in range(len(classes)):
        wave[n] = levels[classes[n]]
