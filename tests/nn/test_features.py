"""Feature extractor: sliding CMN, VTLP, cepstral noise, F0."""

import numpy as np
import pytest
import torch

from vqspeech.nn.f0 import estimate_f0
from vqspeech.nn.features import (
    N_PERTURBED_CEPSTRA,
    NOISE_DRAWS,
    FeatureExtractor,
    Perturbation,
    add_noise,
    relative_log2_f0,
    sample_lookahead,
    sample_perturbation,
    split_draws,
)
from vqspeech.nn.mel import LogMel, sliding_cmn


def test_octaves_do_not_tell_who_speaks_higher():
    glide = torch.exp2(torch.sin(torch.arange(100) / 7) / 4)[None] * 120
    pitch = torch.where(torch.arange(100) % 10 < 6, glide, 0.0)
    heard = relative_log2_f0(pitch, 20, 20)
    assert torch.allclose(relative_log2_f0(1.7 * pitch, 20, 20), heard, atol=1e-5)
    assert torch.all(heard[pitch == 0] == 0)
    around = pitch[0, 30:71]
    assert float(heard[0, 50]) == pytest.approx(float((pitch[0, 50] / around[around > 0]).log2().mean()), abs=1e-5)
    assert torch.equal(relative_log2_f0(torch.zeros(1, 9), 20, 20), torch.zeros(1, 9))


def test_a_warped_tone_is_heard_where_the_warp_puts_it(speech):
    feature_extractor = FeatureExtractor(16000, 320, 80, 160)
    tones = {hertz: torch.sin(2 * torch.pi * hertz * torch.arange(9600) / 16000)[None] for hertz in (1000, 1200)}
    loudest = {hertz: int(feature_extractor(tone)[0, :, 30].argmax()) for hertz, tone in tones.items()}
    none = torch.zeros(1, N_PERTURBED_CEPSTRA)
    warped = feature_extractor(tones[1200], Perturbation(torch.tensor([1.2]), none))
    assert int(warped[0, :, 30].argmax()) == loudest[1000] != loudest[1200]
    wave = torch.from_numpy(speech(0.5))[None, :6400]
    assert torch.allclose(
        feature_extractor(wave, Perturbation(torch.ones(1), none)), feature_extractor(wave), atol=1e-4
    )


def test_a_colour_is_added_to_the_cepstra_and_perturbations_are_as_large_as_they_are_asked_to_be(speech):
    wave = torch.from_numpy(speech(0.5))[None, :6400]
    feature_extractor = FeatureExtractor(16000, 320, 80, 160, n_mfcc=12)
    colours = torch.arange(N_PERTURBED_CEPSTRA)[None] / 10
    added = feature_extractor(wave, Perturbation(torch.ones(1), colours)) - feature_extractor(wave)
    expected = torch.zeros(12)
    expected[:N_PERTURBED_CEPSTRA] = colours[0] * torch.tensor([80.0] + (N_PERTURBED_CEPSTRA - 1) * [40.0]).sqrt()
    assert torch.allclose(added, expected[None, :, None].expand_as(added), atol=1e-3)
    uniforms = torch.rand(4000, 1 + N_PERTURBED_CEPSTRA, generator=torch.Generator().manual_seed(0))
    perturbation = sample_perturbation(uniforms, 0.1, 0.05)
    assert 0.095 < float(perturbation.vtlp.log().abs().max()) <= 0.1
    assert float(perturbation.cepstral_noise.std()) == pytest.approx(0.05, rel=0.03)


def test_cepstra_and_pitch_are_heard_beside_each_other(speech):
    wave = torch.from_numpy(speech(1.0))[None, :12800]
    feature_extractor = FeatureExtractor(16000, 320, 80, 160, n_mfcc=80, cmn_window_s=1.0, use_f0=True)
    heard = feature_extractor(wave)
    assert heard.shape == (1, feature_extractor.bands, 80)
    bands = torch.linalg.solve(feature_extractor.basis, heard[:, :80])  # all cepstra are the bands again
    assert torch.allclose(bands, sliding_cmn(LogMel(16000, 80, 160)(wave), 100, 100), atol=1e-3)
    pitch = estimate_f0(wave, 16000, 320).repeat_interleave(2, dim=1)
    assert torch.equal(heard[:, 80] > 0, pitch > 0)
    few = FeatureExtractor(16000, 320, 80, 160, n_mfcc=12, cmn_window_s=1.0)(wave)
    assert torch.allclose(few, heard[:, :12], atol=1e-5)


def test_noise_fills_what_is_quiet_and_leaves_what_is_loud(speech):
    feature_extractor = FeatureExtractor(16000, 320, 80, 160)
    spectra = feature_extractor.analyse(
        torch.from_numpy(np.stack([speech(1.0, seed=one) for one in range(64)]))
    ).log_mel
    uniforms = torch.rand(64, NOISE_DRAWS, generator=torch.Generator().manual_seed(0))
    heard = add_noise(spectra, uniforms, 0.5)
    noisy = uniforms[:, 0] < 0.5
    assert torch.equal(heard[~noisy], spectra[~noisy])
    assert (heard[noisy] > spectra[noisy] - 1e-4).all()
    louder = (heard - spectra)[noisy].flatten(1)
    levels = spectra[noisy].flatten(1)
    order = levels.argsort(1)
    quiet, loud = (louder.gather(1, part).mean() for part in (order[:, :800], order[:, -800:]))
    assert quiet > 10 * loud > 0
    softly = add_noise(spectra, uniforms.index_fill(1, torch.tensor(1), 1.0), 1.0) - spectra
    loudly = add_noise(spectra, uniforms.index_fill(1, torch.tensor(1), 0.0), 1.0) - spectra
    assert (loudly >= softly).all()


def test_look_aheads_are_drawn_for_a_share_of_the_segments_and_change_only_what_is_later():
    uniforms = torch.rand(4000, 40, generator=torch.Generator().manual_seed(0))
    draws = split_draws(uniforms)
    assert torch.equal(torch.cat(draws, dim=1), uniforms[:, -15:])
    lookahead_s = sample_lookahead(draws.lookahead, 0.25, 2.0)
    assert float((lookahead_s < 2.0).float().mean()) == pytest.approx(0.25, abs=0.02)
    assert 0 <= float(lookahead_s.min()) < 0.01
    assert float((lookahead_s < 0.5).float().mean()) == pytest.approx(0.125, abs=0.02)  # half of them


@pytest.mark.parametrize("lookahead_s", [0.0, 0.1, 0.5])
def test_features_see_no_further_than_the_look_ahead(speech, lookahead_s):
    extractor = FeatureExtractor(16000, 320, 80, 160, n_mfcc=12, cmn_window_s=0.5, use_f0=True)
    wave = torch.from_numpy(speech(2.0))[None]
    changed = wave.clone()
    changed[:, 16000:] = 0.3 * torch.randn(1, 16000, generator=torch.Generator().manual_seed(1))
    first, second = (
        extractor.from_analysis(extractor.analyse(one), lookahead_s=torch.tensor([lookahead_s]))
        for one in (wave, changed)
    )
    assert torch.equal(first, extractor.from_analysis(extractor.analyse(wave), lookahead_s=lookahead_s))
    earliest = int(((first - second).abs().amax((0, 1)) > 1e-5).nonzero()[0]) // 2
    reach = extractor.right_context(lookahead_s) + -(-extractor.context_samples // 320)
    assert 50 - reach <= earliest <= 50 - reach + 2
