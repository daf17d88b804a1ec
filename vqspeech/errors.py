"""Errors and warnings that are addressed to the user."""

import functools
import sys


class InputError(Exception):
    """A fault of the input, not of the program.

    The message is one line that names the value, the limit and the cure.  The command line prints it
    on stderr and exits with 2; a library user may catch it.
    """


@functools.lru_cache(1024)
def warn(line: str) -> None:
    """Tells, on stderr, what is odd about an input that is used all the same; the same line only once."""
    print(f"vqspeech: {line}", file=sys.stderr, flush=True)


def check_codebooks(asked: int, there: int, what: str) -> None:
    """Raises InputError where more codebooks are asked for than `what` has, or none."""
    if not 1 <= asked <= there:
        raise InputError(f"{asked} codebooks are asked for, {what} has {there}; choose 1 to {there}")
