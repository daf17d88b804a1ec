"""The outline of what codes say in a voice: its spectra and its pitch, before there is any sound."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.encoder import CausalBlocks
from vqspeech.nn.f0 import HIGHEST_HZ, LOWEST_HZ
from vqspeech.nn.mel import LogMel, dct_basis, sliding_cmn
from vqspeech.shapes import Cond, Latents, Pitch, Signal

N_MELS, STEP_S = 80, 0.01
RESIDUAL_BLOCKS = 2
SLOPE_BANDS = 4
"""Bands between which a spectrum's slope is looked at."""
N_MFCC, CMN_WINDOW_S, MFCC_WEIGHT = 13, 2.0, 0.3
"""Cepstra that are looked at, seconds around whose mean is taken from them, what those of an outline count."""
N_CONTEXT_FREE, DELTA_WINDOW_S, DELTA_SCALE_S = 2 * N_MFCC - 1, 0.04, 0.06
"""Numbers that a code tells alone; seconds before and after that slopes are measured over; seconds that they are told
for, which makes them as large as cepstra."""
PRIOR_S, MAX_VARIANCE_GAIN = 15.0, 1.0
"""Weight of the prior of the adaptation (no change), in seconds of speech; the most that the standard deviation of
spectra is raised by, as a share of it."""
MEAN_LOG_F0 = math.log(LOWEST_HZ * HIGHEST_HZ) / 2
"""Where log F0 begins."""


class AcousticPrediction(NamedTuple):
    """Acoustic features predicted from codes, (batch, frames) and more.

    `conditioning`: of the WaveNet, beside the codes; `hidden`: the last hidden layer, of which the others are linear
    maps; `log_mel`: (batch, frames, parts * N_MELS); `voicing_logits`; `log_f0`: where there is a voice.
    """

    conditioning: Cond
    hidden: Tensor
    log_mel: Tensor
    voicing_logits: Tensor
    log_f0: Tensor

    @property
    def f0(self) -> Pitch:
        """F0 in Hz, 0 where silence or a whisper is likelier."""
        return torch.where(self.voicing_logits > 0, self.log_f0.float().exp().clamp(LOWEST_HZ, HIGHEST_HZ), 0.0)


class SpeakerMean(NamedTuple):
    """The mean of a speaker: log-mel spectra of voiced and unvoiced frames, (batch, 1, N_MELS), and log F0."""

    voiced: Tensor
    unvoiced: Tensor
    log_f0: Tensor


class AcousticModel(nn.Module):
    """Convolutions over codes that foresee how each frame will sound: what is usual of the voice, and how it departs.

    ```
    codes --> conv 3 -+-> blocks -+-> + context -> WaveNet
                      |           +-> voicing, departures --+
    voice --> linear -+-------------> what is usual --------+-> log-mel spectra, log F0
    ```
    A spectrum is learned in minutes where a waveform takes days: the codes need not wait for the WaveNet to find out
    what they are good for.  Codes are asked for departures only, so another voice is another usual; that a voice has
    its own way to depart pays only where codes tell nothing of the one that spoke, see `nn.feature_extractor`.

    Args:
        sample_rate, hop: in Hz, and samples per code.
        context: numbers that tell of a code and its neighbours.
        voice: numbers in the vector of a voice.
        channels: of the hidden layers.
        causal_blocks: see `nn.encoder.CausalBlocks`.

    Source: the pitch as something that codes are asked to tell is after Garbacea et al., Low Bit-Rate Speech Coding
        with VQ-VAE and a WaveNet Decoder (2019), section 3.3.
    """

    liftered: Tensor

    def __init__(
        self, sample_rate: int, hop: int, context: int, speaker_means: int, channels: int, causal_blocks: int = 0
    ) -> None:
        super().__init__()
        self.parts = next(n for n in range(max(1, round(hop / (STEP_S * sample_rate))), hop + 1) if hop % n == 0)
        self.mel = LogMel(sample_rate, N_MELS, hop // self.parts)
        weights = (1 + torch.arange(N_MFCC)) ** 0.8 / 2
        self.register_buffer(
            "liftered", (F.normalize(dct_basis(N_MELS, N_MFCC)) * weights[:, None]).t(), persistent=False
        )
        self.first = nn.Conv1d(context, channels, 3, padding=1)
        self.speaker = nn.Linear(speaker_means, channels)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(), nn.Conv1d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv1d(channels, channels, 1)
            )
            for _ in range(RESIDUAL_BLOCKS)
        )
        self.causal = CausalBlocks(channels, causal_blocks)
        self.residual = nn.Conv1d(channels, self.parts * N_MELS + 2, 1)
        self.speaker_mean = nn.Linear(speaker_means, 2 * N_MELS + 1)
        self.to_conditioning = nn.Conv1d(channels, context, 1)
        nn.init.zeros_(self.to_conditioning.weight)
        nn.init.zeros_(self.to_conditioning.bias)  # type: ignore[arg-type]

    @property
    def context(self) -> int:
        """Frames on either side of a frame that change what is foreseen of it."""
        return 1 + RESIDUAL_BLOCKS + self.causal.context

    def forward(self, context: Cond, speakers: Tensor) -> AcousticPrediction:
        """How codes, (batch, context, frames), will sound in voices, (batch, voice)."""
        x = self.first(context) + self.speaker(speakers)[:, :, None]
        for block in self.blocks:
            x = x + block(x)
        x = F.relu(self.causal(x[:, :, None])[:, :, 0])
        residual, speaker_mean = self.residual(x).transpose(1, 2).float(), self.speaker_means(speakers)
        voicing_logits = residual[:, :, 0]
        voiced = torch.sigmoid(voicing_logits)[:, :, None]
        spectrum = (
            speaker_mean.voiced * voiced + speaker_mean.unvoiced * (1 - voiced)
        ).detach()  # they learn in `loss`
        return AcousticPrediction(
            self.to_conditioning(x),
            x.transpose(1, 2),
            residual[:, :, 2:] + spectrum.repeat(1, 1, self.parts),
            voicing_logits,
            residual[:, :, 1] + speaker_mean.log_f0.detach(),
        )

    def speaker_means(self, speakers: Tensor) -> SpeakerMean:
        """What is usual of voices, (batch, voice)."""
        speaker_mean = self.speaker_mean(speakers)[:, None].float()
        return SpeakerMean(
            speaker_mean[:, :, :N_MELS], speaker_mean[:, :, N_MELS:-1], speaker_mean[:, :, -1] + MEAN_LOG_F0
        )

    @property
    def adaptation_shape(self) -> tuple[int, int]:
        """The shape of a voice's manner; see `adapt`."""
        return self.residual.in_channels + 3, self.parts * N_MELS

    def adapt(self, prediction: AcousticPrediction, adaptations: Tensor) -> AcousticPrediction:
        """The same in the manner of voices, (batch, *mannerisms): each departs from what is usual in its own way.

        What each number of the hidden layer, and a one, adds to a frame's spectra; then, in the last two lines, how
        much livelier they are where it sounds, and that share of their mean, which stays.

        Source: a linear map for each voice, fitted by least squares, is that of Valbret, Moulines and Tubach, Voice
            transformation using PSOLA technique (1992), here from the last hidden layer; the variance that a mean lacks
            is given back after Toda, Black and Tokuda (2007).
        """
        adapted = prediction.log_mel + _append_one(prediction.hidden) @ adaptations[:, :-2]
        variance_gain, variance_offset = adaptations[:, -2:].unsqueeze(2).unbind(1)
        return prediction._replace(
            log_mel=adapted
            + torch.sigmoid(prediction.voicing_logits)[:, :, None] * (variance_gain * adapted - variance_offset)
        )

    def fit_adaptation(self, predictions: Sequence[AcousticPrediction], log_mel: Sequence[Tensor]) -> Tensor:
        """The manner of a voice, from what was foreseen of its recordings and their spectra: of `adaptation_shape`.

        The least squares of what was off, pulled towards nothing, in closed form.

        Args:
            outlines: of a batch of one each.
            spectra: (1, bands, steps) each, by `mel`.
        """
        target = torch.cat([self._by_part(one).flatten(2)[0] for one in log_mel]).double().cpu()
        residual = torch.cat([one.log_mel[0] for one in predictions]).double().cpu()
        voiced = torch.cat([one.voicing_logits[0] > 0 for one in predictions]).cpu()
        hidden = _append_one(torch.cat([one.hidden[0] for one in predictions])).double().cpu()
        prior = torch.full((hidden.shape[1],), PRIOR_S * self.mel.sizes[0] / (self.parts * self.mel.hop_length))
        prior *= hidden.var(0, correction=0).mean()
        prior[-1] *= 1e-3  # what is added to all frames is known soonest
        transform = torch.linalg.solve(hidden.t() @ hidden + (prior + 1e-6).diag(), hidden.t() @ (target - residual))
        adapted = (residual + hidden @ transform)[voiced]
        enough = len(adapted) > 1
        variance_gain = target[voiced].std(0) / (adapted.std(0) + 1e-6) - 1 if enough else torch.zeros(target.shape[1])
        variance_gain = variance_gain.clamp(0, MAX_VARIANCE_GAIN)
        return torch.cat(
            [transform, torch.stack([variance_gain, variance_gain * (adapted.mean(0) if enough else 0.0)])]
        ).float()

    def losses(
        self, prediction: AcousticPrediction, speakers: Tensor, log_mel: Signal, pitch: Pitch
    ) -> dict[str, Tensor]:
        """How far it was off: the spectra (mean absolute difference of log10 amplitudes), the pitch, the voicing.

        `..._formants` is how far off the spectra's slopes are: peaks tell words apart, and the level does not; in
        `..._mfcc` coarse and fine shapes count alike.  `..._voice_...` is how far a recording is from what is usual
        of its voice alone.

        Args:
            spectra: of the recordings, by `mel`.
        """
        log_mel = self._by_part(log_mel)
        voiced, log_f0, speaker_mean = (pitch > 0).float(), pitch.clamp_min(1).log(), self.speaker_means(speakers)
        expected = torch.where(voiced[:, :, None] > 0, speaker_mean.voiced, speaker_mean.unvoiced)
        return {
            "mel_l1": (error := prediction.log_mel.unflatten(2, (-1, N_MELS)) - log_mel).abs().mean(),
            "mel_slope_l1": (error[..., SLOPE_BANDS:] - error[..., :-SLOPE_BANDS]).abs().mean(),
            "mfcc_l1": MFCC_WEIGHT * self._mfcc(error).abs().mean(),
            "log2_f0_l1": _log2_f0_l1(prediction.log_f0, log_f0, voiced),
            "vuv_bce": F.binary_cross_entropy_with_logits(prediction.voicing_logits, voiced),
            "speaker_mean_mel_l1": (expected[:, :, None] - log_mel).abs().mean(),
            "speaker_mean_log2_f0_l1": _log2_f0_l1(speaker_mean.log_f0, log_f0, voiced),
        }

    def context_free_loss(self, predicted: Latents, log_mel: Signal) -> Tensor:
        """How far off the cepstra are, and how they move, that each code tells by itself: no neighbours, no voice.

        A code with neighbours need not say what its own frame is; one that is asked alone must, as a phone would.

        Args:
            told: (batch, ALONE, frames).
            spectra: as in `loss`; what stays for seconds is taken from them, and the level is not asked for.
        """
        rate = self.mel.sizes[0] / self.mel.hop_length  # steps a second
        cepstra = self.liftered.t() @ sliding_cmn(log_mel, round(CMN_WINDOW_S * rate))
        delta = DELTA_SCALE_S * rate * deltas(cepstra, max(1, round(DELTA_WINDOW_S * rate)))
        targets = torch.cat([cepstra[:, 1:], delta], dim=1)
        targets = targets.unflatten(2, (-1, self.parts)).mean(3)  # of a frame
        return (predicted.float() - targets).abs().mean()

    def _by_part(self, log_mel: Signal) -> Tensor:
        return log_mel.transpose(1, 2).unflatten(1, (-1, self.parts))  # (batch, frames, parts, bands)

    def _mfcc(self, log_mel: Tensor) -> Tensor:
        """(..., bands) -> (..., CEPSTRA), of a variance of about 1 each, in all corpora that it was looked at in.

        Source: weights that grow with the place are those of Juang et al., On the use of bandpass liftering (1987).
        """
        return log_mel @ self.liftered


def _append_one(hidden: Tensor) -> Tensor:
    return F.pad(hidden.float(), (0, 1), value=1.0)


def deltas(x: Signal, reach: int) -> Signal:
    """How each line changes a step, by a straight line through some steps before and after: (batch, lines, steps).

    Source: the delta coefficients of Furui, Cepstral analysis technique for automatic speaker verification (1981).
    """
    steps = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    windows = F.pad(x, (reach, reach), mode="replicate").unfold(2, 2 * reach + 1, 1)
    return windows @ (steps / steps.square().sum())


def _log2_f0_l1(one: Tensor, other: Tensor, where: Tensor) -> Tensor:
    """The mean absolute difference of logarithms of pitch, in octaves, where there is one."""
    return ((one - other).abs() * where).sum() / where.sum().clamp_min(1) / math.log(2)
