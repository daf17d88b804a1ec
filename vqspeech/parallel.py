"""Work spread over processes."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from vqspeech.errors import InputError

Progress = Callable[[int, int], None]
"""Is told how many items are done, of how many."""


def shares(items: list, part: tuple[int, int]) -> list:
    """The i-th of n parts of some items, (i, n) with i from 1 to n: every n-th.

    Raises:
        InputError: there is no such part.
    """
    number, parts = part
    if not 1 <= number <= parts:
        raise InputError(f"part {number}/{parts} is none; write i/n with i from 1 to n")
    return items[number - 1 :: parts]


def each(work: Callable, items: list, nj: int, progress: Progress) -> Iterator:
    """work(item) for each item, in their order, over nj processes; these end when nobody asks for more.

    Raises:
        InputError: a process died, such as of a want of memory.
    """
    if nj == 1 or len(items) < 2:
        for number, item in enumerate(items, 1):
            result = work(item)
            progress(number, len(items))
            yield result
        return
    pool = ProcessPoolExecutor(nj, mp_context=get_context("spawn"))
    try:
        results = pool.map(work, items, chunksize=max(1, min(32, len(items) // (4 * nj))))
        for number, result in enumerate(results, 1):
            progress(number, len(items))
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
