"""Files that are there whole, or not at all, and folders that have one writer."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

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
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, SafetensorError) as error:  # safetensors has an error of its own for a full disk
        kept = "what was there is kept" if path.exists() else "check that the folder exists and has room"
        raise InputError(f"{path}: cannot be written ({getattr(error, 'strerror', '') or error}); {kept}") from None
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def alone(folder: Path, among_others: bool = False) -> Iterator[None]:
    """Keeps a folder for one writer at a time, and clears away what an earlier one, killed, had begun to write there.

    The lock goes with its process, however that ends.

    Args:
        among_others: waits for whoever else is alone there for a moment, and clears nothing away.

    Raises:
        InputError: another process writes there, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from None
    with lock:
        if not _locked(lock.fileno(), among_others):
            raise InputError(f"{folder}: another process writes there; wait for it, or choose another folder")
        for part in () if among_others else folder.rglob(".*.part"):
            part.unlink(missing_ok=True)
        yield


def _locked(file: int, waits: bool) -> bool:
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
