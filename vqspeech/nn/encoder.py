"""The strided convolutional encoder: a wave, or spectra of it, to latents, one a frame."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.shapes import Latents, Signal


class Encoder(nn.Module):
    """Convolutions of window 2s and stride s, ReLU between them; frame f is centred on its own samples.

    ```
    samples  |....hop....|....hop....|....hop....|      time = frames * hop
    frames   |     0     |     1     |     2     |
    ```
    Each convolution is padded by half its stride (rounded up) on both sides, so nothing shifts and no frame is lost.
    They are convolutions of pictures of one line, which have the channels of a sample side by side in memory: these
    are faster than those of lines.

    Args:
        bands: of what is heard; 1 of a wave.
        channels: of every hidden layer.
        strides: one a layer; their product is the hop.
        residual_blocks: ReLU, 3x1, ReLU, 1x1 and a shortcut, at the rate of the codes.
        dim: numbers in a latent.

    Source: van den Oord et al. (2017), section 4.3 (six layers, stride 2, window 4); the residual blocks
        are those of its section 4.1.
    """

    def __init__(self, bands: int, channels: int, strides: tuple[int, ...], residual_blocks: int, dim: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            nn.Conv2d(channels if layer else bands, channels, (1, 2 * stride), (1, stride), (0, (stride + 1) // 2))
            for layer, stride in enumerate(strides)
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(), nn.Conv2d(channels, channels, (1, 3), padding=(0, 1)),
                nn.ReLU(), nn.Conv2d(channels, channels, 1),
            )
            for _ in range(residual_blocks)
        )  # fmt: skip
        self.latents = nn.Conv2d(channels, dim, 1)

    @property
    def context(self) -> int:
        """Frames on either side of a frame beyond which nothing can change its latent."""
        return 1 + len(self.blocks)

    def forward(self, signal: Signal) -> Latents:
        """(batch, bands, time) -> (batch, dim, frames); time must be a multiple of the product of the strides."""
        x: Tensor = signal[:, :, None]  # a picture of one line
        for layer, down in enumerate(self.down):
            x = down(F.relu(x) if layer else x).contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = x + block(x)
        return self.latents(F.relu(x))[:, :, 0]
