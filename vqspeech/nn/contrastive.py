"""Contrastive prediction: from the codes so far, which frame of the recording comes next?"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.shapes import Latents

CHANNELS = 256
"""Channels of the recurrent network."""
STEPS = 6
"""Frames ahead that are predicted."""


class ContrastivePrediction(nn.Module):
    """Contrastive predictive coding on quantised latents, in training only.

    A recurrent network hears the codes so far.  From its state, linear layers predict the latents of the next STEPS
    frames.  A prediction must be nearer to the frame that it is of than to any other frame of the same recording.  So
    the speaker and the room, which all of them share, help nothing, and what changes from sound to sound does.

    Args:
        dim: channels of the latents.
        weight: of the loss.

    Source: van den Oord, Li and Vinyals, Representation learning with contrastive predictive coding (2018); on
        quantised latents, with other frames of the same recording: van Niekerk, Nortje and Kamper, VQ-CPC (2020).
    """

    def __init__(self, dim: int, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.past = nn.GRU(dim, CHANNELS, batch_first=True)
        self.future = nn.Linear(CHANNELS, STEPS * dim)

    def forward(self, latents: Latents) -> Tensor:
        """Weighted mean cross entropy in nats; a guess costs the logarithm of the number of frames."""
        latents = latents.float()
        state, _ = self.past(latents.transpose(1, 2))
        predicted = self.future(state).unflatten(2, (STEPS, -1))  # (batch, frames, STEPS, dim)
        frames = latents.shape[2]
        nats = []
        for step in range(1, STEPS + 1):
            scores = predicted[:, : frames - step, step - 1] @ latents  # of all frames: (batch, predictions, frames)
            targets = torch.arange(step, frames, device=latents.device).expand(len(latents), -1)
            nats.append(F.cross_entropy(scores.flatten(0, 1), targets.flatten()))
        return self.weight * torch.stack(nats).mean()
