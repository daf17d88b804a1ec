"""Results of many requests, a file each: one that fails does not spoil the others."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from vqspeech.audio.chunks import Wave
from vqspeech.errors import InputError

Failed = Callable[[InputError], None]
"""Is told what failed, and why, and may raise it to end the rest."""


def end_at(fault: InputError) -> None:
    """Ends the rest: a `Failed` for who wants all or an error."""
    raise fault


def saved(
    count: int, spoken: Iterable[tuple[int, Wave]], save: Callable[[int, Iterable[Wave]], None], failed: Failed
) -> Iterator[int]:
    """Saves what is spoken side by side, and yields the number of each request whose file is there.

    Args:
        count: of requests.
        spoken: pairs of a request's number and a part of its wave, in order of the numbers.
        save: called once for each request, in order, with no waves where nothing was to be said.
        failed: told each InputError of `save`; one of `spoken` itself ends everything.
    """
    broken: list[InputError] = []

    def heard() -> Iterator[tuple[int, Wave]]:
        try:
            yield from spoken
        except InputError as error:
            broken.append(error)
            raise

    def settled(number: int, waves: Iterable[Wave]) -> bool:
        try:
            save(number, waves)
        except InputError as fault:
            if broken:
                raise
            failed(fault)
            return False
        return True

    done = 0
    for number, pairs in groupby(heard(), itemgetter(0)):
        yield from (silent for silent in range(done, number) if settled(silent, ()))
        if settled(number, (wave for _, wave in pairs)):
            yield number
        done = number + 1
    yield from (silent for silent in range(done, count) if settled(silent, ()))
