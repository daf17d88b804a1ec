"""Errors and warnings for the user."""

import functools
import sys


class InputError(Exception):
    """Error in the input, not in the program.

    The message is one line with the value, the limit and the cure.  The command line prints it on stderr and exits
    with code 2; library users may catch it.
    """


@functools.lru_cache(1024)
def warn(line: str) -> None:
    """Prints a warning about the input on stderr, each message only once."""
    print(f"vqspeech: {line}", file=sys.stderr, flush=True)


def check_codebooks(requested: int, available: int, owner: str) -> None:
    """Raises InputError unless a number of codebooks is at least 1 and not more than its owner has."""
    if not 1 <= requested <= available:
        raise InputError(f"{requested} codebooks are requested, {owner} has {available}; choose 1 to {available}")
