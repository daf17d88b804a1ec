"""Phone recogniser of log-mel spectra, whose hidden layers compare predicted spectra with real ones in training."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.shapes import Signal

CHANNELS = 192
DILATIONS = (1, 2, 4, 1, 2, 4)


class PhoneRecogniser(nn.Module):
    """Residual convolutions that recognise the phone of each frame; learned beside the codes and then left behind.

    The mean error of spectra counts every band and frame alike, and what tells words apart is a small part of it.  The
    hidden layers of a recogniser keep just that part.

    Args:
        n_mels: bands of the spectra.
        steps_per_frame: spectra of a frame.
        phones: number of phones.
        weight: of the loss of predicted spectra.

    Source: perceptual losses, Johnson, Alahi and Fei-Fei, Perceptual losses for real-time style transfer (2016).
    """

    def __init__(self, n_mels: int, steps_per_frame: int, phones: int, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.first = nn.Conv1d(n_mels, CHANNELS, 5, padding=2)
        self.down = nn.Conv1d(CHANNELS, CHANNELS, 2 * steps_per_frame, steps_per_frame, (steps_per_frame + 1) // 2)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(1, CHANNELS),
                nn.Conv1d(CHANNELS, CHANNELS, 3, padding=dilation, dilation=dilation),
                nn.ReLU(),
                nn.Conv1d(CHANNELS, CHANNELS, 1),
            )
            for dilation in DILATIONS
        )
        self.phone = nn.Conv1d(CHANNELS, phones, 1)

    def forward(self, log_mel: Signal) -> list[Tensor]:
        """Hidden layers, (batch, CHANNELS, frames), the first one in steps; and logits, (batch, phones, frames)."""
        frames = log_mel.shape[2] // self.down.stride[0]
        hidden = [F.relu(self.first(log_mel))]
        hidden.append(self.down(hidden[0])[:, :, :frames])  # a stride of 1 gives one too many
        for block in self.blocks:
            hidden.append(hidden[-1] + block(hidden[-1]))
        return [*hidden, self.phone(F.relu(hidden[-1]))]

    def losses(self, predicted: Signal, log_mel: Signal, posteriors: Tensor | None) -> dict[str, Tensor]:
        """The recogniser's own loss on real spectra, and the weighted loss of predicted spectra, by name.

        `recogniser_nats`: cross entropy; `recogniser_feature_l1`: relative error of the hidden layers, mean over the
        layers, and the divergence of the phones.

        Args:
            predicted: (batch, bands, steps).
            log_mel: of the recordings, of the same shape.
            posteriors: of the phones, (batch, frames, phones); frames of sum 0 have no label.
        """
        if posteriors is None:
            return {}
        labelled = posteriors.sum(2) > 0
        real = self(log_mel)
        nats = -(posteriors * F.log_softmax(real[-1].float(), dim=1).transpose(1, 2)).sum(2)
        frozen = {name: parameter.detach() for name, parameter in self.named_parameters()}
        ours = torch.func.functional_call(self, frozen, (predicted,))
        errors = [
            (x - y.detach()).float().abs().mean() / y.detach().float().abs().mean().clamp_min(1e-3)
            for x, y in zip(ours[:-1], real[:-1], strict=True)
        ]
        divergence = F.kl_div(
            F.log_softmax(ours[-1].float(), dim=1), F.log_softmax(real[-1].detach().float(), dim=1),
            reduction="none", log_target=True,
        ).sum(1).mean()  # fmt: skip
        return {
            "recogniser_nats": (nats * labelled).sum() / labelled.sum().clamp_min(1),
            "recogniser_feature_l1": self.weight * (torch.stack(errors).mean() + divergence),
        }
