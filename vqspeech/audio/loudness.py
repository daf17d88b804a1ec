"""Active speech level and pauses of recordings of any length.

The active speech level is the mean power over the frames that are not pauses, as in ITU-T P.56.  The threshold is
relative to the recording: QUIET_DB below its loud frames.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech.shapes import Wave

FRAME_S = 0.02
"""Length of a frame."""
QUIET_DB = 30.0
"""Frames further below the loud frames are not speech."""
PAUSE_DB = 20.0
"""Distance of a pause below the active speech level."""
PAUSE_S = 0.3
"""Least length of a pause."""
GUARD_S = 0.06
"""Part at each end of a pause that counts as speech."""
SILENCE_DB = -70.0
"""A recording whose loud frames are not above this has no active speech level."""


class LevelAnalysis(NamedTuple):
    """Levels of a recording: of its frames, (frames,), its active speech level (NaN: silence), and its peak."""

    levels_db: NDArray[np.float32]
    level_db: float
    peak: float
    sample_rate: int


def analyse_level(blocks: Iterable[Wave], sample_rate: int) -> LevelAnalysis:
    """Level analysis of a recording in blocks of any size."""
    size, powers, peak, buffer = round(FRAME_S * sample_rate), [], 0.0, np.zeros(0, np.float32)
    for block in blocks:
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
        buffer = np.concatenate([buffer, block])
        n_complete = len(buffer) // size * size
        powers.append(
            np.square(buffer[:n_complete].reshape(-1, size), dtype=np.float64).mean(axis=1).astype(np.float32)
        )
        buffer = buffer[n_complete:]
    powers.append(np.array([np.square(buffer, dtype=np.float64).mean()] if len(buffer) else [], np.float32))
    levels = 10 * np.log10(np.concatenate(powers) + 1e-12)
    return LevelAnalysis(levels, speech_level_db(levels), peak, sample_rate)


def speech_level_db(levels_db: NDArray[np.float32]) -> float:
    """Active speech level of frames with given levels, in dB relative to full scale; NaN if all are silence.

    >>> speech_level_db(np.array([-80.0] * 50 + [-20.0] * 50, np.float32))
    -20.0
    """
    loud_db = float(np.quantile(levels_db, 0.95)) if len(levels_db) else SILENCE_DB
    if loud_db <= SILENCE_DB:
        return float("nan")
    active = levels_db[levels_db > loud_db - QUIET_DB].astype(np.float64)
    return round(10 * float(np.log10(np.mean(10 ** (active / 10)))), 4)


def pauses(analysis: LevelAnalysis) -> NDArray[np.bool_]:
    """Mask of the frames in long pauses, (frames,); of a silent recording, all frames."""
    if np.isnan(analysis.level_db):
        return np.ones(len(analysis.levels_db), np.bool_)
    quiet = np.concatenate([[False], analysis.levels_db < analysis.level_db - PAUSE_DB, [False]])
    starts, ends = np.flatnonzero(~quiet[:-1] & quiet[1:]), np.flatnonzero(quiet[:-1] & ~quiet[1:])
    mask, guard = np.zeros(len(analysis.levels_db), np.bool_), round(GUARD_S / FRAME_S)
    for start, end in zip(starts, ends, strict=True):
        if end - start >= PAUSE_S / FRAME_S:  # the ends of a recording need no guard
            mask[start + guard * (start > 0) : end - guard * (end < len(mask))] = True
    return mask


def gate_pauses(blocks: Iterable[Wave], analysis: LevelAnalysis) -> Iterator[Wave]:
    """Wave with silence in the long pauses of an analysed recording; it fades over a frame at their ends."""
    size, n_done = round(FRAME_S * analysis.sample_rate), 0
    gains = np.pad(1.0 - pauses(analysis), (0, 2), mode="edge" if len(analysis.levels_db) else "constant").astype(
        np.float32
    )
    centres = (np.arange(len(gains)) + 0.5) * size
    for block in blocks:
        first, last = max(0, n_done // size - 1), (n_done + len(block)) // size + 2
        gain = np.interp(np.arange(n_done, n_done + len(block)), centres[first:last], gains[first:last])
        yield block * gain.astype(np.float32)
        n_done += len(block)
