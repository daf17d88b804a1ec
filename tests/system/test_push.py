"""Push adapter: results come with the push that completes them, and so do faults."""

import pytest

from vqspeech.system.push import PushAdapter


def pairs(items):
    """Sums of two items each; the last one may be alone."""
    yield "start"
    for item in items:
        if item < 0:
            raise ValueError("negative")
        yield item + next(items, 0)


def test_results_come_with_the_push_that_completes_them():
    adapter = PushAdapter(pairs)
    assert adapter.push(1) == ["start"]
    assert adapter.push(2) == [3]
    assert adapter.push(5) == []
    assert adapter.finish() == [5]


def test_a_fault_is_raised_by_the_push_that_causes_it():
    adapter = PushAdapter(pairs)
    adapter.push(1)
    adapter.push(2)
    with pytest.raises(ValueError, match="negative"):
        adapter.push(-1)
