"""Chunks with context hold every item once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vqspeech.audio import chunks


@given(size=st.integers(3, 9), context=st.integers(1, 2), cuts=st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_pieces_hold_every_item_once_with_all_the_context_there_is(size, context, cuts):
    whole = np.arange(sum(cuts))
    middles = []
    for piece, before, after in chunks.chunks_with_context(np.split(whole, np.cumsum(cuts)[:-1]), size, context):
        middle = piece[before : len(piece) - after]
        assert before == min(context, middle[0])
        assert after == min(context, len(whole) - 1 - middle[-1])
        assert np.array_equal(piece, np.arange(piece[0], piece[-1] + 1))
        middles.append(middle)
    assert all(len(middle) == size for middle in middles[:-1])
    assert np.array_equal(np.concatenate(middles), whole)
