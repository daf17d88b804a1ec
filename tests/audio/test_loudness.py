"""Speech level and pauses."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqspeech.audio import loudness


@given(cuts=st.lists(st.integers(1, 3000), min_size=1, max_size=8), seed=st.integers(0, 9))
def test_levels_do_not_depend_on_how_the_blocks_come(cuts, seed):
    wave = np.random.default_rng(seed).normal(0, 0.1, sum(cuts)).astype(np.float32)
    whole, blocks = (loudness.analyse_level(parts, 16000) for parts in ([wave], np.split(wave, np.cumsum(cuts)[:-1])))
    assert whole.levels_db == pytest.approx(blocks.levels_db, abs=1e-3)
    assert whole.level_db == pytest.approx(blocks.level_db, abs=1e-3)
    assert whole.peak == blocks.peak


def test_the_level_of_speech_leaves_the_pauses_out(speech):
    wave, silence = speech(2.0), np.zeros(32000, np.float32)
    alone = loudness.analyse_level([wave], 16000)
    paused = loudness.analyse_level([np.concatenate([silence, wave, silence])], 16000)
    assert paused.level_db == pytest.approx(alone.level_db, abs=0.1)
    assert loudness.analyse_level([wave / 2], 16000).level_db == pytest.approx(alone.level_db - 6.02, abs=0.1)
    assert math.isnan(loudness.analyse_level([silence], 16000).level_db)
    assert math.isnan(loudness.analyse_level([], 16000).level_db)


def test_long_pauses_become_silent_and_short_ones_and_speech_stay():
    rng = np.random.default_rng(0)
    tone, hiss = 0.3 * np.sin(np.arange(16000) / 5), rng.normal(0, 0.003, 16000)
    source = np.concatenate([hiss, tone, hiss[:2000], tone, hiss]).astype(np.float32)
    analysis, output = loudness.analyse_level([source], 16000), rng.normal(0, 0.1, len(source)).astype(np.float32)
    out = np.concatenate([*loudness.gate_pauses(np.split(output, [777, 20000, 40000]), analysis)])
    assert np.array_equal(out[16000:50000], output[16000:50000])
    assert not out[: 16000 - 2000].any()
    assert not out[50000 + 2000 :].any()
    middle = np.concatenate([tone, hiss, tone]).astype(np.float32)
    out = np.concatenate([*loudness.gate_pauses([output[:48000]], loudness.analyse_level([middle], 16000))])
    assert not out[18000:30000].any()
    assert out[:16000].all()
