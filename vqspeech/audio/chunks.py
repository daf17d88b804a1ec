"""Chunks of sequences that arrive in pieces of any size: with context, and cross-faded."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from vqspeech.shapes import Wave


def chunks_with_context(blocks: Iterable[NDArray], size: int, context: int) -> Iterator[tuple[NDArray, int, int]]:
    """Chunks of `size` items with `context` items on either side, from blocks of any size.

    Yields (chunk with its context, items of context before, items of context after); at the two ends there is less
    context, or none.  Every item is in exactly one chunk without its context.  `context` is smaller than `size`.
    """
    before, buffer = 0, None
    for block in blocks:
        buffer = block if buffer is None else np.concatenate([buffer, block])
        while len(buffer) > before + size + context:
            yield buffer[: before + size + context], before, context
            buffer = buffer[before + size - context :]
            before = context
    while buffer is not None and len(buffer) > before:
        after = min(context, max(0, len(buffer) - before - size))
        yield buffer[: before + size + after], before, after
        buffer = buffer[before + size - context :] if after else None
        before = context


def crossfade(parts: Iterable[tuple[Wave, int]], overlap: int, fade: int) -> Iterator[Wave]:
    """Cross-faded concatenation of waves, each of which begins `lead` samples before the end of its predecessor.

    The cross-fade of `fade` samples is in the last `overlap` samples before that end, where the squared difference of
    the two waves is smallest.

    Args:
        parts: (wave, lead) each.
        overlap: samples within which the cross-fade is placed.
        fade: samples of the cross-fade.
    """
    buffer: Wave = np.zeros(0, np.float32)
    for wave, lead in parts:
        if lead:
            old, new = buffer[len(buffer) - overlap :], wave[lead - overlap : lead]
            errors = np.concatenate([[0.0], np.cumsum(np.square(old - new, dtype=np.float64))])
            at = int(np.argmin(errors[fade:] - errors[:-fade]))
            fade_in = np.clip((np.arange(overlap) - at + 0.5) / fade, 0, 1).astype(np.float32)
            yield buffer[: len(buffer) - overlap]
            buffer = np.concatenate([old + fade_in * (new - old), wave[lead:]]).astype(np.float32)
        else:
            buffer = wave
    yield buffer
