"""Conditioning of a WaveNet: by codes as the model says, by acoustic features as it predicts them, and no further."""

import numpy as np
import pytest
import torch

from vqspeech import config
from vqspeech.audio import mulaw
from vqspeech.inference.autoregressive_vocoder import AutoregressiveVocoder
from vqspeech.inference.conditioning import AcousticConditioning, CodeConditioning, predicted_features
from vqspeech.inference.sampling_config import SamplingConfig
from vqspeech.inference.vocoder import IndexedRequest
from vqspeech.models.vqvae import VQVAE
from vqspeech.models.wavenet_vocoder import TEMPERATURES, WaveNetVocoder
from vqspeech.nn.acoustic_model import N_MELS

FRAMES, FRAMES_PER_CODE = 40, 2


@pytest.fixture
def model(tiny) -> VQVAE:
    """A model with an acoustic model that has opinions, 320 samples a code."""
    tree = tiny.model.model_dump() | {"acoustic": {"channels": 8}}
    tree["encoder"] |= {"strides": (4, 4, 4, 5)}
    torch.manual_seed(0)
    model = VQVAE.from_config(config.Model(**tree), 2).eval()
    for parameter in model.acoustic_model.parameters():
        parameter.data.normal_(std=0.3)
    return model


@pytest.fixture
def vocoder() -> WaveNetVocoder:
    sizes = {"residual_channels": 8, "skip_channels": 8, "layers": 2, "layers_per_stack": 2, "cond_channels": 6}
    return WaveNetVocoder(config.Vocoder(**sizes)).eval()


@pytest.fixture
def conditionings(model, vocoder):
    return {"codes": CodeConditioning(model), "acoustic": AcousticConditioning(model, vocoder)}


def latents_of(model, codes) -> torch.Tensor:
    return model.quantizer.decode(codes)


@torch.inference_mode()
def test_codes_are_conditioned_on_as_the_model_does_in_training(model):
    latents, speakers = latents_of(model, torch.arange(10)[None, :, None]), torch.tensor([1])
    conditioning = CodeConditioning(model)
    conditioned = conditioning.condition(latents, speakers)
    assert torch.equal(conditioned.cond, model.condition(latents, speakers))
    assert conditioned.log_mel.shape == (1, 0, 10)
    assert conditioning.samples_per_frame == model.hop
    assert np.array_equal(
        conditioning.wave(np.arange(256), conditioned.log_mel[0].numpy()), mulaw.expand(np.arange(256))
    )


@torch.inference_mode()
def test_predicted_spectra_are_frames_in_the_order_of_time(model):
    latents, speakers = latents_of(model, torch.arange(10)[None, :, None]), torch.tensor([0])
    features = predicted_features(model, latents, speakers, FRAMES_PER_CODE)
    prediction = model.predict_acoustics(latents, speakers)
    assert features.log_mel.shape == (1, N_MELS, 10 * FRAMES_PER_CODE)
    assert features.f0.shape == (1, 10 * FRAMES_PER_CODE)
    for frame in range(10 * FRAMES_PER_CODE):
        code, part = divmod(frame, FRAMES_PER_CODE)
        expected = prediction.log_mel[0, code, part * N_MELS : (part + 1) * N_MELS]
        assert torch.equal(features.log_mel[0, :, frame], expected)


@pytest.mark.parametrize("name", ["codes", "acoustic"])
@torch.inference_mode()
def test_conditioning_depends_on_no_code_beyond_its_context(model, conditionings, name):
    model.acoustic_model.residual.bias[0] += 1e4  # all voiced: F0 is interpolated through unvoiced frames
    conditioning = conditionings[name]
    frames_per_code = model.hop // conditioning.samples_per_frame
    codes, speakers, changed_code = torch.arange(FRAMES)[None, :, None] % 16, torch.tensor([0]), FRAMES // 2
    changed = codes.clone()
    changed[0, changed_code] = (changed[0, changed_code] + 7) % 16
    first, second = (conditioning.condition(latents_of(model, one), speakers).cond for one in (codes, changed))
    assert first.shape[2] == FRAMES * frames_per_code
    differs = ((first - second).abs().amax((0, 1)) > 1e-6).nonzero().flatten() // frames_per_code
    assert len(differs) > 0
    assert changed_code - differs[0] <= conditioning.right_context
    assert differs[-1] - changed_code <= conditioning.left_context


@torch.inference_mode()
def test_a_wave_of_sub_bands_is_that_of_the_vocoder_with_the_predicted_spectra(model, vocoder, speech):
    wave = torch.from_numpy(speech(0.5))[None]
    vocoder.measure_gains_([wave])
    symbols, log_mel = vocoder.symbols(wave), vocoder.features(wave).log_mel + 0.1
    conditioning = AcousticConditioning(model, vocoder)
    assert conditioning.samples_per_frame == vocoder.step
    spoken = conditioning.wave(symbols[0].numpy(), log_mel[0].numpy())
    assert np.array_equal(spoken, vocoder.wave(symbols, log_mel)[0].numpy())
    assert not np.array_equal(spoken, vocoder.wave(symbols)[0].numpy())
    assert np.abs(conditioning.wave(symbols[0].numpy(), log_mel[0].numpy() + 1)).max() == 1  # louder than full scale
    predicted = conditioning.condition(latents_of(model, torch.arange(10)[None, :, None]), torch.tensor([0])).log_mel
    assert predicted.shape == (1, N_MELS, 10 * FRAMES_PER_CODE)


@torch.inference_mode()
def test_bands_are_sampled_at_lower_temperatures_than_was_asked_for(model, vocoder):
    asked = []

    class Engine:
        def generate(self, wavenet, cond, uniforms, temperature=1.0, state=None, *, top_p=1.0):
            asked.append(temperature)
            return torch.zeros(uniforms.shape, dtype=torch.long), state

    speech = AutoregressiveVocoder(model, AcousticConditioning(model, vocoder), Engine(), threads=1)
    request = IndexedRequest([np.zeros((20, 1), np.int64)], torch.tensor([0]), SamplingConfig(temperature=0.9))
    for spoken in (speech.stream(request), speech.decode([request], lambda samples: None)):
        assert list(spoken)
    assert len(asked) > 1
    for temperatures in asked:
        lowest, *others = temperatures.unflatten(1, (-1, 4)).unbind(2)
        assert torch.allclose(lowest, torch.tensor(0.9 * TEMPERATURES[0]))
        assert all(torch.allclose(band, torch.tensor(0.9 * TEMPERATURES[1])) for band in others)
