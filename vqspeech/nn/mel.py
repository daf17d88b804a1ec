"""Log-mel spectra of a wave, as a layer: what the ear hears of it, without its phase."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.shapes import Signal, Wave

WINDOW_S = 0.025
LEAST = 1e-3
"""The amplitude in a band below which all is silence."""
SILENT = math.log10(LEAST) + 1
"""What a log-mel spectrum says of silence."""


class LogMel(nn.Module):
    """Windows of 25 ms every `step` samples; spectrum m is centred on samples m * step to (m + 1) * step.

    log10(amplitude + LEAST) + 1 in each band, so that speech lies about 0.

    Args:
        sample_rate: Hz.
        bands: triangles that lie evenly over the mel scale, from 0 to half the sample rate.
        step: samples.

    Source: the scale is O'Shaughnessy's, 2595 log10(1 + f / 700), as HTK has it.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, sample_rate: int, bands: int, step: int) -> None:
        super().__init__()
        self.sizes = sample_rate, bands, step
        self.step, size = step, round(WINDOW_S * sample_rate)
        self.size = 2 ** math.ceil(math.log2(max(size, step)))
        window = F.pad(torch.hann_window(size), ((self.size - size) // 2, (self.size - size + 1) // 2))
        self.register_buffer("window", window / window.sum(), persistent=False)
        self.register_buffer("filters", mel_filters(sample_rate, self.size, bands), persistent=False)

    @property
    def reach(self) -> int:
        """Samples on either side of a step's own that change its spectrum."""
        return math.ceil((self.size - self.step) / 2)

    def forward(self, wave: Wave) -> Signal:
        """(batch, time) -> (batch, bands, time / step); time must be a multiple of the step."""
        with torch.autocast(wave.device.type, enabled=False):
            padded = F.pad(wave.float(), (self.reach, self.reach))
            spectra = torch.fft.rfft(padded.unfold(1, self.size, self.step) * self.window).abs()  # (batch, steps, bins)
            return ((spectra @ self.filters).clamp_min(0) + LEAST).log10().transpose(1, 2) + 1


def hertz_to_mels(hertz: Tensor) -> Tensor:
    """Frequencies on the mel scale."""
    return 2595 * torch.log10(1 + hertz / 700)


def band_edges(sample_rate: int, bands: int) -> Tensor:
    """Hz where the triangles begin, have their middles and end, evenly over the mel scale: (bands + 2,)."""
    top = float(hertz_to_mels(torch.tensor(sample_rate / 2, dtype=torch.float64)))
    return 700 * (10 ** (torch.linspace(0, top, bands + 2, dtype=torch.float64) / 2595) - 1)


def mel_filters(sample_rate: int, size: int, bands: int) -> Tensor:
    """Triangles of height 1 over the bins of a Fourier transform of `size`: (bins, bands)."""
    edges = band_edges(sample_rate, bands)
    bins = torch.linspace(0, sample_rate / 2, size // 2 + 1, dtype=torch.float64)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp_min(0).float()


def cosines(bands: int, number: int) -> Tensor:
    """The first of those that a cosine transform has, (number, bands); of length 1, they give a spectrum's cepstra."""
    return torch.cos(math.pi / bands * torch.arange(number)[:, None] * (torch.arange(bands) + 0.5))


def relative(spectra: Signal, steps: int) -> Signal:
    """Log-mel spectra less the mean of those within `steps` before and after, the louder ones weighing more.

    What is the same for seconds, a speaker's timbre, a microphone and a room, goes; what changes stays.

    Source: the running form of cepstral mean subtraction, Atal (1974).
    """
    weights = (spectra - SILENT).mean(1, keepdim=True).double() + 1e-3
    return spectra - (around(spectra * weights, steps) / around(weights, steps)).float()


def around(x: Tensor, steps: int) -> Tensor:
    """The sum of what is within `steps` before and after: (batch, bands, steps), both."""
    steps = min(steps, x.shape[2])
    until = F.pad(x.cumsum(2), (steps + 1, 0))
    until = torch.cat([until, until[:, :, -1:].expand(-1, -1, steps)], dim=2)
    return until[:, :, 2 * steps + 1 :] - until[:, :, : x.shape[2]]
