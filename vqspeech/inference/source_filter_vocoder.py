"""Source-filter vocoder: pulses and noise, shaped by predicted log-mel spectra, F0 and voicing; it has no weights."""

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch

from vqspeech.audio.chunks import chunks_with_context
from vqspeech.inference.vocoder import IndexedRequest
from vqspeech.models.vqvae import VQVAE
from vqspeech.nn.acoustic_model import N_MELS, AcousticModel
from vqspeech.nn.f0 import f0_to_phase, interpolate_f0
from vqspeech.nn.source_filter import synthesize
from vqspeech.shapes import Wave

SEGMENT_S = 4.0


class SourceFilterVocoder:
    """A `Vocoder` for models with an acoustic model, hundreds of times faster than real time."""

    def __init__(self, model: VQVAE, acoustic_model: AcousticModel) -> None:
        self._model, self._mel = model, acoustic_model.mel

    def decode(self, requests: Iterable[IndexedRequest], progress: Callable[[int], None]) -> Iterator[tuple[int, Wave]]:
        """See `Vocoder.decode`."""
        for number, request in enumerate(requests):
            for wave in self._vocode(request, round(SEGMENT_S * self._model.sample_rate / self._model.hop)):
                progress(len(wave))
                yield number, wave

    @property
    def lookahead(self) -> int:
        """See `Vocoder.lookahead`: half a frame for the interpolation of F0, and a window."""
        return self._model.right_context * self._model.hop + self._edge

    @property
    def _edge(self) -> int:
        """Samples before the end of the frames that are predicted which depend on later frames."""
        return math.ceil(self._model.hop / 2) + self._mel.win_length

    def stream(self, request: IndexedRequest) -> Iterator[Wave]:
        """See `Vocoder.stream`; the wave is that of `decode`."""
        return self._vocode(request, None)

    @torch.inference_mode()
    def _vocode(self, request: IndexedRequest, frames: int | None) -> Iterator[Wave]:
        """The wave of a request, of `frames` codes at a time, or as many as are complete (None)."""
        model, mel, speaker = self._model, self._mel, request.speaker
        hop, sample_rate, device = model.hop, model.sample_rate, speaker.device
        left, right = model.left_context, model.right_context
        lead = math.ceil((self._edge + mel.win_length) / hop) + 1  # frames before, whose windows reach what is to come
        rng, noise = np.random.default_rng(request.sampling.seed), np.zeros(0, np.float32)
        phase, done = torch.zeros(1, 0, device=device), 0  # in cycles, of the window's samples up to the `done`th
        window_start, chunk_start = 0, 0  # in samples
        for piece, before, after in chunks_with_context(
            request.pieces, frames or 1, lead + left, right, greedy=frames is None
        ):
            first, last = before - min(lead, before), len(piece) - after
            dropped = chunk_start - (before - first) * hop - window_start
            window_start, chunk_start = window_start + dropped, chunk_start + (last - before) * hop
            latents = model.quantizer.decode(torch.from_numpy(piece).to(device)[None])
            prediction = model.predict_acoustics(latents, speaker)
            f0 = interpolate_f0(prediction.f0, hop)[:, first * hop : last * hop]
            noise = np.concatenate([noise[dropped:], rng.random(f0.shape[1] + dropped - len(noise), dtype=np.float32)])
            known = done - window_start
            phase = phase[:, phase.shape[1] - known :]
            start = float(phase[0, -1]) if known else 0.0
            phase = torch.cat([phase, f0_to_phase(f0[:, known:], sample_rate, start)], dim=1)
            complete = max(known, f0.shape[1] - (self._edge if after else 0))
            log_mel = prediction.log_mel[:, first:last].reshape(1, -1, N_MELS)
            wave = synthesize(mel, log_mel, f0, phase, torch.from_numpy(noise).to(device)[None], sample_rate)
            yield wave[0, known:complete].clamp(-1, 1).cpu().numpy()
            phase, done = phase[:, :complete], window_start + complete
