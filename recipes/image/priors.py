"""What is learned over the codes of pictures: a PixelCNN, and a second VQ-VAE whose decoder is one."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.encoder import Encoder
from vqspeech.nn.pixelcnn import PixelCNN
from vqspeech.nn.quantizer import Quantizer, data_dependent_init_
from vqspeech.nn.shapes import Loss


class CodeBatch(NamedTuple):
    """`codes`: (batch, rows, columns); `kinds`: (batch,) classes, or none."""

    codes: Tensor
    kinds: Tensor | None


class Prior(nn.Module):
    """How likely pictures of codes are, told their class where there are classes."""

    def __init__(self, codes: int, channels: int, layers: int, classes: int) -> None:
        super().__init__()
        self.net = PixelCNN(codes, channels, layers, 5, classes)

    def loss(self, batch: CodeBatch) -> Loss:
        """Nats a code; in `parts`, bits."""
        nats = F.cross_entropy(self.net(batch.codes, batch.kinds), batch.codes)
        return Loss(nats, {"bits_per_code": nats / math.log(2)})


class Second(nn.Module):
    """Pictures of codes through LATENTS codes more, 27 bits in all with 512 of them; a PixelCNN decodes.

    ```
    codes -> embed -> stride 3 -> one vector -> LATENTS latents -> quantiser -> cond, the same everywhere, + place
                                                                                  -> PixelCNN -> codes
    ```
    A strong decoder could do without the latents; that it does not is what the commitment and revival are for.

    Source: van den Oord et al. (2017), section 4.2.
    """

    LATENTS = 3

    def __init__(self, codes: int, size: int, units: int, dim: int, channels: int, layers: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(codes, dim)
        stride = 3 if size % 3 == 0 else 4
        self.encoder = Encoder(dim, units, (stride,), 2, units, pictures=True)
        self.squeeze = nn.ModuleList(nn.Linear(units * (size // stride) ** 2, dim) for _ in range(self.LATENTS))
        # three latents a picture are few: with averages over 0.99 the dead are noticed too late, and 5 codes are left
        self.quantizer = Quantizer(codes, dim, "ema", 0.25, 0.9, 0.1, commitment_warmup_steps=200)
        self.place = nn.Parameter(0.1 * torch.randn(1, dim, size, size))
        self.to_cond = nn.Linear(self.LATENTS * dim, dim)
        self.net = PixelCNN(codes, channels, layers, 5, cond_channels=dim)

    def latents(self, codes: Tensor) -> Tensor:
        """(batch, rows, columns) -> (batch, dim, LATENTS), before quantisation."""
        x = self.encoder(self.embed(codes).permute(0, 3, 1, 2))
        return torch.stack([squeeze(F.relu(x).flatten(1)) for squeeze in self.squeeze], dim=2)

    def encode(self, codes: Tensor) -> Tensor:
        """(batch, rows, columns) -> (batch, LATENTS)."""
        return self.quantizer.encode(self.latents(codes))

    def condition(self, latents: Tensor) -> Tensor:
        """Quantised latents as what the PixelCNN is told."""
        return self.to_cond(latents.flatten(1))[:, :, None, None] + self.place

    def decode(self, chosen: Tensor, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
        """(batch, LATENTS) codes -> (batch, rows, columns) codes."""
        return self.net.generate(uniforms, cond=self.condition(self.quantizer.decode(chosen)), temperature=temperature)

    def loss(self, batch: CodeBatch) -> Loss:
        """Nats a code and the commitment; in `parts`, bits."""
        if self.training and not self.quantizer.cluster_size.any():
            for squeeze, latents in zip(self.squeeze, self.latents(batch.codes).split(1, dim=2), strict=True):
                data_dependent_init_(squeeze, latents)
        quantised = self.quantizer(self.latents(batch.codes))
        nats = F.cross_entropy(self.net(batch.codes, cond=self.condition(quantised.latents)), batch.codes)
        counts = torch.bincount(quantised.codes.flatten(), minlength=len(self.quantizer.cluster_size))
        parts = {"bits_per_code": nats / math.log(2), "commitment": quantised.loss, "latent_counts": counts}
        return Loss(nats + quantised.loss, parts)
