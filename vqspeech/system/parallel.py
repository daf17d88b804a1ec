"""Parallel map over processes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context

from vqspeech.errors import InputError

AHEAD = 32
"""Items of each process that wait for it."""
Progress = Callable[[int, int], None]
"""Is called with the number of items that are done, and of all."""


def shard_range(items: range, part: tuple[int, int]) -> range:
    """The i-th of n parts of some numbers, (i, n) with i from 1 to n: every n-th.

    Raises:
        InputError: there is no such part.
    """
    number, parts = part
    if not 1 <= number <= parts:
        raise InputError(f"part {number}/{parts} is none; write i/n with i from 1 to n")
    return items[number - 1 :: parts]


def parallel_map(work: Callable, items: Iterable, total: int, nj: int, progress: Progress) -> Iterator:
    """work(item) for each of `total` items, in their order, over nj processes, which end when nobody asks for more.

    Items are taken as they are needed, so there may be more of them than memory holds.

    Raises:
        InputError: a process died, such as of a want of memory.
    """
    if nj == 1 or total < 2:
        for number, item in enumerate(items, 1):
            result = work(item)
            progress(number, total)
            yield result
        return
    pool, rest = ProcessPoolExecutor(nj, mp_context=get_context("spawn")), iter(items)
    try:
        ahead = deque(pool.submit(work, item) for item in islice(rest, AHEAD * nj))
        for number in range(1, total + 1):
            result = ahead.popleft().result()
            ahead.extend(pool.submit(work, item) for item in islice(rest, 1))
            progress(number, total)
            yield result
    except BrokenProcessPool:
        raise InputError(
            "a process died, perhaps for want of memory; what is done is kept, try a smaller --nj"
        ) from None
    finally:
        workers = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:  # an interruption does not wait for what is at hand
            worker.terminate()
