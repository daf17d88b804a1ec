"""Source-filter vocoder: segments equal the whole."""

import numpy as np
import pytest
import torch

import vqspeech
from vqspeech import InputError, SamplingConfig
from vqspeech.inference import source_filter_vocoder
from vqspeech.nn.f0 import f0_to_phase, interpolate_f0
from vqspeech.nn.source_filter import synthesize

ACOUSTIC = {"channels": 8}


@pytest.mark.parametrize("tiny", [ACOUSTIC], indirect=True)
def test_a_draft_by_segments_is_the_draft_of_the_whole(run, monkeypatch):
    model, codes = vqspeech.load(run), np.random.default_rng(0).integers(0, 16, 900)
    net = model.net
    assert model.uses_source_filter
    with torch.inference_mode():  # the voicing of an untrained model is chance; let it be a voice, and glide
        net.acoustic_model.residual.bias[0] += 1
        net.acoustic_model.residual.weight[1] *= 3
        net.acoustic_model.residual.bias[1] -= 0.5  # a low one: rounding adds up in its phase, cycle by cycle
        net.adaptations = 0.05 * torch.randn(
            2, *net.acoustic_model.adaptation_shape, generator=torch.Generator().manual_seed(0)
        )
        prediction = net.predict_acoustics(
            net.quantizer.decode(torch.from_numpy(codes)[None, :, None]), torch.tensor([1])
        )
        pitch = interpolate_f0(prediction.f0, net.hop)
        noise = torch.from_numpy(np.random.default_rng(7).random(len(codes) * 16, dtype=np.float32))[None]
        spectra = prediction.log_mel.reshape(1, -1, 80)
        whole = (
            synthesize(net.acoustic_model.mel, spectra, pitch, f0_to_phase(pitch, 16000), noise, 16000)[0]
            .clamp(-1, 1)
            .numpy()
        )
    monkeypatch.setattr(source_filter_vocoder, "SEGMENT_S", 0.2)
    spoken = model.decode(codes, "p226", sampling=SamplingConfig(seed=7))
    assert (prediction.f0 > 0).float().mean() > 0.5
    assert np.abs(spoken - whole).max() < 1e-3 * np.abs(whole).max()


def test_a_model_without_an_outline_makes_no_draft(run):
    assert not vqspeech.load(run).uses_source_filter
    with pytest.raises(InputError, match="no acoustic model for the source-filter vocoder"):
        vqspeech.load(run, "source-filter")
