"""The WaveNet vocoder: sub-band symbols and back, features, training, and conversions that it speaks."""

import numpy as np
import pytest
import torch

from vqspeech import InputError, config
from vqspeech.audio import mulaw
from vqspeech.models import checkpoint, exporting
from vqspeech.models.wavenet_vocoder import WaveNetVocoder, interpolate_log_f0
from vqspeech.training import vocoder_tasks


@pytest.mark.parametrize("bands", [1, 2, 4])
def test_symbols_are_turned_into_the_wave_that_they_were_made_of(vocoder_settings, speech, bands):
    vocoder, wave = WaveNetVocoder(vocoder_settings({"bands": bands}).vocoder), torch.from_numpy(speech(1.0))[None]
    vocoder.measure_gains_([wave])
    symbols = vocoder.symbols(wave)
    assert symbols.shape == wave.shape
    error = (vocoder.wave(symbols) - wave)[:, 100:-100]
    assert 10 * torch.log10(wave.square().mean() / error.square().mean()) > 30  # the noise of mu-law


def test_mu_law_of_a_tensor_is_that_of_an_array():
    wave = np.concatenate([np.linspace(-1.1, 1.1, 100_001), mulaw.LEVELS]).astype(np.float32)
    assert np.array_equal(mulaw.compress_tensor(torch.from_numpy(wave)).numpy(), mulaw.compress(wave))


def test_the_pitch_is_a_line_through_unvoiced_frames():
    octaves = interpolate_log_f0(torch.tensor([[0, 0, 100.0, 0, 0, 0, 200, 0], [0.0] * 8]))
    assert torch.allclose(octaves[0].diff(), torch.tensor([0, 0, 0.25, 0.25, 0.25, 0.25, 0]), atol=1e-6)
    assert octaves[1].abs().sum() == 0


def test_another_kind_of_run_is_refused_in_a_line(vocoder_settings, spoken, tmp_path):
    vocoder_tasks.train_vocoder(vocoder_settings(max_steps=1), [spoken], [spoken], tmp_path / "run")
    with pytest.raises(InputError, match="vocoder"):
        checkpoint.load(tmp_path / "run")
    narrow = vocoder_settings({"sample_rate": 8000}, max_steps=1)
    with pytest.raises(InputError, match="packed at 16000 Hz"):
        vocoder_tasks.train_vocoder(narrow, [spoken], [spoken], tmp_path / "other")
    with pytest.raises(InputError, match="multiple"):
        config.from_tree({"vocoder": {"bands": 4, "hop_length": 162}}, "x")
    initialised = vocoder_settings({"bands": 2}, max_steps=1, init_from=str(tmp_path / "run"))
    with pytest.raises(InputError, match="other sizes"):
        vocoder_tasks.train_vocoder(initialised, [spoken], [spoken], tmp_path / "bands")


def test_an_exported_vocoder_has_the_gains_of_its_bands_to_the_last_bit(vocoder_settings, spoken, tmp_path):
    vocoder_tasks.train_vocoder(vocoder_settings(max_steps=1), [spoken], [spoken], tmp_path / "run")
    exporting.export(tmp_path / "run", tmp_path / "out", bfloat16=True)
    source, exported = checkpoint.load_vocoder(tmp_path / "run").model, checkpoint.load_vocoder(tmp_path / "out").model
    assert torch.equal(source.gains, exported.gains)
    assert torch.equal(source.wavenet.logits.weight.bfloat16().float(), exported.wavenet.logits.weight)
    with pytest.raises(InputError, match="is a vocoder"):
        exporting.export(tmp_path / "run", tmp_path / "few", speakers=["s0"])
