"""The strided convolutional encoder: sound to latents, one a frame."""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.shapes import Latents, Wave


class Encoder(nn.Module):
    """Convolutions of window 2s and stride s, ReLU between them; frame f is centred on its own samples.

    ```
    samples  |....hop....|....hop....|....hop....|      time = frames * hop
    frames   |     0     |     1     |     2     |
    ```
    Each convolution is padded by s in all (half on each side), so nothing shifts and no frame is lost.

    Args:
        channels: of every hidden layer.
        strides: one a layer; their product is the hop.
        residual_blocks: ReLU, 3x1, ReLU, 1x1 and a shortcut, at the rate of the codes.
        dim: numbers in a latent.

    Source: van den Oord et al. (2017), section 4.3 (six layers, stride 2, window 4); the residual blocks
        are those of its section 4.1.
    """

    def __init__(self, channels: int, strides: tuple[int, ...], residual_blocks: int, dim: int) -> None:
        super().__init__()
        self.strides = strides
        self.down = nn.ModuleList(
            nn.Conv1d(1 if layer == 0 else channels, channels, 2 * stride, stride)
            for layer, stride in enumerate(strides)
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(), nn.Conv1d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv1d(channels, channels, 1)
            )
            for _ in range(residual_blocks)
        )
        self.latents = nn.Conv1d(channels, dim, 1)
        self.standardise = Standardise(dim)

    @property
    def context(self) -> int:
        """Frames on either side of a frame beyond which no sample can change its latent."""
        return 1 + len(self.blocks)

    def forward(self, wave: Wave) -> Latents:
        """(batch, time) -> (batch, dim, frames); time must be a multiple of the hop."""
        x: Tensor = wave[:, None]
        for layer, (down, stride) in enumerate(zip(self.down, self.strides, strict=True)):
            x = down(F.pad(x if layer == 0 else F.relu(x), (stride // 2, stride - stride // 2)))
        for block in self.blocks:
            x = x + block(x)
        return self.standardise(self.latents(F.relu(x)))


class Standardise(nn.Module):
    """Latents with mean 0 and variance 1 in each of their numbers: batch normalisation that learns no scale.

    A decoder that hears the true past can do without the codes at first, and the commitment would shrink what the
    encoder says of them to nothing: the codebook collapses to a few codes.  What is standardised cannot shrink.
    Statistics are those of the global batch in training (torch.nn.SyncBatchNorm does that on GPUs only), and their
    moving averages otherwise.

    Source: Lancucki et al., Robust training of vector quantized bottleneck models (2020), section III-A.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, dim: int, rate: float = 0.1) -> None:
        super().__init__()
        self.rate = rate
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("variance", torch.ones(dim))

    def forward(self, latents: Latents) -> Latents:
        """(batch, dim, frames) -> the same shape, float32."""
        latents, mean, variance = latents.float(), self.mean, self.variance
        if self.training:
            moments = torch.stack([latents.mean((0, 2)), latents.square().mean((0, 2))])
            if dist.is_initialized():
                moments = _MeanOverProcesses.apply(moments)  # their parts of a batch are equally large
            mean, variance = moments[0], moments[1] - moments[0].square()
            self.mean.lerp_(mean.detach(), self.rate)
            self.variance.lerp_(variance.detach(), self.rate)
        return (latents - mean[:, None]) * (variance[:, None].clamp_min(0) + 1e-5).rsqrt()


class _MeanOverProcesses(torch.autograd.Function):
    """The mean of all processes' statistics; the gradient of their mean loss goes back the same way."""

    @staticmethod
    def forward(_: Any, statistic: Tensor) -> Tensor:
        return _mean_over_processes(statistic)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return _mean_over_processes(gradient)


def _mean_over_processes(numbers: Tensor) -> Tensor:
    numbers = numbers.clone()
    dist.all_reduce(numbers)
    return numbers / dist.get_world_size()
