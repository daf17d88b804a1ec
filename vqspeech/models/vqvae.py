"""The VQ-VAE of speech: encoder, quantiser and a WaveNet that is told the codes and the speaker."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech import config, mulaw
from vqspeech.dataset import Batch
from vqspeech.nn.encoder import Encoder
from vqspeech.nn.mel import LogMel
from vqspeech.nn.quantiser import Quantiser, jitter, sum_over_processes_
from vqspeech.nn.wavenet import WaveNet
from vqspeech.shapes import Classes, Codes, Cond, Latents, Loss

VOICE_STD = 0.1
"""Spread of the voices' vectors to begin with: with 1 a voice that is seldom heard never leaves its place, and
vectors that tell nothing of their neighbours are of no use to a new voice."""


class VQVAE(nn.Module):
    """Speech to codes and, told the codes and a speaker, codes to the distribution of each sample.

    ```
    classes -> encoder -> latents -> quantiser -> codes -> conv 3 --+
                                                   speaker -> table +-> cond -> WaveNet -> classes
    ```
    Everything hears mu-law classes, never the wave itself: what is trained on (8-bit shards) and what is
    converted (any recording) is the same thing.

    Args:
        config: sizes, from a `config.yaml`.
        speakers: how many voices.

    Source: van den Oord et al. (2017), section 4.3; the convolution over neighbouring codes is that of
        Chorowski et al. (2019), section III-B.
    """

    def __init__(self, config: config.Model, speakers: int) -> None:
        super().__init__()
        encoder, quantiser, decoder = config.encoder, config.quantiser, config.decoder
        self.sample_rate, self.hop, self.jitter = config.sample_rate, config.hop, config.jitter
        self.mel = LogMel(config.sample_rate, encoder.mels, encoder.mel_step) if encoder.mels else None
        self.encoder = Encoder(
            encoder.mels or 1, encoder.channels, encoder.strides, encoder.residual_blocks, quantiser.dim
        )
        self.quantiser = Quantiser(
            quantiser.codes, quantiser.dim, quantiser.learning, quantiser.beta, quantiser.decay, quantiser.revive_below,
            quantiser.beta_steps,
        )  # fmt: skip
        self.context = nn.Conv1d(quantiser.dim, decoder.cond, 3, padding=1)
        self.speaker = nn.Embedding(speakers, decoder.speaker)
        nn.init.normal_(self.speaker.weight, std=VOICE_STD)
        self.wavenet = WaveNet(
            mulaw.CLASSES, mulaw.SILENCE, decoder.residual, decoder.skip, decoder.layers, decoder.stack,
            decoder.kernel, decoder.cond + decoder.speaker,
        )  # fmt: skip

    def latents(self, classes: Classes) -> Latents:
        """(batch, time) -> (batch, dim, frames), before quantisation; time must be a multiple of the hop."""
        if self.mel is None:
            curved = classes.float() * (2 / mulaw.MU) - 1  # the mu-law curve itself: quiet sounds stay audible
            return self.encoder(curved[:, None])
        levels = torch.from_numpy(mulaw.LEVELS).to(classes.device)
        return self.encoder(self.mel(levels[classes.long()]))

    @property
    def margin(self) -> int:
        """Frames on either side of a frame beyond which no sample can change its code."""
        return self.encoder.context + (-(-self.mel.reach // self.hop) if self.mel else 0)

    def encode(self, classes: Classes) -> Codes:
        """(batch, time) -> (batch, frames); time must be a multiple of the hop."""
        return self.quantiser.encode(self.latents(classes))

    def condition(self, latents: Latents, speakers: Tensor) -> Cond:
        """What the WaveNet is told: codebook vectors with their neighbours, and the speaker.

        Args:
            latents: quantised, (batch, dim, frames); `quantiser.decode(codes)`.
            speakers: (batch,), indices into the speaker table.
        """
        return self.condition_on(latents, self.speaker(speakers))

    def condition_on(self, latents: Latents, voices: Tensor) -> Cond:
        """The same for voices given by their vectors, (batch, dim)."""
        return torch.cat([self.context(latents), voices[:, :, None].expand(-1, -1, latents.shape[2])], dim=1)

    def loss(self, batch: Batch) -> Loss:
        """Bits per sample and the commitment; equation 3 of the paper, the likelihood averaged over samples."""
        if self.training and not self.quantiser.counts.any():
            self._standardise_(batch.classes)
        quantised = self.quantiser(self.latents(batch.classes))
        latents = quantised.latents
        if self.training and self.jitter:
            latents = jitter(latents, batch.uniforms, self.jitter)
        logits = self.wavenet(batch.past, self.condition(latents, batch.speakers))
        nats = F.cross_entropy(logits.float().transpose(1, 2).flatten(0, 1), batch.classes.long().flatten())
        counts = torch.bincount(quantised.codes.flatten(), minlength=len(self.quantiser.counts))
        parts = {"bits_per_sample": nats / math.log(2), "quantiser_loss": quantised.loss, "code_counts": counts}
        return Loss(nats + quantised.loss, parts)

    @torch.no_grad()
    def _standardise_(self, classes: Classes) -> None:
        """Sets the encoder's last layer so that each number of a latent has mean 0 and variance 1 over the first batch.

        As it is drawn, an encoder says nearly the same of every frame.  The decoder then learns to do without the
        codes, and the commitment shrinks what is left of them to nothing: the codebook collapses to one code.

        Source: Salimans and Kingma, Weight Normalization (2016), section 3, data-dependent initialisation.
        """
        latents = self.latents(classes).float()
        number = latents.new_tensor(latents[:, 0].numel())
        sums, squares = latents.sum((0, 2)), latents.square().sum((0, 2))
        for statistic in (number, sums, squares):
            sum_over_processes_(statistic)
        mean = sums / number
        scale = (squares / number - mean.square()).clamp_min(1e-12).rsqrt()
        last = self.encoder.latents
        last.weight.mul_(scale[:, None, None, None])
        last.bias.sub_(mean).mul_(scale)  # type: ignore[union-attr]
