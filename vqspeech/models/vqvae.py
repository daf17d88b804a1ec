"""VQ-VAE of speech."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech import config
from vqspeech.audio import mulaw
from vqspeech.data.batches import Batch
from vqspeech.nn.acoustic_model import N_MELS, AcousticModel, AcousticPrediction
from vqspeech.nn.encoder import Encoder
from vqspeech.nn.f0 import estimate_f0
from vqspeech.nn.features import (
    Analysis,
    FeatureExtractor,
    Perturbation,
    add_noise,
    sample_lookahead,
    sample_perturbation,
    split_draws,
)
from vqspeech.nn.mel import sharpen_formants, subtract_residual_noise
from vqspeech.nn.phone_heads import PhoneHeads
from vqspeech.nn.phone_recogniser import PhoneRecogniser
from vqspeech.nn.quantizer import ResidualQuantized, ResidualQuantizer, data_dependent_init_, time_jitter
from vqspeech.nn.shapes import Classes, Cond, DecoderInput, Latents, Loss, StackedIndices
from vqspeech.nn.wavenet import WaveNet

EMBEDDING_STD = 0.1
"""Of the initial speaker embeddings: with 1 a speaker with little data never leaves its place, and embeddings that are
not near their neighbours do not generalise to a new speaker."""


class VQVAE(nn.Module):
    """VQ-VAE of speech: an encoder, residual codebooks, an acoustic model and a speaker-conditioned WaveNet.

    ```
    classes -> feature extractor -> encoder -> latents -> quantizer -> codes -> conv 3 --+
                                                                    speaker -> embedding +-> cond -> WaveNet -> classes
    ```
    Input and output are mu-law classes, never the wave itself: so training data (8-bit shards) and what is converted
    (any recording) look alike.

    Args:
        encoder: of features, or of the wave where there is no feature extractor.
        quantizer: of latents.
        context: convolution over neighbouring latents, to the conditioning.
        speaker: the table of speaker embeddings.
        wavenet: decodes.
        sample_rate: in Hz.
        hop: samples per code.
        augment: perturbation of the encoder's input in training.
        feature_extractor: None for the paper's models, which encode the wave.
        acoustic_model: None for the paper's models, whose WaveNet is conditioned on codes alone.

    Source: van den Oord et al. (2017), section 4.3; the convolution over neighbouring codes is that of
        Chorowski et al. (2019), section III-B.
    """

    adaptations: Tensor | None
    """The adaptation of each speaker, (speakers, *speaker_shapes[1]); fitted after training."""

    def __init__(
        self, encoder: Encoder, quantizer: ResidualQuantizer, context: nn.Conv1d, speaker: nn.Embedding,
        wavenet: WaveNet, sample_rate: int, hop: int, augment: config.Augment,
        feature_extractor: FeatureExtractor | None = None, acoustic_model: AcousticModel | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.feature_extractor, self.encoder, self.quantizer = feature_extractor, encoder, quantizer
        self.context, self.speaker, self.acoustic_model = context, speaker, acoustic_model
        self.register_buffer("adaptations", None)
        self.wavenet = wavenet
        self.sample_rate, self.hop, self.augment = sample_rate, hop, augment

    @classmethod
    def from_config(cls, config: config.Model, speakers: int) -> "VQVAE":
        """The model of a config, with initial weights.

        Args:
            config: the sizes, from a `config.yaml`.
            speakers: the number of speakers.
        """
        sizes, quantizer_config = config.wavenet, config.quantizer
        extractor = None
        if config.features.n_mels:
            extractor = FeatureExtractor(
                config.sample_rate, config.hop, config.features.n_mels, config.features.hop_length,
                config.features.n_mfcc, config.features.cmn_window_s, config.features.use_f0,
            )  # fmt: skip
        encoder = Encoder(
            extractor.bands if extractor else 1, config.encoder.channels, config.encoder.strides,
            config.encoder.residual_blocks, quantizer_config.codebook_dim, causal_blocks=config.encoder.causal_blocks,
            dropout=config.encoder.dropout,
        )  # fmt: skip
        quantizer = ResidualQuantizer(
            quantizer_config.codebooks, quantizer_config.dropout, quantizer_config.codebook_size,
            quantizer_config.codebook_dim, quantizer_config.codebook_update, quantizer_config.commitment_weight,
            quantizer_config.ema_decay, quantizer_config.dead_code_threshold, quantizer_config.commitment_warmup_steps,
        )  # fmt: skip
        context = nn.Conv1d(quantizer_config.codebook_dim, config.cond_channels, 3, padding=1)
        speaker = nn.Embedding(speakers, config.speaker_dim)
        nn.init.normal_(speaker.weight, std=EMBEDDING_STD)
        acoustic_model = None
        if config.acoustic.channels:
            acoustic_model = AcousticModel(
                config.sample_rate, config.hop, config.cond_channels, config.speaker_dim, config.acoustic.channels,
                config.acoustic.causal_blocks, config.acoustic.dropout,
            )  # fmt: skip
        wavenet = WaveNet(
            mulaw.CLASSES, mulaw.SILENCE, sizes.residual_channels, sizes.skip_channels, sizes.layers,
            sizes.layers_per_stack, sizes.kernel_size, config.cond_channels + config.speaker_dim,
        )  # fmt: skip
        return cls(
            encoder, quantizer, context, speaker, wavenet, config.sample_rate, config.hop, config.augment, extractor,
            acoustic_model,
        )  # fmt: skip

    def latents(
        self, classes: Classes, perturbation: Perturbation | None = None, analysis: Analysis | None = None,
        lookahead_s: float | Tensor | None = None,
    ) -> Latents:  # fmt: skip
        """Latents before quantisation: (batch, time) -> (batch, dim, frames); time must be a multiple of the hop.

        Args:
            perturbation: of the features; a wave has none.
            analysis: log-mel and F0 of the classes, where they are known already.
            lookahead_s: see `FeatureExtractor.from_analysis`.
        """
        if self.feature_extractor is None:
            compressed = classes.float() * (2 / mulaw.MU) - 1  # the mu-law curve itself: quiet sounds keep their weight
            return self.encoder(compressed[:, None])
        analysis = analysis or self.feature_extractor.analyse(mulaw.expand_tensor(classes))
        return self.encoder(self.feature_extractor.from_analysis(analysis, perturbation, lookahead_s))

    def encode(self, classes: Classes) -> StackedIndices:
        """Codes: (batch, time) -> (batch, frames, codebooks); time must be a multiple of the hop."""
        return self.quantizer.encode(self.latents(classes))

    @property
    def speaker_shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of a speaker's embedding and adaptation; the latter is empty without an acoustic model."""
        return (self.speaker.embedding_dim,), self.acoustic_model.adaptation_shape if self.acoustic_model else (0, 0)

    @property
    def left_context(self) -> int:
        """Number of earlier codes that the conditioning of a code depends on."""
        return 1 + (self.acoustic_model.left_context if self.acoustic_model else 0)

    @property
    def right_context(self) -> int:
        """Number of later codes that the conditioning of a code depends on."""
        return 1 + (self.acoustic_model.right_context if self.acoustic_model else 0)

    def condition(self, latents: Latents, speakers: Tensor) -> Cond:
        """Conditioning of the WaveNet: latents with their neighbours, predicted acoustics, and the speaker embedding.

        Args:
            latents: quantised, (batch, dim, frames), as of `quantizer.decode(codes)`.
            speakers: (batch,), indices of the speaker table.
        """
        return self._predict(latents, self.speaker(speakers))[0]

    def predict_acoustics(self, latents: Latents, speakers: Tensor) -> AcousticPrediction:
        """Log-mel, cleaned and sharpened, F0 and voicing, for vocoders; adapted to the speakers, as in `condition`."""
        prediction = self._predict(latents, self.speaker(speakers))[1]
        assert self.acoustic_model, "this model has no acoustic model"
        assert prediction
        if self.adaptations is not None:
            prediction = self.acoustic_model.adapt(prediction, self.adaptations[speakers])
        log_mel = subtract_residual_noise(prediction.log_mel).unflatten(2, (-1, N_MELS))
        return prediction._replace(log_mel=sharpen_formants(log_mel).flatten(2))

    @torch.inference_mode()
    def adaptation(self, recordings: Sequence[Tensor], embedding: Tensor, share: float = 1.0) -> Tensor:
        """Fit the adaptation of a speaker with an embedding, (dim,); see `AcousticModel.fit_adaptation`.

        Args:
            recordings: classes, (1, time) each, of that speaker; time is a multiple of the hop.
            share: of the adaptation.
        """
        assert self.acoustic_model, "this model has no acoustic model"
        acoustic_model = self.acoustic_model
        latents = [self.quantizer.decode(self.encode(classes)) for classes in recordings]
        predictions = [acoustic_model(self.context(quantised), embedding[None]) for quantised in latents]
        log_mel = [acoustic_model.mel(mulaw.expand_tensor(classes)) for classes in recordings]
        return acoustic_model.fit_adaptation(predictions, log_mel, share)

    def nats(
        self, classes: Classes, past: DecoderInput, starts: Tensor, latents: Latents, embeddings: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Negative log-likelihood, nats per sample, given quantised latents and embeddings; and the acoustic losses.

        Args:
            past, starts: the segments whose samples are predicted, as in `batches.Batch`.
            embeddings: of the speakers, (batch, dim).
        """
        cond, prediction = self._predict(latents, embeddings)
        frames = past.shape[1] // self.hop
        segment = starts[:, None] + torch.arange(frames, device=starts.device)
        logits = self.wavenet(past, cond.gather(2, segment[:, None].expand(-1, cond.shape[1], -1)))
        targets = classes.unflatten(1, (-1, self.hop)).gather(1, segment[:, :, None].expand(-1, -1, self.hop))
        nats = F.cross_entropy(logits.float().transpose(1, 2).flatten(0, 1), targets.long().flatten())
        return nats, self._acoustic_losses(prediction, embeddings, self._analyse(classes))

    def acoustic_losses(self, classes: Classes, latents: Latents, embeddings: Tensor) -> dict[str, Tensor]:
        """Losses of the acoustic model on recordings, given latents and embeddings; empty without one."""
        return self._acoustic_losses(self._predict(latents, embeddings)[1], embeddings, self._analyse(classes))

    def _predict(self, latents: Latents, embeddings: Tensor) -> tuple[Cond, AcousticPrediction | None]:
        context = self.context(latents)
        prediction = self.acoustic_model(context, embeddings) if self.acoustic_model else None
        context = context + prediction.conditioning if prediction else context
        return torch.cat([context, embeddings[:, :, None].expand(-1, -1, latents.shape[2])], dim=1), prediction

    def _analyse(self, classes: Classes) -> Analysis | None:
        """Targets of the acoustic model; None without one."""
        if not self.acoustic_model:
            return None
        wave = mulaw.expand_tensor(classes)
        return Analysis(self.acoustic_model.mel(wave), estimate_f0(wave, self.sample_rate, self.hop))

    def _acoustic_losses(
        self, prediction: AcousticPrediction | None, embeddings: Tensor, analysis: Analysis | None
    ) -> dict[str, Tensor]:
        if not self.acoustic_model or not prediction or not analysis or analysis.f0 is None:
            return {}
        return self.acoustic_model.losses(prediction, embeddings, analysis.log_mel, analysis.f0)

    def loss(self, batch: Batch) -> Loss:
        """Negative log-likelihood per sample and commitment loss: equation 3 of the paper.

        The losses of the acoustic model are added where there is one.
        """
        quantised, parts = self._quantise(batch)
        latents, commitment = quantised.latents, quantised.loss
        nats, acoustic_losses = self.nats(
            batch.classes, batch.past, batch.starts, latents, self.speaker(batch.speakers)
        )
        return Loss(
            nats + commitment + sum(acoustic_losses.values()),
            {"bits_per_sample": nats / math.log(2)} | parts | acoustic_losses,
        )

    def acoustic_loss(
        self, batch: Batch, heads: PhoneHeads | None = None, recogniser: PhoneRecogniser | None = None
    ) -> Loss:
        """Pretraining loss: commitment and acoustic losses, no WaveNet.

        Args:
            heads: auxiliary classifiers on the first codebook.
            recogniser: compares predicted spectra with real ones.
        """
        assert self.acoustic_model, "this model has no acoustic model"
        analysis, embeddings = self._analyse(batch.classes), self.speaker(batch.speakers)
        quantised, parts = self._quantise(batch, analysis if self._shares_analysis else None)
        latents, commitment = quantised.latents, quantised.loss
        prediction = self._predict(latents, embeddings)[1]
        acoustic_losses = self._acoustic_losses(prediction, embeddings, analysis)
        if recogniser and prediction and analysis:
            predicted = prediction.log_mel.unflatten(2, (-1, N_MELS)).flatten(1, 2).transpose(1, 2)
            acoustic_losses |= recogniser.losses(predicted, analysis.log_mel, batch.phones)
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
        """Whether the targets of the acoustic model are what the encoder is given."""
        extractor, acoustic_model = self.feature_extractor, self.acoustic_model
        return bool(
            extractor and acoustic_model and extractor.use_f0 and extractor.mel.sizes == acoustic_model.mel.sizes
        )

    def _quantise(self, batch: Batch, analysis: Analysis | None = None) -> tuple[ResidualQuantized, dict[str, Tensor]]:
        """Quantised latents of a batch, and what is logged of them."""
        if self.training and not self.quantizer.first.cluster_size.any():
            with torch.no_grad():
                data_dependent_init_(self.encoder.latents, self.latents(batch.classes))
        if self.training:
            latents = self._augmented_latents(batch, analysis)
        else:
            latents = self.latents(batch.classes, analysis=analysis)
        quantised = self.quantizer(latents, batch.uniforms[:, 0])
        if self.training and self.augment.time_jitter:
            quantised = quantised._replace(
                latents=time_jitter(quantised.latents, batch.uniforms, self.augment.time_jitter)
            )
        parts = {"quantizer_loss": quantised.loss}
        for number, (codes, size) in enumerate(zip(quantised.codes.unbind(2), self.quantizer.sizes, strict=True)):
            name = "code_counts" if number == 0 else f"code_{number + 1}_counts"
            parts[name] = torch.bincount(codes.flatten(), minlength=size)
        return quantised, parts

    def _augmented_latents(self, batch: Batch, analysis: Analysis | None) -> Latents:
        """Latents of a batch whose features are perturbed."""
        augment, extractor = self.augment, self.feature_extractor
        if not extractor or not augment.perturbs_features:
            return self.latents(batch.classes, analysis=analysis)
        draws, perturbation, lookahead_s = split_draws(batch.uniforms), None, None
        if augment.noise:
            analysis = analysis or extractor.analyse(mulaw.expand_tensor(batch.classes))
            analysis = analysis._replace(log_mel=add_noise(analysis.log_mel, draws.noise, augment.noise))
        if augment.vtlp or augment.cepstral_noise:
            perturbation = sample_perturbation(draws.perturbation, augment.vtlp, augment.cepstral_noise)
        if augment.lookahead:
            lookahead_s = sample_lookahead(draws.lookahead, augment.lookahead, extractor.cmn_window_s)
        return self.latents(batch.classes, perturbation, analysis, lookahead_s)
