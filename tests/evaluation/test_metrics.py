import numpy as np
import pytest

from vqspeech.evaluation import metrics


def test_loudness_is_in_decibels_below_full_scale():
    wave = np.concatenate([np.ones(4000), np.full(4000, 0.1), np.zeros(4000)]).astype(np.float32)
    level = metrics.loudness_db(wave, 16000)
    assert level[[0, 15, -1]] == pytest.approx([0.0, -20.0, metrics.FLOOR_DB], abs=1e-3)


def test_a_contour_is_kept_by_gain_and_lost_by_noise_silence_and_reversal(speech):
    wave = speech(2.0) * np.linspace(0.05, 1, 32000).astype(np.float32)
    noise = np.random.default_rng(0).standard_normal(32000).astype(np.float32) * 0.1
    assert metrics.contour_correlation(wave, wave * 0.3, 16000) > 0.99
    assert abs(metrics.contour_correlation(wave, noise, 16000)) < 0.3
    assert metrics.contour_correlation(wave, np.zeros(32000, np.float32), 16000) == 0.0
    assert metrics.contour_correlation(wave, wave[::-1], 16000) < 0.3


def test_noise_is_flat_and_a_voice_is_not(speech):
    noise = np.random.default_rng(0).standard_normal(32000).astype(np.float32)
    assert metrics.flatness(noise) == pytest.approx(0.56, abs=0.03)
    assert metrics.flatness(speech(1.0)) < 0.1


def test_a_bootstrap_interval_is_that_of_scipy():
    from scipy.stats import bootstrap

    values = np.random.default_rng(3).normal(2.0, 1.0, 60)
    low, high = metrics.bootstrap_interval(values, np.ones(60))
    expected = bootstrap((values,), np.mean, method="percentile", n_resamples=1000, rng=0).confidence_interval
    assert low == pytest.approx(expected.low, abs=0.05)
    assert high == pytest.approx(expected.high, abs=0.05)
    assert metrics.bootstrap_interval(np.ones(5), np.arange(5.0)) == (1.0, 1.0)
