"""Vector quantizer: EMA or gradient codebooks, dead-code replacement, residual quantization."""

from typing import Any, NamedTuple, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.shapes import Indices, Latents, StackedIndices


class Quantized(NamedTuple):
    """Codebook vectors with straight-through gradients, their codes, and the quantizer's loss."""

    latents: Latents
    codes: Indices
    loss: Tensor


class ResidualQuantized(NamedTuple):
    """Output of a residual quantizer: as `Quantized`; `first` are the vectors of the first codebook alone."""

    latents: Latents
    first: Latents
    codes: StackedIndices
    loss: Tensor


class Quantizer(nn.Module):
    """Vector quantizer: each latent becomes its nearest codebook vector, with straight-through gradients.

    The codebook learns in one of two ways:

    * gradient (equation 3):   loss = |sg[z] - e|^2 + beta |z - sg[e]|^2
    * EMA (appendix A.1):      loss = beta |z - sg[e]|^2, and, after each batch, for each code i
      ```
      count_i <- decay count_i + (1 - decay) n_i         e_i = sum_i / count_i
      sum_i   <- decay sum_i   + (1 - decay) sum of the latents that chose i
      ```

    The codebook is initialised with latents of the first training batch.  A code whose count falls below
    `dead_code_threshold` times the average count is dead: it is replaced by a latent of the batch and gets the count
    of an average code, so that the next EMA step starts from there and does not undo the replacement.  Replacements
    are evenly spaced over the batch, which is random itself, so no random numbers are needed.  Under
    torch.distributed, all processes use the batches of all processes, in the order of their ranks.

    The commitment weight rises slowly.  At first, a teacher-forced decoder can do without the codes, and the full
    commitment loss would shrink the latents to zero: the codebook would collapse.

    Args:
        codebook_size: number of codes, K in the paper.
        codebook_dim: numbers in a codebook vector.
        codebook_update: "gradient" or "ema".
        commitment_weight: beta in the equations.
        ema_decay: decay of the moving averages.
        dead_code_threshold: share of the average count below which a code is dead; 0: codes are never replaced.
        commitment_warmup_steps: training steps in which the commitment weight rises from 0.

    Source: van den Oord et al. (2017), section 3.2 and appendix A.1; replacement of dead codes after Dhariwal et al.,
        Jukebox (2020), appendix B.1; here counts and sums are replaced too.
    """

    codebook: Tensor
    embedding_sum: Tensor
    cluster_size: Tensor
    steps: Tensor

    def __init__(
        self,
        codebook_size: int,
        codebook_dim: int,
        codebook_update: str,
        commitment_weight: float,
        ema_decay: float,
        dead_code_threshold: float,
        commitment_warmup_steps: int = 0,
    ) -> None:
        super().__init__()
        self.codebook_update, self.commitment_weight = codebook_update, commitment_weight
        self.ema_decay, self.dead_code_threshold = ema_decay, dead_code_threshold
        self.commitment_warmup_steps = commitment_warmup_steps
        codebook = torch.randn(codebook_size, codebook_dim)
        if codebook_update == "gradient":
            self.codebook = nn.Parameter(codebook)
        else:
            self.register_buffer("codebook", codebook)
            self.register_buffer("embedding_sum", torch.zeros(codebook_size, codebook_dim))
        self.register_buffer("cluster_size", torch.zeros(codebook_size))
        self.register_buffer("steps", torch.zeros(()))

    def encode(self, latents: Latents) -> Indices:
        """Codes: the index of the nearest codebook vector of each frame."""
        flat = latents.transpose(1, 2).float()
        # -|z - e|^2 / 2 without |z|^2, which is the same for every code
        scores = flat @ self.codebook.t() - 0.5 * self.codebook.square().sum(1)
        return scores.argmax(dim=2)

    def decode(self, codes: Indices) -> Latents:
        """Codebook vectors of codes."""
        return F.embedding(codes, self.codebook).transpose(1, 2)

    def forward(self, latents: Latents) -> Quantized:  # type: ignore[override]
        """Quantisation of latents; in training, the codebook is updated with the batch afterwards."""
        latents = latents.float()
        with torch.autocast(latents.device.type, enabled=False):
            flat = latents.detach().transpose(1, 2).flatten(0, 1)
            if self.training and not self.cluster_size.any():
                self._replace_dead_codes_(
                    torch.ones_like(self.cluster_size, dtype=torch.bool), flat, flat.new_tensor(1.0)
                )
            codes = self.encode(latents)
            vectors = self.decode(codes)
            warmup = (self.steps / max(1, self.commitment_warmup_steps)).clamp_max(1) if self.training else 1.0
            loss = self.commitment_weight * warmup * F.mse_loss(latents, vectors.detach())
            if self.codebook_update == "gradient":
                loss = loss + F.mse_loss(vectors, latents.detach())
            straight_through = latents + (vectors - latents).detach()
            if self.training:
                self._update_codebook_(flat, codes.flatten())
                self.steps += 1
        return Quantized(straight_through, codes, loss)

    @torch.no_grad()
    def _update_codebook_(self, flat: Tensor, codes: Tensor) -> None:
        """Updates the moving averages with one global batch, then replaces dead codes."""
        one_hot = F.one_hot(codes, len(self.cluster_size)).to(flat.dtype)
        counts, sums = one_hot.sum(0), one_hot.t() @ flat
        for statistic in (counts, sums):
            sum_over_processes_(statistic)
        self.cluster_size.lerp_(counts, 1 - self.ema_decay)
        if self.codebook_update == "ema":
            self.embedding_sum.lerp_(sums, 1 - self.ema_decay)
            self.codebook.copy_(self.embedding_sum / self.cluster_size.clamp_min(1e-6)[:, None])
        average = self.cluster_size.mean()
        dead = self.cluster_size < self.dead_code_threshold * average
        if dead.any():  # the same on all processes, as the counts are
            self._replace_dead_codes_(dead, flat, average)

    @torch.no_grad()
    def _replace_dead_codes_(self, dead: Tensor, flat: Tensor, count: Tensor) -> None:
        """Replaces each dead code by a latent of the global batch, with the count `count` and the sum that fits it."""
        replacements = _from_all_processes(flat)
        number = int(dead.sum())
        replacements = replacements[torch.arange(number, device=replacements.device) * len(replacements) // number]
        self.codebook.data[dead] = replacements
        self.cluster_size[dead] = count
        if self.codebook_update == "ema":
            self.embedding_sum[dead] = replacements * count


class ResidualQuantizer(nn.Module):
    """Residual vector quantizer: each codebook quantises the residual of the codebooks before it.

    ```
    latents  -> codebook 1 -> code 1       residual = latents - vector 1
    residual -> codebook 2 -> code 2       residual = residual - vector 2 ...       quantised = sum of the vectors
    ```
    Each codebook is updated, and replaces its dead codes, independently.  Some training segments use the first few
    codebooks only (quantizer dropout), so that these suffice by themselves.

    Args:
        codebooks: number of codebooks.
        dropout: share of the training segments that use fewer codebooks: from 1 to all but one, with equal probability.
        arguments: of each `Quantizer`.

    Source: Zeghidour et al., SoundStream (2021), sections III-C and III-D (quantizer dropout).
    """

    def __init__(self, codebooks: int, dropout: float, *arguments: Any) -> None:
        super().__init__()
        self.dropout = dropout
        self.codebooks = nn.ModuleList(Quantizer(*arguments) for _ in range(codebooks))

    @property
    def first(self) -> Quantizer:
        """First codebook."""
        return cast("Quantizer", self.codebooks[0])

    @property
    def sizes(self) -> list[int]:
        """Number of codes of each codebook."""
        return [len(quantizer.cluster_size) for quantizer in self._quantizers]

    @property
    def _quantizers(self) -> list[Quantizer]:
        """Codebooks as a typed list."""
        return cast("list[Quantizer]", list(self.codebooks))

    def encode(self, latents: Latents) -> StackedIndices:
        """Codes of each frame."""
        codes, residual = [], latents.float()
        for quantizer in self._quantizers:
            codes.append(quantizer.encode(residual))
            residual = residual - quantizer.decode(codes[-1])
        return torch.stack(codes, dim=2)

    def decode(self, codes: StackedIndices) -> Latents:
        """Sums of the codebook vectors of codes, of all codebooks or of the first few."""
        pairs = zip(self._quantizers, codes.unbind(2), strict=False)
        return torch.stack([quantizer.decode(indices) for quantizer, indices in pairs]).sum(0)

    def forward(self, latents: Latents, draws: Tensor | None = None) -> ResidualQuantized:  # type: ignore[override]
        """Quantisation of latents; in training, the codebooks are updated with the batch afterwards.

        Args:
            latents: (batch, dim, frames).
            draws: (batch,) in [0, 1), which decide in training how many codebooks each segment uses; None: all.
        """
        results, residual = [], latents.float()
        for quantizer in self._quantizers:
            results.append(quantizer(residual))
            residual = residual - results[-1].latents.detach()
        vectors = torch.stack([result.latents.detach() for result in results])  # (codebooks, batch, dim, frames)
        if draws is not None and self.training and self.dropout:
            used = torch.where(
                draws < self.dropout, 1 + (draws / self.dropout * (len(vectors) - 1)).long(), len(vectors)
            )
            index = torch.arange(len(vectors), device=draws.device)[:, None]
            vectors = vectors * (index < used)[:, :, None, None]
        straight_through = latents + (vectors.sum(0) - latents).detach()
        codes = torch.stack([result.codes for result in results], dim=2)
        loss = torch.stack([result.loss for result in results]).sum()
        return ResidualQuantized(straight_through, results[0].latents, codes, loss)


def compile_training(function: Any) -> Any:
    """`torch.compile` of a function that calls quantizers, which stay outside of its graphs.

    Quantizers update their codebooks in place, while the backward pass of a graph needs the values from before.  The
    compiler is imported here because its import takes as long as all others of a command together.
    """
    Quantizer.forward = torch.compiler.disable(Quantizer.forward)  # type: ignore[method-assign]
    return torch.compile(function)


@torch.no_grad()
def data_dependent_init_(last: nn.Module, latents: Latents) -> None:
    """Data-dependent initialisation of an encoder: each latent channel gets mean 0 and variance 1 over a batch.

    The latents of a randomly initialised encoder are nearly the same for all inputs.  The decoder then learns to do
    without the codes, and the commitment loss shrinks the latents to zero: the codebook collapses to one code.

    Args:
        last: last layer of the encoder, linear or a convolution, with one row of weights per latent channel.
        latents: its output for the batch, before quantisation.

    Source: Salimans and Kingma, Weight Normalization (2016), section 3, data-dependent initialisation.
    """
    latents = latents.float()
    number = latents.new_tensor(latents[:, 0].numel())
    sums, squares = latents.sum((0, 2)), latents.square().sum((0, 2))
    for statistic in (number, sums, squares):
        sum_over_processes_(statistic)
    mean = sums / number
    scale = (squares / number - mean.square()).clamp_min(1e-12).rsqrt()
    weight, bias = last.get_parameter("weight"), last.get_parameter("bias")
    weight.mul_(scale.view(-1, *(weight.dim() - 1) * [1]))
    bias.sub_(mean).mul_(scale)


def codebook_usage(counts: Tensor) -> tuple[int, float]:
    """Codebook usage: the number of codes that occur in a histogram, and its perplexity (exp of the entropy, 1 to K).

    >>> codebook_usage(torch.tensor([7, 0, 0, 0]))
    (1, 1.0)
    """
    probabilities = counts.double() / counts.sum()
    return int((counts > 0).sum()), float(torch.special.entr(probabilities).sum().exp())


def time_jitter(latents: Latents, uniforms: Tensor, probability: float) -> Latents:
    """Time jitter: latents, some of them replaced by a neighbour, so that none can rely on the next one.

    A frame takes the latent before it with probability p / 2, and the one after it with p / 2; a frame at an end keeps
    its own instead of one that does not exist.

    Args:
        latents: (batch, dim, frames).
        uniforms: (batch, frames), in [0, 1).
        probability: p.

    Source: Chorowski et al., Unsupervised speech representation learning using WaveNet autoencoders
        (2019), section III-C.
    """
    frames = latents.shape[2]
    step = (uniforms > 1 - probability / 2).long() - (uniforms < probability / 2).long()
    index = (torch.arange(frames, device=latents.device) + step).clamp(0, frames - 1)
    return latents.gather(2, index[:, None].expand_as(latents))


def sum_over_processes_(statistic: Tensor) -> None:
    """Sums a statistic over the batches of all processes, in place."""
    if dist.is_initialized():
        dist.all_reduce(statistic)


def _from_all_processes(flat: Tensor) -> Tensor:
    """Latents of all processes, (all latents, dim), in the order of their ranks."""
    if not dist.is_initialized():
        return flat
    parts = [torch.empty_like(flat) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, flat.contiguous())
    return torch.cat(parts)
