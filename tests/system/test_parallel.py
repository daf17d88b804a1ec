"""Parallel map over processes."""

import math

import pytest

from vqspeech import InputError
from vqspeech.system import parallel


def test_a_part_that_is_none_is_told():
    for part in ((0, 3), (4, 3), (1, 0)):
        with pytest.raises(InputError, match="does not exist; write I/N"):
            parallel.shard_range(range(2), part)


def test_work_over_processes_keeps_its_order_and_takes_no_more_than_it_needs():
    taken = []
    items = (taken.append(number) or number for number in range(1000))
    done = parallel.parallel_map(math.sqrt, items, 1000, 2, lambda *_: None)
    assert [next(done) for _ in range(5)] == [math.sqrt(number) for number in range(5)]
    assert len(taken) <= 2 * parallel.AHEAD + 5
    done.close()
