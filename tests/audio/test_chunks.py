"""Chunks with context hold every item once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vqspeech.audio import chunks


@given(
    size=st.integers(1, 9),
    left=st.integers(0, 12),
    right=st.integers(0, 12),
    cuts=st.lists(st.integers(0, 40), min_size=1, max_size=8),
    greedy=st.booleans(),
)
def test_chunks_hold_every_item_once_with_all_the_context_there_is_as_soon_as_they_can(size, left, right, cuts, greedy):
    whole = np.arange(sum(cuts))
    arrived, middles = 0, []

    def blocks():
        nonlocal arrived
        for block in np.split(whole, np.cumsum(cuts)[:-1]):
            arrived += len(block)
            yield block
            complete = sum(map(len, middles))
            assert complete == max(0, (arrived - right) // size * size)
        arrived = len(whole)

    for chunk, before, after in chunks.chunks_with_context(blocks(), size, left, right, greedy):
        middle = chunk[before : len(chunk) - after]
        assert before == min(left, middle[0])
        assert after == min(right, len(whole) - 1 - middle[-1])
        assert np.array_equal(chunk, np.arange(chunk[0], chunk[-1] + 1))
        middles.append(middle)
    assert all(len(middle) % size == 0 if greedy else len(middle) == size for middle in middles[:-1])
    assert not greedy or len(middles) <= len(cuts) + 1
    assert np.array_equal(np.concatenate([np.zeros(0), *middles]), whole)
