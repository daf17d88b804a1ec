"""Source-filter synthesis: a pulse train and noise, filtered by log-mel spectra."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vqspeech.nn.mel import AMPLITUDE_FLOOR, LogMel
from vqspeech.nn.shapes import Pitch, Waves

MAX_VOICED_HZ, VOICED_SLOPE_HZ = 4000.0, 500.0
"""Above the first, a voice is more breath than tone; how softly that changes."""


def synthesize(mel: LogMel, log_mel: Tensor, f0: Pitch, phase: Tensor, noise: Tensor, sample_rate: int) -> Waves:
    """Speech whose log-mel spectra are nearly those given: (batch, time).

    Args:
        mel: what the spectra are of.
        spectra: (batch, time / step, bands).
        pitch: of each sample, Hz, 0 where there is no voice.
        phase: of the voice at each sample, in cycles, 0 to 1; a pulse comes at 0.
        noise: evenly distributed in [0, 1), a number a sample.

    Source: pulses and noise through a filter of least phase is the vocoder of Kawahara (STRAIGHT, 1999) and Morise
        (WORLD, 2016); here the filter is whatever brings the source's own spectra to those that are wanted.
    """
    with torch.autocast(log_mel.device.type, enabled=False):
        voiced = f0 > 0
        pulses, noise_windows = _windows(mel, _pulse_train(f0, phase, sample_rate)), _windows(mel, 2 * noise - 1)
        hertz = torch.linspace(0, sample_rate / 2, pulses.shape[2], device=log_mel.device)
        tone = torch.sigmoid((MAX_VOICED_HZ - hertz) / VOICED_SLOPE_HZ)
        share = _means(voiced.float(), mel.hop_length)[:, :, None]
        pulses, noise_windows = (_whiten(mel, part) for part in (pulses, noise_windows))
        source = pulses * (tone * share).sqrt() + noise_windows * (1 - tone * share).sqrt()
        wanted = (10 ** (log_mel.float() - 1) - AMPLITUDE_FLOOR).clamp_min(1e-6)
        gains = _to_bins(mel, wanted / (source.abs() @ mel.filters + 1e-6))
        return _overlap_add(mel, source * _minimum_phase(gains), f0.shape[1])


def _pulse_train(f0: Pitch, phase: Tensor, sample_rate: int) -> Tensor:
    """A pulse a cycle: all harmonics below half the sample rate, which have a sum in closed form (Dirichlet's)."""
    number = (sample_rate / 2 / f0.clamp_min(1)).floor()
    half = math.pi * phase
    low = half.sin()
    whole = 2 * number + 1
    sum_ = torch.where(low.abs() < 1e-4, whole, (whole * half).sin() / torch.where(low.abs() < 1e-4, 1.0, low))
    return torch.where(f0 > 0, (sum_ - 1) / whole.sqrt(), 0.0)


def _windows(mel: LogMel, wave: Waves) -> Tensor:
    """The windows of a wave, transformed: (batch, steps, bins)."""
    return torch.fft.rfft(
        F.pad(wave.float(), (mel.context_samples, mel.context_samples)).unfold(1, mel.n_fft, mel.hop_length)
        * mel.window
    )


def _whiten(mel: LogMel, windows: Tensor) -> Tensor:
    """The same with all bands alike."""
    return windows * _to_bins(mel, 1 / (windows.abs() @ mel.filters + 1e-3 * mel.window.max()))


def _to_bins(mel: LogMel, bands: Tensor) -> Tensor:
    """What bands say, of bins; those at both ends, in which no band is, take their neighbour's."""
    inner = (bands @ mel.filters.mT)[..., 1:-1] / mel.filters.sum(1)[1:-1]
    return torch.cat([inner[..., :1], inner, inner[..., -1:]], dim=-1)


def _means(x: Tensor, hop_length: int) -> Tensor:
    return x.unflatten(1, (-1, hop_length)).mean(2)


def _minimum_phase(gains: Tensor) -> Tensor:
    """Gains of bins as a causal filter of least delay, by its cepstrum: complex."""
    cepstrum = torch.fft.irfft(gains.clamp_min(1e-7).log())
    size = cepstrum.shape[-1]
    fold = torch.zeros(size, device=gains.device)
    fold[0], fold[1 : size // 2], fold[size // 2] = 1, 2, 1
    return torch.fft.rfft(cepstrum * fold).exp()


def _overlap_add(mel: LogMel, windows: Tensor, time: int) -> Waves:
    """Windows overlapped and added again: (batch, time)."""
    pieces = torch.fft.irfft(windows, mel.n_fft) * mel.window
    length = mel.n_fft + mel.hop_length * (windows.shape[1] - 1)

    def added(columns: Tensor) -> Tensor:
        return F.fold(columns.transpose(1, 2), (1, length), (1, mel.n_fft), stride=(1, mel.hop_length))[:, 0, 0]

    weight = added((mel.window**2).expand(1, windows.shape[1], -1))
    return (added(pieces) / weight.clamp_min(1e-3 * float(weight.max())))[
        :, mel.context_samples : mel.context_samples + time
    ]
