"""The pitch of speech: where each moment finds itself again, one period before."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vqspeech.shapes import Pitch, Swing, Wave

LOWEST_HZ, HIGHEST_HZ = 60.0, 400.0
WINDOW_S = 0.032
VOICED = 0.5
"""The likeness of a window to itself one period before, from -1 to 1, from which there is a voice."""
STEP_S = 0.005
FIRST = 0.9
"""The period is the shortest one whose likeness is this part of the greatest: later ones are its multiples."""
QUIET = 1e-3
"""The amplitude (root mean square) below which there is none."""


def pitch_hz(wave: Wave, sample_rate: int, hop: int) -> Pitch:
    """F0 of each frame, 0 where there is no voice: (batch, time) -> (batch, time / hop).

    likeness(lag) = 2 sum x(n) x(n + lag) / sum (x(n)^2 + x(n + lag)^2), over a window about the frame's middle.

    Source: McLeod and Wyvill, A Smarter Way to Find Pitch (2005), with a window of the same length at every lag and
        without its interpolation.
    """
    window, most, least = round(WINDOW_S * sample_rate), round(sample_rate / LOWEST_HZ), round(sample_rate / HIGHEST_HZ)
    span = window + most + 1
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
    period = least + (middle >= FIRST * greatest).byte().argmax(2)  # the first of them
    voiced = (greatest[:, :, 0] > VOICED) & (powers[:, :, 0] > window * QUIET**2)
    return torch.where(voiced, sample_rate / period, 0.0)


def glide(pitch: Pitch, hop: int) -> Pitch:
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


def swing_at(pitch: Pitch, sample_rate: int, start: float = 0.0) -> Pitch:
    """Where in its cycle a voice of this pitch is, 0 to 1, after it was at `start`: (batch, time) -> (batch, time)."""
    swing = (pitch.double() / sample_rate).cumsum(1) + start
    return (swing - swing.floor()).float()


def swing_of(wave: Wave, pitch: Pitch, sample_rate: int) -> Pitch:
    """Where in its cycle the voice of a recording is at each sample, 0 where its loudness swells: (batch, time), twice.

    The loudness is the square of the wave, its low notes removed; how it swings at the pitch is looked up in windows of
    WINDOW_S, every STEP_S, and the cycle goes on evenly between them.
    """
    window, step = round(WINDOW_S * sample_rate) // 2 * 2, max(1, round(STEP_S * sample_rate))
    with torch.autocast(wave.device.type, enabled=False):
        loud = F.pad(wave.float().diff(dim=1).square(), (window // 2 + 1, window // 2 + step))
        places = torch.arange(0, wave.shape[1] + step, step, device=wave.device)
        last = wave.shape[1] - 1
        cycles = pitch[:, places.clamp_max(last)] / sample_rate  # a sample, (batch, places)
        turned = torch.arange(-window // 2, window // 2, device=wave.device)[:, None] * cycles[:, None] * (-2 * math.pi)
        hann = torch.hann_window(window, device=wave.device)[:, None]
        heard = loud.unfold(1, window, step)[:, : len(places)].transpose(1, 2)  # (batch, window, places)
        heard = (heard - heard.mean(1, keepdim=True)) * hann
        at = torch.complex((heard * turned.cos()).sum(1), (heard * turned.sin()).sum(1)).angle() / (2 * math.pi)
        expected = step * cycles[:, :-1]
        surprise = at.diff(dim=1) - expected
        on = expected + surprise - surprise.round()
        within = torch.arange(step, device=wave.device) / step
        swing = (at[:, :-1, None] + on[:, :, None] * within).flatten(1)[:, : wave.shape[1]]
    return swing - swing.floor()


def swing_steps(swing: Tensor, pitch: Pitch, steps: int) -> Swing:
    """Places in a cycle as one of so many steps, -1 where there is no voice: (batch, time), all of them."""
    return torch.where(pitch > 0, (swing * steps).long().clamp_max(steps - 1), -1)
