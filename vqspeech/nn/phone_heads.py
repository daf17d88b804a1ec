"""Phone heads: auxiliary classifiers on the codes, used in training only."""

import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.acoustic_model import N_CONTEXT_FREE
from vqspeech.nn.shapes import Latents


class PhoneHeads(nn.Module):
    """Auxiliary heads on the codes of the first codebook: phones and acoustic features, in training only.

    Args:
        dim: channels of the latents.
        phones: number of phones.
        phone_weight: of the cross entropy of the phone head that sees one code.
        phone_context_weight: of the cross entropy of the phone head that sees a code and its neighbours.
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
        """Weighted cross entropies to phone posteriors, (batch, frames, phones); frames of sum 0 have no label."""
        if posteriors is None:
            return {}
        labelled = posteriors.sum(2) > 0
        losses = {}
        for name, head, weight in (
            ("phone_nats", self.phone, self.weights[0]), ("phone_context_nats", self.phone_context, self.weights[1])
        ):  # fmt: skip
            if weight:
                nats = -(posteriors * F.log_softmax(head(latents).float(), dim=1).transpose(1, 2)).sum(2)
                losses[name] = weight * (nats * labelled).sum() / labelled.sum().clamp_min(1)
        return losses
