"""Log-mel spectra: librosa's filters, frames in the middle of their samples, and codes that do not depend on pieces."""

import numpy as np
import pytest
import torch

from vqspeech.nn.mel import (
    AMPLITUDE_FLOOR,
    LOG_MEL_OF_SILENCE,
    POSTFILTER_GAIN,
    LogMel,
    match_spectra,
    mel_filterbank,
    sharpen_formants,
    sliding_cmn,
    subtract_residual_noise,
)


@pytest.mark.parametrize(("rate", "size", "bands"), [(16000, 512, 80), (8000, 256, 23)])
def test_filters_are_those_of_librosa(rate, size, bands):
    librosa = pytest.importorskip("librosa")
    theirs = librosa.filters.mel(sr=rate, n_fft=size, n_mels=bands, htk=True, norm=None)
    assert np.allclose(mel_filterbank(rate, size, bands).T, theirs, atol=1e-5)


def test_a_click_is_loudest_in_the_frame_that_holds_it_and_unheard_beyond_the_reach():
    mel = LogMel(16000, 40, 160)
    for place in (480, 560, 639):
        wave = torch.zeros(1, 1600)
        wave[0, place] = 1
        loud = mel(wave)[0].mean(0)
        assert int(loud.argmax()) == place // 160
        silent = mel(torch.zeros(1, 1600))[0].mean(0)
        far = (torch.arange(10) * 160 - mel.context_samples > place) | (
            (torch.arange(10) + 1) * 160 + mel.context_samples <= place
        )
        assert torch.equal(loud[far], silent[far])


def test_a_tone_has_half_its_amplitude_in_its_band():
    tone = 0.5 * torch.sin(2 * torch.pi * 1000 * torch.arange(4800) / 16000)
    spectra = LogMel(16000, 1, 160)(tone[None])  # one triangle from 0 to 8 kHz
    lobe = 2 * 512 / 400  # bins that a Hann window of 400 samples spreads a tone over, in a transform of 512
    expected = 0.25 * lobe * float(mel_filterbank(16000, 512, 1)[32, 0])
    assert float(spectra[0, 0, 15]) == pytest.approx(np.log10(expected + AMPLITUDE_FLOOR) + 1, abs=0.03)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (3, 25), (25, 3), (80, 0), (80, 80)])
def test_normalised_spectra_are_those_less_the_weighted_mean_of_the_window(before, after):
    spectra = torch.randn(2, 5, 50, generator=torch.Generator().manual_seed(0)) * 0.3 - 0.5
    found = sliding_cmn(spectra, before, torch.tensor([after, 7]))
    for at in range(50):
        for segment, lookahead in enumerate((after, 7)):
            around = spectra[segment, :, max(0, at - before) : at + lookahead + 1]
            loud = (around - LOG_MEL_OF_SILENCE).mean(0, keepdim=True) + 1e-3
            mean = (around * loud).sum(1) / loud.sum(1)
            assert torch.allclose(found[segment, :, at], spectra[segment, :, at] - mean, atol=1e-5)
    assert torch.equal(sliding_cmn(spectra, before, after)[0], found[0])


def test_a_timbre_that_stays_is_not_heard_in_relative_spectra(speech):
    spectra = LogMel(16000, 20, 160)(torch.from_numpy(speech(2.0))[None]).clamp_min(LOG_MEL_OF_SILENCE + 1)
    timbre = torch.linspace(-0.5, 0.5, 20)[:, None]  # changes no mean over the bands
    assert torch.allclose(sliding_cmn(spectra + timbre, 60, 20), sliding_cmn(spectra, 60, 20), atol=1e-4)


def test_residual_noise_is_silence_afterwards_and_speech_is_as_loud_as_before():
    amplitudes = AMPLITUDE_FLOOR * torch.tensor([0.0, 0.05, 1.0, 100.0])
    cleaned = subtract_residual_noise((amplitudes + AMPLITUDE_FLOOR).log10() + 1)
    np.testing.assert_allclose(cleaned[:2], LOG_MEL_OF_SILENCE, atol=1e-6)
    np.testing.assert_allclose(10 ** (cleaned[2:] - 1) - AMPLITUDE_FLOOR, amplitudes[2:] - 8e-5, rtol=1e-3)


def test_sharpened_spectra_keep_their_level_and_have_steeper_formants():
    bands, flat = torch.linspace(0, 20, 80).sin().expand(2, 3, 80), torch.full((1, 1, 80), 0.7)
    sharp = sharpen_formants(bands)
    assert torch.allclose(sharpen_formants(flat), flat)
    assert sharp.std() > (1 + 0.45 * POSTFILTER_GAIN) * bands.std()
    assert abs(sharp.mean() - bands.mean()) < 0.02


def test_a_matched_wave_has_the_given_spectra_and_is_nearer_to_the_wave_that_has_them(speech):
    mel, wave = LogMel(16000, 80, 160), torch.from_numpy(speech(1.0))[None]
    noisy = wave + 0.05 * torch.randn(wave.shape, generator=torch.Generator().manual_seed(0))
    matched, target = match_spectra(mel, noisy, mel(wave)), mel(wave)
    before, after = ((mel(one) - target).square().mean().sqrt() for one in (noisy, matched))
    assert after < 0.3 * before
    assert (matched - wave).square().mean() < (noisy - wave).square().mean()
    assert torch.allclose(match_spectra(mel, wave, target), wave, atol=1e-5)


def test_a_frame_that_is_matched_depends_on_no_sample_beyond_its_context(speech):
    mel, wave = LogMel(16000, 80, 160), torch.from_numpy(speech(1.0))[None]
    changed, target = wave.clone(), mel(wave) + 0.1
    changed[:, 8000:] = 0.5
    first, second = match_spectra(mel, wave, target), match_spectra(mel, changed, target)
    frame = int((first != second).flatten().nonzero()[0]) // 160
    assert 8000 - mel.matching_context <= 160 * (frame + 1) < 8000


def test_silence_is_matched_to_silence():
    mel, silence = LogMel(16000, 80, 160), torch.zeros(1, 1600)
    assert not match_spectra(mel, silence, mel(silence)).any()
