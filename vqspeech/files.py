"""Files that are there whole, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vqspeech.errors import InputError


@contextmanager
def arriving(path: Path) -> Iterator[Path]:
    """Where to write what then appears at `path`; after an error nothing does, and what was there before stays.

    Raises:
        InputError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); check that the folder exists") from None
    finally:
        part.unlink(missing_ok=True)
