"""Work spread over processes."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

Progress = Callable[[int, int], None]
"""Is told how many items are done, of how many."""


def each(work: Callable, items: list, nj: int, progress: Progress) -> Iterator:
    """work(item) for each item, in their order, over nj processes."""
    if nj == 1 or len(items) < 2:
        results: Iterable = map(work, items)
    else:
        pool = ProcessPoolExecutor(nj, mp_context=get_context("spawn"))
        results = pool.map(work, items, chunksize=max(1, min(32, len(items) // (4 * nj))))
    for number, result in enumerate(results, 1):
        progress(number, len(items))
        yield result
