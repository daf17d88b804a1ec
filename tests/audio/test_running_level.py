"""Running speech level: that of the past, without its pauses; a gain that follows it; a gate that lags behind."""

import numpy as np
import pytest

from vqspeech.audio import loudness
from vqspeech.audio.running_level import FORGET_S, GAIN_DB_PER_S, PauseGate, RunningGain, RunningLevel

RATE, FRAME = 16000, 320


def noise(seconds: float, db: float, seed: int = 0) -> np.ndarray:
    return (10 ** (db / 20) * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def test_the_level_is_that_of_a_recording_so_far_for_any_cutting():
    wave = np.concatenate([noise(1, -30), noise(0.5, -70), noise(1, -24)])
    level = RunningLevel(RATE)
    for block in np.split(wave, [3, 500, 20001]):
        level.add(block)
    whole = loudness.analyse_level([wave], RATE)
    assert level.level_db == pytest.approx(whole.level_db, abs=0.01)


def test_pauses_do_not_change_the_level_until_it_is_forgotten():
    level = RunningLevel(RATE)
    assert np.isnan(level.level_db)
    level.add(noise(1, -60))
    assert np.isnan(level.level_db)  # too quiet for speech
    level.add(noise(1, -30))
    level.add(noise(FORGET_S - 1, -55))
    assert level.level_db == pytest.approx(-30, abs=0.2)
    level.add(noise(2, -52))
    assert np.isnan(level.level_db)
    level.add(noise(1, -45))
    assert level.level_db == pytest.approx(-45, abs=0.2)


def test_a_gain_reaches_its_target_at_once_and_then_follows_slowly():
    level = RunningLevel(RATE)
    gain = RunningGain(level, -26.0, 12.0)

    def amplified(block):
        level.add(block)
        return 10 * np.log10(np.square(gain(block)[-FRAME:], dtype=np.float64).mean())

    assert amplified(noise(0.1, -60)) == pytest.approx(-60, abs=1)  # no speech, no gain
    assert amplified(noise(0.5, -30)) == pytest.approx(-26, abs=1)
    assert amplified(noise(0.5, -20)) < -22  # falls at once, and then with the level of the past
    for _ in range(300):
        amplified(noise(0.1, -32))
    assert amplified(noise(0.1, -32)) == pytest.approx(-26, abs=1)
    before = gain._gain_db
    for _ in range(100):
        amplified(noise(0.02, -45))
    assert gain._gain_db <= min(12.0, before + 2.0 * GAIN_DB_PER_S + 1e-6)
    assert np.abs(gain(np.full(99, 9.0, np.float32))).max() <= 1


def test_without_a_target_nothing_is_amplified():
    level, wave = RunningLevel(RATE), noise(0.5, -30)
    level.add(wave)
    assert np.array_equal(RunningGain(level, float("nan"), 12.0)(wave), wave)


def test_a_gate_closes_in_long_pauses_of_what_came_before_and_in_no_others():
    speech, pause, gap = noise(1, -20), noise(1, -60), noise(0.1, -60)
    heard = np.concatenate([speech, gap, speech, pause, speech])
    level, lag, parts = RunningLevel(RATE), 10 * FRAME, []
    gate = PauseGate(level)
    for start in range(0, len(heard) + lag, FRAME):  # the second wave comes `lag` samples after the first
        level.add(heard[start : start + FRAME])
        if start >= lag:
            parts.append(gate(np.ones(FRAME, np.float32)))
    gains = np.concatenate(parts)
    inside = slice(round(2.3 * RATE), round(2.9 * RATE))
    assert not gains[inside].any()
    spoken = np.concatenate([gains[: round(2.1 * RATE)], gains[round(3.1 * RATE) : round(4.1 * RATE)]])
    assert (spoken == 1).all()
    assert np.abs(np.diff(gains)).max() <= 1 / FRAME + 1e-6  # it fades
