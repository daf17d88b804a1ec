"""WaveNet over any alphabet: mu-law classes in the decoder, codes in the prior."""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.shapes import Classes, Cond, Logits


class WaveNet(nn.Module):
    """Stack of dilated, causal, gated convolutions that predicts each symbol from all symbols before it.

    ```
    symbols shifted by one -> embed -> layer 1 -> ... -> layer L        layer, dilation d:
                                          |                |            z = tanh(a) * sigmoid(b)
                                          +---- skips -----+            [a|b] = taps [x(t-d) | x(t)] + cond
                                                  |                     x += residual z,  skips += skip z
                      logits <- 1x1 <- relu <- 1x1 <- relu
    ```
    The conditioning is given per frame and projected per frame, for all layers at once, so it costs a sample one
    addition per layer.  Symbol t is conditioned on frame t // hop, the frame that contains it.

    With several bands, the symbols of a step follow one another, band by band.  One step of the network embeds the
    symbols of the previous step (the sum of one embedding per band) and predicts the symbols of its own, each band
    independently.

    Args:
        classes: size of the alphabet.
        start: symbol that precedes the first one.
        residual_channels: width of the residual path.
        skip_channels: width of the skip connections and of the output layers.
        layers: number of dilated convolutions.
        layers_per_stack: layers after which the dilations 1, 2, 4... start again at 1.
        kernel_size: taps of a dilated convolution.
        cond_channels: channels of the conditioning.
        bands: symbols that one step predicts.

    Source: van den Oord et al., WaveNet (2016), sections 2.1 to 2.5; the conditioning is upsampled by
        repetition and has no convolution of its own.  Several bands a step: Okamoto et al., subband WaveNet (2018),
        here by one network as in Yu et al., DurIAN (2019).
    """

    def __init__(
        self, classes: int, start: int, residual_channels: int, skip_channels: int, layers: int,
        layers_per_stack: int, kernel_size: int, cond_channels: int, bands: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.classes, self.start, self.bands = classes, start, bands
        self.residual_channels, self.skip_channels, self.kernel_size = residual_channels, skip_channels, kernel_size
        self.dilations = tuple(2 ** (layer % layers_per_stack) for layer in range(layers))
        self.embed = nn.Embedding(bands * classes, residual_channels)
        gate_channels = 2 * residual_channels
        self.cond = nn.Conv1d(cond_channels, layers * gate_channels, 1)  # its bias is the bias of the gates
        taps = [
            nn.Conv1d(residual_channels, gate_channels, kernel_size, dilation=d, bias=False) for d in self.dilations
        ]
        self.taps = cast("list[Any]", nn.ModuleList(taps))
        out = [nn.Conv1d(residual_channels, residual_channels + skip_channels, 1) for _ in self.dilations]
        self.out = cast("list[Any]", nn.ModuleList(out))
        self.head = nn.Conv1d(skip_channels, skip_channels, 1)
        self.logits = nn.Conv1d(skip_channels, bands * classes, 1)

    @property
    def receptive_field(self) -> int:
        """Number of earlier symbols that a prediction depends on."""
        return self.bands * (1 + (self.kernel_size - 1) * sum(self.dilations))

    def embedded(self, symbols: Tensor) -> Tensor:
        """Input vectors of steps: symbols (..., bands) -> (..., residual_channels)."""
        rows = symbols.long() + self.classes * torch.arange(self.bands, device=symbols.device)
        return self.embed(rows).sum(-2) if self.bands > 1 else self.embed(rows[..., 0])

    def forward(self, classes: Classes, cond: Cond) -> Logits:
        """Logits of every symbol given the symbols before it, all in parallel (teacher-forced).

        Args:
            classes: (batch, time), the symbols themselves; this method shifts them by one step.
            cond: (batch, cond_channels, frames); time must be a multiple of bands times frames.
        """
        batch, frames = len(classes), cond.shape[2]
        assert classes.shape[1] % (self.bands * frames) == 0, f"{classes.shape[1]} symbols, {frames} frames"
        residual, time = self.residual_channels, classes.shape[1] // self.bands
        gates = _linear(cond.transpose(1, 2), self.cond).view(batch, frames, 1, len(self.taps), 2 * residual)
        previous = F.pad(classes.long(), (self.bands, 0), value=self.start)[:, : classes.shape[1]]
        x = self.embedded(previous.unflatten(1, (time, self.bands)))  # (batch, time, channels): a layer is one product
        outputs = []
        for layer, (taps, out) in enumerate(zip(self.taps, self.out, strict=True)):
            ab = F.linear(_taps(x, self.kernel_size, taps.dilation[0]), taps.weight.transpose(1, 2).flatten(1))
            ab = (ab.view(batch, frames, time // frames, -1) + gates[:, :, :, layer]).view(batch, time, -1)
            a, b = ab.chunk(2, dim=2)
            z = torch.tanh(a) * torch.sigmoid(b)
            outputs.append(z)
            if layer + 1 < len(self.taps):  # the residual output of the last layer is not used
                x = x + F.linear(z, out.weight[:residual, :, 0], out.bias[:residual])
        head = F.relu(_linear(F.relu(self._skips(outputs)), self.head))
        return _linear(head, self.logits).unflatten(2, (self.bands, self.classes)).flatten(1, 2).transpose(1, 2)

    def _skips(self, outputs: list[Tensor]) -> Tensor:
        """Sum of the skip connections of all layers, as one product: its accumulator keeps the sum precise."""
        weight = torch.cat([out.weight[self.residual_channels :, :, 0] for out in self.out], dim=1)
        bias = torch.stack([out.bias[self.residual_channels :] for out in self.out]).sum(0)
        return F.linear(torch.cat(outputs, dim=2), weight, bias)


def _linear(x: Tensor, layer: nn.Conv1d) -> Tensor:
    """Convolution of kernel size 1, of (batch, time, channels)."""
    return F.linear(x, layer.weight[:, :, 0], layer.bias)


def _taps(x: Tensor, kernel_size: int, dilation: int) -> Tensor:
    """Inputs of a dilated convolution, oldest tap first: (batch, time, channels) -> (batch, time, taps * channels)."""
    time, reach = x.shape[1], (kernel_size - 1) * dilation
    padded = F.pad(x, (0, 0, reach, 0))
    return torch.cat([padded[:, start : start + time] for start in range(0, reach + 1, dilation)], dim=2)
