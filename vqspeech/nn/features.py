"""Feature extractor: log-mel or MFCC with sliding CMN, F0, and their perturbation (VTLP, cepstral noise)."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.f0 import estimate_f0, f0_context_samples
from vqspeech.nn.mel import LogMel, band_edges, dct_basis, hz_to_mel, sliding_cmn, sliding_sum
from vqspeech.nn.shapes import Pitch, Signal, Waves

F0_SCALE = 2.0
"""log2 F0 is scaled by this, to be about as large as a spectrum."""
N_PERTURBED_CEPSTRA = 6
NOISE_DRAWS, NOISE_DB, NOISE_CEPSTRUM_STD = 6, (5.0, 35.0), 0.3
"""Random numbers that noise needs; its level below the recording's, dB; the deviation of its cepstra."""


class Analysis(NamedTuple):
    """Log-mel spectra of a wave, (batch, n_mels, steps), and F0 if it is used."""

    log_mel: Signal
    f0: Pitch | None


class Perturbation(NamedTuple):
    """Makes voices other voices in training, so that codes do not tell who speaks.

    `vtlp`: (batch,), factors of the frequency axis; `cepstral_noise`: (batch, N_PERTURBED_CEPSTRA), in log10 of
    amplitudes.
    """

    vtlp: Tensor
    cepstral_noise: Tensor


def sample_perturbation(uniforms: Tensor, vtlp: float, cepstral_noise: float) -> Perturbation:
    """A perturbation by draws from [0, 1), (batch, 1 + N_PERTURBED_CEPSTRA).

    Args:
        vtlp: most by which the logarithm of frequencies changes.
        cepstral_noise: standard deviation.

    Source: VTLP is that of Jaitly and Hinton, Vocal Tract Length Perturbation (2013), of the whole axis.
    """
    even = 2 * uniforms - 1
    return Perturbation(torch.exp(vtlp * even[:, 0]), math.sqrt(3) * cepstral_noise * even[:, 1:])


def add_noise(log_mel: Signal, uniforms: Tensor, share: float) -> Signal:
    """Log-mel spectra, (batch, bands, steps), with steady noise of a random colour added to a share of the batch.

    Args:
        uniforms: (batch, NOISE_DRAWS), from [0, 1): whether, how loud, and the noise's cepstra.
    """
    with torch.autocast(log_mel.device.type, enabled=False):
        even = math.sqrt(3) * NOISE_CEPSTRUM_STD * (2 * uniforms[:, 2:].float() - 1)
        cepstral_noise = even @ dct_basis(log_mel.shape[1], NOISE_DRAWS - 1).to(log_mel)[1:]
        power = (2 * math.log(10) * log_mel.float()).exp()
        level = power.mean((1, 2)).clamp_min(1e-12).log10() / 2
        below = (NOISE_DB[0] + (NOISE_DB[1] - NOISE_DB[0]) * uniforms[:, 1].float()) / 20
        noise = (2 * math.log(10) * ((level - below)[:, None] + cepstral_noise)).exp()[:, :, None]
        features = (power + noise).log10() / 2
        return torch.where((uniforms[:, 0] < share)[:, None, None], features, log_mel)


class FeatureExtractor(nn.Module):
    """Log-mel spectra of a wave, or MFCC, and F0.

    ```
    wave -+-> log-mel --> VTLP --> sliding CMN --> cepstral noise --> DCT -+-> features
          +-> F0 -------> voicing, log2 F0 above its sliding mean ---------+
    ```
    MFCC keep formants and drop harmonics; with F0 beside them, codes need not find it in the spectra.

    Args:
        sample_rate: Hz.
        hop: samples per code; F0 is one number a code.
        n_mels: mel bands.
        hop_length: samples between spectra; a hop is a multiple of it.
        n_mfcc: cepstra, from the zeroth on; 0: the mel bands themselves.
        cmn_window_s: seconds before and after a frame whose mean is subtracted; 0: none.
        use_f0: whether F0 and voicing are features.

    Source: mel cepstra are those of Davis and Mermelstein (1980), here of logarithms of amplitudes.
    """

    basis: Tensor
    tint_basis: Tensor
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
        self.register_buffer("tint_basis", dct_basis(n_mels, N_PERTURBED_CEPSTRA), persistent=False)
        self.register_buffer("edges", band_edges(sample_rate, n_mels).float(), persistent=False)

    def _of(self, samples: int) -> int:
        """How many steps of so many samples lie in the seconds around."""
        return round(self.cmn_window_s * self.sample_rate / samples)

    @property
    def context_samples(self) -> int:
        """Samples on either side of a code's own that change its features."""
        log_mel = self.mel.context_samples + self._of(self.mel.hop_length) * self.mel.hop_length
        return max(
            log_mel, f0_context_samples(self.sample_rate, self.hop) + self._of(self.hop) * self.hop * self.use_f0
        )

    def analyse(self, wave: Waves) -> Analysis:
        """The analysis of a wave, (batch, time); time must be a multiple of the hop."""
        return Analysis(self.mel(wave), estimate_f0(wave, self.sample_rate, self.hop) if self.use_f0 else None)

    def forward(self, wave: Waves, perturbation: Perturbation | None = None) -> Signal:
        """(batch, time) -> (batch, bands, time / step); time must be a multiple of the hop."""
        return self.from_analysis(self.analyse(wave), perturbation)

    def from_analysis(self, analysis: Analysis, perturbation: Perturbation | None = None) -> Signal:
        """Features from an analysis: (batch, bands, time / hop_length)."""
        features, f0 = analysis
        with torch.autocast(features.device.type, enabled=False):
            features = self._vtlp(features, perturbation.vtlp) if perturbation else features
            features = sliding_cmn(features, self._of(self.mel.hop_length)) if self.cmn_window_s else features
            features = (
                features + (perturbation.cepstral_noise @ self.tint_basis)[:, :, None] if perturbation else features
            )
            features = self.basis @ features if self.n_mfcc else features
            if f0 is not None:
                lines = torch.stack([(f0 > 0).float(), F0_SCALE * relative_log2_f0(f0, self._of(self.hop))], dim=1)
                features = torch.cat([features, lines.repeat_interleave(self.hop // self.mel.hop_length, dim=2)], dim=1)
            return features

    def _vtlp(self, log_mel: Signal, vtlp: Tensor) -> Signal:
        """Warps the mel axis: each band takes what was at its frequency times the factor."""
        bands = log_mel.shape[1]
        width = hz_to_mel(self.edges[-1]) / (bands + 1)
        place = (hz_to_mel(vtlp[:, None] * self.edges[1:-1]) / width - 1).clamp(0, bands - 1)
        low = place.floor().long().clamp_max(bands - 2)
        share = (place - low)[:, :, None]
        one, other = (log_mel.gather(1, at[:, :, None].expand_as(log_mel)) for at in (low, low + 1))
        return torch.lerp(one, other, share)


def relative_log2_f0(f0: Pitch, frames: int) -> Pitch:
    """log2 of F0 less its mean within `frames` before and after; 0 in unvoiced frames."""
    voiced, log = f0 > 0, f0.clamp_min(1).log2()
    sums, number = (sliding_sum(x.double()[:, None], frames)[:, 0] for x in (log * voiced, voiced))
    return torch.where(voiced, log - sums / number.clamp_min(1), 0.0).float()
