"""Results of several requests, a file each: one that fails does not stop the others."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from vqspeech.errors import InputError
from vqspeech.shapes import Wave

OnFailure = Callable[[InputError], None]
"""Is called with the error of a request; it may raise it, which stops the rest."""


def stop(error: InputError) -> None:
    """An `OnFailure` that stops at the first error."""
    raise error


def save_each(
    count: int, decoded: Iterable[tuple[int, Wave]], save: Callable[[int, Iterable[Wave]], None], on_failure: OnFailure
) -> Iterator[int]:
    """Save what is decoded side by side; yields the number of each request whose file was written.

    Args:
        count: of requests.
        decoded: pairs of a request's number and a part of its wave, in order of the numbers.
        save: is called once for each request, in order, with no waves where nothing was decoded.
        on_failure: is called with each InputError of `save`; an error of `decoded` itself stops everything.
    """
    decoding_errors: list[InputError] = []

    def watched() -> Iterator[tuple[int, Wave]]:
        try:
            yield from decoded
        except InputError as error:
            decoding_errors.append(error)
            raise

    def try_save(number: int, waves: Iterable[Wave]) -> bool:
        try:
            save(number, waves)
        except InputError as error:
            if decoding_errors:
                raise
            on_failure(error)
            return False
        return True

    done = 0
    for number, pairs in groupby(watched(), itemgetter(0)):
        yield from (empty for empty in range(done, number) if try_save(empty, ()))
        if try_save(number, (wave for _, wave in pairs)):
            yield number
        done = number + 1
    yield from (empty for empty in range(done, count) if try_save(empty, ()))
