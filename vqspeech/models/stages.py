"""Training stages of a VQ-VAE: the acoustic stage and the WaveNet stage."""

from torch import nn

from vqspeech.data.batches import Batch
from vqspeech.data.phones import PHONES
from vqspeech.models.vqvae import VQVAE
from vqspeech.nn.acoustic_model import N_MELS
from vqspeech.nn.phone_heads import PhoneHeads
from vqspeech.nn.phone_recogniser import PhoneRecogniser
from vqspeech.nn.shapes import Loss


class AcousticStage(nn.Module):
    """The first stage of training: encoder, codebooks and acoustic model, without the WaveNet."""

    def __init__(
        self, model: VQVAE, phone_weight: float = 0.0, phone_context_weight: float = 0.0, recogniser_weight: float = 0.0
    ) -> None:
        super().__init__()
        self.model = model
        assert model.acoustic_model, "the config has seen to it"
        for unused in (model.wavenet, model.acoustic_model.to_conditioning):
            unused.requires_grad_(False)
        self.heads = PhoneHeads(
            model.quantizer.first.codebook.shape[1], len(PHONES), phone_weight, phone_context_weight
        )
        self.recogniser = None
        if recogniser_weight:
            self.recogniser = PhoneRecogniser(N_MELS, model.acoustic_model.parts, len(PHONES), recogniser_weight)

    def loss(self, batch: Batch) -> Loss:
        """See `VQVAE.acoustic_loss`."""
        return self.model.acoustic_loss(batch, self.heads, self.recogniser)


class WaveNetStage(nn.Module):
    """The second stage of training: the WaveNet and its conditioning; encoder and codebooks are frozen."""

    def __init__(self, model: VQVAE) -> None:
        super().__init__()
        self.model = model
        model.requires_grad_(False)
        for learning in (
            model.wavenet,
            model.acoustic_model.to_conditioning if model.acoustic_model else model.context,
        ):
            learning.requires_grad_(True)

    def train(self, mode: bool = True) -> "WaveNetStage":
        """Keeps the model in evaluation mode: codebooks do not move and nothing is perturbed."""
        super().train(mode)
        self.model.eval()
        return self

    def loss(self, batch: Batch) -> Loss:
        """See `VQVAE.loss`."""
        return self.model.loss(batch)
