"""Mu-law companding: samples in [-1, 1] as 256 classes, and back."""

import functools
import math
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqspeech.system.jit import jit

CLASSES = 256
"""Number of classes."""
MU = CLASSES - 1
"""Parameter of the companding function."""
_CELLS = 1 << 14
"""Cells of the look-up table over [-1, 1): narrow enough to contain the borders of one or two classes."""


def compress(wave: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Mu-law class of each sample: floor((F(x) + 1) / 2 * 255 + 1/2), F(x) = sgn x log(1 + 255|x|) / log 256.

    Rounding to the nearest of 256 levels makes `expand` an exact inverse on all of them; truncation, which is
    common, loses half of the levels.  Samples outside [-1, 1] are clipped; NaN becomes class 0.

    Source: ITU-T G.711 without its 8-segment approximation; van den Oord et al. (2016), section 2.2.

    >>> compress(np.array([-1.0, 0.0, 1.0]))
    array([  0, 128, 255], dtype=uint8)
    """
    wave = np.asarray(wave)
    classes = np.empty(wave.shape, np.uint8)
    _kernels()[0](np.ascontiguousarray(wave).reshape(-1), *_borders(), classes.reshape(-1))
    return classes


def expand(classes: NDArray[np.integer]) -> NDArray[np.float32]:
    """Wave at the centre of each mu-law class, the inverse of `compress`.

    >>> bool((compress(expand(np.arange(256))) == np.arange(256)).all())
    True
    """
    classes = np.asarray(classes)
    wave = np.empty(classes.shape, np.float32)
    _kernels()[1](np.ascontiguousarray(classes).reshape(-1), LEVELS, wave.reshape(-1))
    return wave


def compress_tensor(wave: Any) -> Any:
    """`compress` of a torch tensor, on its device."""
    import torch

    borders = torch.from_numpy(_borders()[0][:-1]).to(wave.device)
    return torch.bucketize(wave.double().nan_to_num(), borders, right=True, out_int32=True).to(torch.uint8)


def expand_tensor(classes: Any) -> Any:
    """`expand` of a torch tensor, on its device."""
    import torch

    return torch.from_numpy(LEVELS).to(classes.device)[classes.long()]


def as_classes(packed: NDArray) -> NDArray[np.uint8]:
    """Mu-law classes of packed samples, which are either classes (uint8) or 16-bit samples."""
    return packed if packed.dtype == np.uint8 else compress(packed.astype(np.float32) / 32768)


def as_wave(packed: NDArray) -> NDArray[np.float32]:
    """Wave of packed samples, which are either mu-law classes (uint8) or 16-bit samples."""
    return LEVELS[packed] if packed.dtype == np.uint8 else packed.astype(np.float32) / np.float32(32768)


def formula(x: NDArray[np.float64]) -> NDArray[np.int64]:
    """Mu-law classes by the formula that `compress` tabulates, for x in [-1, 1]; as exact as the logarithm is."""
    companded = np.sign(x) * np.log1p(MU * np.abs(x)) / math.log1p(MU)
    return np.floor((companded + 1) / 2 * MU + 0.5).astype(np.int64)


def _inverse(q: float) -> Decimal:
    """F^-1(2q/255 - 1) = sgn (256^|2q/255 - 1| - 1) / 255, in enough digits to be the same on every machine."""
    with localcontext(prec=40):
        companded = Decimal(2 * q - MU) / MU
        return ((CLASSES ** abs(companded) - 1) / MU).copy_sign(companded)


LEVELS = np.array([float(_inverse(q)) for q in range(CLASSES)], np.float32)
"""Sample value of each class, (256,)."""
SILENCE = int(formula(np.zeros(1))[0])
"""Class of a zero sample, which precedes the first sample of any recording."""


@functools.cache
def _kernels() -> tuple[Any, Any]:
    """Compiled `_compress` and `_expand`."""
    return jit(_compress), jit(_expand)


@functools.cache
def _borders() -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Least sample above each class, and the class at the lower end of each cell of the look-up table.

    The least float64 at or above F^-1 is the same on every machine; the result of a bisection of the formula is not.
    """
    exact = [_inverse(q + 0.5) for q in range(CLASSES - 1)]
    lower_bounds = np.array([x if Decimal(x) >= y else math.nextafter(x, 2) for y in exact for x in [float(y)]])
    first = np.searchsorted(lower_bounds, np.arange(_CELLS) / (_CELLS / 2) - 1, side="right")
    return np.append(lower_bounds, np.inf), first.astype(np.uint8)


def _compress(wave, lower_bounds, first, classes):
    """Kernel of `compress`: the cell of a sample gives a class, from which the borders lead to the right one."""
    cells = len(first) / 2
    for n in range(len(wave)):
        x = np.float64(wave[n])
        if not x > -1:
            classes[n] = 0
        elif x >= 1:
            classes[n] = 255
        else:
            c = first[int((x + 1) * cells)]
            while x >= lower_bounds[c]:
                c += 1
            classes[n] = c


def _expand(classes, levels, wave):
    """Kernel of `expand`: a table look-up."""
    for n in range(len(classes)):
        wave[n] = levels[classes[n]]
