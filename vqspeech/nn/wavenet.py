"""WaveNet over any alphabet: mu-law classes in the decoder, codes in the prior."""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.shapes import Classes, Cond, Logits


class WaveNet(nn.Module):
    """Dilated, causal, gated convolutions that predict each symbol from all before it.

    ```
    symbols shifted by one -> embed -> layer 1 -> ... -> layer L        layer, dilation d:
                                          |                |            z = tanh(a) * sigmoid(b)
                                          +---- skips -----+            [a|b] = taps [x(t-d) | x(t)] + cond
                                                  |                     x += residual z,  skips += skip z
                      logits <- 1x1 <- relu <- 1x1 <- relu
    ```
    The conditioning is given per frame and projected per frame, for all layers at once: a sample pays
    an addition for it.  Symbol t hears frame t // hop, the frame that contains it.

    Of several bands, the symbols of a step come one after another, band by band.  One step of the network embeds
    the symbols of the step before (the sum of a table a band) and predicts those of its own, each band by itself.

    Args:
        classes: size of the alphabet.
        start: the symbol that stands before the first one.
        residual, skip: channels.
        layers, stack: their number, and after how many the dilations 1, 2, 4... begin again.
        kernel: taps of the dilated convolution.
        cond: numbers in a frame of conditioning.
        bands: symbols that are predicted at once.

    Source: van den Oord et al., WaveNet (2016), sections 2.1 to 2.5; the conditioning is upsampled by
        repetition and has no convolution of its own.  Several bands a step: Okamoto et al., subband WaveNet (2018),
        here by one network as in Yu et al., DurIAN (2019).
    """

    def __init__(
        self, classes: int, start: int, residual: int, skip: int, layers: int, stack: int, kernel: int, cond: int,
        bands: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.classes, self.start, self.residual, self.skip = classes, start, residual, skip
        self.kernel, self.bands = kernel, bands
        self.dilations = tuple(2 ** (layer % stack) for layer in range(layers))
        self.embed = nn.Embedding(bands * classes, residual)
        self.cond = nn.Conv1d(cond, layers * 2 * residual, 1)  # its bias serves the gates
        taps = [nn.Conv1d(residual, 2 * residual, kernel, dilation=d, bias=False) for d in self.dilations]
        self.taps = cast("list[Any]", nn.ModuleList(taps))
        out = [nn.Conv1d(residual, residual + skip, 1) for _ in self.dilations]
        self.out = cast("list[Any]", nn.ModuleList(out))
        self.head = nn.Conv1d(skip, skip, 1)
        self.logits = nn.Conv1d(skip, bands * classes, 1)

    @property
    def receptive_field(self) -> int:
        """Earlier symbols that a prediction depends on."""
        return self.bands * (1 + (self.kernel - 1) * sum(self.dilations))

    def embedded(self, symbols: Tensor) -> Tensor:
        """What a step takes in: symbols (..., bands) -> (..., residual)."""
        place = symbols.long() + self.classes * torch.arange(self.bands, device=symbols.device)
        return self.embed(place).sum(-2) if self.bands > 1 else self.embed(place[..., 0])

    def forward(self, classes: Classes, cond: Cond) -> Logits:
        """The logits of every symbol given those before it, all in parallel.

        Args:
            classes: (batch, time), the symbols themselves; they are shifted here.
            cond: (batch, cond, frames); time must be a multiple of bands times frames.
        """
        batch, frames = len(classes), cond.shape[2]
        assert classes.shape[1] % (self.bands * frames) == 0, f"{classes.shape[1]} symbols, {frames} frames"
        residual, time = self.residual, classes.shape[1] // self.bands
        gates = _linear(cond.transpose(1, 2), self.cond).view(batch, frames, 1, len(self.taps), 2 * residual)
        previous = F.pad(classes.long(), (self.bands, 0), value=self.start)[:, : classes.shape[1]]
        x = self.embedded(previous.unflatten(1, (time, self.bands)))  # (batch, time, channels): a layer is one product
        heard = []
        for layer, (taps, out) in enumerate(zip(self.taps, self.out, strict=True)):
            ab = F.linear(_past(x, self.kernel, taps.dilation[0]), taps.weight.transpose(1, 2).flatten(1))
            ab = (ab.view(batch, frames, time // frames, -1) + gates[:, :, :, layer]).view(batch, time, -1)
            a, b = ab.chunk(2, dim=2)
            z = torch.tanh(a) * torch.sigmoid(b)
            heard.append(z)
            if layer + 1 < len(self.taps):  # nobody hears the last layer's residual
                x = x + F.linear(z, out.weight[:residual, :, 0], out.bias[:residual])
        head = F.relu(_linear(F.relu(self._skips(heard)), self.head))
        return _linear(head, self.logits).unflatten(2, (self.bands, self.classes)).flatten(1, 2).transpose(1, 2)

    def _skips(self, heard: list[Tensor]) -> Tensor:
        """The sum of all skip connections, as one product: a sum kept in the product's own precision."""
        weight = torch.cat([out.weight[self.residual :, :, 0] for out in self.out], dim=1)
        bias = torch.stack([out.bias[self.residual :] for out in self.out]).sum(0)
        return F.linear(torch.cat(heard, dim=2), weight, bias)


def _linear(x: Tensor, layer: nn.Conv1d) -> Tensor:
    """A convolution of window 1, of (batch, time, channels)."""
    return F.linear(x, layer.weight[:, :, 0], layer.bias)


def _past(x: Tensor, kernel: int, dilation: int) -> Tensor:
    """(batch, time, channels) -> (batch, time, kernel * channels): x now and 1, 2... dilations ago, oldest first."""
    time, reach = x.shape[1], (kernel - 1) * dilation
    padded = F.pad(x, (0, 0, reach, 0))
    return torch.cat([padded[:, start : start + time] for start in range(0, reach + 1, dilation)], dim=2)
