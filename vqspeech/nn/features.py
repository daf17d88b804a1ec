"""Feature extractor: log-mel or MFCC with sliding CMN, F0, and their perturbation (VTLP, cepstral noise)."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.f0 import estimate_f0, f0_context_samples
from vqspeech.nn.mel import LogMel, band_edges, dct_basis, hz_to_mel, sliding_cmn, sliding_sum
from vqspeech.nn.shapes import F0, Signal, Waves

F0_SCALE = 2.0
"""Factor of log2 F0, which makes it about as large as log-mel values."""
N_PERTURBED_CEPSTRA = 6
"""Cepstra to which cepstral noise is added, from the zeroth on."""
LOOKAHEAD_DRAWS, NOISE_DRAWS, PERTURBATION_DRAWS = 2, 6, 1 + N_PERTURBED_CEPSTRA
"""Random numbers that `sample_lookahead`, `add_noise` and `sample_perturbation` need for each segment."""
NOISE_DB = (5.0, 35.0)
"""Least and greatest signal-to-noise ratio."""
NOISE_CEPSTRUM_STD = 0.3
"""Standard deviation of the cepstra of the noise."""


class Analysis(NamedTuple):
    """Log-mel spectra of a wave, (batch, n_mels, steps), and F0 if it is used."""

    log_mel: Signal
    f0: F0 | None


class Perturbation(NamedTuple):
    """Random change of the speaker's timbre in training, so that the codes carry less of the speaker.

    `vtlp`: (batch,), factors of the frequency axis; `cepstral_noise`: (batch, N_PERTURBED_CEPSTRA), in log10 of
    amplitudes.
    """

    vtlp: Tensor
    cepstral_noise: Tensor


class Draws(NamedTuple):
    """Random numbers of the segments of a batch, in [0, 1), (batch, number) each."""

    lookahead: Tensor
    noise: Tensor
    perturbation: Tensor


def split_draws(uniforms: Tensor) -> Draws:
    """The last of the random numbers of each segment, (batch, frames), by their use."""
    sizes = [LOOKAHEAD_DRAWS, NOISE_DRAWS, PERTURBATION_DRAWS]
    return Draws(*uniforms[:, -sum(sizes) :].split(sizes, dim=1))


def sample_lookahead(uniforms: Tensor, share: float, cmn_window_s: float) -> Tensor:
    """Look-ahead of each segment of a batch in seconds, (batch,), so that one model serves files and live use.

    Args:
        uniforms: (batch, LOOKAHEAD_DRAWS), in [0, 1).
        share: of the segments that have a random look-ahead, from 0 to `cmn_window_s`, of which short ones are more
            frequent; the others have all of `cmn_window_s`.
    """
    return cmn_window_s * torch.where(uniforms[:, 0] < share, uniforms[:, 1].square(), 1.0)


def sample_perturbation(uniforms: Tensor, vtlp: float, cepstral_noise: float) -> Perturbation:
    """Perturbation of each segment of a batch.

    Args:
        uniforms: (batch, PERTURBATION_DRAWS), in [0, 1).
        vtlp: greatest change of the logarithm of frequencies.
        cepstral_noise: standard deviation.

    Source: Jaitly and Hinton, Vocal Tract Length Perturbation (2013); here the whole frequency axis is scaled.
    """
    symmetric = 2 * uniforms - 1  # of standard deviation 1 / sqrt(3)
    return Perturbation(torch.exp(vtlp * symmetric[:, 0]), math.sqrt(3) * cepstral_noise * symmetric[:, 1:])


def add_noise(log_mel: Signal, uniforms: Tensor, share: float) -> Signal:
    """Log-mel spectra, (batch, bands, steps), with stationary noise of a random spectrum in a share of the segments.

    Args:
        log_mel: (batch, bands, steps).
        uniforms: (batch, NOISE_DRAWS), in [0, 1): whether noise is added, its level, its cepstra.
        share: of the segments that get noise.
    """
    with torch.autocast(log_mel.device.type, enabled=False):
        cepstra = math.sqrt(3) * NOISE_CEPSTRUM_STD * (2 * uniforms[:, 2:].float() - 1)
        spectrum = cepstra @ dct_basis(log_mel.shape[1], NOISE_DRAWS - 1).to(log_mel)[1:]
        power = (2 * math.log(10) * log_mel.float()).exp()
        level = power.mean((1, 2)).clamp_min(1e-12).log10() / 2
        snr = (NOISE_DB[0] + (NOISE_DB[1] - NOISE_DB[0]) * uniforms[:, 1].float()) / 20
        noise = (2 * math.log(10) * ((level - snr)[:, None] + spectrum)).exp()[:, :, None]
        noisy = (power + noise).log10() / 2
        return torch.where((uniforms[:, 0] < share)[:, None, None], noisy, log_mel)


class FeatureExtractor(nn.Module):
    """Feature extractor: log-mel spectra or MFCC, with F0 and voicing.

    ```
    wave -+-> log-mel --> VTLP --> sliding CMN --> cepstral noise --> DCT -+-> features
          +-> F0 -------> voicing, log2 F0 less its sliding mean ----------+
    ```
    MFCC keep the formants and drop the harmonics; with F0 as a feature, the encoder need not find it in the spectra.

    Args:
        sample_rate: in Hz.
        hop: samples per code; there is one F0 value per code.
        n_mels: mel bands.
        hop_length: samples between spectra; `hop` is a multiple of it.
        n_mfcc: cepstra, from the zeroth on; 0: the mel bands instead.
        cmn_window_s: seconds before and after a frame whose mean is subtracted; 0: none.
        use_f0: whether F0 and voicing are features.

    Source: MFCC after Davis and Mermelstein (1980), here from log amplitudes.
    """

    basis: Tensor
    perturbation_basis: Tensor
    edges: Tensor

    def __init__(
        self, sample_rate: int, hop: int, n_mels: int, hop_length: int, n_mfcc: int = 0, cmn_window_s: float = 0.0,
        use_f0: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.sample_rate, self.hop, self.n_mfcc, self.use_f0 = sample_rate, hop, n_mfcc, use_f0
        self.mel, self.cmn_window_s = LogMel(sample_rate, n_mels, hop_length), cmn_window_s
        self.bands = (n_mfcc or n_mels) + 2 * use_f0
        self.register_buffer("basis", F.normalize(dct_basis(n_mels, n_mfcc)), persistent=False)
        self.register_buffer("perturbation_basis", dct_basis(n_mels, N_PERTURBED_CEPSTRA), persistent=False)
        self.register_buffer("edges", band_edges(sample_rate, n_mels).float(), persistent=False)

    def _cmn_window(self, hop_length: int, lookahead_s: float | Tensor | None) -> tuple[int, int | Tensor]:
        """Length of the CMN window before and after a step, in steps of `hop_length` samples."""
        rate = self.sample_rate / hop_length
        before = round(self.cmn_window_s * rate)
        if isinstance(lookahead_s, Tensor):
            return before, (lookahead_s * rate).round().long()
        return before, before if lookahead_s is None else round(lookahead_s * rate)

    @property
    def context_samples(self) -> int:
        """Samples on either side of a frame that its spectra and its F0 depend on."""
        return max(self.mel.context_samples, f0_context_samples(self.sample_rate, self.hop) if self.use_f0 else 0)

    @property
    def left_context(self) -> int:
        """Number of earlier frames of an analysis that the features of a frame depend on."""
        return math.ceil(self.cmn_window_s * self.sample_rate / self.hop)

    def right_context(self, lookahead_s: float | None = None) -> int:
        """Number of later frames of an analysis that the features of a frame depend on; see `from_analysis`."""
        lookahead_s = self.cmn_window_s if lookahead_s is None else lookahead_s
        return math.ceil(lookahead_s * self.sample_rate / self.hop)

    def analyse(self, wave: Waves) -> Analysis:
        """Log-mel spectra and F0 of a wave, (batch, time); time must be a multiple of the hop."""
        return Analysis(self.mel(wave), estimate_f0(wave, self.sample_rate, self.hop) if self.use_f0 else None)

    def forward(self, wave: Waves, perturbation: Perturbation | None = None) -> Signal:
        """(batch, time) -> (batch, bands, time / hop_length); time must be a multiple of the hop."""
        return self.from_analysis(self.analyse(wave), perturbation)

    def from_analysis(
        self, analysis: Analysis, perturbation: Perturbation | None = None, lookahead_s: float | Tensor | None = None
    ) -> Signal:
        """Features from an analysis: (batch, bands, time / hop_length).

        Args:
            lookahead_s: of the means that are subtracted, by default `cmn_window_s`; (batch,) where it differs.
        """
        features, f0 = analysis
        with torch.autocast(features.device.type, enabled=False):
            features = self._vtlp(features, perturbation.vtlp) if perturbation else features
            if self.cmn_window_s:
                features = sliding_cmn(features, *self._cmn_window(self.mel.hop_length, lookahead_s))
            features = (
                features + (perturbation.cepstral_noise @ self.perturbation_basis)[:, :, None]
                if perturbation
                else features
            )
            features = self.basis @ features if self.n_mfcc else features
            if f0 is not None:
                relative = relative_log2_f0(f0, *self._cmn_window(self.hop, lookahead_s))
                f0_features = torch.stack([(f0 > 0).float(), F0_SCALE * relative], dim=1)
                features = torch.cat(
                    [features, f0_features.repeat_interleave(self.hop // self.mel.hop_length, dim=2)], dim=1
                )
            return features

    def _vtlp(self, log_mel: Signal, vtlp: Tensor) -> Signal:
        """Spectra with a warped mel axis: each band takes the value at its frequency times the factor."""
        bands = log_mel.shape[1]
        width = hz_to_mel(self.edges[-1]) / (bands + 1)
        position = (hz_to_mel(vtlp[:, None] * self.edges[1:-1]) / width - 1).clamp(0, bands - 1)
        lower = position.floor().long().clamp_max(bands - 2)
        weight = (position - lower)[:, :, None]
        below, above = (log_mel.gather(1, band[:, :, None].expand_as(log_mel)) for band in (lower, lower + 1))
        return torch.lerp(below, above, weight)


def relative_log2_f0(f0: F0, before: int, after: int | Tensor) -> F0:
    """Log2 F0 less its mean over a window (see `sliding_sum`), (batch, frames); 0 where unvoiced."""
    voiced, log_f0 = f0 > 0, f0.clamp_min(1).log2()
    sums, counts = (sliding_sum(x.double()[:, None], before, after)[:, 0] for x in (log_f0 * voiced, voiced))
    return torch.where(voiced, log_f0 - sums / counts.clamp_min(1), 0.0).float()
