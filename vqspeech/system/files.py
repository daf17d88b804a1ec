"""Atomic files, locked folders, and the record of what this tool wrote."""

import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from safetensors import SafetensorError

from vqspeech.errors import InputError

STDOUT = Path("-")
PIPES = ("/dev/std", "/dev/fd/", "/proc/")
"""How the names of what a process has open begin: these are written to, whatever they lead to."""
MARK = "user.vqspeech"
"""The extended attribute of a result: its size and time of change, and a digest of what it was made from."""
LONGEST = 200
"""Bytes of a name to which something can be added."""
_SOURCES: ContextVar[list[Path] | None] = ContextVar("sources", default=None)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Where to write what then appears at `path`; after an error nothing does, and what was there before stays.

    A symbolic link is followed.  A device, a pipe or `-` (stdout) is written to, and never replaced.

    Raises:
        InputError: it cannot be written.
    """
    if is_stream(path):
        with _passed_on(path) as part:
            yield part
        return
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    part = target.with_name(f".{_plain(target.name)}.{os.getpid()}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666))
        mode = (target if target.exists() else part).stat().st_mode & 0o777
        yield part
        with suppress(OSError):  # some libraries let nobody but the owner read; some disks know no modes
            part.chmod(mode)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        if (sources := _SOURCES.get()) is not None:
            with suppress(OSError, AttributeError):  # a disk, or a system, that keeps no such notes
                os.setxattr(part, MARK, _note(part, sources))
        part.replace(target)
    except (OSError, SafetensorError) as error:  # safetensors has an error of its own for a full disk
        kept = (
            "what was there is kept"
            if os.path.lexists(path)
            else "check that the folder exists and the disk is not full"
        )
        raise InputError(f"{path}: cannot be written ({getattr(error, 'strerror', '') or error}); {kept}") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _plain(name: str) -> str:
    """A name that any library can open: itself, or a digest of one that is not UTF-8 or is very long."""
    data = os.fsencode(name)
    return name if name.isprintable() and len(data) < LONGEST else hashlib.sha256(data).hexdigest()[:24]


def is_stream(path: Path) -> bool:
    """Whether a path is stdout (`-`), a device, a pipe or a socket: something that is written to."""
    if path == STDOUT or str(path).startswith(PIPES):
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextmanager
def _passed_on(path: Path) -> Iterator[Path]:
    """Where to write what then goes to a stream, byte by byte."""
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / _plain(path.name)
        yield part
        try:
            with part.open("rb") as made:
                if path == STDOUT:
                    shutil.copyfileobj(made, sys.stdout.buffer)
                    sys.stdout.buffer.flush()
                else:
                    with path.open("wb") as out:
                        shutil.copyfileobj(made, out)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror}); choose another place") from None


@contextmanager
def made_from(*sources: str | Path) -> Iterator[None]:
    """Notes on files that arrive meanwhile what they were made from, where the disk can keep such a note."""
    before = _SOURCES.set([Path(source) for source in sources])
    try:
        yield
    finally:
        _SOURCES.reset(before)


def is_own(path: Path, sources: Iterable[Path]) -> bool:
    """Whether this tool made a file from these sources, and nobody has changed it since."""
    try:
        return os.getxattr(path, MARK) == _note(path, sources)
    except (OSError, AttributeError):
        return False


def _note(path: Path, sources: Iterable[Path]) -> bytes:
    status, names = path.stat(), sorted(os.fsencode(os.path.realpath(source)) for source in sources)
    return f"{status.st_size} {status.st_mtime_ns} {hashlib.sha256(bytes(1).join(names)).hexdigest()}".encode()


@contextmanager
def exclusive_lock(folder: Path, among_others: bool = False) -> Iterator[None]:
    """Keeps a folder for one writer at a time, and clears away what an earlier one, killed, had begun to write there.

    The lock goes with its process, however that ends.

    Args:
        among_others: shares the folder with others who share it, and clears nothing away.

    Raises:
        InputError: another process writes there, or the folder cannot be written.
    """
    with _locked(folder, ".lock", shared=among_others, waits=False):
        for part in () if among_others else folder.rglob(".*.part"):
            part.unlink(missing_ok=True)
        yield


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Waits until nobody else is in turn in a folder; raises as `exclusive_lock`."""
    with _locked(folder, ".turn", shared=False, waits=True):
        yield


@contextmanager
def _locked(folder: Path, name: str, shared: bool, waits: bool) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / name).open("a")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from None
    with lock:
        if not _lock(lock.fileno(), shared, waits):
            raise InputError(f"{folder}: another process writes there; wait for it, or choose another folder")
        yield


def _lock(file: int, shared: bool, waits: bool) -> bool:
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if waits else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
