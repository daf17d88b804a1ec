"""The prior: which codes follow which, in a speaker's voice; a WaveNet over codes."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech import config
from vqspeech.dataset import UNKNOWN, CodeBatch
from vqspeech.nn.wavenet import WaveNet
from vqspeech.shapes import Cond, Loss


class Prior(nn.Module):
    """The distribution of each code given those before it and the speaker.

    It is the decoder's class with another alphabet; one frame of conditioning, the speaker, serves a whole sequence.
    A sequence begins after code 0, which means nothing there.

    Args:
        config: sizes, from a `config.yaml`.
        speakers: how many voices.

    Source: van den Oord et al. (2017), sections 3.3 and 4.3.
    """

    def __init__(self, config: config.Prior, speakers: int) -> None:
        super().__init__()
        assert config.codes, "training fills in the size of the codebook"
        self.speaker = nn.Embedding(speakers, config.speaker)
        self.wavenet = WaveNet(
            config.codes, 0, config.residual, config.skip, config.layers, config.stack, config.kernel, config.speaker
        )

    @torch.no_grad()
    def expect_(self, counts: Tensor) -> None:
        """Sets what is expected before anything was learned: each code as often as it was counted, (codes,)."""
        assert self.wavenet.logits.bias is not None
        self.wavenet.logits.bias.copy_(torch.log((counts + 1.0) / (counts + 1.0).sum()))

    def condition(self, speakers: Tensor) -> Cond:
        """What the WaveNet is told: (batch,) -> (batch, cond, 1)."""
        return self.speaker(speakers)[:, :, None]

    def stranger(self) -> Cond:
        """What it is told of a voice that it does not know: the mean of those it does, (1, cond, 1)."""
        return self.speaker.weight.mean(0)[None, :, None]

    def loss(self, batch: CodeBatch) -> Loss:
        """Bits per code."""
        logits = self.wavenet(batch.past, self.condition(batch.speakers))
        nats = F.cross_entropy(logits.float(), batch.codes, ignore_index=UNKNOWN)
        counts = torch.bincount(batch.codes[batch.codes != UNKNOWN], minlength=logits.shape[1])
        return Loss(nats, {"bits_per_code": nats / math.log(2), "code_counts": counts})
