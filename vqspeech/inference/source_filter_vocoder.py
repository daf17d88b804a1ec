"""Codes become speech by their outline: a draft of it, piece by piece, a hundred times faster than sample by sample."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vqspeech.audio.chunks import chunks_with_context
from vqspeech.models.vqvae import VQVAE
from vqspeech.nn.acoustic_model import N_MELS
from vqspeech.nn.f0 import f0_to_phase, interpolate_f0
from vqspeech.nn.source_filter import synthesize

SEGMENT_S = 4.0
POSTFILTER_GAIN, POSTFILTER_BANDS = 0.2, 15
"""What is foreseen is a mean, flatter than what it is a mean of: each band is moved away from the mean of its
neighbours, by a share of its distance to it."""

Wave = NDArray[np.float32]


@torch.inference_mode()
def vocode(model: VQVAE, pieces: Iterable[NDArray[np.int64]], speaker: Tensor, seed: int) -> Iterator[Wave]:
    """Speech from codes, (frames,) each, that are in the codebook; it does not depend on how they are cut.

    Args:
        model: with an outline.
        speaker: (1,), an index into the speaker table, on the model's device.
        seed: of the breath.
    """
    assert model.acoustic_model, "this model has no outline"
    hop, rate, mel, device = model.hop, model.sample_rate, model.acoustic_model.mel, speaker.device
    edge = math.ceil(2 * mel.n_fft / hop)  # frames that share a window with a frame
    rng, noise = np.random.default_rng(seed), np.zeros(0, np.float32)
    previous, start = torch.zeros(1, 0, device=device), 0.0  # the phase of the frames before
    length = max(round(SEGMENT_S * rate / hop), edge + model.lookahead + 1)
    for piece, before, after in chunks_with_context(pieces, length, edge + model.lookahead):
        own, led, trail = len(piece) - before - after, min(edge, before), min(edge, after)
        first, last = before - led, before + own + trail
        prediction = model.predict_acoustics(model.quantizer.decode(torch.from_numpy(piece).to(device)[None]), speaker)
        f0 = interpolate_f0(prediction.f0, hop)[:, first * hop : last * hop]
        cycles = f0_to_phase(f0[:, led * hop :], rate, start)
        start = float(cycles[0, own * hop - 1])
        cycles = torch.cat([previous[:, previous.shape[1] - led * hop :], cycles], dim=1)
        noise = np.concatenate([noise, rng.random((last - first) * hop - len(noise), dtype=np.float32)])
        log_mel = _formant_postfilter(prediction.log_mel[:, first:last].reshape(1, -1, N_MELS))
        wave = synthesize(mel, log_mel, f0, cycles, torch.from_numpy(noise).to(device)[None], rate)
        yield wave[0, led * hop : (led + own) * hop].clamp(-1, 1).cpu().numpy()
        previous, noise = cycles[:, : (led + own) * hop], noise[max(0, led + own - edge) * hop :]


def _formant_postfilter(log_mel: Tensor) -> Tensor:
    """Spectra with steeper formants: (batch, steps, bands), both.

    Source: what post-filters of speech codecs do, Chen and Gersho (1995), here on the logarithm of mel spectra.
    """
    local_mean = F.avg_pool1d(log_mel, POSTFILTER_BANDS, 1, POSTFILTER_BANDS // 2, count_include_pad=False)
    return log_mel + POSTFILTER_GAIN * (log_mel - local_mean)
