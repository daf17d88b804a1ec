"""F0 estimation by normalised square difference (McLeod & Wyvill, 2005), interpolation and phase."""

import math

import torch
import torch.nn.functional as F

from vqspeech.nn.shapes import Pitch, Waves

LOWEST_HZ, HIGHEST_HZ = 60.0, 400.0
WINDOW_S = 0.032
VOICING_THRESHOLD = 0.5
"""The likeness of a window to itself one period before, from -1 to 1, from which there is a voice."""
PEAK_RATIO = 0.9
"""The period is the shortest one whose likeness is this part of the greatest: later ones are its multiples."""
SILENCE_RMS = 1e-3
"""The amplitude (root mean square) below which there is none."""


def estimate_f0(wave: Waves, sample_rate: int, hop: int) -> Pitch:
    """F0 of each frame, 0 where there is no voice: (batch, time) -> (batch, time / hop).

    likeness(lag) = 2 sum x(n) x(n + lag) / sum (x(n)^2 + x(n + lag)^2), over a window about the frame's middle.

    Source: McLeod and Wyvill, A Smarter Way to Find Pitch (2005), with a window of the same length at every lag and
        without its interpolation.
    """
    window, most, least = round(WINDOW_S * sample_rate), round(sample_rate / LOWEST_HZ), round(sample_rate / HIGHEST_HZ)
    span = _span(sample_rate)
    with torch.autocast(wave.device.type, enabled=False):
        before = (span - hop) // 2
        padded = F.pad(wave.float(), (max(0, before), max(0, span - hop - before)))[:, max(0, -before) :]
        x = padded.unfold(1, span, hop)[:, : wave.shape[1] // hop]  # (batch, frames, span)
        size = 2 * span
        spectrum = torch.fft.rfft(x, size)
        products = torch.fft.irfft(torch.fft.rfft(x[:, :, :window], size).conj() * spectrum, size)[:, :, : most + 2]
        powers = F.pad(x.square().cumsum(2), (1, 0))
        powers = powers[:, :, window:] - powers[:, :, :-window]  # of the window at each lag
        likeness = 2 * products / (powers + powers[:, :, :1] + 1e-9)
    middle = likeness[:, :, least : most + 1]
    peaks = (middle >= likeness[:, :, least - 1 : most]) & (middle >= likeness[:, :, least + 1 : most + 2])
    middle = torch.where(peaks, middle, -1.0)
    greatest = middle.amax(2, keepdim=True)
    period = least + (middle >= PEAK_RATIO * greatest).byte().argmax(2)  # the first of them
    voiced = (greatest[:, :, 0] > VOICING_THRESHOLD) & (powers[:, :, 0] > window * SILENCE_RMS**2)
    return torch.where(voiced, sample_rate / period, 0.0)


def f0_context_samples(sample_rate: int, hop: int) -> int:
    """Samples on either side of a frame's own that change its pitch."""
    return max(0, math.ceil((_span(sample_rate) - hop) / 2))


def _span(sample_rate: int) -> int:
    """Samples that one pitch is found in: a window, and the same the longest period later."""
    return round(WINDOW_S * sample_rate) + round(sample_rate / LOWEST_HZ) + 1


def interpolate_f0(pitch: Pitch, hop: int) -> Pitch:
    """The pitch of each sample, from that of each frame: (batch, frames) -> (batch, frames * hop).

    Between the middles of two frames with a voice it glides evenly in semitones.
    """
    frames = pitch.shape[1]
    log = pitch.clamp_min(1).log()
    place = (torch.arange(frames * hop, device=pitch.device) + 0.5) / hop
    own = place.long()
    other = (own + torch.where(place - own < 0.5, -1, 1)).clamp(0, frames - 1)
    share = torch.where(pitch[:, other] > 0, (place - own - 0.5).abs(), 0.0)
    return torch.where(pitch[:, own] > 0, torch.lerp(log[:, own], log[:, other], share).exp(), 0.0)


def f0_to_phase(pitch: Pitch, sample_rate: int, start: float = 0.0) -> Pitch:
    """The phase of a voice of this pitch, in cycles, 0 to 1, after it was at `start`: (batch, time), both."""
    cycles = (pitch.double() / sample_rate).cumsum(1) + start
    return (cycles - cycles.floor()).float()
