"""Three ways to squeeze a picture through 8x8 latents: Gaussian (VAE), quantised (VQ-VAE), sampled codes (VIMCO)."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from likelihood import bits_per_dimension, nats
from torch import Tensor, nn

from vqspeech.nn.encoder import Encoder
from vqspeech.nn.quantizer import Quantizer
from vqspeech.nn.shapes import Loss


class Sizes(NamedTuple):
    """Of all three: section 4.1 has 256 units, two strides and two residual blocks."""

    units: int = 256
    strides: tuple[int, ...] = (2, 2)
    residual_blocks: int = 2
    dim: int = 64
    codes: int = 512


class Batch(NamedTuple):
    """Pictures, (batch, 3, height, width) levels, and the seed of whatever is drawn for them."""

    pictures: Tensor
    seed: int


class Decoder(nn.Module):
    """The encoder's mirror: residual blocks, then transposed convolutions of window 2s; a logistic for each level."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        units = sizes.units
        self.begin = nn.Conv2d(sizes.dim, units, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.Conv2d(units, units, 3, padding=1), nn.ReLU(), nn.Conv2d(units, units, 1))
            for _ in range(sizes.residual_blocks)
        )
        last = len(sizes.strides) - 1
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(units, 6 if layer == last else units, 2 * stride, stride, (stride + 1) // 2)
            for layer, stride in enumerate(reversed(sizes.strides))
        )

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, dim, rows, columns) -> mean and log scale, (batch, 3, height, width) each."""
        x = self.begin(latents).contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = x + block(x)
        for up in self.up:
            x = up(F.relu(x))
        mean, log_scale = x.float().chunk(2, dim=1)  # what comes of them is a difference of likes
        return mean, log_scale - 2


class VAE(nn.Module):
    """Gaussian latents with a standard normal prior."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.encoder = Encoder(3, sizes.units, sizes.strides, sizes.residual_blocks, 2 * sizes.dim, pictures=True)
        self.decoder = Decoder(sizes)

    def nats(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """-ELBO of each picture, (batch,), and how much of it the latents cost."""
        mean, log_std = self.encoder(_centred(batch.pictures)).chunk(2, dim=1)
        log_std = log_std.clamp(-8, 4)
        drawn = mean + torch.exp(log_std) * torch.randn(mean.shape, generator=_draws(batch))
        cost = 0.5 * (mean**2 + torch.exp(2 * log_std) - 1) - log_std
        return nats(batch.pictures, *self.decoder(drawn)) + (cost := cost.flatten(1).sum(1)), cost

    def loss(self, batch: Batch) -> Loss:
        """Bits per dimension."""
        total, cost = self.nats(batch)
        return _loss(total, cost, batch, {})

    def reconstruct(self, pictures: Tensor) -> Tensor:
        """Pictures as the decoder's means, levels."""
        return _levels(self.decoder(self.encoder(_centred(pictures)).chunk(2, dim=1)[0])[0])


class VQVAE(nn.Module):
    """Quantised latents; all codes alike cost log2 K bits each, a prior that was learned over them less."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.codes = sizes.codes
        self.encoder = Encoder(3, sizes.units, sizes.strides, sizes.residual_blocks, sizes.dim, pictures=True)
        self.quantizer = Quantizer(sizes.codes, sizes.dim, "ema", 0.25, 0.99, 0.1, commitment_warmup_steps=200)
        self.decoder = Decoder(sizes)

    def encode(self, pictures: Tensor) -> Tensor:
        """(batch, 3, height, width) -> (batch, rows, columns)."""
        latents = self.encoder(_centred(pictures))
        return self.quantizer.encode(latents.flatten(2)).view(len(latents), *latents.shape[2:])

    def decode(self, codes: Tensor) -> Tensor:
        """(batch, rows, columns) -> levels, (batch, 3, height, width)."""
        return _levels(self.decoder(self.quantizer.decode(codes.flatten(1)).unflatten(2, codes.shape[1:]))[0])

    def nats(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """-log p(x, z) of each picture with its codes, all codes alike, and how much of it the codes cost."""
        return self._nats(batch)[:2]

    def _nats(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        latents = self.encoder(_centred(batch.pictures))
        quantised = self.quantizer(latents.flatten(2))
        places = latents[0, 0].numel()
        cost = torch.full((len(latents),), places * math.log(self.codes))
        total = nats(batch.pictures, *self.decoder(quantised.latents.view(latents.shape))) + cost
        return total, cost, quantised.loss, quantised.codes

    def loss(self, batch: Batch) -> Loss:
        """Bits per dimension and the commitment."""
        total, cost, commitment, codes = self._nats(batch)
        counts = torch.bincount(codes.flatten(), minlength=self.codes)
        loss = _loss(total, cost, batch, {"code_counts": counts, "commitment": commitment})
        return Loss(loss.total + commitment, loss.parts)

    def reconstruct(self, pictures: Tensor) -> Tensor:
        """Pictures through their codes, levels."""
        return self.decode(self.encode(pictures))


class VIMCO(nn.Module):
    """Codes drawn from a distribution that the encoder gives, several times; the bound of all draws together.

    ```
    L = log 1/S sum_s exp l_s,    l_s = log p(x|z_s) + log p(z_s) - log q(z_s|x)
    gradient of q:  sum_s (L - L_s) d log q(z_s|x),   L_s: the same with l_s replaced by the mean of the others
    ```
    Source: Mnih and Rezende, Variational inference for Monte Carlo objectives (2016), equations 6 to 10.
    """

    def __init__(self, sizes: Sizes, samples: int = 50) -> None:
        super().__init__()
        self.codes, self.samples = sizes.codes, samples
        self.encoder = Encoder(3, sizes.units, sizes.strides, sizes.residual_blocks, sizes.codes, pictures=True)
        self.codebook = nn.Embedding(sizes.codes, sizes.dim)
        self.decoder = Decoder(sizes)

    def _draws(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """l_s and log q(z_s|x), (batch, samples) each."""
        logits = self.encoder(_centred(batch.pictures))  # (batch, codes, rows, columns)
        log_q = torch.log_softmax(logits, dim=1)
        rows, columns = logits.shape[2:]
        shares = log_q.exp().permute(0, 2, 3, 1).flatten(0, 2)
        drawn = torch.multinomial(shares.detach(), self.samples, replacement=True, generator=_draws(batch))
        codes = drawn.view(len(logits), rows, columns, self.samples).permute(0, 3, 1, 2)
        chosen = log_q[:, None].expand(-1, self.samples, -1, -1, -1).gather(2, codes[:, :, None])
        log_q_drawn = chosen.flatten(2).sum(2)
        vectors = self.codebook(codes.flatten(0, 1)).permute(0, 3, 1, 2)
        pictures = batch.pictures.repeat_interleave(self.samples, dim=0)
        log_p = -nats(pictures, *self.decoder(vectors)).view(len(logits), self.samples)
        return log_p - rows * columns * math.log(self.codes) - log_q_drawn, log_q_drawn

    def nats(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """-L of each picture, and no cost of its own for the latents: it is within L."""
        log_weights, _ = self._draws(batch)
        return math.log(self.samples) - log_weights.logsumexp(1), torch.zeros(len(log_weights))

    def loss(self, batch: Batch) -> Loss:
        """Bits per dimension, and what gives the encoder its gradient."""
        log_weights, log_q = self._draws(batch)
        bound = log_weights.logsumexp(1) - math.log(self.samples)
        with torch.no_grad():
            signal = bound[:, None] - leave_one_out(log_weights)
        loss = _loss(-bound, torch.zeros(len(log_weights)), batch, {})
        surrogate = bits_per_dimension(-(signal * log_q).sum(1), batch.pictures[0].numel()).mean()
        return Loss(loss.total + surrogate - surrogate.detach(), loss.parts)

    def encode(self, pictures: Tensor) -> Tensor:
        """The likeliest codes: (batch, 3, height, width) -> (batch, rows, columns)."""
        return self.encoder(_centred(pictures)).argmax(dim=1)

    def reconstruct(self, pictures: Tensor) -> Tensor:
        """Pictures through their likeliest codes, levels."""
        codes = self.encode(pictures)
        return _levels(self.decoder(self.codebook(codes).permute(0, 3, 1, 2))[0])


def leave_one_out(log_weights: Tensor) -> Tensor:
    """L_s for each draw: the bound in which it has the mean of the others, (batch, samples) -> (batch, samples)."""
    samples = log_weights.shape[1]
    mean_of_rest = (log_weights.sum(1, keepdim=True) - log_weights) / (samples - 1)
    replaced = log_weights[:, None].expand(-1, samples, -1).clone()
    replaced.diagonal(dim1=1, dim2=2).copy_(mean_of_rest)
    return replaced.logsumexp(2) - math.log(samples)


def _loss(total: Tensor, cost: Tensor, batch: Batch, parts: dict[str, Tensor]) -> Loss:
    dimensions = batch.pictures[0].numel()
    bits = bits_per_dimension(total, dimensions).mean()
    return Loss(
        bits, {"bits_per_dim": bits, "latent_bits_per_dim": bits_per_dimension(cost, dimensions).mean()} | parts
    )


def _centred(pictures: Tensor) -> Tensor:
    return pictures.float() / 127.5 - 1


def _levels(mean: Tensor) -> Tensor:
    return ((mean + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def _draws(batch: Batch) -> torch.Generator:
    return torch.Generator().manual_seed(batch.seed)
