"""Prior over codes: an autoregressive WaveNet, conditioned on the speaker."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqspeech import config
from vqspeech.data.batches import UNKNOWN, CodeBatch
from vqspeech.nn.shapes import Classes, Loss, SpeakerCond, StackedIndices
from vqspeech.nn.wavenet import WaveNet


class Prior(nn.Module):
    """The distribution of each code given those before it and the speaker.

    It is the decoder's class with another alphabet; one frame of conditioning, the speaker, serves a whole sequence.
    Indices of several codebooks come one after another, frame by frame, each codebook in an alphabet of its own; whose
    turn it is is known, so that the others' codes do not count.  A sequence begins after code 0 of the last codebook,
    which means nothing there.

    Args:
        config: sizes, from a `config.yaml`.
        speakers: the number of speakers.

    Source: van den Oord et al. (2017), sections 3.3 and 4.3; interleaved codebooks: "flattening" in Copet et al.,
        MusicGen (2023), section 2.2.
    """

    def __init__(self, config: config.Prior, speakers: int) -> None:
        super().__init__()
        assert config.codebook_size, "training fills in the size of the codebook"
        self.codes, self.codebooks = config.codebook_size, config.codebooks or 1
        self.speaker = nn.Embedding(speakers, config.speaker_dim)
        self.wavenet = WaveNet(
            self.codebooks * self.codes, (self.codebooks - 1) * self.codes, config.residual_channels,
            config.skip_channels, config.layers, config.layers_per_stack, config.kernel_size, config.speaker_dim,
        )  # fmt: skip

    @torch.no_grad()
    def init_unigram_bias_(self, counts: Tensor) -> None:
        """Initialise the output bias to the unigram distribution of counts, (codebooks, codes)."""
        assert self.wavenet.logits.bias is not None
        shares = (counts + 1.0) / (counts + 1.0).sum(1, keepdim=True)
        self.wavenet.logits.bias.copy_(torch.log(shares).flatten())

    def condition(self, speakers: Tensor) -> SpeakerCond:
        """Conditioning of speakers: (batch,) -> (batch, cond, 1)."""
        return self.speaker(speakers)[:, :, None]

    def unknown_speaker(self) -> SpeakerCond:
        """Conditioning of an unknown speaker, the mean of the known ones: (1, cond, 1)."""
        return self.speaker.weight.mean(0)[None, :, None]

    def symbols(self, codes: StackedIndices) -> Classes:
        """Input symbols of the WaveNet: (batch, frames, codebooks) -> (batch, frames * codebooks)."""
        return (codes + self.codes * torch.arange(self.codebooks, device=codes.device)).flatten(1)

    def logits(self, codes: StackedIndices, cond: SpeakerCond) -> Tensor:
        """Logits of each code within its codebook: (batch, codes, frames, codebooks)."""
        logits = self.wavenet(self.symbols(codes), cond).unflatten(2, (-1, self.codebooks))
        return logits.unflatten(1, (self.codebooks, self.codes)).diagonal(dim1=1, dim2=4)

    def nats(self, past: StackedIndices, codes: StackedIndices, speakers: Tensor) -> Tensor:
        """Negative log-likelihood of each code in nats, (batch, frames, codebooks); 0 where it is UNKNOWN."""
        logits = self.logits(past, self.condition(speakers)).float()
        return F.cross_entropy(logits, codes, ignore_index=UNKNOWN, reduction="none")

    def loss(self, batch: CodeBatch) -> Loss:
        """Bits per code, of all codebooks and of each."""
        nats, is_code = self.nats(batch.past, batch.codes, batch.speakers), batch.codes != UNKNOWN
        each = nats.sum((0, 1)) / is_code.sum((0, 1)).clamp_min(1)
        parts = {"bits_per_code": each.mean() / math.log(2)}
        for number, codes in enumerate(batch.codes.unbind(2), 1):
            name = "code_counts" if number == 1 else f"code_{number}_counts"
            parts[name] = torch.bincount(codes[codes != UNKNOWN], minlength=self.codes)
            if self.codebooks > 1:
                parts[f"bits_per_code_{number}"] = each[number - 1] / math.log(2)
        return Loss(each.mean(), parts)
