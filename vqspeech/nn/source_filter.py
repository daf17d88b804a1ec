"""Source-filter synthesis: a pulse train and noise, filtered by log-mel spectra."""

import math

import torch
from torch import Tensor

from vqspeech.nn.mel import AMPLITUDE_FLOOR, LogMel
from vqspeech.nn.shapes import F0, Waves

MAX_VOICED_HZ = 4000.0
"""Maximum voiced frequency: above it, the source of voiced speech is mostly noise."""
VOICED_SLOPE_HZ = 500.0
"""Width of the transition from pulses to noise there."""


def synthesize(mel: LogMel, log_mel: Tensor, f0: F0, phase: Tensor, noise: Tensor, sample_rate: int) -> Waves:
    """Speech of given log-mel spectra and F0, (batch, time); the spectra are met approximately.

    Args:
        mel: the spectrogram that `log_mel` is of.
        log_mel: (batch, time / hop_length, bands).
        f0: of each sample in Hz, 0 where unvoiced, (batch, time).
        phase: of the pulse train at each sample, in cycles from 0 to 1; a pulse occurs at 0.
        noise: (batch, time), uniform in [0, 1).
        sample_rate: in Hz.

    Source: a pulse train and noise through a minimum-phase filter: the vocoders of Kawahara (STRAIGHT, 1999) and
        Morise (WORLD, 2016).  Here the gains of the filter are the ratio of the target spectra to the source's own.
    """
    with torch.autocast(log_mel.device.type, enabled=False):
        voiced = f0 > 0
        pulse_stft, noise_stft = mel.stft(_pulse_train(f0, phase, sample_rate)), mel.stft(2 * noise - 1)
        hertz = torch.linspace(0, sample_rate / 2, pulse_stft.shape[2], device=log_mel.device)
        periodic = torch.sigmoid((MAX_VOICED_HZ - hertz) / VOICED_SLOPE_HZ)
        voiced_share = _frame_means(voiced.float(), mel.hop_length)[:, :, None]
        pulse_stft, noise_stft = _whiten(mel, pulse_stft), _whiten(mel, noise_stft)
        source = pulse_stft * (periodic * voiced_share).sqrt() + noise_stft * (1 - periodic * voiced_share).sqrt()
        target = (10 ** (log_mel.float() - 1) - AMPLITUDE_FLOOR).clamp_min(1e-6)
        gains = mel.to_bins(target / (source.abs() @ mel.filters + 1e-6))
        return mel.overlap_add(source * _minimum_phase(gains), f0.shape[1])


def _pulse_train(f0: F0, phase: Tensor, sample_rate: int) -> Tensor:
    """Band-limited pulse train: the sum of all harmonics below half the sample rate, by Dirichlet's closed form."""
    harmonics = (sample_rate / 2 / f0.clamp_min(1)).floor()
    angle = math.pi * phase
    sine = angle.sin()
    terms = 2 * harmonics + 1
    kernel = torch.where(sine.abs() < 1e-4, terms, (terms * angle).sin() / torch.where(sine.abs() < 1e-4, 1.0, sine))
    return torch.where(f0 > 0, (kernel - 1) / terms.sqrt(), 0.0)


def _whiten(mel: LogMel, stft: Tensor) -> Tensor:
    """Transform with the same amplitude in all mel bands."""
    return stft * mel.to_bins(1 / (stft.abs() @ mel.filters + 1e-3 * mel.window.max()))


def _frame_means(x: Tensor, hop_length: int) -> Tensor:
    """Mean of each frame: (batch, time) -> (batch, time / hop_length)."""
    return x.unflatten(1, (-1, hop_length)).mean(2)


def _minimum_phase(gains: Tensor) -> Tensor:
    """Complex response of the minimum-phase filter with given gains of the bins, by its real cepstrum."""
    cepstrum = torch.fft.irfft(gains.clamp_min(1e-7).log())
    size = cepstrum.shape[-1]
    fold = torch.zeros(size, device=gains.device)
    fold[0], fold[1 : size // 2], fold[size // 2] = 1, 2, 1
    return torch.fft.rfft(cepstrum * fold).exp()
