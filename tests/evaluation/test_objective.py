"""Measures: each against an answer that is known."""

import numpy as np
import pytest

from vqspeech import InputError
from vqspeech.evaluation import objective
from vqspeech.evaluation.objective import Comparison

pytest.importorskip("espeakng_loader")


def of(name, reference, wave):
    measure = next(measure for measure in objective.MEASURES if measure.name == name)
    if measure.missing:
        pytest.skip(f"{measure.module} is not there")
    return measure.of(Comparison(reference, wave))


PERFECT = {"mcd": 0, "f0_correlation": 1, "voicing_error": 0, "level": 0, "loudness_correlation": 1, "phone_error": 0}


@pytest.mark.parametrize(("name", "value"), [*PERFECT.items(), ("estoi", 1), ("pesq", 4.64)])
def test_a_recording_is_perfect_beside_itself(wave, name, value):
    assert of(name, wave, wave) == pytest.approx(value, abs=0.01)


@pytest.mark.parametrize("name", [*PERFECT, "estoi", "pesq"])
def test_noise_makes_every_measure_worse_and_more_noise_worse_still(wave, name):
    noise = np.random.default_rng(0).standard_normal(len(wave)).astype(np.float32) * wave.std()
    values = [of(name, wave, wave + gain * noise) for gain in (0, 0.1, 1)]
    better = next(measure.better for measure in objective.MEASURES if measure.name == name)
    if better:
        assert values == sorted(values, reverse=better == "higher")
        assert values[0] != values[2]
    else:
        assert values[2] == pytest.approx(3.01, abs=0.2)  # as much noise as speech: twice the power


@pytest.mark.parametrize("name", ["mcd", "f0_correlation", "voicing_error", "loudness_correlation", "estoi"])
def test_a_shift_of_40_ms_is_no_fault(wave, name):
    shifted = np.concatenate([np.zeros(640, np.float32), wave])
    noise = np.random.default_rng(0).standard_normal(len(wave)).astype(np.float32) * wave.std()
    perfect, noisy = of(name, wave, wave), of(name, wave, wave + noise)
    assert abs(of(name, wave, shifted) - perfect) < 0.2 * abs(noisy - perfect)


def test_half_the_amplitude_is_6_db_less_and_the_same_cepstra(wave):
    assert of("level", wave, wave / 2) == pytest.approx(-6.02, abs=0.01)
    assert of("mcd", wave, wave / 2) < 0.3


def test_a_tilt_of_the_spectrum_is_as_many_db_of_distortion_as_it_has():
    """A cosine of 6 dB over the mel scale is 3 dB of c_1 alone, and so sqrt(2) times 3 dB of distortion."""
    import librosa

    noise = 0.1 * np.random.default_rng(0).standard_normal(32000)
    mels = librosa.hz_to_mel(np.fft.rfftfreq(32000, 1 / 16000)) / librosa.hz_to_mel(8000)
    tilted = np.fft.irfft(np.fft.rfft(noise) * 10 ** (6 * np.cos(np.pi * mels) / 20))
    assert of("mcd", noise, tilted) == pytest.approx(6 / np.sqrt(2), rel=0.05)


def test_reversed_speech_has_other_phones_and_another_melody(wave):
    assert of("phone_error", wave, wave[::-1]) > 0.5
    assert of("mcd", wave, wave[::-1]) > 2


def test_what_is_too_short_is_refused(wave):
    with pytest.raises(InputError, match="shorter than a quarter of a second"):
        Comparison(wave, wave[:100])


def test_hum_below_the_search_is_no_pitch():
    t = np.arange(16000) / 16000
    voice = 0.1 * sum(np.sin(2 * np.pi * 200 * k * t) / k for k in range(1, 10))
    f0 = objective.pyin_f0(np.concatenate([voice, 0.01 * np.sin(2 * np.pi * 50 * t)]).astype(np.float32))
    np.testing.assert_allclose(f0[5:95], 200, rtol=0.01)
    assert not f0[110:].any()
