"""Acoustic model: log-mel spectra, F0 and voicing predicted from codes and a speaker, with speaker adaptation."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.encoder import CausalBlocks
from vqspeech.nn.f0 import HIGHEST_HZ, LOWEST_HZ
from vqspeech.nn.mel import LogMel, dct_basis, sliding_cmn
from vqspeech.nn.shapes import F0, Cond, Latents, Signal

N_MELS = 80
"""Mel bands of the acoustic features."""
STEP_S = 0.01
"""Frame shift of the acoustic features."""
RESIDUAL_BLOCKS = 2
"""Non-causal residual blocks."""
SLOPE_BANDS = 4
"""Bands between which the slope of a spectrum is measured."""
FLOOR = 2.75
"""Log10 of the amplitude below the loudest band of a recording (55 dB) under which spectra are not compared."""
ENVELOPE_CEPSTRA, ENVELOPE_STEPS = 20, 3
"""Cepstra of a spectral envelope, and steps that it is averaged over."""
SLOW_STEPS = 31
"""Steps whose mean is no movement of an envelope."""
MEL_WEIGHT, MOVEMENT_WEIGHT, SLOPE_WEIGHT = 0.5, 3.0, 2.0
"""Weights of the losses of whole spectra, of movements and of slopes; that of envelopes is 1."""
N_MFCC = 13
"""Cepstra of the MFCC loss and of the context-free loss, from the zeroth on."""
MFCC_WEIGHT = 0.3
"""Weight of the MFCC loss."""
CMN_WINDOW_S = 2.0
"""Seconds before and after a frame whose mean is removed from the targets of the context-free loss."""
N_CONTEXT_FREE = 2 * N_MFCC - 1
"""Targets of the context-free loss: cepstra 1 and up, and the deltas of all."""
DELTA_WINDOW_S = 0.04
"""Regression window of the deltas, in seconds before and after."""
DELTA_SCALE_S = 0.06
"""Seconds by which the slopes are multiplied, so that deltas are as large as cepstra."""
PRIOR_S = 15.0
"""Weight of the prior of the adaptation (no change), as seconds of speech."""
MAX_VARIANCE_GAIN = 1.0
"""Maximum increase of the standard deviation of spectra, as a share of it."""
MEAN_LOG_F0 = math.log(LOWEST_HZ * HIGHEST_HZ) / 2
"""Initial mean of log F0."""


class AcousticPrediction(NamedTuple):
    """Acoustic features predicted from codes, (batch, frames) and more.

    `conditioning`: of the WaveNet, in addition to the codes; `hidden`: the last hidden layer, of which the others are
    linear maps; `log_mel`: (batch, frames, parts * N_MELS); `voicing_logits`: positive where voiced; `log_f0`: valid
    where voiced.
    """

    conditioning: Cond
    hidden: Tensor
    log_mel: Tensor
    voicing_logits: Tensor
    log_f0: Tensor

    @property
    def f0(self) -> F0:
        """F0 in Hz, 0 where the frame is more likely unvoiced."""
        return torch.where(self.voicing_logits > 0, self.log_f0.float().exp().clamp(LOWEST_HZ, HIGHEST_HZ), 0.0)


class SpeakerMean(NamedTuple):
    """Mean of a speaker: log-mel spectra of voiced and unvoiced frames, (batch, 1, N_MELS), and log F0."""

    voiced: Tensor
    unvoiced: Tensor
    log_f0: Tensor


class AcousticModel(nn.Module):
    """Convolutions over codes that predict acoustic features as residuals to the mean of the speaker.

    ```
    codes ----> conv 3 -+-> blocks -+-> + context -> WaveNet
                        |           +-> voicing, residual --+
    speaker --> linear -+-------------> speaker mean -------+-> log-mel spectra, log F0
    ```
    Spectra are learned in minutes where a waveform takes days: the codes need not wait for the WaveNet.  Codes predict
    residuals only, so another speaker is another mean.  A speaker adaptation of the residuals helps only where codes
    carry nothing of the source speaker, see `nn.features`.

    Args:
        sample_rate: in Hz.
        hop: samples per code.
        context: channels of the latents with their neighbours.
        speaker_dim: of the speaker embedding.
        channels: of the hidden layers.
        causal_blocks: see `nn.encoder.CausalBlocks`.
        dropout: share of the activations that each block, and the last layer, does without in training.

    Source: F0 as a target of the codes is after Garbacea et al., Low Bit-Rate Speech Coding with VQ-VAE and a WaveNet
        Decoder (2019), section 3.3.
    """

    liftered: Tensor
    envelope: Tensor

    def __init__(
        self, sample_rate: int, hop: int, context: int, speaker_dim: int, channels: int, causal_blocks: int = 0,
        dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.parts = next(n for n in range(max(1, round(hop / (STEP_S * sample_rate))), hop + 1) if hop % n == 0)
        self.mel = LogMel(sample_rate, N_MELS, hop // self.parts)
        weights = (1 + torch.arange(N_MFCC)) ** 0.8 / 2
        self.register_buffer(
            "liftered", (F.normalize(dct_basis(N_MELS, N_MFCC)) * weights[:, None]).t(), persistent=False
        )
        smooth = F.normalize(dct_basis(N_MELS, ENVELOPE_CEPSTRA))
        self.register_buffer("envelope", smooth.t() @ smooth, persistent=False)
        self.first = nn.Conv1d(context, channels, 3, padding=1)
        self.speaker = nn.Linear(speaker_dim, channels)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Sequential(nn.ReLU(), nn.Dropout(dropout)),
                nn.Conv1d(channels, channels, 3, padding=1),
                nn.ReLU(),
                nn.Conv1d(channels, channels, 1),
            )
            for _ in range(RESIDUAL_BLOCKS)
        )
        self.causal = CausalBlocks(channels, causal_blocks, dropout)
        self.dropout = nn.Dropout(dropout)
        self.residual = nn.Conv1d(channels, self.parts * N_MELS + 2, 1)
        self.speaker_mean = nn.Linear(speaker_dim, 2 * N_MELS + 1)
        self.to_conditioning = nn.Conv1d(channels, context, 1)
        nn.init.zeros_(self.to_conditioning.weight)
        nn.init.zeros_(self.to_conditioning.bias)  # type: ignore[arg-type]

    @property
    def left_context(self) -> int:
        """Number of earlier frames of `context` that a prediction depends on."""
        return self.right_context + self.causal.context

    @property
    def right_context(self) -> int:
        """Number of later frames of `context` that a prediction depends on."""
        return 1 + RESIDUAL_BLOCKS

    def forward(self, context: Cond, speakers: Tensor) -> AcousticPrediction:
        """Predict from codes with context, (batch, context, frames), and speaker embeddings, (batch, dim)."""
        x = self.first(context) + self.speaker(speakers)[:, :, None]
        for block in self.blocks:
            x = x + block(x)
        x = self.dropout(F.relu(self.causal(x[:, :, None])[:, :, 0]))
        residual, speaker_mean = self.residual(x).transpose(1, 2).float(), self.speaker_means(speakers)
        voicing_logits = residual[:, :, 0]
        voiced = torch.sigmoid(voicing_logits)[:, :, None]
        spectrum = (speaker_mean.voiced * voiced + speaker_mean.unvoiced * (1 - voiced)).detach()  # trained by `losses`
        return AcousticPrediction(
            self.to_conditioning(x),
            x.transpose(1, 2),
            residual[:, :, 2:] + spectrum.repeat(1, 1, self.parts),
            voicing_logits,
            residual[:, :, 1] + speaker_mean.log_f0.detach(),
        )

    def speaker_means(self, speakers: Tensor) -> SpeakerMean:
        """Means of speakers with embeddings (batch, dim)."""
        speaker_mean = self.speaker_mean(speakers)[:, None].float()
        return SpeakerMean(
            speaker_mean[:, :, :N_MELS], speaker_mean[:, :, N_MELS:-1], speaker_mean[:, :, -1] + MEAN_LOG_F0
        )

    @property
    def adaptation_shape(self) -> tuple[int, int]:
        """Shape of a speaker adaptation; see `adapt`."""
        return self.residual.in_channels + 3, self.parts * N_MELS

    def adapt(self, prediction: AcousticPrediction, adaptations: Tensor) -> AcousticPrediction:
        """Apply the adaptations of speakers, (batch, *adaptation_shape), to predicted spectra.

        The first rows are a linear transform of the hidden layer, and a bias, that is added to the spectra; the last
        two rows are the gain and the offset of global variance scaling in voiced frames.

        Source: a linear transform for each speaker, fitted by least squares: Valbret, Moulines and Tubach, Voice
            transformation using PSOLA technique (1992); global variance: Toda, Black and Tokuda (2007).
        """
        adapted = prediction.log_mel + _append_one(prediction.hidden) @ adaptations[:, :-2]
        variance_gain, variance_offset = adaptations[:, -2:].unsqueeze(2).unbind(1)
        return prediction._replace(
            log_mel=adapted
            + torch.sigmoid(prediction.voicing_logits)[:, :, None] * (variance_gain * adapted - variance_offset)
        )

    def fit_adaptation(
        self, predictions: Sequence[AcousticPrediction], log_mel: Sequence[Tensor], share: float = 1.0
    ) -> Tensor:
        """Fit the adaptation of a speaker: ridge regression of the prediction error, in closed form.

        Args:
            predictions: of the speaker's recordings, a batch of one each.
            log_mel: the spectra of the recordings, (1, bands, steps) each, by `mel`.
            share: of the fitted adaptation that is returned; all of it is nearest to the speaker, but sounds rougher.

        Returns:
            An array of `adaptation_shape`.
        """
        target = torch.cat([self._by_part(spectra).flatten(2)[0] for spectra in log_mel]).double().cpu()
        residual = torch.cat([prediction.log_mel[0] for prediction in predictions]).double().cpu()
        voiced = torch.cat([prediction.voicing_logits[0] > 0 for prediction in predictions]).cpu()
        hidden = _append_one(torch.cat([prediction.hidden[0] for prediction in predictions])).double().cpu()
        prior = torch.full((hidden.shape[1],), PRIOR_S * self.mel.sizes[0] / (self.parts * self.mel.hop_length))
        prior *= hidden.var(0, correction=0).mean()
        prior[-1] *= 1e-3  # the bias needs the least data
        transform = torch.linalg.solve(hidden.t() @ hidden + (prior + 1e-6).diag(), hidden.t() @ (target - residual))
        transform *= share
        adapted = (residual + hidden @ transform)[voiced]
        enough = len(adapted) > 1
        variance_gain = target[voiced].std(0) / (adapted.std(0) + 1e-6) - 1 if enough else torch.zeros(target.shape[1])
        variance_gain = share * variance_gain.clamp(0, MAX_VARIANCE_GAIN)
        return torch.cat(
            [transform, torch.stack([variance_gain, variance_gain * (adapted.mean(0) if enough else 0.0)])]
        ).float()

    def losses(self, prediction: AcousticPrediction, speakers: Tensor, log_mel: Signal, f0: F0) -> dict[str, Tensor]:
        """Losses of a prediction, by name.

        Of log10 amplitudes, mean absolute errors: `mel_l1`, of spectra; `envelope_l1`, of their envelopes, from a few
        cepstra and averaged over a few steps, since harmonics and the noise of an estimate are not in the codes;
        `envelope_movement_l1`, the same without the mean of some 300 ms; `envelope_slope_l1`, of slopes from band to
        band.  Movements and slopes tell words apart, and the level does not.  `mfcc_l1`: of liftered cepstra, in which
        coarse and fine shapes count alike; `log2_f0_l1`: in octaves; `vuv_bce`: of voicing; `speaker_mean_...`: of the
        speaker means alone.

        Args:
            prediction: from the codes of the recordings.
            speakers: embeddings, (batch, dim).
            log_mel: of the recordings, by `mel`.
            f0: of the recordings in Hz, (batch, frames).
        """
        log_mel = self._by_part(log_mel)
        voiced, log_f0, speaker_mean = (f0 > 0).float(), f0.clamp_min(1).log(), self.speaker_means(speakers)
        expected = torch.where(voiced[:, :, None] > 0, speaker_mean.voiced, speaker_mean.unvoiced)
        floor = log_mel.amax((1, 2, 3), keepdim=True) - FLOOR
        error = torch.maximum(prediction.log_mel.unflatten(2, (-1, N_MELS)), floor) - torch.maximum(log_mel, floor)
        envelope = self.envelope @ _moving_average(error.flatten(1, 2).transpose(1, 2), ENVELOPE_STEPS)
        return {
            "mel_l1": MEL_WEIGHT * error.abs().mean(),
            "envelope_l1": envelope.abs().mean(),
            "envelope_movement_l1": MOVEMENT_WEIGHT * (envelope - _moving_average(envelope, SLOW_STEPS)).abs().mean(),
            "envelope_slope_l1": SLOPE_WEIGHT * (envelope[:, SLOPE_BANDS:] - envelope[:, :-SLOPE_BANDS]).abs().mean(),
            "mfcc_l1": MFCC_WEIGHT * self._mfcc(error).abs().mean(),
            "log2_f0_l1": _log2_f0_l1(prediction.log_f0, log_f0, voiced),
            "vuv_bce": F.binary_cross_entropy_with_logits(prediction.voicing_logits, voiced),
            "speaker_mean_mel_l1": (expected[:, :, None] - log_mel).abs().mean(),
            "speaker_mean_log2_f0_l1": _log2_f0_l1(speaker_mean.log_f0, log_f0, voiced),
        }

    def context_free_loss(self, predicted: Latents, log_mel: Signal) -> Tensor:
        """Auxiliary loss of each code alone, without neighbours and speaker: mean absolute error of cepstra and deltas.

        A code with neighbours need not describe its own frame.  This loss sees one code at a time, so the code must.

        Args:
            predicted: (batch, N_CONTEXT_FREE, frames).
            log_mel: as in `losses`; a sliding mean and the level are removed.
        """
        rate = self.mel.sizes[0] / self.mel.hop_length  # steps per second
        cepstra = self.liftered.t() @ sliding_cmn(log_mel, *[round(CMN_WINDOW_S * rate)] * 2)
        delta = DELTA_SCALE_S * rate * deltas(cepstra, max(1, round(DELTA_WINDOW_S * rate)))
        targets = torch.cat([cepstra[:, 1:], delta], dim=1)
        targets = targets.unflatten(2, (-1, self.parts)).mean(3)  # averaged over the parts of a frame
        return (predicted.float() - targets).abs().mean()

    def _by_part(self, log_mel: Signal) -> Tensor:
        """Spectra grouped by frame: (batch, bands, steps) -> (batch, frames, parts, bands)."""
        return log_mel.transpose(1, 2).unflatten(1, (-1, self.parts))

    def _mfcc(self, log_mel: Tensor) -> Tensor:
        """Liftered cepstra, (..., bands) -> (..., N_MFCC), of a variance of about 1 each.

        Source: weights that grow with the index are those of Juang et al., On the use of bandpass liftering (1987).
        """
        return log_mel @ self.liftered


def _append_one(hidden: Tensor) -> Tensor:
    """Hidden layer with a constant 1 appended, which makes the last row of a transform its bias."""
    return F.pad(hidden.float(), (0, 1), value=1.0)


def deltas(x: Signal, reach: int) -> Signal:
    """Deltas: the regression slope over `reach` steps before and after, (batch, bands, steps).

    Source: the delta coefficients of Furui, Cepstral analysis technique for automatic speaker verification (1981).
    """
    steps = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    windows = F.pad(x, (reach, reach), mode="replicate").unfold(2, 2 * reach + 1, 1)
    return windows @ (steps / steps.square().sum())


def _moving_average(x: Signal, steps: int) -> Signal:
    """Mean of an odd number of steps around each, or of those that there are, (batch, bands, steps)."""
    return F.avg_pool1d(x, steps, 1, steps // 2, count_include_pad=False)


def _log2_f0_l1(log_f0: Tensor, target: Tensor, where: Tensor) -> Tensor:
    """Mean absolute error of log F0, in octaves, where voiced."""
    return ((log_f0 - target).abs() * where).sum() / where.sum().clamp_min(1) / math.log(2)
