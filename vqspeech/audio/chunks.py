"""Chunks of sequences that arrive in pieces of any size: with context, and cross-faded."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from vqspeech.shapes import Wave


def chunks_with_context(blocks: Iterable[NDArray], size: int, context: int) -> Iterator[tuple[NDArray, int, int]]:
    """Blocks of any size, cut anew into pieces of `size` with `context` items on either side.

    Yields (piece with its context, items of context before, items after); at the two ends there is less
    context, or none.  Every item is in exactly one piece's middle.  `context` is smaller than `size`.
    """
    before, held = 0, None
    for block in blocks:
        held = block if held is None else np.concatenate([held, block])
        while len(held) > before + size + context:
            yield held[: before + size + context], before, context
            held = held[before + size - context :]
            before = context
    while held is not None and len(held) > before:
        after = min(context, max(0, len(held) - before - size))
        yield held[: before + size + after], before, after
        held = held[before + size - context :] if after else None
        before = context


def crossfade(parts: Iterable[tuple[Wave, int]], overlap: int, fade: int) -> Iterator[Wave]:
    """Waves, each beginning `lead` samples before the end of the one before, as one wave without leads.

    Within the last `overlap` samples before that end, the waves are faded into one another where the fade
    changes them least: the place of the smallest squared difference over `fade` samples.
    """
    held: Wave = np.zeros(0, np.float32)
    for wave, lead in parts:
        if lead:
            old, new = held[len(held) - overlap :], wave[lead - overlap : lead]
            gap = np.concatenate([[0.0], np.cumsum(np.square(old - new, dtype=np.float64))])
            at = int(np.argmin(gap[fade:] - gap[:-fade]))
            rise = np.clip((np.arange(overlap) - at + 0.5) / fade, 0, 1).astype(np.float32)
            yield held[: len(held) - overlap]
            held = np.concatenate([old + rise * (new - old), wave[lead:]]).astype(np.float32)
        else:
            held = wave
    yield held
