"""Log-mel spectrogram, DCT basis and sliding cepstral mean normalisation (CMN)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.shapes import Signal, Waves

WINDOW_S = 0.025
"""Length of the analysis window."""
AMPLITUDE_FLOOR = 1e-3
"""Amplitude that is added to every band, so that the logarithm of silence is finite."""
LOG_MEL_OF_SILENCE = math.log10(AMPLITUDE_FLOOR) + 1
"""Log-mel value of digital silence."""
OVERSUBTRACTION = 0.08
"""Share of AMPLITUDE_FLOOR below which the amplitude of a predicted band counts as silence."""
POSTFILTER_GAIN = 0.2
POSTFILTER_BANDS = 15
"""A predicted spectrum is an average and so too flat: the postfilter moves each band away from the mean of
POSTFILTER_BANDS neighbours, by the share POSTFILTER_GAIN of its distance."""
MAX_MATCHING_GAIN = 10.0
"""Limit of the gain, and of its inverse, by which `match_spectra` moves a band."""


class LogMel(nn.Module):
    """Log-mel spectrogram: log10(amplitude + AMPLITUDE_FLOOR) + 1 in each band, which centres speech about 0.

    The window is a Hann window of WINDOW_S.  Step m is centred on the samples m * hop_length to (m + 1) * hop_length.

    Args:
        sample_rate: in Hz.
        n_mels: bands, evenly spaced on the mel scale from 0 to half the sample rate.
        hop_length: samples between spectra.

    Source: the mel scale is O'Shaughnessy's, 2595 log10(1 + f / 700), as in HTK.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, sample_rate: int, n_mels: int, hop_length: int) -> None:
        super().__init__()
        self.sizes = sample_rate, n_mels, hop_length
        self.hop_length, self.win_length = hop_length, round(WINDOW_S * sample_rate)
        self.n_fft = 2 ** math.ceil(math.log2(max(self.win_length, hop_length)))
        padding = self.n_fft - self.win_length
        window = F.pad(torch.hann_window(self.win_length), (padding // 2, (padding + 1) // 2))
        self.register_buffer("window", window / window.sum(), persistent=False)
        self.register_buffer("filters", mel_filterbank(sample_rate, self.n_fft, n_mels), persistent=False)

    @property
    def context_samples(self) -> int:
        """Samples on either side of a step that its spectrum depends on."""
        return math.ceil((self.n_fft - self.hop_length) / 2)

    @property
    def matching_context(self) -> int:
        """Samples on either side of a step that `match_spectra` depends on there: windows of the steps around it."""
        beyond = math.ceil((self.win_length - self.hop_length) / 2)
        return math.ceil(beyond / self.hop_length) * self.hop_length + beyond

    def forward(self, wave: Waves) -> Signal:
        """(batch, time) -> (batch, n_mels, time / hop_length); time must be a multiple of the hop length."""
        with torch.autocast(wave.device.type, enabled=False):
            return ((self.stft(wave).abs() @ self.filters).clamp_min(0) + AMPLITUDE_FLOOR).log10().transpose(1, 2) + 1

    def stft(self, wave: Waves) -> Tensor:
        """Short-time Fourier transform, (batch, steps, bins), complex."""
        padded = F.pad(wave.float(), (self.context_samples, self.context_samples))
        return torch.fft.rfft(padded.unfold(1, self.n_fft, self.hop_length) * self.window)

    def overlap_add(self, stft: Tensor, time: int) -> Waves:
        """Inverse of `stft` by weighted overlap-add: (batch, time)."""
        windows = torch.fft.irfft(stft, self.n_fft) * self.window
        length = self.n_fft + self.hop_length * (stft.shape[1] - 1)

        def add(columns: Tensor) -> Tensor:
            return F.fold(columns.transpose(1, 2), (1, length), (1, self.n_fft), stride=(1, self.hop_length))[:, 0, 0]

        weight = add((self.window**2).expand(1, stft.shape[1], -1))
        wave = add(windows) / weight.clamp_min(1e-3 * float(weight.max()))
        return wave[:, self.context_samples : self.context_samples + time]

    def to_bins(self, bands: Tensor) -> Tensor:
        """Values of bands, interpolated to the bins: (..., n_mels) -> (..., bins).

        The first and the last bin are in no band and take their neighbour's value.
        """
        inner = (bands @ self.filters.mT)[..., 1:-1] / self.filters.sum(1)[1:-1]
        return torch.cat([inner[..., :1], inner, inner[..., -1:]], dim=-1)


def match_spectra(mel: LogMel, wave: Waves, log_mel: Signal) -> Waves:
    """A wave with given log-mel spectra, nearly, and the phases and the fine structure of `wave`.

    What a network samples is too loud in some bands and too quiet in others; a filter mends it.

    Args:
        mel: the spectrogram that `log_mel` is of.
        wave: (batch, time).
        log_mel: (batch, bands, time / hop_length).

    Returns:
        (batch, time); samples of a frame depend on those within `mel.matching_context` of the frame.
    """
    with torch.autocast(wave.device.type, enabled=False):
        stft, target = mel.stft(wave), 10 ** (log_mel.float().transpose(1, 2) - 1)
        gains = target / ((stft.abs() @ mel.filters).clamp_min(0) + AMPLITUDE_FLOOR)
        return mel.overlap_add(stft * mel.to_bins(gains.clamp(1 / MAX_MATCHING_GAIN, MAX_MATCHING_GAIN)), wave.shape[1])


def subtract_residual_noise(log_mel: Tensor) -> Tensor:
    """Predicted log-mel spectra, of any shape, with OVERSUBTRACTION of the floor less amplitude, down to silence.

    The error of a prediction is of the order of the floor where a recording is silent; it sounds as noise in pauses.

    Source: over-subtraction as in Berouti, Schwartz and Makhoul, Enhancement of speech corrupted by acoustic noise
        (1979).
    """
    amplitude = 10 ** (log_mel - 1) - OVERSUBTRACTION * AMPLITUDE_FLOOR
    return amplitude.clamp_min(AMPLITUDE_FLOOR).log10() + 1


def sharpen_formants(log_mel: Tensor) -> Tensor:
    """Predicted log-mel spectra with sharper formants: (..., bands) -> the same shape.

    Source: Chen and Gersho, Adaptive postfiltering for quality enhancement of coded speech (1995); here on log-mel.
    """
    spectra = log_mel.reshape(1, -1, log_mel.shape[-1])
    local_mean = F.avg_pool1d(spectra, POSTFILTER_BANDS, 1, POSTFILTER_BANDS // 2, count_include_pad=False)
    return (spectra + POSTFILTER_GAIN * (spectra - local_mean)).reshape(log_mel.shape)


def hz_to_mel(hz: Tensor) -> Tensor:
    """Mel values of frequencies in Hz."""
    return 2595 * torch.log10(1 + hz / 700)


def band_edges(sample_rate: int, n_mels: int) -> Tensor:
    """Edges and centres of the triangular filters in Hz, evenly spaced on the mel scale: (n_mels + 2,)."""
    top_mel = float(hz_to_mel(torch.tensor(sample_rate / 2, dtype=torch.float64)))
    return 700 * (10 ** (torch.linspace(0, top_mel, n_mels + 2, dtype=torch.float64) / 2595) - 1)


def mel_filterbank(sample_rate: int, n_fft: int, n_mels: int) -> Tensor:
    """Triangular filters of height 1 over the bins of a Fourier transform of `n_fft` samples: (bins, n_mels)."""
    edges = band_edges(sample_rate, n_mels)
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp_min(0).float()


def dct_basis(n_mels: int, number: int) -> Tensor:
    """First basis vectors of the DCT-II, unnormalised: (number, n_mels).  Normalised, they give cepstra of spectra."""
    return torch.cos(math.pi / n_mels * torch.arange(number)[:, None] * (torch.arange(n_mels) + 0.5))


def sliding_cmn(spectra: Signal, before: int, after: int | Tensor) -> Signal:
    """Sliding cepstral mean normalisation of log-mel spectra: less their mean over a window; see `sliding_sum`.

    It removes what is constant for seconds: a speaker's timbre, a microphone, a room's response.  Louder steps weigh
    more in the mean.

    Source: the running form of cepstral mean subtraction, Atal (1974).
    """
    weights = (spectra - LOG_MEL_OF_SILENCE).mean(1, keepdim=True).double() + 1e-3
    return spectra - (sliding_sum(spectra * weights, before, after) / sliding_sum(weights, before, after)).float()


def sliding_sum(x: Tensor, before: int, after: int | Tensor) -> Tensor:
    """Sum over a window from `before` steps before a step to `after` steps after it.

    Args:
        x: (batch, bands, steps).
        before: steps.
        after: steps, the look-ahead; (batch,) where it differs.
    """
    batch, bands, steps = x.shape
    sums, step = F.pad(x.cumsum(2), (1, 0)), torch.arange(steps, device=x.device)
    after = torch.as_tensor(after, device=x.device).expand(batch)[:, None]
    last = (step + 1 + after).clamp_max(steps)[:, None].expand(-1, bands, -1)
    return sums.gather(2, last) - sums[:, :, (step - before).clamp_min(0)]
