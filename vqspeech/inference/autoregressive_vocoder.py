"""Autoregressive vocoder: a WaveNet samples segments in parallel, which are then cross-faded.

```
segment 1   |=====================|                   lead: the receptive field, so that the segment no
segment 2             lead |~~~~~~|==============     longer depends on the silence it began with
                           overlap: both use the same uniforms, and are joined where they are most alike
```
A recording of any length needs the same memory, and its wave depends on codes, speaker and seed alone: not on how the
codes are cut, on what is decoded beside it, or on the number of cores.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vqspeech.audio.chunks import chunks_with_context, crossfade
from vqspeech.engines.protocol import Engine
from vqspeech.inference.conditioning import Conditioned, Conditioning
from vqspeech.inference.sampling_config import SamplingConfig
from vqspeech.inference.vocoder import IndexedRequest
from vqspeech.models.vqvae import VQVAE
from vqspeech.nn.shapes import Cond
from vqspeech.shapes import Wave

SEGMENT_S = 3.75
OVERLAP_S = 0.064
FADE_S = 0.01
STREAMS_PER_THREAD = 16
FRAMES_PER_CALL = 1024
"""Frames of conditioning, of all streams together, that one call of the engine samples."""


class _Segment(NamedTuple):
    """A part of a request: `cond`, `log_mel` (bands, frames), `uniforms` (time,); the first `lead` frames lead in."""

    number: int
    sampling: SamplingConfig
    cond: Tensor
    log_mel: Tensor
    uniforms: Tensor
    lead: int


class AutoregressiveVocoder:
    """A `Vocoder` that samples a WaveNet.

    Args:
        model: decodes codes to latents.
        conditioning: the WaveNet, and what it is conditioned on.
        engine: samples it.
        threads: of the engine; STREAMS_PER_THREAD segments are sampled side by side on each.
    """

    def __init__(self, model: VQVAE, conditioning: Conditioning, engine: Engine[Any], threads: int) -> None:
        self._model, self._conditioning, self._engine = model, conditioning, engine
        self._streams = STREAMS_PER_THREAD * threads

    @torch.inference_mode()
    def decode(self, requests: Iterable[IndexedRequest], progress: Callable[[int], None]) -> Iterator[tuple[int, Wave]]:
        """See `Vocoder.decode`."""
        segments = (segment for number, request in enumerate(requests) for segment in self._segments(number, request))
        waves = (pair for group in self._groups(segments) for pair in self._sample(group, progress))
        hop = self._conditioning.samples_per_frame
        for number, pairs in groupby(waves, lambda pair: pair[0].number):
            parts = ((wave, segment.lead * hop) for segment, wave in pairs)
            for wave in crossfade(parts, self._overlap, min(self._overlap, round(FADE_S * self._model.sample_rate))):
                yield number, wave

    @property
    def lookahead(self) -> int:
        """See `Vocoder.lookahead`."""
        conditioning = self._conditioning
        return conditioning.right_context * self._model.hop + conditioning.wave_context * conditioning.samples_per_frame

    @torch.inference_mode()
    def stream(self, request: IndexedRequest) -> Iterator[Wave]:
        """See `Vocoder.stream`; it samples one segment without end."""
        conditioning, hop = self._conditioning, self._conditioning.samples_per_frame
        context = conditioning.wave_context
        for frames, before, after in chunks_with_context(self._frames(request), 1, context, context, greedy=True):
            wave = conditioning.wave(frames["symbols"].flatten(), frames["log_mel"].T)
            yield wave[before * hop : len(wave) - after * hop]

    @torch.inference_mode()
    def _frames(self, request: IndexedRequest) -> Iterator[NDArray]:
        """Frames of a request, each its symbols and its log-mel spectrum, sampled one after another."""
        conditioning, hop = self._conditioning, self._conditioning.samples_per_frame
        frames_per_code = self._model.hop // hop
        temperature, top_p, seed = request.sampling
        rng, state = np.random.default_rng(seed), None
        for piece, before, after in chunks_with_context(
            request.pieces, 1, conditioning.left_context, conditioning.right_context, greedy=True
        ):
            n_codes = len(piece) - before - after
            first, last = frames_per_code * before, frames_per_code * (before + n_codes)
            cond, log_mel = (one[:, :, first:last] for one in self._condition(piece, request.speaker))
            uniforms = torch.from_numpy(rng.random(n_codes * self._model.hop, dtype=np.float32)).to(cond.device)[None]
            symbols, state = self._generate(cond, uniforms, temperature, top_p, state)
            frame = [("symbols", np.uint8, (hop,)), ("log_mel", np.float32, (log_mel.shape[1],))]
            frames = np.empty(last - first, frame)
            frames["symbols"] = symbols[0].cpu().numpy().reshape(-1, hop)
            frames["log_mel"] = log_mel[0].T.cpu().numpy()
            yield frames

    def _generate(
        self, cond: Cond, uniforms: Tensor, temperature: float, top_p: float, state: Any
    ) -> tuple[Tensor, Any]:
        """Symbols of streams and the state after them; each band has its own temperature."""
        bands = self._conditioning.temperatures.to(uniforms.device)
        temperatures = (temperature * bands).repeat(uniforms.shape[1] // len(bands)).expand_as(uniforms)
        return self._engine.generate(self._conditioning.wavenet, cond, uniforms, temperatures, state, top_p=top_p)

    def _condition(self, codes: NDArray, speaker: Tensor) -> Conditioned:
        """Conditioning of codes, (codes, codebooks)."""
        latents = self._model.quantizer.decode(torch.from_numpy(codes).to(speaker.device)[None])
        return self._conditioning.condition(latents, speaker)

    @property
    def _overlap(self) -> int:
        """Samples in which two segments overlap: whole codes."""
        return math.ceil(OVERLAP_S * self._model.sample_rate / self._model.hop) * self._model.hop

    def _segments(self, number: int, request: IndexedRequest) -> Iterator[_Segment]:
        conditioning, hop, device = self._conditioning, self._model.hop, request.speaker.device
        frames_per_code, left = hop // conditioning.samples_per_frame, conditioning.left_context
        lead = math.ceil((conditioning.wavenet.receptive_field + self._overlap) / hop)
        length = max(round(SEGMENT_S * self._model.sample_rate / hop), 2 * lead)
        rng, uniforms = np.random.default_rng(request.sampling.seed), np.zeros(0, np.float32)
        for piece, before, after in chunks_with_context(
            request.pieces, length, lead + left, conditioning.right_context
        ):
            n_codes, n_lead = len(piece) - before - after, max(0, before - left)
            first, last = frames_per_code * (before - n_lead), frames_per_code * (before + n_codes)
            cond, log_mel = (one[0, :, first:last] for one in self._condition(piece, request.speaker))
            new = rng.random(n_codes * hop, dtype=np.float32)
            uniforms = np.concatenate([uniforms[len(uniforms) - n_lead * hop :], new])
            draws = torch.from_numpy(uniforms).to(device)
            yield _Segment(number, request.sampling, cond, log_mel, draws, frames_per_code * n_lead)

    def _groups(self, segments: Iterator[_Segment]) -> Iterator[list[_Segment]]:
        """Segments that are sampled side by side: consecutive ones of equal temperature and top_p."""
        for _, alike in groupby(segments, lambda segment: segment.sampling[:2]):
            while group := list(islice(alike, self._streams)):
                yield group

    def _sample(self, segments: list[_Segment], progress: Callable[[int], None]) -> Iterator[tuple[_Segment, Wave]]:
        """The waves of segments, leads included."""
        hop = self._conditioning.samples_per_frame
        temperature, top_p, _ = segments[0].sampling
        lengths = [segment.cond.shape[1] for segment in segments]
        longest = max(lengths)
        cond = torch.stack([F.pad(segment.cond, (0, longest - segment.cond.shape[1])) for segment in segments])
        uniforms = torch.stack([
            F.pad(segment.uniforms, (0, longest * hop - len(segment.uniforms))) for segment in segments
        ])  # fmt: skip
        state, sampled = None, []
        step = max(1, FRAMES_PER_CALL // len(segments))
        for start in range(0, longest, step):
            part, draws = cond[:, :, start : start + step], uniforms[:, start * hop : (start + step) * hop]
            classes, state = self._generate(part, draws, temperature, top_p, state)
            sampled.append(classes.cpu().numpy())
            ends = [min(start + step, length) for length in lengths]
            frames = (max(0, end - max(start, one.lead)) for end, one in zip(ends, segments, strict=True))
            progress(hop * sum(frames))
        for segment, classes in zip(segments, np.concatenate(sampled, axis=1), strict=True):
            yield segment, self._conditioning.wave(classes[: len(segment.uniforms)], segment.log_mel.cpu().numpy())
