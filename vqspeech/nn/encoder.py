"""Strided convolutional encoder: a wave, spectra or a picture to latents."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.shapes import Latents, PictureLatents, Pictures, Signal


class CausalBlocks(nn.Module):
    """Causal dilated residual blocks: context without look-ahead.

    Block b is ReLU, a convolution of kernel size 3 and dilation 2^b, ReLU, a convolution of kernel size 1, and a
    residual connection.  Each block is initialised to the identity.  Frames before the first are zero.

    Args:
        channels: of the blocks.
        blocks: number of blocks.
        dropout: share of the activations that each block does without in training.
    """

    def __init__(self, channels: int, blocks: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.wide = nn.ModuleList(
            nn.Conv2d(channels, channels, (1, 3), dilation=(1, 2**block)) for block in range(blocks)
        )
        self.narrow = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(blocks))
        for parameter in self.narrow.parameters():
            nn.init.zeros_(parameter)

    @property
    def context(self) -> int:
        """Number of earlier frames that a frame depends on."""
        return 2 * (2 ** len(self.wide) - 1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, 1, frames) -> (batch, channels, 1, frames)."""
        for block, (wide, narrow) in enumerate(zip(self.wide, self.narrow, strict=True)):
            x = x + narrow(F.relu(wide(F.pad(self.dropout(F.relu(x)), (2 * 2**block, 0)))))
        return x


class Encoder(nn.Module):
    """Strided convolutions of kernel size 2s and stride s, with ReLU between them, then residual blocks.

    ```
    samples  |....hop....|....hop....|....hop....|      time = frames * hop
    frames   |     0     |     1     |     2     |
    ```
    Each convolution is padded by half its stride (rounded up) on both sides, so each frame is centred on its own
    samples and none is lost; at a stride of 1 this gives one frame too many, which is dropped.
    A signal is convolved as a picture of height 1 in channels-last memory format, which is faster than `Conv1d`.  For
    pictures, kernel sizes and strides are the same in both directions.

    Args:
        bands: channels of the input; 1 for a wave.
        channels: of every hidden layer.
        strides: of the layers; their product is the hop.
        residual_blocks: blocks of ReLU, convolution of 3, ReLU, convolution of 1, at the frame rate of the codes.
        dim: channels of the latents.
        pictures: whether the input is pictures.
        causal_blocks: causal blocks after the residual blocks; for signals only.
        dropout: share of the activations that each block, and the last layer, does without in training.

    Source: van den Oord et al. (2017), section 4.3 (six layers, stride 2, window 4); the residual blocks
        are those of its section 4.1.
    """

    def __init__(
        self, bands: int, channels: int, strides: tuple[int, ...], residual_blocks: int, dim: int,
        pictures: bool = False, causal_blocks: int = 0, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.pictures = pictures

        def conv(in_channels: int, kernel_size: int, stride: int, padding: int) -> nn.Conv2d:
            vertical = (kernel_size, stride, padding) if pictures else (1, 1, 0)
            return nn.Conv2d(
                in_channels, channels, (vertical[0], kernel_size), (vertical[1], stride), (vertical[2], padding)
            )

        self.down = nn.ModuleList(
            conv(channels if layer else bands, 2 * stride, stride, (stride + 1) // 2)
            for layer, stride in enumerate(strides)
        )
        self._strides = [(stride if pictures else 1, stride) for stride in strides]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Sequential(nn.ReLU(), nn.Dropout(dropout)),
                conv(channels, 3, 1, 1),
                nn.ReLU(),
                conv(channels, 1, 1, 0),
            )
            for _ in range(residual_blocks)
        )
        self.causal = CausalBlocks(channels, causal_blocks, dropout)
        self.dropout = nn.Dropout(dropout)
        self.latents = nn.Conv2d(channels, dim, 1)

    @property
    def left_context(self) -> int:
        """Number of earlier frames that a latent depends on, at most."""
        return self.right_context + self.causal.context

    @property
    def right_context(self) -> int:
        """Number of later frames that a latent depends on, at most."""
        return 1 + len(self.blocks)

    def forward(self, signal: Signal | Pictures) -> Latents | PictureLatents:
        """(batch, bands, time) -> (batch, dim, frames), or of pictures (batch, dim, rows, columns).

        Time, or height and width, must be multiples of the product of the strides.
        """
        x: Tensor = signal if self.pictures else signal[:, :, None]  # as a picture of height 1
        for layer, down in enumerate(self.down):
            (stride_y, stride_x), (height, width) = self._strides[layer], x.shape[2:]
            x = down(F.relu(x) if layer else x)
            x = x[:, :, : height // stride_y, : width // stride_x]  # a stride of 1 gives one too many
            x = x.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = x + block(x)
        x = self.latents(self.dropout(F.relu(self.causal(x))))
        return x if self.pictures else x[:, :, 0]
