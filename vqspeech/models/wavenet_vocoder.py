"""WaveNet vocoder: acoustic features to a wave, in sub-bands."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech import config
from vqspeech.audio import mulaw
from vqspeech.data.wave_batches import WaveBatch
from vqspeech.nn.f0 import HIGHEST_HZ, LOWEST_HZ, estimate_f0
from vqspeech.nn.filterbank import FilterBank
from vqspeech.nn.mel import LogMel, match_spectra
from vqspeech.nn.shapes import F0, Classes, Cond, Loss, Signal, Waves
from vqspeech.nn.wavenet import WaveNet

BAND_RMS = 0.12
"""RMS of each sub-band over the training data, after its gain, so that speech uses most mu-law classes."""
TEMPERATURES = 0.5, 0.7
"""Temperatures of the lowest of several sub-bands and of the others, relative to the one that is asked for: harmonics
become steadier, and `match_spectra` gives the noise its power back."""
MIDDLE_HZ = math.sqrt(LOWEST_HZ * HIGHEST_HZ)


class AcousticFeatures(NamedTuple):
    """Input of a vocoder: log-mel spectra (batch, bands, frames), and F0 (batch, frames) in Hz, 0 where unvoiced."""

    log_mel: Signal
    f0: F0


class WaveNetVocoder(nn.Module):
    """A WaveNet over the sub-bands of a wave, conditioned on log-mel spectra, log F0 and voicing at 100 Hz.

    ```
    log-mel, log F0, voicing -> conv 5 -> relu -> conv 3 -> conditioning
                                                               |
    wave -> filter bank -> gains -> mu-law -> symbols  ->   WaveNet  -> symbols -> 1 / gains -> filter bank -> wave
    ```
    In use the wave is given the log-mel spectra that it was conditioned on (`match_spectra`).  There is no speaker
    embedding: the features carry the speaker.  So it serves enrolled speakers, too.

    Args:
        config: sizes, from a `config.yaml`.

    Source: the features are those of Tacotron 2 (Shen et al., 2018) with the pitch of Hayashi et al. (2017).
    """

    gains: Tensor

    def __init__(self, config: config.Vocoder) -> None:
        super().__init__()
        self.sample_rate, self.step, self.bands = config.sample_rate, config.hop_length, config.bands
        self.mel = LogMel(config.sample_rate, config.n_mels, config.hop_length)
        self.filterbank = FilterBank(config.bands)
        self.register_buffer("gains", torch.ones(config.bands))
        self.before = nn.Conv1d(config.n_mels + 2, config.cond_channels, 5, padding=2)
        self.after = nn.Conv1d(config.cond_channels, config.cond_channels, 3, padding=1)
        self.wavenet = WaveNet(
            mulaw.CLASSES, mulaw.SILENCE, config.residual_channels, config.skip_channels, config.layers,
            config.layers_per_stack, config.kernel_size, config.cond_channels, config.bands,
        )  # fmt: skip

    @property
    def context(self) -> int:
        """Acoustic frames on either side of a frame that change its conditioning."""
        return 3

    @property
    def temperatures(self) -> Tensor:
        """Relative temperature of each band, (bands,)."""
        lowest, others = TEMPERATURES
        return torch.tensor([lowest] + [others] * (self.bands - 1)) if self.bands > 1 else torch.ones(1)

    def features(self, wave: Waves) -> AcousticFeatures:
        """Acoustic features of waves; time must be a multiple of `step`."""
        return AcousticFeatures(self.mel(wave), estimate_f0(wave, self.sample_rate, self.step))

    def condition(self, features: AcousticFeatures) -> Cond:
        """Conditioning of the WaveNet, (batch, cond, frames)."""
        voiced = features.f0 > 0
        octaves = interpolate_log_f0(features.f0)
        inputs = torch.cat([features.log_mel, octaves[:, None], voiced[:, None].float()], dim=1)
        return self.after(F.relu(self.before(inputs)))

    @torch.no_grad()
    def measure_gains_(self, waves: list[Tensor]) -> None:
        """Set the gain of each band so that it has BAND_RMS over recordings, (1, time) each."""
        powers, number = torch.zeros(self.bands), 0
        for wave in waves:
            sub_bands = self.filterbank.analyse(wave)
            powers, number = powers + sub_bands.square().sum((0, 2)), number + sub_bands.shape[2]
        self.gains.copy_(BAND_RMS / (powers / max(1, number)).sqrt().clamp_min(1e-6))

    def symbols(self, wave: Waves) -> Classes:
        """The mu-law classes of the sub-bands of a wave, step by step and in a step band by band: (batch, time)."""
        with torch.autocast(wave.device.type, enabled=False):
            sub_bands = self.filterbank.analyse(wave.float()) * self.gains[:, None]
            return mulaw.compress_tensor(sub_bands.transpose(1, 2).flatten(1))

    @property
    def wave_context(self) -> int:
        """Acoustic frames on either side of a frame that change its wave, given their symbols."""
        return math.ceil((self.filterbank.context * self.bands + self.mel.matching_context) / self.step)

    def wave(self, symbols: Classes, log_mel: Signal | None = None) -> Waves:
        """The inverse of `symbols`; given `log_mel`, (batch, bands, frames), with these spectra (`match_spectra`)."""
        wave = self.filterbank.synthesise(
            mulaw.expand_tensor(symbols).unflatten(1, (-1, self.bands)).transpose(1, 2) / self.gains[:, None]
        )
        return wave if log_mel is None else match_spectra(self.mel, wave, log_mel)

    def loss(self, batch: WaveBatch) -> Loss:
        """Bits per sample of the segment of each crop, mean over the bands."""
        features = self.features(batch.waves)
        if batch.predicted is not None:
            inputs = AcousticFeatures(batch.predicted[:, :, :-1].transpose(1, 2), batch.predicted[:, :, -1])
            features = AcousticFeatures(*(torch.where(b.isnan(), a, b) for a, b in zip(features, inputs, strict=True)))
        spoken = batch.errors.shape[1]
        frames = batch.starts[:, None] + torch.arange(spoken // self.step, device=batch.starts.device)
        symbols = self.symbols(batch.waves).unflatten(1, (-1, self.step))
        symbols = symbols.gather(1, frames[:, :, None].expand(-1, -1, self.step)).flatten(1)
        past = (symbols.int() + batch.errors).clamp(0, mulaw.MU)
        cond = self.condition(features)
        logits = self.wavenet(past, cond.gather(2, frames[:, None].expand(-1, cond.shape[1], -1)))
        nats = F.cross_entropy(logits.float().transpose(1, 2).flatten(0, 1), symbols.long().flatten())
        return Loss(nats, {"bits_per_sample": nats / math.log(2)})


def interpolate_log_f0(f0: F0) -> Tensor:
    """Log2 F0 relative to MIDDLE_HZ, (batch, frames), interpolated linearly through unvoiced frames.

    The ends repeat the first and the last voiced frame; all is 0 where no frame is voiced.
    """
    frames = f0.shape[1]
    place = torch.arange(frames, device=f0.device).expand_as(f0)
    voiced = f0 > 0
    before = torch.where(voiced, place, -1).cummax(1).values
    after = torch.where(voiced, place, frames).flip(1).cummin(1).values.flip(1)
    before, after = torch.where(before < 0, after, before), torch.where(after >= frames, before, after)
    before, after = before.clamp(0, frames - 1), after.clamp(0, frames - 1)
    octaves = torch.where(voiced, (f0.clamp_min(1) / MIDDLE_HZ).log2(), 0.0)
    share = (place - before) / (after - before).clamp_min(1)
    return torch.lerp(octaves.gather(1, before), octaves.gather(1, after), share)
