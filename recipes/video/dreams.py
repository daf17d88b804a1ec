"""What comes next in codes: a PixelCNN over the codes of a frame, told those before it and what is done."""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from learning import shuffled
from torch import Tensor, nn

from vqspeech.nn.pixelcnn import PixelCNN
from vqspeech.shapes import Loss

PAST = 6
"""Frames that are given; the paper's."""


class Sizes(NamedTuple):
    """Of the dream: codes of a frame are SIDE x SIDE."""

    codes: int = 512
    dim: int = 32
    channels: int = 64
    blocks: int = 6
    layers: int = 4


class Batch(NamedTuple):
    """`past`: (batch, PAST, rows, columns) codes; `actions`: (batch, PAST), the last leads to the frame `codes`."""

    past: Tensor
    actions: Tensor
    codes: Tensor


class Dream(nn.Module):
    """The distribution of the next frame's codes.

    ```
    codes of six frames -> embed -> 5x5 -> blocks, dilations 1 2 4 1 2 4 -> cond of each place -> PixelCNN -> codes
                                              ^ six actions                                     ^ codes so far
    ```
    A block is ReLU, 3x3, a scale and a bias by the actions (added alone they are learned far more slowly), ReLU, 1x1
    and a shortcut; all together are wide enough for what a turn moves.

    Source: van den Oord et al. (2017), section 4.4, has no sizes; these are ours.
    """

    def __init__(self, sizes: Sizes, actions: int) -> None:
        super().__init__()
        channels = sizes.channels
        self.actions = actions
        self.embed = nn.Embedding(sizes.codes, sizes.dim)
        self.begin = nn.Conv2d(PAST * sizes.dim, channels, 5, padding=2)
        dilations = [2 ** (block % 3) for block in range(sizes.blocks)]
        self.wide = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=d, dilation=d) for d in dilations)
        self.thin = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in dilations)
        self.told = nn.Linear(PAST * actions, len(dilations) * 2 * channels)
        self.net = PixelCNN(sizes.codes, channels, sizes.layers, 5, cond=channels)

    def condition(self, past: Tensor, actions: Tensor) -> Tensor:
        """What the PixelCNN is told of each place: (batch, channels, rows, columns)."""
        batch, _, rows, columns = past.shape
        x = self.begin(self.embed(past).permute(0, 1, 4, 2, 3).reshape(batch, -1, rows, columns))
        told = self.told(F.one_hot(actions.long(), self.actions).flatten(1).to(x.dtype))[:, :, None, None]
        for wide, thin, its in zip(self.wide, self.thin, told.chunk(len(self.wide), dim=1), strict=True):
            scale, bias = its.chunk(2, dim=1)
            x = x + thin(F.relu(wide(F.relu(x)) * (1 + scale) + bias))
        return F.relu(x)

    def loss(self, batch: Batch) -> Loss:
        """Nats a code; in `parts`, bits."""
        logits = self.net(batch.codes, cond=self.condition(batch.past, batch.actions))
        nats = F.cross_entropy(logits, batch.codes)
        return Loss(nats, {"bits_per_code": nats / math.log(2)})

    @torch.inference_mode()
    def imagine(self, past: Tensor, actions: Tensor, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
        """Frames that follow, each from the codes of the six before it, imagined ones among them.

        Args:
            past: (batch, PAST, rows, columns) codes.
            actions: (batch, PAST - 1 + horizon), those between the frames of the past, then those to come.
            uniforms: (batch, horizon, rows, columns) draws in [0, 1).
            temperature: the logits are divided by it.

        Returns:
            (batch, horizon, rows, columns) codes.
        """
        frames = list(past.unbind(1))
        for time in range(uniforms.shape[1]):
            cond = self.condition(torch.stack(frames[-PAST:], dim=1), actions[:, time : time + PAST])
            frames.append(self.net.generate(uniforms[:, time], cond=cond, temperature=temperature))
        return torch.stack(frames[PAST:], dim=1)


class Moments(torch.utils.data.Dataset):
    """Endless random moments of episodes in codes: example n depends on seed and n alone.

    Args:
        episodes: codes, (time + 1, rows, columns), and actions, (time,), of each.
    """

    def __init__(self, episodes: list[tuple[Tensor, Tensor]], seed: int) -> None:
        self.episodes, self.seed = episodes, seed
        self.places = [(at, t) for at, (_, actions) in enumerate(episodes) for t in range(PAST, len(actions) + 1)]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        at, time = self.places[shuffled(number, len(self), self.seed)]
        codes, actions = self.episodes[at]
        return codes[time - PAST : time], actions[time - PAST : time], codes[time]


def moments_of(examples: list[tuple[Tensor, Tensor, Tensor]]) -> Batch:
    """Examples, stacked."""
    return Batch(*(torch.stack(part) for part in zip(*examples, strict=True)))


def draws(seed: int, *shape: int) -> Tensor:
    """Uniform draws in [0, 1)."""
    return torch.from_numpy(np.random.default_rng(seed).random(shape, dtype=np.float32))
