"""Gated PixelCNN over any alphabet: pictures of codes or of pixels."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.shapes import PictureCond, PictureLogits, Symbols


class PixelCNN(nn.Module):
    """Gated PixelCNN: each symbol predicted from all symbols above it and to its left.

    ```
    v v v v v      v: the vertical stack sees the rows above on both sides, so there is no blind spot
    h h . - -      h: the horizontal stack sees the symbols on the left, and the output of the vertical stack
    - - - - -
    ```
    The pictures are shifted before the first layer, down by one for v and right by one for h; so no convolution needs
    a mask, and each prediction is at the place of its symbol.  A layer, with a and b the halves of the channels:

    ```
    v <- gate(conv v + class)          gate(a | b) = tanh(a) * sigmoid(b)
    h <- h + 1x1 gate(conv h + 1x1 conv v + class + cond)
    ```

    Args:
        symbols: size of the alphabet.
        channels: of both stacks.
        layers: number of layers.
        kernel_size: of the convolutions; an odd number.
        classes: number of picture classes; 0: unconditional.
        cond_channels: channels of the conditioning of each place; 0: none.

    Source: van den Oord et al., Conditional image generation with PixelCNN decoders (2016), section 2; shifts instead
        of its masks.
    """

    def __init__(
        self, symbols: int, channels: int, layers: int, kernel_size: int, classes: int = 0, cond_channels: int = 0
    ) -> None:
        super().__init__()
        assert kernel_size % 2, "the kernel size must be odd"
        self.symbols, self.channels, self.kernel_size = symbols, channels, kernel_size
        self.embed = nn.Embedding(symbols, channels)
        rows = kernel_size // 2 + 1
        self.down = nn.ModuleList(nn.Conv2d(channels, 2 * channels, (rows, kernel_size)) for _ in range(layers))
        self.right = nn.ModuleList(nn.Conv2d(channels, 2 * channels, (1, rows)) for _ in range(layers))
        self.link = nn.ModuleList(nn.Conv2d(2 * channels, 2 * channels, 1) for _ in range(layers))
        self.out = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(layers))
        self.kinds = nn.Embedding(classes, layers * 4 * channels) if classes else None
        self.cond = nn.Conv2d(cond_channels, layers * 2 * channels, 1) if cond_channels else None
        self.head = nn.Conv2d(channels, channels, 1)
        self.logits = nn.Conv2d(channels, symbols, 1)

    def forward(self, symbols: Symbols, kinds: Tensor | None = None, cond: PictureCond | None = None) -> PictureLogits:
        """Logits of every symbol given the symbols before it in raster order, all in parallel.

        Args:
            symbols: (batch, height, width), the symbols themselves; this method shifts them.
            kinds: (batch,), the class of each picture.
            cond: (batch, cond_channels, height, width).
        """
        x = self.embed(symbols).permute(0, 3, 1, 2)
        v, h = F.pad(x, (0, 0, 1, 0))[:, :, :-1], F.pad(x, (1, 0))[:, :, :, :-1]
        side, rows = self.kernel_size // 2, self.kernel_size // 2
        biases, gate_biases = self._biases(len(symbols), kinds), self._gate_biases(cond)
        for layer in range(len(self.down)):
            vertical = self.down[layer](F.pad(v, (side, side, rows, 0)))
            right = self.right[layer](F.pad(h, (rows, 0)))
            h = self._step(layer, h, right, vertical, biases, gate_biases)
            v = _gate(vertical + biases[layer][0])
        return self.logits(F.relu(self.head(F.relu(h))))

    @torch.no_grad()
    def generate(
        self, uniforms: Tensor, kinds: Tensor | None = None, cond: PictureCond | None = None, temperature: float = 1.0
    ) -> Symbols:
        """Ancestral sampling of pictures, symbol by symbol, each by the inverse CDF at its uniform.

        Activations are cached: the vertical stack computes a row when the row above is complete, the horizontal stack
        one place at a time.

        Args:
            uniforms: (batch, height, width) in [0, 1).
            kinds: (batch,), the class of each picture.
            cond: (batch, cond_channels, height, width).
            temperature: divisor of the logits.
        """
        batch, height, width = uniforms.shape
        side, rows = self.kernel_size // 2, self.kernel_size // 2
        biases, gate_biases = self._biases(batch, kinds), self._gate_biases(cond)
        drawn = torch.zeros(batch, height, width, dtype=torch.long, device=uniforms.device)
        blank = uniforms.new_zeros(batch, self.channels, rows + 1, width)
        above = [blank.clone() for _ in self.down]  # input rows of each layer, the newest last
        for row in range(height):
            v = self.embed(drawn[:, row - 1]).transpose(1, 2)[:, :, None] if row else blank[:, :, :1]
            verticals = []
            for layer, down in enumerate(self.down):
                above[layer] = torch.cat([above[layer][:, :, 1:], v], dim=2)
                verticals.append(down(F.pad(above[layer], (side, side))))
                v = _gate(verticals[-1] + biases[layer][0])
            left = [uniforms.new_zeros(batch, self.channels, 1, rows + 1) for _ in self.right]
            for column in range(width):
                h = self.embed(drawn[:, row, column - 1])[:, :, None, None] if column else blank[:, :, :1, :1]
                for layer, right in enumerate(self.right):
                    left[layer] = torch.cat([left[layer][:, :, :, 1:], h], dim=3)
                    vertical = verticals[layer][:, :, :, column : column + 1]
                    here = None if gate_biases is None else gate_biases[:, :, row : row + 1, column : column + 1]
                    h = self._step(layer, h, right(left[layer]), vertical, biases, here)
                logits = self.logits(F.relu(self.head(F.relu(h))))[:, :, 0, 0]
                drawn[:, row, column] = _sample_inverse_cdf(logits / temperature, uniforms[:, row, column])
        return drawn

    def _step(
        self, layer: int, h: Tensor, right: Tensor, vertical: Tensor, biases: list["_Bias"], gate_biases: Tensor | None
    ) -> Tensor:
        """Output of a layer of the horizontal stack."""
        gate_input = right + self.link[layer](vertical) + biases[layer][1]
        if gate_biases is not None:
            size = 2 * self.channels
            gate_input = gate_input + gate_biases[:, layer * size : (layer + 1) * size]
        return h + self.out[layer](_gate(gate_input))

    def _biases(self, batch: int, kinds: Tensor | None) -> list["_Bias"]:
        """Class-conditional biases of the two stacks, one pair per layer."""
        if self.kinds is None or kinds is None:
            zero = self.logits.weight.new_zeros(batch, 2 * self.channels, 1, 1)
            return [_Bias(zero, zero)] * len(self.down)
        parts = self.kinds(kinds)[:, :, None, None].chunk(2 * len(self.down), dim=1)
        return [_Bias(*pair) for pair in zip(parts[::2], parts[1::2], strict=True)]

    def _gate_biases(self, cond: Tensor | None) -> Tensor | None:
        """Conditioning projected to the gates of all layers, (batch, layers * 2 * channels, height, width)."""
        return self.cond(cond) if self.cond is not None and cond is not None else None


class _Bias(NamedTuple):
    """Class-conditional biases of a layer, (batch, 2 * channels, 1, 1) each."""

    vertical: Tensor
    horizontal: Tensor


def _gate(x: Tensor) -> Tensor:
    """Gated activation of the two halves of the channels."""
    a, b = x.chunk(2, dim=1)
    return torch.tanh(a) * torch.sigmoid(b)


def _sample_inverse_cdf(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Symbols by the inverse of the cumulative distribution: (batch, symbols), (batch,) -> (batch,)."""
    cdf = torch.softmax(logits.double(), dim=1).cumsum(1)
    return (cdf <= uniforms[:, None] * cdf[:, -1:]).sum(1).clamp_max(logits.shape[1] - 1)
