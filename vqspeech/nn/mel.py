"""Log-mel spectrogram, DCT basis and sliding cepstral mean normalisation (CMN)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.shapes import Signal, Waves

WINDOW_S = 0.025
AMPLITUDE_FLOOR = 1e-3
"""The amplitude in a band below which all is silence."""
LOG_MEL_OF_SILENCE = math.log10(AMPLITUDE_FLOOR) + 1
"""What a log-mel spectrum says of silence."""


class LogMel(nn.Module):
    """Windows of 25 ms every `hop_length` samples; spectrum m is centred on samples m * step to (m + 1) * step.

    log10(amplitude + LEAST) + 1 in each band, so that speech lies about 0.

    Args:
        sample_rate: Hz.
        bands: triangles that lie evenly over the mel scale, from 0 to half the sample rate.
        step: samples.

    Source: the scale is O'Shaughnessy's, 2595 log10(1 + f / 700), as HTK has it.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, sample_rate: int, n_mels: int, hop_length: int) -> None:
        super().__init__()
        self.sizes = sample_rate, n_mels, hop_length
        self.hop_length, n_fft = hop_length, round(WINDOW_S * sample_rate)
        self.n_fft = 2 ** math.ceil(math.log2(max(n_fft, hop_length)))
        window = F.pad(torch.hann_window(n_fft), ((self.n_fft - n_fft) // 2, (self.n_fft - n_fft + 1) // 2))
        self.register_buffer("window", window / window.sum(), persistent=False)
        self.register_buffer("filters", mel_filterbank(sample_rate, self.n_fft, n_mels), persistent=False)

    @property
    def context_samples(self) -> int:
        """Samples on either side of a step's own that change its spectrum."""
        return math.ceil((self.n_fft - self.hop_length) / 2)

    def forward(self, wave: Waves) -> Signal:
        """(batch, time) -> (batch, bands, time / step); time must be a multiple of the step."""
        with torch.autocast(wave.device.type, enabled=False):
            padded = F.pad(wave.float(), (self.context_samples, self.context_samples))
            spectra = torch.fft.rfft(
                padded.unfold(1, self.n_fft, self.hop_length) * self.window
            ).abs()  # (batch, steps, bins)
            return ((spectra @ self.filters).clamp_min(0) + AMPLITUDE_FLOOR).log10().transpose(1, 2) + 1


def hz_to_mel(hz: Tensor) -> Tensor:
    """Frequencies on the mel scale."""
    return 2595 * torch.log10(1 + hz / 700)


def band_edges(sample_rate: int, n_mels: int) -> Tensor:
    """Hz where the triangles begin, have their middles and end, evenly over the mel scale: (bands + 2,)."""
    top = float(hz_to_mel(torch.tensor(sample_rate / 2, dtype=torch.float64)))
    return 700 * (10 ** (torch.linspace(0, top, n_mels + 2, dtype=torch.float64) / 2595) - 1)


def mel_filterbank(sample_rate: int, n_fft: int, n_mels: int) -> Tensor:
    """Triangles of height 1 over the bins of a Fourier transform of `n_fft`: (bins, bands)."""
    edges = band_edges(sample_rate, n_mels)
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp_min(0).float()


def dct_basis(n_mels: int, number: int) -> Tensor:
    """The first of those that a cosine transform has, (number, bands); of length 1, they give a spectrum's cepstra."""
    return torch.cos(math.pi / n_mels * torch.arange(number)[:, None] * (torch.arange(n_mels) + 0.5))


def sliding_cmn(spectra: Signal, steps: int) -> Signal:
    """Log-mel spectra less the mean of those within `steps` before and after, the louder ones weighing more.

    What is constant for seconds (a speaker's timbre, a microphone, a room's response) is removed.

    Source: the running form of cepstral mean subtraction, Atal (1974).
    """
    weights = (spectra - LOG_MEL_OF_SILENCE).mean(1, keepdim=True).double() + 1e-3
    return spectra - (sliding_sum(spectra * weights, steps) / sliding_sum(weights, steps)).float()


def sliding_sum(x: Tensor, steps: int) -> Tensor:
    """The sum of what is within `steps` before and after: (batch, bands, steps), both."""
    steps = min(steps, x.shape[2])
    until = F.pad(x.cumsum(2), (steps + 1, 0))
    until = torch.cat([until, until[:, :, -1:].expand(-1, -1, steps)], dim=2)
    return until[:, :, 2 * steps + 1 :] - until[:, :, : x.shape[2]]
