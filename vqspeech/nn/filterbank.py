"""Pseudo-QMF bank (PQMF): a wave as 2 or 4 sub-bands at a fraction of its sample rate, and back."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vqspeech.nn.shapes import Waves

ORDER = 62
"""Order of the filters, which have one tap more."""
KAISER_BETA = 9.0
"""Shape of the Kaiser window of the prototype filter."""
CUTOFF = {2: 0.267, 4: 0.142}
"""Cutoff of the prototype filter by number of bands, as a share of half the sample rate.

At these, the response of analysis and synthesis together is flattest.
"""

SubBands = Float[Tensor, "batch bands steps"]
"""Sub-band signals, each at the sample rate divided by the number of bands."""


class FilterBank(nn.Module):
    """Near-perfect-reconstruction bank of cosine-modulated filters with ORDER + 1 taps, without delay.

    Args:
        bands: 1 (the wave itself), 2 or 4.

    Source: Nguyen, Near-perfect-reconstruction pseudo-QMF banks (1994); as a vocoder's output, Yu et al., DurIAN
        (2019) and Yang et al., Multi-band MelGAN (2020).
    """

    analysis_filters: Tensor
    synthesis_filters: Tensor

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.bands = bands
        if bands > 1:
            analysis, synthesis = pqmf_filters(bands)
            self.register_buffer("analysis_filters", analysis[:, None], persistent=False)
            self.register_buffer("synthesis_filters", synthesis[:, None], persistent=False)

    @property
    def context(self) -> int:
        """Sub-band samples on either side that synthesis depends on: with them, a segment is synthesised exactly."""
        return math.ceil(ORDER / 2 / self.bands) if self.bands > 1 else 0

    def analyse(self, wave: Waves) -> SubBands:
        """(batch, time) -> (batch, bands, time / bands); time must be a multiple of `bands`."""
        if self.bands == 1:
            return wave[:, None]
        half = ORDER // 2
        return F.conv1d(F.pad(wave[:, None], (half, half)), self.analysis_filters, stride=self.bands)

    def synthesise(self, sub_bands: SubBands) -> Waves:
        """(batch, bands, steps) -> (batch, steps * bands), the inverse of `analyse`."""
        if self.bands == 1:
            return sub_bands[:, 0]
        wave = F.conv_transpose1d(
            sub_bands, self.synthesis_filters, stride=self.bands, padding=ORDER // 2, output_padding=self.bands - 1
        )
        return self.bands * wave[:, 0]


def pqmf_filters(bands: int) -> tuple[Tensor, Tensor]:
    """Analysis filters for `conv1d` and synthesis filters for `conv_transpose1d`, (bands, ORDER + 1) each."""
    from scipy.signal import firwin

    prototype = torch.from_numpy(firwin(ORDER + 1, CUTOFF[bands], window=("kaiser", KAISER_BETA)))  # type: ignore[arg-type]
    tap = torch.arange(ORDER + 1, dtype=torch.float64) - ORDER / 2
    band = torch.arange(bands, dtype=torch.float64)[:, None]
    carrier, phase = (2 * band + 1) * math.pi / (2 * bands) * tap, (-1) ** band * math.pi / 4
    analysis, synthesis = (2 * prototype * torch.cos(carrier + sign * phase) for sign in (1, -1))
    return analysis.flip(1).float(), synthesis.float()
