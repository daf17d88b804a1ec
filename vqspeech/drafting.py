"""Codes become speech by their outline: a draft of it, piece by piece, a hundred times faster than sample by sample."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vqspeech.models.vqvae import VQVAE
from vqspeech.nn.draft import draft
from vqspeech.nn.outline import BANDS
from vqspeech.nn.pitch import glide, phase
from vqspeech.pieces import pieces_of

SEGMENT_S = 4.0
SHARPER, NEIGHBOURS = 0.2, 15
"""What is foreseen is a mean, flatter than what it is a mean of: each band is moved away from the mean of its
neighbours, by a share of its distance to it."""

Wave = NDArray[np.float32]


@torch.inference_mode()
def drafted(model: VQVAE, pieces: Iterable[NDArray[np.int64]], speaker: Tensor, seed: int) -> Iterator[Wave]:
    """Speech from codes, (frames,) each, that are in the codebook; it does not depend on how they are cut.

    Args:
        model: with an outline.
        speaker: (1,), an index into the speaker table, on the model's device.
        seed: of the breath.
    """
    assert model.outline, "this model has no outline"
    hop, rate, mel, device = model.hop, model.sample_rate, model.outline.mel, speaker.device
    edge = math.ceil(2 * mel.size / hop)  # frames that share a window with a frame
    draws, noise = np.random.default_rng(seed), np.zeros(0, np.float32)
    begun, start = torch.zeros(1, 0, device=device), 0.0  # the phase of the frames before
    length = max(round(SEGMENT_S * rate / hop), edge + model.foresight + 1)
    for piece, before, after in pieces_of(pieces, length, edge + model.foresight):
        own, led, trail = len(piece) - before - after, min(edge, before), min(edge, after)
        first, last = before - led, before + own + trail
        outlined = model.foresee(model.quantiser.decode(torch.from_numpy(piece).to(device)[None]), speaker)
        pitch = glide(outlined.pitch, hop)[:, first * hop : last * hop]
        going = phase(pitch[:, led * hop :], rate, start)
        start = float(going[0, own * hop - 1])
        going = torch.cat([begun[:, begun.shape[1] - led * hop :], going], dim=1)
        noise = np.concatenate([noise, draws.random((last - first) * hop - len(noise), dtype=np.float32)])
        spectra = _sharpened(outlined.spectra[:, first:last].reshape(1, -1, BANDS))
        wave = draft(mel, spectra, pitch, going, torch.from_numpy(noise).to(device)[None], rate)
        yield wave[0, led * hop : (led + own) * hop].clamp(-1, 1).cpu().numpy()
        begun, noise = going[:, : (led + own) * hop], noise[max(0, led + own - edge) * hop :]


def _sharpened(spectra: Tensor) -> Tensor:
    """Spectra with steeper formants: (batch, steps, bands), both.

    Source: what post-filters of speech codecs do, Chen and Gersho (1995), here on the logarithm of mel spectra.
    """
    around = F.avg_pool1d(spectra, NEIGHBOURS, 1, NEIGHBOURS // 2, count_include_pad=False)
    return spectra + SHARPER * (spectra - around)
