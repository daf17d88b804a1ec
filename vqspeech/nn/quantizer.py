"""Vector quantizer: EMA or gradient codebooks, dead-code replacement, residual quantization."""

from typing import Any, NamedTuple, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech.nn.shapes import Indices, Latents, StackedIndices


class Quantized(NamedTuple):
    """Codebook vectors that let gradients straight through, their codes, and what is added to the likelihood."""

    latents: Latents
    codes: Indices
    loss: Tensor


class ResidualQuantized(NamedTuple):
    """The same of several codebooks, (batch, frames, codebooks) codes; `first`: what the first codebook alone gives."""

    latents: Latents
    first: Latents
    codes: StackedIndices
    loss: Tensor


class Quantizer(nn.Module):
    """Maps each latent to its nearest codebook vector, straight through for the gradient.

    The codebook learns in one of two ways:

    * gradient (equation 3):   loss = |sg[z] - e|^2 + beta |z - sg[e]|^2
    * EMA (appendix A.1):      loss = beta |z - sg[e]|^2, and, after each batch, for each code i
      ```
      count_i <- decay count_i + (1 - decay) n_i         e_i = sum_i / count_i
      sum_i   <- decay sum_i   + (1 - decay) sum of the latents that chose i
      ```

    The first training batch lends the codebook its latents.  A code whose count falls below
    `dead_code_threshold` times the average is dead: it is given a latent of the batch, with the count of an
    average code, so that the next moving average starts from there and does not undo it.  Which latents
    are used as replacements is a rule (evenly spaced over the batch, itself drawn at random), not a draw.  Under
    torch.distributed all of this sees the batches of all processes, in the order of their ranks.

    The commitment sets in slowly.  At first a decoder that hears the true past can do without the codes, and a
    commitment at its full weight would shrink what the encoder says to nothing: the codebook collapses.

    Args:
        codes, dim: K and the size of a vector.
        learning: "gradient" or "ema".
        beta: weight of the commitment.
        commitment_warmup_steps: training steps in which it rises to that, from 0.
        decay: of the moving averages.
        revive_below: share of the average count below which a code is dead; 0 revives none.

    Source: van den Oord et al. (2017), section 3.2 and appendix A.1; revival after Dhariwal et al.,
        Jukebox (2020), appendix B.1, with counts and sums revived too.
    """

    codebook: Tensor
    embedding_sum: Tensor
    cluster_size: Tensor
    steps: Tensor

    def __init__(
        self,
        codes: int,
        dim: int,
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
        codebook = torch.randn(codes, dim)
        if codebook_update == "gradient":
            self.codebook = nn.Parameter(codebook)
        else:
            self.register_buffer("codebook", codebook)
            self.register_buffer("embedding_sum", torch.zeros(codes, dim))
        self.register_buffer("cluster_size", torch.zeros(codes))
        self.register_buffer("steps", torch.zeros(()))

    def encode(self, latents: Latents) -> Indices:
        """The index of the nearest codebook vector of each frame."""
        flat = latents.transpose(1, 2).float()
        # |z - e|^2 without |z|^2, which is the same for every code
        scores = flat @ self.codebook.t() - 0.5 * self.codebook.square().sum(1)
        return scores.argmax(dim=2)

    def decode(self, codes: Indices) -> Latents:
        """The codebook vectors of the codes."""
        return F.embedding(codes, self.codebook).transpose(1, 2)

    def forward(self, latents: Latents) -> Quantized:  # type: ignore[override]
        """Quantises; in training also learns the codebook, from the batch and after it was used."""
        latents = latents.float()
        with torch.autocast(latents.device.type, enabled=False):
            flat = latents.detach().transpose(1, 2).flatten(0, 1)
            if self.training and not self.cluster_size.any():
                self._replace_dead_codes_(
                    torch.ones_like(self.cluster_size, dtype=torch.bool), flat, flat.new_tensor(1.0)
                )
            codes = self.encode(latents)
            chosen = self.decode(codes)
            warmth = (self.steps / max(1, self.commitment_warmup_steps)).clamp_max(1) if self.training else 1.0
            loss = self.commitment_weight * warmth * F.mse_loss(latents, chosen.detach())
            if self.codebook_update == "gradient":
                loss = loss + F.mse_loss(chosen, latents.detach())
            straight = latents + (chosen - latents).detach()
            if self.training:
                self._learn_(flat, codes.flatten())
                self.steps += 1
        return Quantized(straight, codes, loss)

    @torch.no_grad()
    def _learn_(self, flat: Tensor, codes: Tensor) -> None:
        """Moves the averages by one global batch and revives the dead."""
        chosen = F.one_hot(codes, len(self.cluster_size)).to(flat.dtype)
        counts, sums = chosen.sum(0), chosen.t() @ flat
        for statistic in (counts, sums):
            sum_over_processes_(statistic)
        self.cluster_size.lerp_(counts, 1 - self.ema_decay)
        if self.codebook_update == "ema":
            self.embedding_sum.lerp_(sums, 1 - self.ema_decay)
            self.codebook.copy_(self.embedding_sum / self.cluster_size.clamp_min(1e-6)[:, None])
        average = self.cluster_size.mean()
        dead = self.cluster_size < self.dead_code_threshold * average
        if dead.any():  # the same on all processes: the counts are
            self._replace_dead_codes_(dead, flat, average)

    @torch.no_grad()
    def _replace_dead_codes_(self, dead: Tensor, flat: Tensor, count: Tensor) -> None:
        """Gives each dead code a latent of the global batch, and the statistics that belong to it."""
        replacements = _from_all_processes(flat)
        number = int(dead.sum())
        replacements = replacements[torch.arange(number, device=replacements.device) * len(replacements) // number]
        self.codebook.data[dead] = replacements
        self.cluster_size[dead] = count
        if self.codebook_update == "ema":
            self.embedding_sum[dead] = replacements * count


class ResidualQuantizer(nn.Module):
    """Several codebooks, each of which codes what those before it left: residual vector quantisation.

    ```
    latents -> codebook 1 -> code 1        left = latents - vector 1
    left    -> codebook 2 -> code 2        left = left - vector 2 ...        quantised = sum of the vectors
    ```
    Each codebook learns, and revives its dead, by itself.  Of some crops only the first few are used in
    training, so that these alone are of use, too.

    Args:
        number: codebooks.
        dropout: share of the crops in training of which fewer are used: from 1 to all but one, each as often.
        arguments: of each `Quantizer`.

    Source: Zeghidour et al., SoundStream (2021), sections III-C and III-D (quantizer dropout).
    """

    def __init__(self, number: int, dropout: float, *arguments: Any) -> None:
        super().__init__()
        self.dropout = dropout
        self.codebooks = nn.ModuleList(Quantizer(*arguments) for _ in range(number))

    @property
    def first(self) -> Quantizer:
        """The first codebook."""
        return cast("Quantizer", self.codebooks[0])

    @property
    def sizes(self) -> list[int]:
        """How many codes each codebook has."""
        return [len(one.cluster_size) for one in cast("list[Quantizer]", list(self.codebooks))]

    def encode(self, latents: Latents) -> StackedIndices:
        """The codes of each frame."""
        codes, left = [], latents.float()
        for one in cast("list[Quantizer]", list(self.codebooks)):
            codes.append(one.encode(left))
            left = left - one.decode(codes[-1])
        return torch.stack(codes, dim=2)

    def decode(self, codes: StackedIndices) -> Latents:
        """The sums of the vectors of codes, of all codebooks or of the first few."""
        used = list(zip(cast("list[Quantizer]", list(self.codebooks)), codes.unbind(2), strict=False))
        return torch.stack([one.decode(code) for one, code in used]).sum(0)

    def forward(self, latents: Latents, draws: Tensor | None = None) -> ResidualQuantized:  # type: ignore[override]
        """Quantises; in training also learns the codebooks, from the batch and after they were used.

        Args:
            draws: (batch,) in [0, 1), which say in training how many codebooks are used of each of a batch; none: all.
        """
        quantised, left = [], latents.float()
        for one in cast("list[Quantizer]", list(self.codebooks)):
            quantised.append(one(left))
            left = left - quantised[-1].latents.detach()
        vectors = torch.stack([one.latents.detach() for one in quantised])  # (codebooks, batch, dim, frames)
        if draws is not None and self.training and self.dropout:
            used = torch.where(
                draws < self.dropout, 1 + (draws / self.dropout * (len(vectors) - 1)).long(), len(vectors)
            )
            place = torch.arange(len(vectors), device=draws.device)[:, None]
            vectors = vectors * (place < used)[:, :, None, None]
        straight = latents + (vectors.sum(0) - latents).detach()
        codes = torch.stack([one.codes for one in quantised], dim=2)
        return ResidualQuantized(
            straight, quantised[0].latents, codes, torch.stack([one.loss for one in quantised]).sum()
        )


def compiled(function: Any) -> Any:
    """`torch.compile` of what has quantisers in it: what they learn in place, a graph would still need as it was.

    The compiler is loaded here and not before: it takes as long as all else that a command loads.
    """
    Quantizer.forward = torch.compiler.disable(Quantizer.forward)  # type: ignore[method-assign]
    return torch.compile(function)


@torch.no_grad()
def data_dependent_init_(last: nn.Module, latents: Latents) -> None:
    """Sets the last layer of an encoder so that each number of a latent has mean 0 and variance 1 over the first batch.

    As it is drawn, an encoder says nearly the same of everything.  The decoder then learns to do without the codes, and
    the commitment shrinks what is left of them to nothing: the codebook collapses to one code.

    Args:
        last: a linear layer or a convolution, whose weights and biases have as many rows as a latent has numbers.
        latents: what it says of the batch, before quantisation.

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
    """How many codes occur in a histogram of codes, and its perplexity: exp of the entropy, 1 to K.

    >>> codebook_usage(torch.tensor([7, 0, 0, 0]))
    (1, 1.0)
    """
    share = counts.double() / counts.sum()
    return int((counts > 0).sum()), float(torch.special.entr(share).sum().exp())


def time_jitter(latents: Latents, uniforms: Tensor, probability: float) -> Latents:
    """Latents, some of them replaced by a neighbour's, so that no latent may rely on the one beside it.

    With probability p a frame takes the latent before it (p / 2) or after it (p / 2); at the ends, its own.

    Args:
        uniforms: (batch, frames), a draw for each frame.

    Source: Chorowski et al., Unsupervised speech representation learning using WaveNet autoencoders
        (2019), section III-C.
    """
    frames = latents.shape[2]
    step = (uniforms > 1 - probability / 2).long() - (uniforms < probability / 2).long()
    index = (torch.arange(frames, device=latents.device) + step).clamp(0, frames - 1)
    return latents.gather(2, index[:, None].expand_as(latents))


def sum_over_processes_(statistic: Tensor) -> None:
    """Makes a statistic of this process's part of a batch that of the whole batch."""
    if dist.is_initialized():
        dist.all_reduce(statistic)


def _from_all_processes(flat: Tensor) -> Tensor:
    if not dist.is_initialized():
        return flat
    parts = [torch.empty_like(flat) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, flat.contiguous())
    return torch.cat(parts)
