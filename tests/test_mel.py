"""Log-mel spectra: librosa's filters, frames in the middle of their samples, and codes that do not depend on pieces."""

import numpy as np
import pytest
import torch

from vqspeech import checkpoint, config, synthesis
from vqspeech.models.vqvae import VQVAE
from vqspeech.nn.mel import LEAST, LogMel, mel_filters
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


@pytest.fixture
def hears_mel(tiny, tmp_path):
    """A run directory of an untrained model that hears spectra."""
    tree = tiny.model_dump()
    tree["model"]["encoder"] |= {"mels": 20, "mel_step": 16, "strides": (4,)}
    settings = config.from_tree(tree, "mel")
    torch.manual_seed(0)
    checkpoint.start(tmp_path / "mel", settings, ["a"])
    model = VQVAE(settings.model, 1)
    model.encoder.latents.weight.data *= 100  # as it is drawn, an encoder says nearly the same of all
    checkpoint.save(tmp_path / "mel", model)
    return tmp_path / "mel"


def test_codes_by_pieces_are_the_codes_of_the_whole(hears_mel, speech, monkeypatch):
    model, wave = Model(hears_mel), speech(1.0)
    assert model.hop == 64
    whole = model.encode(wave)
    assert len(set(whole.tolist())) > 1
    monkeypatch.setattr(synthesis, "PIECE_FRAMES", 16)
    assert np.array_equal(model.encode(wave), whole)
    blocks = np.split(wave, [1, 100, 5000])
    assert np.array_equal(np.concatenate([*model.encode_blocks(blocks)]), whole)
