"""Running speech level of a wave that arrives in blocks: an automatic gain and a gate of pauses that look back only."""

import math
from collections import deque

import numpy as np

from vqspeech.audio import loudness
from vqspeech.audio.loudness import FRAME_S, PAUSE_DB, LevelAnalysis
from vqspeech.shapes import Wave

HISTORY_S = 10.0
"""Length of the speech whose level is measured, and of the past in which pauses are found."""
FORGET_S = 30.0
"""Time without a frame near the level after which it is measured anew."""
LEAST_DB = -50.0
"""Frames below this are not speech."""
GAIN_DB_PER_S = 12.0
"""The gain rises no faster than this."""


class RunningLevel:
    """Levels of the frames of a wave, and its active speech level so far.

    `level_db` is NaN until there is speech; pauses do not change it.

    Args:
        sample_rate: in Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self.level_db = math.nan
        self.sample_rate, self.size = sample_rate, round(FRAME_S * sample_rate)
        self._rest = np.zeros(0, np.float32)
        frames = round(HISTORY_S / FRAME_S)
        self._levels_db: deque[float] = deque(maxlen=frames)
        self._active_db: deque[float] = deque(maxlen=frames)
        self._n_frames = self._n_inactive = 0

    def add(self, block: Wave) -> None:
        """More of the wave, (time,)."""
        samples = np.concatenate([self._rest, block])
        whole = len(samples) // self.size * self.size
        self._rest = samples[whole:]
        powers = np.square(samples[:whole].reshape(-1, self.size), dtype=np.float64).mean(axis=1)
        for level_db in (10 * np.log10(powers + 1e-12)).tolist():
            self._levels_db.append(level_db)
            least_db = LEAST_DB if math.isnan(self.level_db) else max(LEAST_DB, self.level_db - PAUSE_DB)
            self._n_inactive = 0 if level_db > least_db else self._n_inactive + 1
            if not self._n_inactive:
                self._active_db.append(level_db)
            elif self._n_inactive * FRAME_S > FORGET_S:
                self._active_db.clear()
        self._n_frames += whole // self.size
        self.level_db = loudness.speech_level_db(np.array(self._active_db, np.float32))

    def is_pause(self, frame: int) -> bool:
        """Whether a frame, by its number, is in a long pause, as far as is known; see `loudness.pauses`."""
        levels_db = np.array(self._levels_db, np.float32)
        place = min(frame - self._n_frames + len(levels_db), len(levels_db) - 1)
        mask = loudness.pauses(LevelAnalysis(levels_db, self.level_db, 0.0, self.sample_rate))
        return bool(mask[place]) if place >= 0 else True


class RunningGain:
    """Automatic gain: brings the speech level of a wave to a target.

    Args:
        level: of the wave so far.
        target_db: a speech level; NaN: no gain.
        max_gain_db: the largest gain.
    """

    def __init__(self, level: RunningLevel, target_db: float, max_gain_db: float) -> None:
        self._level, self._target_db, self._max_gain_db = level, target_db, max_gain_db
        self._gain_db = math.nan

    def __call__(self, block: Wave) -> Wave:
        """The next block, whose level is known already: (time,) -> (time,), within [-1, 1]."""
        gain_db = self._target_db - self._level.level_db
        if not len(block) or math.isnan(gain_db):
            return np.clip(block, -1, 1)
        gain_db = min(gain_db, self._max_gain_db)
        before_db = gain_db if math.isnan(self._gain_db) else self._gain_db
        self._gain_db = min(gain_db, before_db + GAIN_DB_PER_S * len(block) / self._level.sample_rate)
        gains_db = np.linspace(before_db, self._gain_db, len(block) + 1, dtype=np.float32)[1:]
        return np.clip(block * 10 ** (gains_db / 20), -1, 1).astype(np.float32)


class PauseGate:
    """Gate: silence where a wave that arrived before has long pauses, with fades of a frame.

    Args:
        level: of the wave that arrived before.
    """

    def __init__(self, level: RunningLevel) -> None:
        self._level, self._done = level, 0
        self._gains: deque[float] = deque()  # of the frames from `_first` on
        self._first = 0

    def __call__(self, wave: Wave) -> Wave:
        """The next part of a wave that lags behind the other, (time,) -> (time,)."""
        if not len(wave):
            return wave
        size, end = self._level.size, self._done + len(wave)
        while self._first + len(self._gains) <= end // size + 1:
            self._gains.append(0.0 if self._level.is_pause(self._first + len(self._gains)) else 1.0)
        while self._first < self._done // size - 1:
            self._gains.popleft()
            self._first += 1
        centres = (self._first + np.arange(len(self._gains)) + 0.5) * size
        gain = np.interp(np.arange(self._done, end), centres, np.array(self._gains))
        self._done = end
        return wave * gain.astype(np.float32)
