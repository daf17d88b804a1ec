"""Source-filter vocoder: pulses and noise, shaped by predicted log-mel spectra, F0 and voicing; it has no weights."""

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vqspeech.audio.chunks import chunks_with_context
from vqspeech.inference.vocoder import IndexedRequest
from vqspeech.models.vqvae import VQVAE
from vqspeech.nn.acoustic_model import N_MELS, AcousticModel
from vqspeech.nn.f0 import f0_to_phase, interpolate_f0
from vqspeech.nn.source_filter import synthesize
from vqspeech.shapes import Wave

SEGMENT_S = 4.0
POSTFILTER_GAIN = 0.2
POSTFILTER_BANDS = 15
"""A predicted spectrum is an average and so too flat: the postfilter moves each band away from the mean of
POSTFILTER_BANDS neighbours, by the share POSTFILTER_GAIN of its distance."""


class SourceFilterVocoder:
    """A `Vocoder` for models with an acoustic model, hundreds of times faster than real time."""

    def __init__(self, model: VQVAE, acoustic_model: AcousticModel) -> None:
        self._model, self._mel = model, acoustic_model.mel

    def decode(self, requests: Iterable[IndexedRequest], progress: Callable[[int], None]) -> Iterator[tuple[int, Wave]]:
        """See `Vocoder.decode`."""
        for number, request in enumerate(requests):
            for wave in self._vocode(request):
                progress(len(wave))
                yield number, wave

    @torch.inference_mode()
    def _vocode(self, request: IndexedRequest) -> Iterator[Wave]:
        """The wave of a request in segments; it does not depend on how the codes are cut into pieces."""
        model, mel, speaker = self._model, self._mel, request.speaker
        hop, sample_rate, device = model.hop, model.sample_rate, speaker.device
        edge = math.ceil(2 * mel.n_fft / hop)  # frames that share an analysis window with a frame
        rng, noise = np.random.default_rng(request.sampling.seed), np.zeros(0, np.float32)
        previous, start_phase = torch.zeros(1, 0, device=device), 0.0  # the phase, in cycles, of the frames before
        length = max(round(SEGMENT_S * sample_rate / hop), edge + model.lookahead + 1)
        for piece, before, after in chunks_with_context(request.pieces, length, edge + model.lookahead):
            frames, lead, trail = len(piece) - before - after, min(edge, before), min(edge, after)
            first, last = before - lead, before + frames + trail
            latents = model.quantizer.decode(torch.from_numpy(piece).to(device)[None])
            prediction = model.predict_acoustics(latents, speaker)
            f0 = interpolate_f0(prediction.f0, hop)[:, first * hop : last * hop]
            phase = f0_to_phase(f0[:, lead * hop :], sample_rate, start_phase)
            start_phase = float(phase[0, frames * hop - 1])
            phase = torch.cat([previous[:, previous.shape[1] - lead * hop :], phase], dim=1)
            noise = np.concatenate([noise, rng.random((last - first) * hop - len(noise), dtype=np.float32)])
            log_mel = _formant_postfilter(prediction.log_mel[:, first:last].reshape(1, -1, N_MELS))
            wave = synthesize(mel, log_mel, f0, phase, torch.from_numpy(noise).to(device)[None], sample_rate)
            yield wave[0, lead * hop : (lead + frames) * hop].clamp(-1, 1).cpu().numpy()
            previous, noise = phase[:, : (lead + frames) * hop], noise[max(0, lead + frames - edge) * hop :]


def _formant_postfilter(log_mel: Tensor) -> Tensor:
    """Log-mel spectra with sharper formants: (batch, frames, bands) -> the same shape.

    Source: Chen and Gersho, Adaptive postfiltering for quality enhancement of coded speech (1995); here on log-mel.
    """
    local_mean = F.avg_pool1d(log_mel, POSTFILTER_BANDS, 1, POSTFILTER_BANDS // 2, count_include_pad=False)
    return log_mel + POSTFILTER_GAIN * (log_mel - local_mean)
