"""Active speech level and pauses of recordings of any length.

The level of speech is its mean power over the frames that are not pauses, as in ITU-T P.56; what counts as one is
taken from the recording itself: QUIET_DB below its loud frames.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech.shapes import Wave

FRAME_S = 0.02
QUIET_DB = 30.0
"""Frames that are further below the loud ones are no speech."""
PAUSE_DB, PAUSE_S, GUARD_S = 20.0, 0.3, 0.06
"""A pause stays this far below the level of the speech, for this long; its ends are left to the speech beside it."""
SILENCE_DB = -70.0
"""A recording that is never louder than this has no level."""


class LevelAnalysis(NamedTuple):
    """A recording's frames: `levels_db` (frames,), its level without the pauses (NaN: silence), and its peak."""

    levels_db: NDArray[np.float32]
    level_db: float
    peak: float
    sample_rate: int


def analyse_level(blocks: Iterable[Wave], sample_rate: int) -> LevelAnalysis:
    """Listens to a recording that comes in blocks of any size."""
    size, powers, peak, held = round(FRAME_S * sample_rate), [], 0.0, np.zeros(0, np.float32)
    for block in blocks:
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
        held = np.concatenate([held, block])
        whole = len(held) // size * size
        powers.append(np.square(held[:whole].reshape(-1, size), dtype=np.float64).mean(axis=1).astype(np.float32))
        held = held[whole:]
    powers.append(np.array([np.square(held, dtype=np.float64).mean()] if len(held) else [], np.float32))
    levels = 10 * np.log10(np.concatenate(powers) + 1e-12)
    return LevelAnalysis(levels, speech_level_db(levels), peak, sample_rate)


def speech_level_db(levels_db: NDArray[np.float32]) -> float:
    """The level of the speech among frames of these levels, in dB below full scale; NaN if all is silence.

    >>> speech_level_db(np.array([-80.0] * 50 + [-20.0] * 50, np.float32))
    -20.0
    """
    loud = float(np.quantile(levels_db, 0.95)) if len(levels_db) else SILENCE_DB
    if loud <= SILENCE_DB:
        return float("nan")
    spoken = levels_db[levels_db > loud - QUIET_DB].astype(np.float64)
    return round(10 * float(np.log10(np.mean(10 ** (spoken / 10)))), 4)


def pauses(heard: LevelAnalysis) -> NDArray[np.bool_]:
    """Which frames lie in a long pause: (frames,); of a silent recording all of them."""
    if np.isnan(heard.level_db):
        return np.ones(len(heard.levels_db), np.bool_)
    quiet = np.concatenate([[False], heard.levels_db < heard.level_db - PAUSE_DB, [False]])
    starts, ends = np.flatnonzero(~quiet[:-1] & quiet[1:]), np.flatnonzero(quiet[:-1] & ~quiet[1:])
    found, guard = np.zeros(len(heard.levels_db), np.bool_), round(GUARD_S / FRAME_S)
    for start, end in zip(starts, ends, strict=True):
        if end - start >= PAUSE_S / FRAME_S:  # the very ends of a recording have no speech beside them
            found[start + guard * (start > 0) : end - guard * (end < len(found))] = True
    return found


def gate_pauses(blocks: Iterable[Wave], heard: LevelAnalysis) -> Iterator[Wave]:
    """The same wave, silent in the long pauses of the recording that was heard; it fades over a frame at their ends."""
    size, done = round(FRAME_S * heard.sample_rate), 0
    loud = np.pad(1.0 - pauses(heard), (0, 2), mode="edge" if len(heard.levels_db) else "constant").astype(np.float32)
    middles = (np.arange(len(loud)) + 0.5) * size
    for block in blocks:
        first, last = max(0, done // size - 1), (done + len(block)) // size + 2
        gain = np.interp(np.arange(done, done + len(block)), middles[first:last], loud[first:last])
        yield block * gain.astype(np.float32)
        done += len(block)
