"""The vocabulary: one alias for each thing that has a shape.

`time` counts audio samples, `frames` counts codes; `hop` = samples per code, so that
`time == frames * hop`.  Written in signatures, checked under pytest, free at run time.
"""

from typing import NamedTuple

from jaxtyping import Float, Int, UInt8
from torch import Tensor

Wave = Float[Tensor, "batch time"]
"""Sound, in [-1, 1]."""
Signal = Float[Tensor, "batch bands steps"]
"""What an encoder hears: a wave as it is, one band, or the log-mel spectra of it."""
Classes = UInt8[Tensor, "batch time"] | Int[Tensor, "batch time"]
"""Symbols of an alphabet: mu-law classes 0..255, or codes 0..K-1 when a prior speaks."""
Past = UInt8[Tensor, "batch spoken"] | Int[Tensor, "batch spoken"]
"""Those of a part of a recording, as a decoder is told them."""
Latents = Float[Tensor, "batch dim frames"]
"""What the encoder says, before or after quantisation."""
Codes = Int[Tensor, "batch frames"]
"""Indices into the codebook."""
StackedCodes = Int[Tensor, "batch frames codebooks"]
"""Indices into several codebooks, the first of which says most."""
Cond = Float[Tensor, "batch cond frames"]
"""What the WaveNet is told, once per frame."""
Pitch = Float[Tensor, "batch frames"] | Float[Tensor, "batch time"]
"""F0 in Hz, of frames or of samples, 0 where there is no voice."""
Uniforms = Float[Tensor, "batch time"]
"""Random numbers in [0, 1), one per draw."""
Logits = Float[Tensor, "batch classes time"]
"""Unnormalised log probabilities of the next symbol."""
Pictures = Float[Tensor, "batch bands height width"]
"""Pictures, in [-1, 1]."""
PictureLatents = Float[Tensor, "batch dim rows columns"]
"""What an encoder says of a picture, before or after quantisation."""
Symbols = Int[Tensor, "batch height width"]
"""Pictures of symbols of an alphabet: codes, or levels of grey."""
PictureCond = Float[Tensor, "batch cond height width"]
"""What a PixelCNN is told, for each place."""
PictureLogits = Float[Tensor, "batch symbols height width"]
"""Unnormalised log probabilities of the symbol at each place."""


class Loss(NamedTuple):
    """`total` is what is minimised; `parts` are what is logged, each with its unit in its name."""

    total: Tensor
    parts: dict[str, Tensor]
