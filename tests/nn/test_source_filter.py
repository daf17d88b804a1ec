"""Source-filter synthesis: the spectra and the F0 that it is given."""

import numpy as np
import pytest
import torch

from vqspeech.nn.acoustic_model import AcousticModel
from vqspeech.nn.f0 import estimate_f0, f0_to_phase, interpolate_f0
from vqspeech.nn.mel import LogMel
from vqspeech.nn.source_filter import synthesize

RATE, HOP = 16000, 320


def buzz(hertz: np.ndarray, harmonics: int = 10) -> torch.Tensor:
    """A voice whose F0 is given for each sample, (1, time)."""
    f0_to_phase = 2 * np.pi * np.cumsum(hertz) / RATE
    wave = sum(np.sin(k * f0_to_phase) / k for k in range(1, harmonics + 1))
    return torch.from_numpy(0.2 * wave.astype(np.float32))[None]


def spoken(acoustic_model: AcousticModel, prediction) -> torch.Tensor:
    """The log-mel spectra that an outline says: (1, bands, steps)."""
    return prediction.log_mel.reshape(1, -1, 80).transpose(1, 2)


@pytest.mark.parametrize("hertz", [90, 160, 300])
def test_a_draft_has_the_spectra_and_the_pitch_that_it_was_given(hertz):
    """The inverse of what is heard: spectra of a recording in, the same spectra and pitch out."""
    wave, mel = buzz(np.full(16000, hertz)), LogMel(RATE, 80, 160)
    wave[:, 12000:] = 0.05 * torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    spectra, pitch = mel(wave).transpose(1, 2), interpolate_f0(estimate_f0(wave, RATE, HOP), HOP)
    noise = torch.rand(1, 16000, generator=torch.Generator().manual_seed(1))
    spoken = synthesize(mel, spectra, pitch, f0_to_phase(pitch, RATE), noise, RATE)
    assert (mel(spoken).transpose(1, 2) - spectra).abs().mean() < 0.14  # 2.8 dB
    heard = estimate_f0(spoken, RATE, HOP)[0]
    assert (heard[2:34] / hertz - 1).abs().median() < 0.02
    assert not (heard[40:48] > 0).any()


def test_a_draft_of_silence_is_silence():
    mel = LogMel(RATE, 80, 160)
    spectra, pitch = mel(torch.zeros(1, 8000)).transpose(1, 2), torch.zeros(1, 8000)
    assert synthesize(mel, spectra, pitch, pitch, torch.rand(1, 8000), RATE).abs().max() < 1e-4
