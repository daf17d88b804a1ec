"""Encoding in stages, each of which works on chunks of its input with the context that it depends on.

```
mu-law classes --> analysis (log-mel, F0) --> features --> codes
```
Chunks may be long, for speed, or a frame, for low latency: the codes are the same.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vqspeech.audio import mulaw
from vqspeech.audio.chunks import chunks_with_context
from vqspeech.errors import InputError
from vqspeech.models.vqvae import VQVAE
from vqspeech.nn.features import Analysis
from vqspeech.nn.shapes import Signal


class Stage(NamedTuple):
    """A stage: `function` makes frames of `stride` items each, (1, items, ...) -> (1, ceil(items / stride), ...).

    A frame depends on `left` items before its own, a multiple of `stride`, and `right` items after them.
    """

    function: Callable[[Tensor], Tensor]
    left: int
    right: int
    stride: int = 1

    @torch.inference_mode()
    def __call__(self, blocks: Iterable[NDArray], frames: int | None, device: str) -> Iterator[NDArray]:
        """Frames of items that arrive in blocks of any size: `frames` at a time, or as many as are complete (None)."""
        size, greedy = self.stride * (frames or 1), frames is None
        for chunk, before, after in chunks_with_context(blocks, size, self.left, self.right, greedy):
            number = math.ceil((len(chunk) - before - after) / self.stride)
            result = self.function(torch.from_numpy(chunk).to(device)[None])[0]
            yield result[before // self.stride :][:number].cpu().numpy()


def encoding_stages(model: VQVAE, lookahead_s: float | None = None) -> list[Stage]:
    """The stages from mu-law classes, (time,), to codes, (frames, codebooks).

    Args:
        lookahead_s: see `FeatureExtractor.from_analysis`.

    Raises:
        InputError: a look-ahead that the model's features do not have.
    """
    longest_s = model.feature_extractor.cmn_window_s if model.feature_extractor else 0.0
    if lookahead_s is not None and not 0 <= lookahead_s <= longest_s:
        raise InputError(f"a look-ahead of {lookahead_s:g} s; this model has 0 to {longest_s:g} s")
    hop, encoder, extractor = model.hop, model.encoder, model.feature_extractor
    if extractor is None:
        return [
            Stage(lambda x: model.encode(_whole(x, hop)), encoder.left_context * hop, encoder.right_context * hop, hop)
        ]
    steps_per_frame = hop // extractor.mel.hop_length
    n_log_mel = steps_per_frame * extractor.mel.sizes[1]

    def analyse(classes: Tensor) -> Tensor:
        log_mel, f0 = extractor.analyse(mulaw.expand_tensor(_whole(classes, hop)))
        rows = _to_rows(log_mel, steps_per_frame)
        return rows if f0 is None else torch.cat([rows, f0[:, :, None]], dim=2)

    def features(rows: Tensor) -> Tensor:
        log_mel = _from_rows(rows[:, :, :n_log_mel], steps_per_frame)
        f0 = rows[:, :, n_log_mel] if extractor.use_f0 else None
        return _to_rows(extractor.from_analysis(Analysis(log_mel, f0), lookahead_s=lookahead_s), steps_per_frame)

    def encode(rows: Tensor) -> Tensor:
        return model.quantizer.encode(encoder(_from_rows(rows, steps_per_frame)))

    samples = extractor.context_samples
    return [
        Stage(analyse, math.ceil(samples / hop) * hop, samples, hop),
        Stage(features, extractor.left_context, extractor.right_context(lookahead_s)),
        Stage(encode, encoder.left_context, encoder.right_context),
    ]


def encoding_lookahead(stages: list[Stage], hop: int) -> int:
    """Samples after its own that a code depends on."""
    return stages[0].right + hop * sum(stage.right for stage in stages[1:])


def _whole(classes: Tensor, hop: int) -> Tensor:
    """Classes whose last frame is filled with silence: (1, time) -> (1, frames * hop)."""
    return F.pad(classes, (0, -classes.shape[1] % hop), value=mulaw.SILENCE)


def _to_rows(signal: Signal, steps_per_frame: int) -> Tensor:
    """(1, bands, steps) -> (1, frames, steps_per_frame * bands)."""
    return signal.transpose(1, 2).unflatten(1, (-1, steps_per_frame)).flatten(2)


def _from_rows(rows: Tensor, steps_per_frame: int) -> Signal:
    """The inverse of `_to_rows`."""
    return rows.unflatten(2, (steps_per_frame, -1)).flatten(1, 2).transpose(1, 2)
