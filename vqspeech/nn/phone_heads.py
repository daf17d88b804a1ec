"""Phone heads: auxiliary classifiers on the codes, used in training only."""

import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.acoustic_model import N_CONTEXT_FREE
from vqspeech.nn.shapes import Latents


class PhoneHeads(nn.Module):
    """What codes of the first codebook are asked for while they are learned; left behind afterwards.

    Args:
        dim: numbers in a latent.
        phones: how many there are.
        phone_weight, phone_context_weight: of the cross entropies, of each code alone and with its neighbours.
    """

    def __init__(self, dim: int, phones: int, phone_weight: float, phone_context_weight: float) -> None:
        super().__init__()
        self.context_free = nn.Conv1d(dim, N_CONTEXT_FREE, 1)
        self.weights = phone_weight, phone_context_weight
        self.phone = nn.Conv1d(dim, phones, 1)
        self.phone_context = nn.Conv1d(dim, phones, 3, padding=1)
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
