"""Pseudo-QMF bank (PQMF): a wave as 2 or 4 sub-bands at a fraction of its sample rate, and back."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vqspeech.nn.shapes import Waves

ORDER = 62
KAISER_BETA = 9.0
CUTOFF = {2: 0.267, 4: 0.142}
"""Of the prototype filter, a share of half the sample rate: where analysis and synthesis together are flattest."""

SubBands = Float[Tensor, "batch bands steps"]
"""Sub-band signals, each at the sample rate divided by the number of bands."""


class FilterBank(nn.Module):
    """Near-perfect reconstruction by cosine-modulated filters of ORDER + 1 taps, without delay.

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
        """Steps on either side of a step that synthesis needs: `synthesise` of a piece with them has no seam."""
        return math.ceil(ORDER / 2 / self.bands) if self.bands > 1 else 0

    def analyse(self, wave: Waves) -> SubBands:
        """(batch, time) -> (batch, bands, time / bands); time must be a multiple of the bands."""
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
    """Analysis and synthesis filters, (bands, ORDER + 1) each; a synthesis filter is as `conv_transpose1d` takes it."""
    from scipy.signal import firwin

    prototype = torch.from_numpy(firwin(ORDER + 1, CUTOFF[bands], window=("kaiser", KAISER_BETA)))  # type: ignore[arg-type]
    place = torch.arange(ORDER + 1, dtype=torch.float64) - ORDER / 2
    band = torch.arange(bands, dtype=torch.float64)[:, None]
    carrier, turn = (2 * band + 1) * math.pi / (2 * bands) * place, (-1) ** band * math.pi / 4
    analysis, synthesis = (2 * prototype * torch.cos(carrier + sign * turn) for sign in (1, -1))
    return analysis.flip(1).float(), synthesis.float()
