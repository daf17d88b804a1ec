"""The VQ-VAE of speech: encoder, quantiser and a WaveNet that is told the codes and the speaker."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech import config
from vqspeech.audio import mulaw
from vqspeech.data.batches import Batch
from vqspeech.nn.acoustic_model import AcousticModel, AcousticPrediction
from vqspeech.nn.encoder import Encoder
from vqspeech.nn.f0 import estimate_f0
from vqspeech.nn.features import (
    N_PERTURBED_CEPSTRA,
    NOISE_DRAWS,
    Analysis,
    FeatureExtractor,
    Perturbation,
    add_noise,
    sample_perturbation,
)
from vqspeech.nn.phone_heads import PhoneHeads
from vqspeech.nn.quantizer import ResidualQuantized, ResidualQuantizer, data_dependent_init_, time_jitter
from vqspeech.nn.wavenet import WaveNet
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

    adaptations: Tensor | None
    """How each voice departs from its outline, (speakers, *voice_shapes[1]); learned when all else is."""

    def __init__(self, config: config.Model, speakers: int) -> None:
        super().__init__()
        features, encoder, quantizer, wavenet = config.features, config.encoder, config.quantizer, config.wavenet
        self.sample_rate, self.hop, self.augment = config.sample_rate, config.hop, config.augment
        self.feature_extractor = None
        if features.n_mels:
            self.feature_extractor = FeatureExtractor(
                config.sample_rate, self.hop, features.n_mels, features.hop_length, features.n_mfcc,
                features.cmn_window_s, features.use_f0,
            )  # fmt: skip
        bands = self.feature_extractor.bands if self.feature_extractor else 1
        self.encoder = Encoder(
            bands, encoder.channels, encoder.strides, encoder.residual_blocks, quantizer.codebook_dim,
            causal_blocks=encoder.causal_blocks,
        )  # fmt: skip
        self.quantizer = ResidualQuantizer(
            quantizer.codebooks, quantizer.dropout, quantizer.codebook_size, quantizer.codebook_dim,
            quantizer.codebook_update, quantizer.commitment_weight, quantizer.ema_decay,
            quantizer.dead_code_threshold, quantizer.commitment_warmup_steps,
        )  # fmt: skip
        self.context = nn.Conv1d(quantizer.codebook_dim, config.cond_channels, 3, padding=1)
        self.speaker = nn.Embedding(speakers, config.speaker_dim)
        nn.init.normal_(self.speaker.weight, std=VOICE_STD)
        self.acoustic_model = None
        if config.acoustic.channels:
            self.acoustic_model = AcousticModel(
                config.sample_rate, self.hop, config.cond_channels, config.speaker_dim, config.acoustic.channels,
                config.acoustic.causal_blocks,
            )  # fmt: skip
        self.register_buffer("adaptations", None)
        self.wavenet = WaveNet(
            mulaw.CLASSES, mulaw.SILENCE, wavenet.residual_channels, wavenet.skip_channels, wavenet.layers,
            wavenet.layers_per_stack, wavenet.kernel_size, config.cond_channels + config.speaker_dim,
        )  # fmt: skip

    def latents(
        self, classes: Classes, perturbation: Perturbation | None = None, analysis: Analysis | None = None
    ) -> Latents:  # fmt: skip
        """(batch, time) -> (batch, dim, frames), before quantisation; time must be a multiple of the hop.

        Args:
            disguise: of spectra; a wave has none.
            sensed: what has been measured of the classes already.
        """
        if self.feature_extractor is None:
            curved = classes.float() * (2 / mulaw.MU) - 1  # the mu-law curve itself: quiet sounds stay audible
            return self.encoder(curved[:, None])
        return self.encoder(
            self.feature_extractor.from_analysis(
                analysis or self.feature_extractor.analyse(_wave(classes)), perturbation
            )
        )

    @property
    def margin(self) -> int:
        """Frames on either side of a frame beyond which no sample can change its code."""
        return self.encoder.context + (
            math.ceil(self.feature_extractor.context_samples / self.hop) if self.feature_extractor else 0
        )

    def encode(self, classes: Classes) -> StackedCodes:
        """(batch, time) -> (batch, frames, codebooks); time must be a multiple of the hop."""
        return self.quantizer.encode(self.latents(classes))

    @property
    def speaker_shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What is known of a voice: its vector and its manner, of which there is nothing without an outline."""
        return (self.speaker.embedding_dim,), self.acoustic_model.adaptation_shape if self.acoustic_model else (0, 0)

    @property
    def lookahead(self) -> int:
        """Frames on either side of a frame that change what the WaveNet is told of it."""
        return 1 + (self.acoustic_model.context if self.acoustic_model else 0)

    def condition(self, latents: Latents, speakers: Tensor) -> Cond:
        """What the WaveNet is told: codebook vectors with their neighbours, the speaker, and what follows from them.

        Args:
            latents: quantised, (batch, dim, frames); `quantizer.decode(codes)`.
            speakers: (batch,), indices into the speaker table.
        """
        return self._predict(latents, self.speaker(speakers))[0]

    def predict_acoustics(self, latents: Latents, speakers: Tensor) -> AcousticPrediction:
        """How codes will sound in a voice, for a model that has an outline; the arguments are those of `condition`."""
        prediction = self._predict(latents, self.speaker(speakers))[1]
        assert self.acoustic_model, "this model has no outline"
        assert prediction
        return (
            prediction
            if self.adaptations is None
            else self.acoustic_model.adapt(prediction, self.adaptations[speakers])
        )

    @torch.inference_mode()
    def adaptation(self, recordings: Sequence[Tensor], embedding: Tensor) -> Tensor:
        """Fits the adaptation of a speaker with an embedding, (dim,); see `AcousticModel.fit_adaptation`.

        Args:
            recordings: classes, (1, time) each, of that voice; time is a multiple of the hop.
        """
        assert self.acoustic_model, "this model has no outline"
        acoustic_model = self.acoustic_model
        latents = [self.quantizer.decode(self.encode(one)) for one in recordings]
        predictions = [acoustic_model(self.context(one), embedding[None]) for one in latents]
        return acoustic_model.fit_adaptation(predictions, [acoustic_model.mel(_wave(one)) for one in recordings])

    def nats(
        self, classes: Classes, past: Past, starts: Tensor, latents: Latents, embeddings: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Nats a sample of recordings, told quantised latents and voices, (batch, dim); the outline's faults.

        Args:
            past, starts: of the part whose samples are counted, as in `batches.Batch`.
        """
        cond, prediction = self._predict(latents, embeddings)
        frames = past.shape[1] // self.hop
        said = starts[:, None] + torch.arange(frames, device=starts.device)
        logits = self.wavenet(past, cond.gather(2, said[:, None].expand(-1, cond.shape[1], -1)))
        heard = classes.unflatten(1, (-1, self.hop)).gather(1, said[:, :, None].expand(-1, -1, self.hop))
        nats = F.cross_entropy(logits.float().transpose(1, 2).flatten(0, 1), heard.long().flatten())
        return nats, self._acoustic_losses(prediction, embeddings, self._analyse(classes))

    def acoustic_losses(self, classes: Classes, latents: Latents, embeddings: Tensor) -> dict[str, Tensor]:
        """How far the outline of quantised latents in voices, (batch, dim), is off recordings; empty without one."""
        return self._acoustic_losses(self._predict(latents, embeddings)[1], embeddings, self._analyse(classes))

    def _predict(self, latents: Latents, embeddings: Tensor) -> tuple[Cond, AcousticPrediction | None]:
        context = self.context(latents)
        prediction = self.acoustic_model(context, embeddings) if self.acoustic_model else None
        context = context + prediction.conditioning if prediction else context
        return torch.cat([context, embeddings[:, :, None].expand(-1, -1, latents.shape[2])], dim=1), prediction

    def _analyse(self, classes: Classes) -> Analysis | None:
        """What the outline is asked for; None without one."""
        if not self.acoustic_model:
            return None
        wave = _wave(classes)
        return Analysis(self.acoustic_model.mel(wave), estimate_f0(wave, self.sample_rate, self.hop))

    def _acoustic_losses(
        self, prediction: AcousticPrediction | None, embeddings: Tensor, analysis: Analysis | None
    ) -> dict[str, Tensor]:
        if not self.acoustic_model or not prediction or not analysis or analysis.f0 is None:
            return {}
        return self.acoustic_model.losses(prediction, embeddings, analysis.log_mel, analysis.f0)

    def loss(self, batch: Batch) -> Loss:
        """Bits per sample and the commitment; equation 3 of the paper, the likelihood averaged over samples.

        With an outline, how far that is off is added.
        """
        quantised, parts = self._coded(batch)
        latents, commitment = quantised.latents, quantised.loss
        nats, acoustic_losses = self.nats(
            batch.classes, batch.past, batch.starts, latents, self.speaker(batch.speakers)
        )
        return Loss(
            nats + commitment + sum(acoustic_losses.values()),
            {"bits_per_sample": nats / math.log(2)} | parts | acoustic_losses,
        )

    def acoustic_loss(self, batch: Batch, heads: PhoneHeads | None = None) -> Loss:
        """The commitment and the outline alone: what codes are good for, learned before there is any sound.

        Args:
            heads: what else codes are asked for.
        """
        assert self.acoustic_model, "this model has no outline"
        analysis, embeddings = self._analyse(batch.classes), self.speaker(batch.speakers)
        quantised, parts = self._coded(batch, analysis if self._shares_analysis else None)
        latents, commitment = quantised.latents, quantised.loss
        acoustic_losses = self._acoustic_losses(self._predict(latents, embeddings)[1], embeddings, analysis)
        if heads and analysis:
            acoustic_losses |= {
                "context_free_l1": self.acoustic_model.context_free_loss(
                    heads.context_free(quantised.first), analysis.log_mel
                )
            }
            acoustic_losses |= heads.phone_losses(quantised.first, batch.phones)
        return Loss(commitment + sum(acoustic_losses.values()), parts | acoustic_losses)

    @property
    def _shares_analysis(self) -> bool:
        """Whether spectra and pitch that the outline is asked for are those that the encoder hears."""
        extractor, acoustic_model = self.feature_extractor, self.acoustic_model
        return bool(
            extractor and acoustic_model and extractor.use_f0 and extractor.mel.sizes == acoustic_model.mel.sizes
        )

    def _coded(self, batch: Batch, analysis: Analysis | None = None) -> tuple[ResidualQuantized, dict[str, Tensor]]:
        """Quantised latents as the decoder is told them, and what is logged of them."""
        if self.training and not self.quantizer.first.cluster_size.any():
            with torch.no_grad():
                data_dependent_init_(self.encoder.latents, self.latents(batch.classes))
        perturbation = None
        if self.training and self.augment.noise:
            analysis = analysis or (
                self.feature_extractor.analyse(_wave(batch.classes)) if self.feature_extractor else None
            )
            assert analysis
            draws = batch.uniforms[:, -1 - N_PERTURBED_CEPSTRA - NOISE_DRAWS : -1 - N_PERTURBED_CEPSTRA]
            analysis = analysis._replace(log_mel=add_noise(analysis.log_mel, draws, self.augment.noise))
        if self.training and (self.augment.vtlp or self.augment.cepstral_noise):
            perturbation = sample_perturbation(
                batch.uniforms[:, -1 - N_PERTURBED_CEPSTRA :], self.augment.vtlp, self.augment.cepstral_noise
            )
        quantised = self.quantizer(self.latents(batch.classes, perturbation, analysis), batch.uniforms[:, 0])
        if self.training and self.augment.time_jitter:
            quantised = quantised._replace(
                latents=time_jitter(quantised.latents, batch.uniforms, self.augment.time_jitter)
            )
        parts = {"quantizer_loss": quantised.loss}
        for number, (codes, size) in enumerate(zip(quantised.codes.unbind(2), self.quantizer.sizes, strict=True)):
            name = "code_counts" if number == 0 else f"code_{number + 1}_counts"
            parts[name] = torch.bincount(codes.flatten(), minlength=size)
        return quantised, parts


def _wave(classes: Classes) -> Wave:
    return torch.from_numpy(mulaw.LEVELS).to(classes.device)[classes.long()]
