"""Preprocessing of waves for the encoder: float32 in [-1, 1], mono, finite, high-passed.

Every wave passes through `preprocessed` before it is encoded or packed for training.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech.errors import InputError
from vqspeech.shapes import Wave

CUTOFF_HZ = 5.0
"""Cutoff of the high-pass: there is no speech below, but there may be the offset of a converter.

The cutoff is low because a high-pass shifts the phase of the fundamental.  A second-order filter at 20 Hz changes 11 %
of the codes of a model that was trained without one, this filter 4 %.
"""
CANCELLED_SHARE = 0.25
"""Channels cancel if the power of their mean is below this share of what the loudest alone contributes to it."""
MAX_PEAK = 8.0
"""A float recording with a larger peak is not in [-1, 1]."""
INT16_SCALE = 32768.0
"""Full scale of 16-bit samples."""
MAX_CHANNELS = 64
"""Arrays with more channels are rejected."""


class Mixing(NamedTuple):
    """Mixing of channels to mono: their mean, or channel `only` (from 0 on), multiplied by `gain`."""

    only: int | None = None
    gain: float = 1.0

    def mix(self, block: NDArray[np.float32], name: str) -> Wave:
        """Mono wave of a block: (frames, channels) -> (frames,).

        Raises:
            InputError: samples that are not numbers.
        """
        wave = block.mean(axis=1) if self.only is None else block[:, self.only]
        if not np.isfinite(wave).all():
            raise InputError(f"{name}: has samples that are not numbers (NaN or infinite); export it again")
        return wave.astype(np.float32) * np.float32(self.gain)


class Survey:
    """Statistics that decide the mixing of a recording: its peak, and the powers of its channels and of their mean."""

    def __init__(self) -> None:
        self.frames, self.peak = 0, 0.0
        self._sums, self._squares = np.zeros(0), np.zeros(0)

    def add(self, block: NDArray[np.float32]) -> None:
        """Adds the next block, (frames, channels), to the statistics."""
        if not len(block):
            return
        wide = np.nan_to_num(block, posinf=0, neginf=0).astype(np.float64)  # a signalling NaN cannot be cast
        wide = np.concatenate([wide, wide.mean(axis=1, keepdims=True)], axis=1)
        if not self.frames:
            self._sums, self._squares = np.zeros((2, wide.shape[1]))
        self.frames += len(block)
        self.peak = max(self.peak, float(np.abs(wide).max()))
        self._sums += wide.sum(axis=0)
        self._squares += np.square(wide).sum(axis=0)

    def mixing(self, name: str, floats: bool) -> tuple[Mixing, str]:
        """Mixing of the recording, and a warning or an empty string.

        Raises:
            InputError: float samples in no usual range.
        """
        only, gain, warning = None, 1.0, ""
        if floats and self.peak > MAX_PEAK:
            if self.peak > 1.01 * INT16_SCALE:
                raise InputError(f"{name}: has samples up to {self.peak:.3g}; scale them to [-1, 1], or to 16 bits")
            gain = 1 / INT16_SCALE
        if self.frames and len(self._sums) > 2:
            powers = np.maximum(self._squares / self.frames - np.square(self._sums / self.frames), 0)
            loudest, channels = int(np.argmax(powers[:-1])), len(powers) - 1
            if powers[-1] < CANCELLED_SHARE * powers[loudest] / channels**2 and powers[loudest] > 0:
                only = loudest
                warning = f"{name}: its channels cancel (opposite phase); channel {only + 1}, the loudest, is taken"
        return Mixing(only, gain), warning


def as_frames(samples: Any, name: str = "the wave") -> NDArray[np.float32]:
    """Float samples of an array: (time,), (time, channels) or (channels, time) -> (time, channels).

    int16 and int32 are scaled to [-1, 1).

    Raises:
        InputError: the array has another type or shape, or samples that are not numbers.
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
    if array.ndim != 2 or not 0 < array.shape[1] <= MAX_CHANNELS:
        raise InputError(f"{name}: has shape {np.shape(samples)}; give (time,) or (time, channels)")
    if not np.isfinite(array).all():
        raise InputError(f"{name}: has samples that are not numbers (NaN or infinite); export it again")
    return array.astype(np.float32)


def preprocessed(blocks: Iterable[Any], sample_rate: int, warn: Any = lambda _: None) -> Iterator[Wave]:
    """Preprocessed blocks of a wave, of the same lengths, independent of how the wave is divided.

    The first block that is not silent decides how all are mixed and scaled.

    Args:
        blocks: (time,) or (time, channels), floats in [-1, 1] or in the range of int16, int16 or int32.
        sample_rate: in Hz.
        warn: called with a one-line message if channels cancel.

    Raises:
        InputError: a block has another type or shape, or samples that are not numbers.
    """
    high_pass, mixing = HighPass(sample_rate), None
    for samples in blocks:
        block = as_frames(samples)
        if mixing is None and len(block) and np.ptp(block, axis=0).any():
            survey = Survey()
            survey.add(block)
            mixing, warning = survey.mixing("the wave", floats=True)
            if warning:
                warn(warning)
        elif mixing and np.abs(block).max(initial=0) * mixing.gain > MAX_PEAK:
            raise InputError(f"the wave: has samples up to {np.abs(block).max():.3g}; scale them to [-1, 1]")
        yield high_pass((mixing or Mixing()).mix(block, "the wave"))


class HighPass:
    """First-order Butterworth high-pass at CUTOFF_HZ, for a wave in blocks of any size.

    The initial state is that of a constant input of the first sample, so that a constant offset leaves no transient.
    """

    def __init__(self, sample_rate: int) -> None:
        from scipy.signal import butter, sosfilt_zi

        self._sections = butter(1, CUTOFF_HZ, "highpass", fs=sample_rate, output="sos")
        self._unit_state, self._state = sosfilt_zi(self._sections), None

    def __call__(self, block: Wave) -> Wave:
        """Filtered next block: (time,) -> (time,)."""
        from scipy.signal import sosfilt

        if not len(block):
            return block
        if self._state is None:
            self._state = self._unit_state * float(block[0])
        wave, self._state = sosfilt(self._sections, block.astype(np.float64), zi=self._state)
        return wave.astype(np.float32)
