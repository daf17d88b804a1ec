"""Chunks of sequences that arrive in pieces of any size: with context, and cross-faded."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from vqspeech.shapes import Wave


def chunks_with_context(
    blocks: Iterable[NDArray], size: int, left: int, right: int, greedy: bool = False
) -> Iterator[tuple[NDArray, int, int]]:
    """Chunks of `size` items with `left` items before them and `right` items after them, from blocks of any size.

    Yields (chunk with its context, items of context before, items of context after) as soon as its items are there; at
    the two ends there is less context, or none.  Every item is in exactly one chunk without its context.

    Args:
        greedy: whether a chunk is as many times `size` as is complete, so that each block gives one chunk at most.
    """
    before, buffer = 0, None
    for block in blocks:
        buffer = block if buffer is None else np.concatenate([buffer, block])
        while (complete := len(buffer) - before - right) >= size:
            number = complete // size * size if greedy else size
            yield buffer[: before + number + right], before, right
            start = max(0, before + number - left)
            buffer, before = buffer[start:], before + number - start
    while buffer is not None and (rest := len(buffer) - before):
        number = rest if greedy else min(size, rest)
        after = min(right, rest - number)
        yield buffer[: before + number + after], before, after
        start = max(0, before + number - left)
        buffer, before = buffer[start:], before + number - start


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
