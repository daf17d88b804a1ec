"""How likely pictures of 256 levels are: every number of the recipe goes through here.

A decoder gives a mean and a log scale for each of the height x width x 3 levels of a picture.  Level x has the share of
a logistic distribution that lies between x - 1/2 and x + 1/2, divided by what lies between -1/2 and 255 1/2: nothing is
lost beyond the ends, and a scale that grows without end makes all levels alike, 8 bits each.

    -log2 p(x) = -log2 [F(b) - F(a)] + log2 [F(high) - F(low)],    F(t) = 1 / (1 + exp(-t)), t = (level - mean) / scale

Source: Kingma et al., Improved variational inference with inverse autoregressive flow (2016), appendix; truncated here.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 256


def nats(pictures: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """-log p of each picture: (batch, 3, height, width) -> (batch,).

    Args:
        pictures: levels 0 to 255, integers.
        mean: of the logistic, in [-1, 1] of the levels' range.
        log_scale: of its scale, in the same unit.
    """
    centre = (mean + 1) / 2 * (LEVELS - 1)
    scale = torch.exp(log_scale.clamp(-7, 14)) * (LEVELS - 1) / 2
    levels = pictures.to(mean.dtype)
    inside = _log_between((levels - 0.5 - centre) / scale, (levels + 0.5 - centre) / scale)
    total = _log_between((-0.5 - centre) / scale, (LEVELS - 0.5 - centre) / scale)
    return (total - inside).flatten(1).sum(1)


def bits_per_dimension(nats_: Tensor, dimensions: int) -> Tensor:
    """Nats a picture as bits a level."""
    return nats_ / (dimensions * math.log(2))


def _log_between(low: Tensor, high: Tensor) -> Tensor:
    """Log [F(high) - F(low)] = log F(high) + log F(-low) + log(1 - exp(low - high)), without a difference of likes."""
    return F.logsigmoid(high) + F.logsigmoid(-low) + torch.log(-torch.expm1(low - high))
