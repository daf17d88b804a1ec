"""Parallel map over processes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context

from vqspeech.errors import InputError

AHEAD = 32
"""Items that are queued for each process."""
Progress = Callable[[int, int], None]
"""Callback with the number of completed items and the total."""


def shard_range(items: range, shard: tuple[int, int]) -> range:
    """Shard (i, n) of a range, with i from 1 to n: every n-th item.

    Raises:
        InputError: the shard does not exist.
    """
    number, shards = shard
    if not 1 <= number <= shards:
        raise InputError(f"shard {number}/{shards} does not exist; write I/N with I from 1 to N")
    return items[number - 1 :: shards]


def parallel_map(work: Callable, items: Iterable, total: int, nj: int, progress: Progress) -> Iterator:
    """Parallel map: work(item) for each of `total` items, in their order, over `nj` processes.

    Items are consumed as they are needed, so they need not fit in memory together.  The processes end with the
    iterator.

    Raises:
        InputError: a process died, for example because memory ran out.
    """
    if nj == 1 or total < 2:
        for number, item in enumerate(items, 1):
            result = work(item)
            progress(number, total)
            yield result
        return
    pool, remaining = ProcessPoolExecutor(nj, mp_context=get_context("spawn")), iter(items)
    try:
        ahead = deque(pool.submit(work, item) for item in islice(remaining, AHEAD * nj))
        for number in range(1, total + 1):
            result = ahead.popleft().result()
            ahead.extend(pool.submit(work, item) for item in islice(remaining, 1))
            progress(number, total)
            yield result
    except BrokenProcessPool:
        raise InputError(
            "a process died, perhaps because memory ran out; completed items are kept, try a smaller --nj"
        ) from None
    finally:
        workers = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:  # an interruption does not wait for running items
            worker.terminate()
