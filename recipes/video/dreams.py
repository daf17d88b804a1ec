"""What comes next in codes: a PixelCNN over the codes of a frame, told those before it and what is done."""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from learning import shuffled
from torch import Tensor, nn

from vqspeech.nn.pixelcnn import PixelCNN
from vqspeech.nn.shapes import Loss

PAST = 6
"""Frames that are given; the paper's."""


REACH = (1, 6)
"""How far, in rows and columns, a place looks for what moves there; a turn moves a frame by three to six columns."""
WINDOW = (2 * REACH[0] + 1, 2 * REACH[1] + 1)


class Sizes(NamedTuple):
    """Of the dream: codes of a frame are `rows` x `columns`, each a vector of the codebook; `moving` of what moves."""

    codes: int = 512
    dim: int = 64
    channels: int = 64
    blocks: int = 6
    layers: int = 4
    rows: int = 21
    columns: int = 21
    moving: int = 32


class Batch(NamedTuple):
    """`past`: (batch, PAST, rows, columns) codes; `actions`: (batch, PAST), the last leads to the frame `codes`."""

    past: Tensor
    actions: Tensor
    codes: Tensor


class Dream(nn.Module):
    """The distribution of the next frame's codes.

    ```
    vectors of six frames -> 5x5, places -> blocks, dilations 1 2 4 1 2 4 ----> 3x3 -> cond -> PixelCNN -> codes
                                               ^ six actions     | kernels       ^       ^        ^ codes so far
    vectors of the last frame -> 1x1 -> what each place takes of its neighbours -+-------+
    ```
    A block is ReLU, 3x3, a scale and a bias by the actions (added alone they are learned far more slowly), ReLU, 1x1
    and a shortcut; all together are wide enough for what a turn moves.  What moves need not be made anew: each place
    says, as weights that sum to one over its neighbourhood, where in the last frame that was which comes here.

    Args:
        sizes: as named.
        actions: how many there are.
        codebook: (codes, dim), the vectors that stand for the codes; random if none.

    Source: van den Oord et al. (2017), section 4.4, has no sizes; these are ours.  The kernels are the dynamic neural
        advection of Finn, Goodfellow and Levine, Unsupervised learning for physical interaction through video
        prediction (2016), section 3.1, of vectors instead of pixels.
    """

    codebook: Tensor

    def __init__(self, sizes: Sizes, actions: int, codebook: Tensor | None = None) -> None:
        super().__init__()
        channels, neighbours = sizes.channels, math.prod(WINDOW)
        self.actions = actions
        vectors = torch.randn(sizes.codes, sizes.dim) if codebook is None else codebook
        self.register_buffer("codebook", vectors / vectors.std())
        self.begin = nn.Conv2d(PAST * sizes.dim, channels, 5, padding=2)
        self.places = nn.Parameter(torch.zeros(channels, sizes.rows, sizes.columns))
        dilations = [2 ** (block % 3) for block in range(sizes.blocks)]
        self.wide = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=d, dilation=d) for d in dilations)
        self.thin = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in dilations)
        self.to_cond = nn.Linear(PAST * actions, len(dilations) * 2 * channels)
        self.kernel = nn.Conv2d(channels, neighbours, 1)
        self.moving = nn.Conv2d(sizes.dim, sizes.moving, 1)
        self.both = nn.Conv2d(channels + sizes.moving, channels, 3, padding=1)
        self.mixed = nn.Conv2d(channels, channels, 1)
        self.net = PixelCNN(sizes.codes, channels, sizes.layers, 5, cond_channels=channels + sizes.moving)

    def condition(self, past: Tensor, actions: Tensor) -> Tensor:
        """What the PixelCNN is told of each place: (batch, channels + moving, rows, columns)."""
        vectors = F.embedding(past, self.codebook).permute(0, 1, 4, 2, 3)
        x = self.begin(vectors.flatten(1, 2)) + self.places
        cond = self.to_cond(F.one_hot(actions.long(), self.actions).flatten(1).to(x.dtype))[:, :, None, None]
        for wide, thin, affine in zip(self.wide, self.thin, cond.chunk(len(self.wide), dim=1), strict=True):
            scale, bias = affine.chunk(2, dim=1)
            x = x + thin(F.relu(wide(F.relu(x)) * (1 + scale) + bias))
        moved = self._moved(vectors[:, -1], self.kernel(F.relu(x)))
        x = x + self.mixed(F.relu(self.both(torch.cat([F.relu(x), moved], dim=1))))
        return torch.cat([F.relu(x), moved], dim=1)

    def _moved(self, last: Tensor, kernel: Tensor) -> Tensor:
        """What each place takes of its neighbours in the last frame: (batch, moving, rows, columns)."""
        values, weights = self.moving(last), kernel.float().softmax(dim=1).flatten(2)
        neighbours = F.unfold(values, WINDOW, padding=REACH).unflatten(1, (values.shape[1], -1))
        return torch.einsum("bcnp,bnp->bcp", neighbours, weights.to(neighbours.dtype)).unflatten(2, last.shape[2:])

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
        self.places = [(index, t) for index, (_, actions) in enumerate(episodes) for t in range(PAST, len(actions) + 1)]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        index, time = self.places[shuffled(number, len(self), self.seed)]
        codes, actions = self.episodes[index]
        return codes[time - PAST : time], actions[time - PAST : time], codes[time]


def moments_of(examples: list[tuple[Tensor, Tensor, Tensor]]) -> Batch:
    """Examples, stacked."""
    return Batch(*(torch.stack(part) for part in zip(*examples, strict=True)))


def draws(seed: int, *shape: int) -> Tensor:
    """Uniform draws in [0, 1)."""
    return torch.from_numpy(np.random.default_rng(seed).random(shape, dtype=np.float32))
