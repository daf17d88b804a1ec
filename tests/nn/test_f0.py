"""F0 estimation, interpolation and phase."""

import numpy as np
import pytest
import torch

from vqspeech.nn.f0 import estimate_f0, f0_to_phase, interpolate_f0

RATE, HOP = 16000, 320


def buzz(hertz: np.ndarray, harmonics: int = 10) -> torch.Tensor:
    """A voice whose F0 is given for each sample, (1, time)."""
    f0_to_phase = 2 * np.pi * np.cumsum(hertz) / RATE
    wave = sum(np.sin(k * f0_to_phase) / k for k in range(1, harmonics + 1))
    return torch.from_numpy(0.2 * wave.astype(np.float32))[None]


@pytest.mark.parametrize("hertz", [70, 100, 155, 233, 390])
@pytest.mark.parametrize("hop", [64, 320, 640])
def test_the_pitch_of_a_buzz_is_its_fundamental(hertz, hop):
    heard = estimate_f0(buzz(np.full(16640, hertz)), RATE, hop)
    assert heard.shape == (1, 16640 // hop)
    assert (heard[0, 1024 // hop + 1 : -1024 // hop - 1] / hertz - 1).abs().max() < 0.02


def test_a_frame_has_the_pitch_of_its_own_middle():
    interpolate_f0 = np.geomspace(90, 250, 32000)
    heard = estimate_f0(buzz(interpolate_f0), RATE, HOP)[0, 2:-2].numpy()
    assert np.abs(heard / interpolate_f0[HOP // 2 :: HOP][2:-2] - 1).max() < 0.04


def test_noise_and_silence_have_no_pitch():
    noise = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0)) * 0.1
    assert (estimate_f0(noise, RATE, HOP) > 0).float().mean() < 0.05
    assert not estimate_f0(torch.zeros(1, 16000), RATE, HOP).any()
    assert not estimate_f0(1e-4 * buzz(np.full(16000, 120)), RATE, HOP).any()


def test_between_the_middles_of_two_frames_the_pitch_glides_in_semitones():
    fine = interpolate_f0(torch.tensor([[0.0, 100.0, 200.0, 0.0]]), HOP)[0].view(4, HOP)
    assert not fine[0].any()
    assert not fine[3].any()
    assert torch.allclose(fine[1, : HOP // 2], torch.tensor(100.0))  # nothing to glide from
    assert fine[1, -1] == pytest.approx(100 * 2**0.5, rel=0.01)
    assert torch.allclose(fine[2, HOP // 2 :], torch.tensor(200.0))


def test_a_phase_goes_on_from_where_it_was():
    pitch = interpolate_f0(torch.tensor([[90.0, 120.0, 0.0, 200.0]]), HOP)
    whole = f0_to_phase(pitch, RATE, 0.3)
    one = f0_to_phase(pitch[:, :500], RATE, 0.3)
    other = f0_to_phase(pitch[:, 500:], RATE, float(one[0, -1]))
    apart = (torch.cat([one, other], 1) - whole + 0.5).frac() - 0.5
    assert apart.abs().max() < 1e-4
    assert whole[0, 0] == pytest.approx(0.3 + 90 / RATE)
