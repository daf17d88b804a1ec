"""What an encoder hears of a wave: spectra and pitch, without what stays the same for seconds."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.mel import LogMel, around, band_edges, cosines, hertz_to_mels, relative
from vqspeech.nn.pitch import pitch_hz, pitch_reach
from vqspeech.shapes import Pitch, Signal, Wave

HALVES = 2.0
"""The pitch is heard in halves of an octave, so that it is about as large as a spectrum."""
COLOURS = 6


class Sensed(NamedTuple):
    """What is measured of a wave: log-mel spectra, (batch, bands, steps), and, where it is asked for, F0."""

    spectra: Signal
    pitch: Pitch | None


class Disguise(NamedTuple):
    """What makes a voice another one, of each of a batch, so that codes learn not to tell who speaks.

    `warps`: (batch,), the frequency that takes the place of 1 Hz; `colours`: (batch, COLOURS), what is added to the
    first cepstra, in log10 of amplitudes.
    """

    warps: Tensor
    colours: Tensor


def disguised(uniforms: Tensor, warp: float, colour: float) -> Disguise:
    """A disguise by draws from [0, 1): (batch, 1 + COLOURS).

    Args:
        warp: the most by which the logarithm of a frequency changes.
        colour: the standard deviation of a colour.

    Source: the warp is that of Jaitly and Hinton, Vocal Tract Length Perturbation (2013), of the whole axis.
    """
    even = 2 * uniforms - 1
    return Disguise(torch.exp(warp * even[:, 0]), math.sqrt(3) * colour * even[:, 1:])


class Hearing(nn.Module):
    """Log-mel spectra of a wave, or their cepstra, and its pitch.

    ```
    wave -+-> log-mel --> warped --> less the mean around --> coloured --> cepstra -+-> bands
          +-> pitch ----> voiced or not, and octaves above the mean around ---------+
    ```
    Cepstra tell formants and not harmonics: told the pitch beside them, codes need not find it in the spectra.

    Args:
        sample_rate: Hz.
        hop: samples per code; the pitch is that of each code.
        mels: bands of the spectra.
        step: samples between spectra; a hop is a multiple of it.
        cepstra: how many, from the zeroth on; 0: the bands themselves.
        relative_s: seconds before and after whose mean is taken away; 0: none.
        pitch: whether it is heard.

    Source: mel cepstra are those of Davis and Mermelstein (1980), here of logarithms of amplitudes.
    """

    basis: Tensor
    tints: Tensor
    edges: Tensor

    def __init__(
        self, sample_rate: int, hop: int, mels: int, step: int, cepstra: int = 0, relative_s: float = 0.0,
        pitch: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.sample_rate, self.hop, self.cepstra, self.pitch = sample_rate, hop, cepstra, pitch
        self.mel, self.around_s = LogMel(sample_rate, mels, step), relative_s
        self.bands = (cepstra or mels) + 2 * pitch
        self.register_buffer("basis", F.normalize(cosines(mels, cepstra)), persistent=False)
        self.register_buffer("tints", cosines(mels, COLOURS), persistent=False)
        self.register_buffer("edges", band_edges(sample_rate, mels).float(), persistent=False)

    def _of(self, samples: int) -> int:
        """How many steps of so many samples lie in the seconds around."""
        return round(self.around_s * self.sample_rate / samples)

    @property
    def reach(self) -> int:
        """Samples on either side of a code's own that change what is heard of it."""
        spectra = self.mel.reach + self._of(self.mel.step) * self.mel.step
        return max(spectra, pitch_reach(self.sample_rate, self.hop) + self._of(self.hop) * self.hop * self.pitch)

    def sense(self, wave: Wave) -> Sensed:
        """What is measured of a wave, (batch, time); time must be a multiple of the hop."""
        return Sensed(self.mel(wave), pitch_hz(wave, self.sample_rate, self.hop) if self.pitch else None)

    def forward(self, wave: Wave, disguise: Disguise | None = None) -> Signal:
        """(batch, time) -> (batch, bands, time / step); time must be a multiple of the hop."""
        return self.told(self.sense(wave), disguise)

    def told(self, sensed: Sensed, disguise: Disguise | None = None) -> Signal:
        """What the encoder is told of a wave that has been measured: (batch, bands, time / step)."""
        heard, pitch = sensed
        with torch.autocast(heard.device.type, enabled=False):
            heard = self._warped(heard, disguise.warps) if disguise else heard
            heard = relative(heard, self._of(self.mel.step)) if self.around_s else heard
            heard = heard + (disguise.colours @ self.tints)[:, :, None] if disguise else heard
            heard = self.basis @ heard if self.cepstra else heard
            if pitch is not None:
                lines = torch.stack([(pitch > 0).float(), HALVES * octaves(pitch, self._of(self.hop))], dim=1)
                heard = torch.cat([heard, lines.repeat_interleave(self.hop // self.mel.step, dim=2)], dim=1)
            return heard

    def _warped(self, spectra: Signal, warps: Tensor) -> Signal:
        """Each band hears what lay at its frequency times the warp; beyond the last band, that one."""
        bands = spectra.shape[1]
        width = hertz_to_mels(self.edges[-1]) / (bands + 1)
        place = (hertz_to_mels(warps[:, None] * self.edges[1:-1]) / width - 1).clamp(0, bands - 1)
        low = place.floor().long().clamp_max(bands - 2)
        share = (place - low)[:, :, None]
        one, other = (spectra.gather(1, at[:, :, None].expand_as(spectra)) for at in (low, low + 1))
        return torch.lerp(one, other, share)


def octaves(pitch: Pitch, frames: int) -> Pitch:
    """Octaves above the mean of the pitch within `frames` before and after; 0 where there is no voice."""
    voiced, log = pitch > 0, pitch.clamp_min(1).log2()
    sums, number = (around(x.double()[:, None], frames)[:, 0] for x in (log * voiced, voiced))
    return torch.where(voiced, log - sums / number.clamp_min(1), 0.0).float()
