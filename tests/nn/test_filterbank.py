"""The filter bank: synthesis undoes analysis, and pieces with their context make the whole."""

import pytest
import torch

from vqspeech.nn.filterbank import FilterBank


@pytest.mark.parametrize("bands", [1, 2, 4])
def test_synthesis_undoes_analysis(bands):
    torch.manual_seed(0)
    bank, wave = FilterBank(bands), torch.randn(2, 4000)
    sub_bands = bank.analyse(wave)
    assert sub_bands.shape == (2, bands, 4000 // bands)
    error = (bank.synthesise(sub_bands) - wave)[:, 100:-100]  # the edges lack what is beyond them
    assert 10 * torch.log10(wave.square().mean() / error.square().mean().clamp_min(1e-20)) > 60


@pytest.mark.parametrize("bands", [2, 4])
def test_a_tone_is_in_the_band_of_its_frequency(bands):
    for band in range(bands):
        frequency = (band + 0.5) / bands / 2  # cycles a sample
        tone = torch.sin(2 * torch.pi * frequency * torch.arange(4000.0))[None]
        powers = FilterBank(bands).analyse(tone)[0, :, 50:-50].square().mean(1)
        assert powers.argmax() == band
        assert powers[band] > 0.999 * powers.sum()


@pytest.mark.parametrize("bands", [2, 4])
def test_pieces_with_their_context_make_the_whole(bands):
    torch.manual_seed(0)
    bank, sub_bands = FilterBank(bands), torch.randn(1, bands, 300)
    whole, context = bank.synthesise(sub_bands), bank.context
    piece = bank.synthesise(sub_bands[:, :, 100 - context : 200 + context])
    own = piece[:, context * bands : -context * bands]
    assert torch.allclose(own, whole[:, 100 * bands : 200 * bands], atol=1e-5)
