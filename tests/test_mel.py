"""Log-mel spectra: librosa's filters, frames in the middle of their samples, and codes that do not depend on pieces."""

import numpy as np
import pytest
import torch

from vqspeech import checkpoint, config, mulaw, synthesis
from vqspeech.models.vqvae import VQVAE
from vqspeech.nn.hearing import COLOURS, Disguise, Hearing, disguised, octaves
from vqspeech.nn.mel import LEAST, SILENT, LogMel, mel_filters, relative
from vqspeech.nn.pitch import pitch_hz
from vqspeech.nn.quantiser import standardise_
from vqspeech.synthesis import Model


@pytest.mark.parametrize(("rate", "size", "bands"), [(16000, 512, 80), (8000, 256, 23)])
def test_filters_are_those_of_librosa(rate, size, bands):
    librosa = pytest.importorskip("librosa")
    theirs = librosa.filters.mel(sr=rate, n_fft=size, n_mels=bands, htk=True, norm=None)
    assert np.allclose(mel_filters(rate, size, bands).T, theirs, atol=1e-5)


def test_a_click_is_loudest_in_the_frame_that_holds_it_and_unheard_beyond_the_reach():
    mel = LogMel(16000, 40, 160)
    for place in (480, 560, 639):
        wave = torch.zeros(1, 1600)
        wave[0, place] = 1
        loud = mel(wave)[0].mean(0)
        assert int(loud.argmax()) == place // 160
        silent = mel(torch.zeros(1, 1600))[0].mean(0)
        far = (torch.arange(10) * 160 - mel.reach > place) | ((torch.arange(10) + 1) * 160 + mel.reach <= place)
        assert torch.equal(loud[far], silent[far])


def test_a_tone_has_half_its_amplitude_in_its_band():
    tone = 0.5 * torch.sin(2 * torch.pi * 1000 * torch.arange(4800) / 16000)
    spectra = LogMel(16000, 1, 160)(tone[None])  # one triangle from 0 to 8 kHz
    lobe = 2 * 512 / 400  # bins that a Hann window of 400 samples spreads a tone over, in a transform of 512
    expected = 0.25 * lobe * float(mel_filters(16000, 512, 1)[32, 0])
    assert float(spectra[0, 0, 15]) == pytest.approx(np.log10(expected + LEAST) + 1, abs=0.03)


@pytest.mark.parametrize("steps", [0, 3, 25, 80])
def test_relative_spectra_are_those_less_the_weighted_mean_of_what_is_around(steps):
    spectra = torch.randn(2, 5, 50, generator=torch.Generator().manual_seed(0)) * 0.3 - 0.5
    found = relative(spectra, steps)
    for at in range(50):
        around = spectra[:, :, max(0, at - steps) : at + steps + 1]
        loud = (around - SILENT).mean(1, keepdim=True) + 1e-3
        mean = (around * loud).sum(2) / loud.sum(2)
        assert torch.allclose(found[:, :, at], spectra[:, :, at] - mean, atol=1e-5)


def test_a_timbre_that_stays_is_not_heard_in_relative_spectra(speech):
    spectra = LogMel(16000, 20, 160)(torch.from_numpy(speech(2.0))[None]).clamp_min(SILENT + 1)
    timbre = torch.linspace(-0.5, 0.5, 20)[:, None]  # changes no mean over the bands
    assert torch.allclose(relative(spectra + timbre, 60), relative(spectra, 60), atol=1e-4)


def test_octaves_do_not_tell_who_speaks_higher():
    glide = torch.exp2(torch.sin(torch.arange(100) / 7) / 4)[None] * 120
    pitch = torch.where(torch.arange(100) % 10 < 6, glide, 0.0)
    heard = octaves(pitch, 20)
    assert torch.allclose(octaves(1.7 * pitch, 20), heard, atol=1e-5)
    assert torch.all(heard[pitch == 0] == 0)
    around = pitch[0, 30:71]
    assert float(heard[0, 50]) == pytest.approx(float((pitch[0, 50] / around[around > 0]).log2().mean()), abs=1e-5)
    assert torch.equal(octaves(torch.zeros(1, 9), 20), torch.zeros(1, 9))


def test_a_warped_tone_is_heard_where_the_warp_puts_it(speech):
    hearing = Hearing(16000, 320, 80, 160)
    tones = {hertz: torch.sin(2 * torch.pi * hertz * torch.arange(9600) / 16000)[None] for hertz in (1000, 1200)}
    loudest = {hertz: int(hearing(tone)[0, :, 30].argmax()) for hertz, tone in tones.items()}
    none = torch.zeros(1, COLOURS)
    warped = hearing(tones[1200], Disguise(torch.tensor([1.2]), none))
    assert int(warped[0, :, 30].argmax()) == loudest[1000] != loudest[1200]
    wave = torch.from_numpy(speech(0.5))[None, :6400]
    assert torch.allclose(hearing(wave, Disguise(torch.ones(1), none)), hearing(wave), atol=1e-4)


def test_a_colour_is_added_to_the_cepstra_and_disguises_are_as_large_as_they_are_asked_to_be(speech):
    wave = torch.from_numpy(speech(0.5))[None, :6400]
    hearing = Hearing(16000, 320, 80, 160, cepstra=12)
    colours = torch.arange(COLOURS)[None] / 10
    added = hearing(wave, Disguise(torch.ones(1), colours)) - hearing(wave)
    expected = torch.zeros(12)
    expected[:COLOURS] = colours[0] * torch.tensor([80.0] + (COLOURS - 1) * [40.0]).sqrt()
    assert torch.allclose(added, expected[None, :, None].expand_as(added), atol=1e-3)
    uniforms = torch.rand(4000, 1 + COLOURS, generator=torch.Generator().manual_seed(0))
    disguise = disguised(uniforms, 0.1, 0.05)
    assert 0.095 < float(disguise.warps.log().abs().max()) <= 0.1
    assert float(disguise.colours.std()) == pytest.approx(0.05, rel=0.03)


def test_cepstra_and_pitch_are_heard_beside_each_other(speech):
    wave = torch.from_numpy(speech(1.0))[None, :12800]
    hearing = Hearing(16000, 320, 80, 160, cepstra=80, relative_s=1.0, pitch=True)
    heard = hearing(wave)
    assert heard.shape == (1, hearing.bands, 80)
    bands = torch.linalg.solve(hearing.basis, heard[:, :80])  # all cepstra are the bands again
    assert torch.allclose(bands, relative(LogMel(16000, 80, 160)(wave), 100), atol=1e-3)
    pitch = pitch_hz(wave, 16000, 320).repeat_interleave(2, dim=1)
    assert torch.equal(heard[:, 80] > 0, pitch > 0)
    few = Hearing(16000, 320, 80, 160, cepstra=12, relative_s=1.0)(wave)
    assert torch.allclose(few, heard[:, :12], atol=1e-5)


HEARS = ({}, {"relative_s": 0.1}, {"relative_s": 0.1, "cepstra": 8, "pitch": True})


@pytest.fixture(params=HEARS, ids=["spectra", "relative", "cepstra and pitch"])
def hears_mel(tiny, tmp_path, speech, request):
    """A run directory of an untrained model that hears spectra, as they are or relative to those around."""
    tree = tiny.model_dump()
    tree["model"]["encoder"] |= {"mels": 20, "mel_step": 16, "strides": (4,)} | request.param
    settings = config.from_tree(tree, "mel")
    torch.manual_seed(0)
    checkpoint.start(tmp_path / "mel", settings, ["a"])
    model = VQVAE(settings.model, 1)
    said = model.latents(torch.from_numpy(mulaw.compress(speech(1.0)))[None])
    standardise_(model.encoder.latents, said)  # as drawn, it says the same of all
    checkpoint.save(tmp_path / "mel", model)
    return tmp_path / "mel"


def test_codes_by_pieces_are_the_codes_of_the_whole(hears_mel, speech, monkeypatch):
    model, wave = Model(hears_mel), speech(1.0)
    assert model.hop == 64
    whole = model.encode(wave)
    assert len(set(whole.flatten().tolist())) > 1
    monkeypatch.setattr(synthesis, "PIECE_FRAMES", 16)
    assert np.array_equal(model.encode(wave), whole)
    blocks = np.split(wave, [1, 100, 5000])
    assert np.array_equal(np.concatenate([*model.encode_blocks(blocks)]), whole)
