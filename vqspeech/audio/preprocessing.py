"""Preprocessing of waves for the encoder: float32 in [-1, 1], mono, finite, high-passed.

Every wave goes through `preprocessed` before it becomes codes or is packed to train on, from wherever it comes.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech.errors import InputError
from vqspeech.shapes import Wave

CUTOFF_HZ = 5.0
"""Below lies no speech, but the offset of a converter.  The phase of a voice's pitch changes little so far above:
a second order at 20 Hz would change 11 % of the codes of a model that was trained without it, this 4 %."""
CANCELLED = 0.25
"""Channels cancel if their mean has less than this share of the power that the loudest alone would have in it."""
WIDE = 8.0
"""A float recording with a peak beyond this is not in [-1, 1]."""
INT16 = 32768.0
MOST_CHANNELS = 64


class Mixing(NamedTuple):
    """How channels become one: their mean, or channel `only` (from 0 on); and what the samples are multiplied by."""

    only: int | None = None
    gain: float = 1.0

    def mix(self, block: NDArray[np.float32], name: str) -> Wave:
        """(frames, channels) -> (frames,).

        Raises:
            InputError: samples that are not numbers.
        """
        wave = block.mean(axis=1) if self.only is None else block[:, self.only]
        if not np.isfinite(wave).all():
            raise InputError(f"{name}: has samples that are not numbers (NaN or infinite); export it again")
        return wave.astype(np.float32) * np.float32(self.gain)


class Survey:
    """What decides how a recording is mixed: powers of its channels and their mean, without offsets; and its peak."""

    def __init__(self) -> None:
        self.frames, self.peak = 0, 0.0
        self._sums, self._squares = np.zeros(0), np.zeros(0)

    def add(self, block: NDArray[np.float32]) -> None:
        """Takes the next block, (frames, channels), into account."""
        if not len(block):
            return
        wide = np.nan_to_num(block.astype(np.float64), posinf=0, neginf=0)
        wide = np.concatenate([wide, wide.mean(axis=1, keepdims=True)], axis=1)
        if not self.frames:
            self._sums, self._squares = np.zeros((2, wide.shape[1]))
        self.frames += len(block)
        self.peak = max(self.peak, float(np.abs(wide).max()))
        self._sums += wide.sum(axis=0)
        self._squares += np.square(wide).sum(axis=0)

    def mixing(self, name: str, floats: bool) -> tuple[Mixing, str]:
        """How the recording is mixed, and a warning or nothing.

        Raises:
            InputError: floats that are in no range of samples.
        """
        only, gain, warning = None, 1.0, ""
        if floats and self.peak > WIDE:
            if self.peak > 1.01 * INT16:
                raise InputError(f"{name}: has samples up to {self.peak:.3g}; scale them to [-1, 1], or to 16 bits")
            gain = 1 / INT16
        if self.frames and len(self._sums) > 2:
            powers = np.maximum(self._squares / self.frames - np.square(self._sums / self.frames), 0)
            loudest, channels = int(np.argmax(powers[:-1])), len(powers) - 1
            if powers[-1] < CANCELLED * powers[loudest] / channels**2 and powers[loudest] > 0:
                only = loudest
                warning = f"{name}: its channels cancel (opposite phase); channel {only + 1}, the loudest, is taken"
        return Mixing(only, gain), warning


def as_frames(samples: Any, name: str = "the wave") -> NDArray[np.float32]:
    """Samples of any usual type and shape as floats: (time,), (time, channels) or (channels, time) -> (time, channels).

    int16 and int32 are scaled to [-1, 1).

    Raises:
        InputError: another type or shape, or samples that are not numbers.
    """
    array = np.asarray(samples)
    if array.dtype == np.int16 or array.dtype == np.int32:
        array = array.astype(np.float64) / 2.0 ** (8 * array.dtype.itemsize - 1)
    if array.dtype.kind != "f":
        raise InputError(f"{name}: has samples of type {array.dtype}; give float in [-1, 1], int16 or int32")
    if array.ndim == 1:
        array = array[:, None]
    elif array.ndim == 2 and array.shape[1] > array.shape[0]:
        array = array.T
    if array.ndim != 2 or not 0 < array.shape[1] <= MOST_CHANNELS:
        raise InputError(f"{name}: has shape {np.shape(samples)}; give (time,) or (time, channels)")
    if not np.isfinite(array).all():
        raise InputError(f"{name}: has samples that are not numbers (NaN or infinite); export it again")
    return array.astype(np.float32)


def preprocessed(blocks: Iterable[Any], sample_rate: int, warn: Any = lambda _: None) -> Iterator[Wave]:
    """Blocks of a wave as the encoder takes them, of the same lengths, whatever their sizes.

    How they are mixed and scaled is decided by the first of them that is not silent.

    Args:
        blocks: (time,) or (time, channels), floats in [-1, 1] or in the range of int16, int16 or int32.
        sample_rate: Hz.
        warn: is called with a line if channels cancel.

    Raises:
        InputError: another type or shape, or samples that are not numbers.
    """
    filtered, mixing = HighPass(sample_rate), None
    for samples in blocks:
        block = as_frames(samples)
        if mixing is None and len(block) and np.ptp(block, axis=0).any():
            survey = Survey()
            survey.add(block)
            mixing, warning = survey.mixing("the wave", floats=True)
            if warning:
                warn(warning)
        elif mixing and np.abs(block).max(initial=0) * mixing.gain > WIDE:
            raise InputError(f"the wave: has samples up to {np.abs(block).max():.3g}; scale them to [-1, 1]")
        yield filtered((mixing or Mixing()).mix(block, "the wave"))


class HighPass:
    """A Butterworth high-pass of first order at CUTOFF_HZ, for a wave that comes in blocks of any size.

    It begins as if the first sample had been there for ever, so that a constant offset leaves no trace.
    """

    def __init__(self, sample_rate: int) -> None:
        from scipy.signal import butter, sosfilt_zi

        self._sections = butter(1, CUTOFF_HZ, "highpass", fs=sample_rate, output="sos")
        self._begin, self._state = sosfilt_zi(self._sections), None

    def __call__(self, block: Wave) -> Wave:
        """The next block, filtered: (time,), both."""
        from scipy.signal import sosfilt

        if not len(block):
            return block
        if self._state is None:
            self._state = self._begin * float(block[0])
        wave, self._state = sosfilt(self._sections, block.astype(np.float64), zi=self._state)
        return wave.astype(np.float32)
