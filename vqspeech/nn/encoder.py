"""Strided convolutional encoder: a wave, spectra or a picture to latents."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.shapes import Latents, PictureLatents, Pictures, Signal


class CausalBlocks(nn.Module):
    """Dilated residual blocks that see the past alone: context that costs no look-ahead.

    Block b is ReLU, 3 wide with a dilation of 2^b, ReLU, 1 wide, and a shortcut; each starts as the identity.
    Frames before the first are zero.
    """

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.wide = nn.ModuleList(
            nn.Conv2d(channels, channels, (1, 3), dilation=(1, 2**block)) for block in range(blocks)
        )
        self.narrow = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(blocks))
        for parameter in self.narrow.parameters():
            nn.init.zeros_(parameter)

    @property
    def context(self) -> int:
        """Frames before a frame that change it."""
        return 2 * (2 ** len(self.wide) - 1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, 1, frames) -> the same."""
        for block, (wide, narrow) in enumerate(zip(self.wide, self.narrow, strict=True)):
            x = x + narrow(F.relu(wide(F.pad(F.relu(x), (2 * 2**block, 0)))))
        return x


class Encoder(nn.Module):
    """Convolutions of window 2s and stride s, ReLU between them; frame f is centred on its own samples.

    ```
    samples  |....hop....|....hop....|....hop....|      time = frames * hop
    frames   |     0     |     1     |     2     |
    ```
    Each convolution is padded by half its stride (rounded up) on both sides, so nothing shifts and no frame is lost;
    the frame too many that this gives at a stride of 1 is left out.
    They are convolutions of pictures of one line, which have the channels of a sample side by side in memory: these
    are faster than those of lines.  Of a picture, windows and strides are the same in both directions.

    Args:
        bands: of what is heard; 1 of a wave.
        channels: of every hidden layer.
        strides: one a layer; their product is the hop.
        residual_blocks: ReLU, 3x1, ReLU, 1x1 and a shortcut, at the rate of the codes.
        dim: numbers in a latent.
        causal_blocks: after those; not of pictures.
        pictures: whether what comes has a height.

    Source: van den Oord et al. (2017), section 4.3 (six layers, stride 2, window 4); the residual blocks
        are those of its section 4.1.
    """

    def __init__(
        self, bands: int, channels: int, strides: tuple[int, ...], residual_blocks: int, dim: int,
        pictures: bool = False, causal_blocks: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.pictures = pictures

        def conv(before: int, window: int, stride: int, padding: int) -> nn.Conv2d:
            tall = (window, stride, padding) if pictures else (1, 1, 0)
            return nn.Conv2d(before, channels, (tall[0], window), (tall[1], stride), (tall[2], padding))

        self.down = nn.ModuleList(
            conv(channels if layer else bands, 2 * stride, stride, (stride + 1) // 2)
            for layer, stride in enumerate(strides)
        )
        self._steps = [(stride if pictures else 1, stride) for stride in strides]
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.ReLU(), conv(channels, 3, 1, 1), nn.ReLU(), conv(channels, 1, 1, 0))
            for _ in range(residual_blocks)
        )
        self.causal = CausalBlocks(channels, causal_blocks)
        self.latents = nn.Conv2d(channels, dim, 1)

    @property
    def context(self) -> int:
        """Frames on either side of a frame beyond which nothing can change its latent."""
        return 1 + len(self.blocks) + self.causal.context

    def forward(self, signal: Signal | Pictures) -> Latents | PictureLatents:
        """(batch, bands, time) -> (batch, dim, frames), or of pictures (batch, dim, rows, columns).

        Time, or height and width, must be multiples of the product of the strides.
        """
        x: Tensor = signal if self.pictures else signal[:, :, None]  # a picture of one line
        for layer, down in enumerate(self.down):
            (tall, long), (height, width) = self._steps[layer], x.shape[2:]
            x = down(F.relu(x) if layer else x)[:, :, : height // tall, : width // long]  # stride 1 makes one more
            x = x.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = x + block(x)
        x = self.latents(F.relu(self.causal(x)))
        return x if self.pictures else x[:, :, 0]
