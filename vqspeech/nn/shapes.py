"""Shapes of tensors: one alias each, checked while the tests run.

`time` counts audio samples, `frames` counts codes; `hop` is samples per code, so `time == frames * hop`.
"""

from typing import NamedTuple

from jaxtyping import Float, Int, UInt8
from torch import Tensor

Waves = Float[Tensor, "batch time"]
"""Waves in [-1, 1]."""
Signal = Float[Tensor, "batch bands steps"]
"""Input of an encoder: a wave as one band, or log-mel spectra."""
Classes = UInt8[Tensor, "batch time"] | Int[Tensor, "batch time"]
"""Symbols of an alphabet: mu-law classes 0..255, or codes 0..K-1 in a prior."""
DecoderInput = UInt8[Tensor, "batch segment"] | Int[Tensor, "batch segment"]
"""Teacher-forced input of a decoder, for a part of each training segment."""
Latents = Float[Tensor, "batch dim frames"]
"""Output of the encoder, before or after quantisation."""
Indices = Int[Tensor, "batch frames"]
"""Codes of one codebook."""
StackedIndices = Int[Tensor, "batch frames codebooks"]
"""Codes of several codebooks."""
Cond = Float[Tensor, "batch cond frames"]
"""Conditioning of a WaveNet, one vector per frame."""
SpeakerCond = Float[Tensor, "batch cond 1"]
"""Conditioning by the speaker, one vector for a whole sequence."""
F0 = Float[Tensor, "batch frames"] | Float[Tensor, "batch time"]
"""F0 in Hz of frames or of samples; 0 where unvoiced."""
Uniforms = Float[Tensor, "batch time"]
"""Random numbers in [0, 1), one per symbol that is drawn."""
Logits = Float[Tensor, "batch classes time"]
"""Unnormalised log probabilities of each symbol."""
Pictures = Float[Tensor, "batch bands height width"]
"""Pictures in [-1, 1]."""
PictureLatents = Float[Tensor, "batch dim rows columns"]
"""Output of an encoder of pictures, before or after quantisation."""
Symbols = Int[Tensor, "batch height width"]
"""Pictures of symbols of an alphabet: codes, or levels of grey."""
PictureCond = Float[Tensor, "batch cond height width"]
"""Conditioning of a PixelCNN, one vector per place."""
PictureLogits = Float[Tensor, "batch symbols height width"]
"""Unnormalised log probabilities of the symbol at each place."""


class Loss(NamedTuple):
    """`total` is minimised; `parts` are logged, each with its unit in its name."""

    total: Tensor
    parts: dict[str, Tensor]
