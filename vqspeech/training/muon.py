"""Muon optimiser: orthogonalised momentum for matrices (Jordan et al., 2024)."""

from collections import defaultdict

import torch
from torch import Tensor, nn

from vqspeech.nn.pixelcnn import PixelCNN
from vqspeech.nn.wavenet import WaveNet

MOMENTUM = 0.95
ROUNDS = 5
RMS = 0.2
"""Of the numbers in a step of rate 1: that of Adam's, so that one rate serves both."""


class Muon(torch.optim.Adam):
    """Muon for the convolutions of a WaveNet or a PixelCNN, Adam for all else: tables, biases, what feeds a quantiser.

    The step of a matrix is its gradient's moving average with all singular values made 1; a convolution is taken as
    the matrix (channels out, channels in times window).

    Args:
        net: what is trained.
        rate: of Adam's steps.
        ratio: rate of Muon's steps, in Adam's.
        dtype: in which matrices are made orthogonal; bfloat16 is enough.

    Source: Jordan et al., Muon (2024), momentum by Nesterov and the polynomial of their Newton-Schulz rounds; the
        length of a step is that of Liu et al., Muon is Scalable for LLM Training (2025), section 2.2.
    """

    def __init__(self, net: nn.Module, rate: float, ratio: float, dtype: torch.dtype = torch.float32) -> None:
        nets = [module for module in net.modules() if isinstance(module, WaveNet | PixelCNN)]
        layers = [layer for part in nets for layer in part.modules() if isinstance(layer, nn.Conv1d | nn.Conv2d)]
        self.matrices, self.ratio, self.dtype = [layer.weight for layer in layers], ratio, dtype
        super().__init__(net.parameters(), rate, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Moves all parameters that have a gradient; those of the matrices are used up."""
        weights_by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
        for weight in self.matrices:
            if weight.grad is not None:
                weights_by_shape[weight.shape].append(weight)
        for weights in weights_by_shape.values():
            means = [self.state[weight].setdefault("mean", torch.zeros_like(weight)) for weight in weights]
            gradients: list[Tensor] = [weight.grad for weight in weights]  # type: ignore[misc]
            torch._foreach_lerp_(means, gradients, 1 - MOMENTUM)
            ahead = torch.stack(
                [mean.lerp(gradient, 1 - MOMENTUM) for mean, gradient in zip(means, gradients, strict=True)]
            )
            steps = orthogonal(ahead.flatten(2).to(self.dtype)).to(ahead.dtype).view_as(ahead)
            length = RMS * max(ahead[0].flatten(1).shape) ** 0.5
            rate = self.param_groups[0]["lr"] * self.ratio * length
            torch._foreach_add_(weights, list(steps.unbind()), alpha=-rate)
            for weight in weights:
                weight.grad = None  # so that Adam leaves it alone
        super().step(closure)

    def __setstate__(self, state: dict) -> None:
        torch.optim.Optimizer.__setstate__(self, state)  # Adam's would look for its own moments in those of matrices


def orthogonal(matrices: Tensor) -> Tensor:
    """(many, rows, columns) -> the same, with its vectors, singular values about 0.7 to 1.2 (tiny ones less)."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(ROUNDS):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.mT if tall else x
