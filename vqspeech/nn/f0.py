"""F0 estimation by normalised square difference (McLeod & Wyvill, 2005), interpolation and phase."""

import math

import torch
import torch.nn.functional as F

from vqspeech.nn.shapes import F0, Waves

LOWEST_HZ = 60.0
"""Lowest F0 that is searched for."""
HIGHEST_HZ = 400.0
"""Highest F0 that is searched for."""
WINDOW_S = 0.032
"""Length of the window that is compared with itself one lag later."""
VOICING_THRESHOLD = 0.5
"""Least NSDF, from -1 to 1, of a voiced frame."""
PEAK_RATIO = 0.9
"""Share of the highest NSDF peak that the first peak must reach to be the period; later peaks are its multiples."""
SILENCE_RMS = 1e-3
"""Root mean square below which a frame is unvoiced."""


def estimate_f0(wave: Waves, sample_rate: int, hop: int) -> F0:
    """F0 of each frame in Hz, 0 where unvoiced: (batch, time) -> (batch, time / hop).

    The normalised square difference function (NSDF), over a window centred on the frame, is

        nsdf(lag) = 2 sum x(n) x(n + lag) / sum (x(n)^2 + x(n + lag)^2)

    Source: McLeod and Wyvill, A Smarter Way to Find Pitch (2005), with a window of the same length at every lag and
        without its interpolation.
    """
    window = round(WINDOW_S * sample_rate)
    shortest, longest = round(sample_rate / HIGHEST_HZ), round(sample_rate / LOWEST_HZ)  # lags in samples
    span = _span(sample_rate)
    with torch.autocast(wave.device.type, enabled=False):
        before = (span - hop) // 2
        padded = F.pad(wave.float(), (max(0, before), max(0, span - hop - before)))[:, max(0, -before) :]
        x = padded.unfold(1, span, hop)[:, : wave.shape[1] // hop]  # (batch, frames, span)
        size = 2 * span
        spectrum = torch.fft.rfft(x, size)
        products = torch.fft.irfft(torch.fft.rfft(x[:, :, :window], size).conj() * spectrum, size)[:, :, : longest + 2]
        powers = F.pad(x.square().cumsum(2), (1, 0))
        powers = powers[:, :, window:] - powers[:, :, :-window]  # of the window at each lag
        nsdf = 2 * products / (powers + powers[:, :, :1] + 1e-9)
    lags = nsdf[:, :, shortest : longest + 1]
    is_peak = (lags >= nsdf[:, :, shortest - 1 : longest]) & (lags >= nsdf[:, :, shortest + 1 : longest + 2])
    peaks = torch.where(is_peak, lags, -1.0)
    highest = peaks.amax(2, keepdim=True)
    period = shortest + (peaks >= PEAK_RATIO * highest).byte().argmax(2)  # the first such peak
    voiced = (highest[:, :, 0] > VOICING_THRESHOLD) & (powers[:, :, 0] > window * SILENCE_RMS**2)
    return torch.where(voiced, sample_rate / period, 0.0)


def f0_context_samples(sample_rate: int, hop: int) -> int:
    """Samples on either side of a frame that its F0 depends on."""
    return max(0, math.ceil((_span(sample_rate) - hop) / 2))


def _span(sample_rate: int) -> int:
    """Samples that the F0 of a frame depends on: the window, and the window at the longest lag."""
    return round(WINDOW_S * sample_rate) + round(sample_rate / LOWEST_HZ) + 1


def interpolate_f0(f0: F0, hop: int) -> F0:
    """F0 of each sample from that of each frame: (batch, frames) -> (batch, frames * hop).

    Between the centres of two voiced frames, the logarithm of F0 is linear in time.
    """
    frames = f0.shape[1]
    log_f0 = f0.clamp_min(1).log()
    position = (torch.arange(frames * hop, device=f0.device) + 0.5) / hop  # of each sample, in frames
    frame = position.long()
    neighbour = (frame + torch.where(position - frame < 0.5, -1, 1)).clamp(0, frames - 1)
    weight = torch.where(f0[:, neighbour] > 0, (position - frame - 0.5).abs(), 0.0)
    return torch.where(f0[:, frame] > 0, torch.lerp(log_f0[:, frame], log_f0[:, neighbour], weight).exp(), 0.0)


def f0_to_phase(f0: F0, sample_rate: int, start: float = 0.0) -> F0:
    """Phase of an oscillator at F0, in cycles from 0 to 1, that begins at `start`: (batch, time) -> (batch, time)."""
    cycles = (f0.double() / sample_rate).cumsum(1) + start
    return (cycles - cycles.floor()).float()
