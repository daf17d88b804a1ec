"""The VQ-VAE of speech: encoder, quantiser and a WaveNet that is told the codes and the speaker."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech import config, mulaw
from vqspeech.dataset import Batch
from vqspeech.nn.encoder import Encoder
from vqspeech.nn.hearing import COLOURS, Disguise, Hearing, Sensed, disguised
from vqspeech.nn.outline import ALONE, Outline, Outlined
from vqspeech.nn.pitch import pitch_hz
from vqspeech.nn.quantiser import ResidualQuantised, ResidualQuantiser, jitter, standardise_
from vqspeech.nn.wavenet import WaveNet
from vqspeech.phones import PHONES
from vqspeech.shapes import Classes, Cond, Latents, Loss, Past, StackedCodes, Wave

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

    manners: Tensor | None
    """How each voice departs from its outline, (speakers, *voice_shapes[1]); learned when all else is."""

    def __init__(self, config: config.Model, speakers: int) -> None:
        super().__init__()
        encoder, quantiser, decoder = config.encoder, config.quantiser, config.decoder
        self.sample_rate, self.hop, self.jitter = config.sample_rate, config.hop, config.jitter
        self.warp, self.colour = config.warp, config.colour
        self.hearing = None
        if encoder.mels:
            self.hearing = Hearing(
                config.sample_rate, self.hop, encoder.mels, encoder.mel_step, encoder.cepstra, encoder.relative_s,
                encoder.pitch,
            )  # fmt: skip
        bands = self.hearing.bands if self.hearing else 1
        self.encoder = Encoder(bands, encoder.channels, encoder.strides, encoder.residual_blocks, quantiser.dim)
        self.quantiser = ResidualQuantiser(
            quantiser.codebooks, quantiser.dropout, quantiser.codes, quantiser.dim, quantiser.learning, quantiser.beta,
            quantiser.decay, quantiser.revive_below, quantiser.beta_steps,
        )  # fmt: skip
        self.context = nn.Conv1d(quantiser.dim, decoder.cond, 3, padding=1)
        self.speaker = nn.Embedding(speakers, decoder.speaker)
        nn.init.normal_(self.speaker.weight, std=VOICE_STD)
        sizes = (decoder.cond, decoder.speaker, decoder.outline)
        self.outline = Outline(config.sample_rate, self.hop, *sizes) if decoder.outline else None
        self.register_buffer("manners", None)
        self.wavenet = WaveNet(
            mulaw.CLASSES, mulaw.SILENCE, decoder.residual, decoder.skip, decoder.layers, decoder.stack,
            decoder.kernel, decoder.cond + decoder.speaker,
        )  # fmt: skip

    def latents(
        self, classes: Classes, disguise: Disguise | None = None, sensed: Sensed | None = None
    ) -> Latents:  # fmt: skip
        """(batch, time) -> (batch, dim, frames), before quantisation; time must be a multiple of the hop.

        Args:
            disguise: of spectra; a wave has none.
            sensed: what has been measured of the classes already.
        """
        if self.hearing is None:
            curved = classes.float() * (2 / mulaw.MU) - 1  # the mu-law curve itself: quiet sounds stay audible
            return self.encoder(curved[:, None])
        return self.encoder(self.hearing.told(sensed or self.hearing.sense(_wave(classes)), disguise))

    @property
    def margin(self) -> int:
        """Frames on either side of a frame beyond which no sample can change its code."""
        return self.encoder.context + (math.ceil(self.hearing.reach / self.hop) if self.hearing else 0)

    def encode(self, classes: Classes) -> StackedCodes:
        """(batch, time) -> (batch, frames, codebooks); time must be a multiple of the hop."""
        return self.quantiser.encode(self.latents(classes))

    @property
    def voice_shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What is known of a voice: its vector and its manner, of which there is nothing without an outline."""
        return (self.speaker.embedding_dim,), self.outline.mannerisms if self.outline else (0, 0)

    @property
    def foresight(self) -> int:
        """Frames on either side of a frame that change what the WaveNet is told of it."""
        return 1 + (self.outline.context if self.outline else 0)

    def condition(self, latents: Latents, speakers: Tensor) -> Cond:
        """What the WaveNet is told: codebook vectors with their neighbours, the speaker, and what follows from them.

        Args:
            latents: quantised, (batch, dim, frames); `quantiser.decode(codes)`.
            speakers: (batch,), indices into the speaker table.
        """
        return self._outlined(latents, self.speaker(speakers))[0]

    def foresee(self, latents: Latents, speakers: Tensor) -> Outlined:
        """How codes will sound in a voice, for a model that has an outline; the arguments are those of `condition`."""
        outlined = self._outlined(latents, self.speaker(speakers))[1]
        assert self.outline, "this model has no outline"
        assert outlined
        return outlined if self.manners is None else self.outline.mannered(outlined, self.manners[speakers])

    @torch.inference_mode()
    def manner(self, recordings: Sequence[Tensor], voice: Tensor) -> Tensor:
        """How a voice departs from what is foreseen for its vector, (dim,): (traits, bands), see `Outline.manner`.

        Args:
            recordings: classes, (1, time) each, of that voice; time is a multiple of the hop.
        """
        assert self.outline, "this model has no outline"
        outline = self.outline
        latents = [self.quantiser.decode(self.encode(one)) for one in recordings]
        outlines = [outline(self.context(one), voice[None]) for one in latents]
        return outline.manner(outlines, [outline.mel(_wave(one)) for one in recordings])

    def nats(
        self, classes: Classes, past: Past, starts: Tensor, latents: Latents, voices: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Nats a sample of recordings, told quantised latents and voices, (batch, dim); the outline's faults.

        Args:
            past, starts: of the part whose samples are counted, as in `dataset.Batch`.
        """
        cond, outlined = self._outlined(latents, voices)
        frames = past.shape[1] // self.hop
        said = starts[:, None] + torch.arange(frames, device=starts.device)
        logits = self.wavenet(past, cond.gather(2, said[:, None].expand(-1, cond.shape[1], -1)))
        heard = classes.unflatten(1, (-1, self.hop)).gather(1, said[:, :, None].expand(-1, -1, self.hop))
        nats = F.cross_entropy(logits.float().transpose(1, 2).flatten(0, 1), heard.long().flatten())
        return nats, self._off(outlined, voices, self._sensed(classes))

    def off(self, classes: Classes, latents: Latents, voices: Tensor) -> dict[str, Tensor]:
        """How far the outline of quantised latents in voices, (batch, dim), is off recordings; empty without one."""
        return self._off(self._outlined(latents, voices)[1], voices, self._sensed(classes))

    def _outlined(self, latents: Latents, voices: Tensor) -> tuple[Cond, Outlined | None]:
        context = self.context(latents)
        outlined = self.outline(context, voices) if self.outline else None
        context = context + outlined.told if outlined else context
        return torch.cat([context, voices[:, :, None].expand(-1, -1, latents.shape[2])], dim=1), outlined

    def _sensed(self, classes: Classes) -> Sensed | None:
        """What the outline is asked for; None without one."""
        if not self.outline:
            return None
        wave = _wave(classes)
        return Sensed(self.outline.mel(wave), pitch_hz(wave, self.sample_rate, self.hop))

    def _off(self, outlined: Outlined | None, voices: Tensor, sensed: Sensed | None) -> dict[str, Tensor]:
        if not self.outline or not outlined or not sensed or sensed.pitch is None:
            return {}
        return self.outline.loss(outlined, voices, sensed.spectra, sensed.pitch)

    def loss(self, batch: Batch) -> Loss:
        """Bits per sample and the commitment; equation 3 of the paper, the likelihood averaged over samples.

        With an outline, how far that is off is added.
        """
        quantised, parts = self._coded(batch)
        latents, commitment = quantised.latents, quantised.loss
        nats, off = self.nats(batch.classes, batch.past, batch.starts, latents, self.speaker(batch.speakers))
        return Loss(nats + commitment + sum(off.values()), {"bits_per_sample": nats / math.log(2)} | parts | off)

    def sketch(self, batch: Batch, heads: "Heads | None" = None) -> Loss:
        """The commitment and the outline alone: what codes are good for, learned before there is any sound.

        Args:
            heads: what else codes are asked for.
        """
        assert self.outline, "this model has no outline"
        sensed, voices = self._sensed(batch.classes), self.speaker(batch.speakers)
        quantised, parts = self._coded(batch, sensed if self._asked_what_it_hears else None)
        latents, commitment = quantised.latents, quantised.loss
        off = self._off(self._outlined(latents, voices)[1], voices, sensed)
        if heads and sensed:
            off |= {"outline_alone": self.outline.alone(heads.alone(quantised.first), sensed.spectra)}
            off |= heads.phone_losses(quantised.first, batch.phones)
        return Loss(commitment + sum(off.values()), parts | off)

    @property
    def _asked_what_it_hears(self) -> bool:
        """Whether spectra and pitch that the outline is asked for are those that the encoder hears."""
        ear, outline = self.hearing, self.outline
        return bool(ear and outline and ear.pitch and ear.mel.sizes == outline.mel.sizes)

    def _coded(self, batch: Batch, sensed: Sensed | None = None) -> tuple[ResidualQuantised, dict[str, Tensor]]:
        """Quantised latents as the decoder is told them, and what is logged of them."""
        if self.training and not self.quantiser.first.counts.any():
            with torch.no_grad():
                standardise_(self.encoder.latents, self.latents(batch.classes))
        disguise = None
        if self.training and (self.warp or self.colour):
            disguise = disguised(batch.uniforms[:, -1 - COLOURS :], self.warp, self.colour)
        quantised = self.quantiser(self.latents(batch.classes, disguise, sensed), batch.uniforms[:, 0])
        if self.training and self.jitter:
            quantised = quantised._replace(latents=jitter(quantised.latents, batch.uniforms, self.jitter))
        parts = {"quantiser_loss": quantised.loss}
        for number, (codes, size) in enumerate(zip(quantised.codes.unbind(2), self.quantiser.sizes, strict=True)):
            name = "code_counts" if number == 0 else f"code_{number + 1}_counts"
            parts[name] = torch.bincount(codes.flatten(), minlength=size)
        return quantised, parts


class Sketch(nn.Module):
    """A VQ-VAE that learns its codes by their outline alone, `VQVAE.sketch`, a hundred times as fast as with sound."""

    def __init__(self, model: VQVAE, phone_weight: float = 0.0, phone_context_weight: float = 0.0) -> None:
        super().__init__()
        self.model = model
        assert model.outline, "the config has seen to it"
        for unheard in (model.wavenet, model.outline.told):
            unheard.requires_grad_(False)
        self.heads = Heads(model.quantiser.first.codebook.shape[1], phone_weight, phone_context_weight)

    def loss(self, batch: Batch) -> Loss:
        """See `VQVAE.sketch`."""
        return self.model.sketch(batch, self.heads)


class Heads(nn.Module):
    """What codes of the first codebook are asked for while they are learned; left behind afterwards.

    Args:
        dim: numbers in a latent.
        phone_weight, phone_context_weight: of the cross entropies, of each code alone and with its neighbours.
    """

    def __init__(self, dim: int, phone_weight: float, phone_context_weight: float) -> None:
        super().__init__()
        self.alone = nn.Conv1d(dim, ALONE, 1)
        self.weights = phone_weight, phone_context_weight
        self.phone = nn.Conv1d(dim, len(PHONES), 1)
        self.phone_context = nn.Conv1d(dim, len(PHONES), 3, padding=1)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def phone_losses(self, latents: Latents, posteriors: Tensor | None) -> dict[str, Tensor]:
        """The cross entropies of phone posteriors, (batch, frames, phones), in frames that have any, weighted."""
        if posteriors is None:
            return {}
        known = posteriors.sum(2) > 0
        losses = {}
        for name, head, weight in (
            ("phone_nats", self.phone, self.weights[0]), ("phone_context_nats", self.phone_context, self.weights[1])
        ):  # fmt: skip
            if weight:
                nats = -(posteriors * F.log_softmax(head(latents).float(), dim=1).transpose(1, 2)).sum(2)
                losses[name] = weight * (nats * known).sum() / known.sum().clamp_min(1)
        return losses


class Told(nn.Module):
    """A VQ-VAE of which only the WaveNet learns, and what it is told of the outline: codes stay what they are."""

    def __init__(self, model: VQVAE) -> None:
        super().__init__()
        self.model = model
        model.requires_grad_(False)
        for learning in (model.wavenet, model.outline.told if model.outline else model.context):
            learning.requires_grad_(True)

    def train(self, mode: bool = True) -> "Told":
        """Leaves the model as it is when it is used: no codebook that moves, nothing in disguise."""
        super().train(mode)
        self.model.eval()
        return self

    def loss(self, batch: Batch) -> Loss:
        """See `VQVAE.loss`."""
        return self.model.loss(batch)


def _wave(classes: Classes) -> Wave:
    return torch.from_numpy(mulaw.LEVELS).to(classes.device)[classes.long()]
