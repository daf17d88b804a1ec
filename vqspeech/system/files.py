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
"""Path that means standard output."""
PIPES = ("/dev/std", "/dev/fd/", "/proc/")
"""Prefixes of the names of open files of a process, which are written to and never replaced."""
PROVENANCE = "user.vqspeech"
"""Extended attribute of an output: its size, its modification time, and a digest of its sources."""
MAX_NAME_BYTES = 200
"""Greatest length of a file name to which a prefix and a suffix can be added."""
_SOURCES: ContextVar[list[Path] | None] = ContextVar("sources", default=None)
"""Sources of the files that are being written, see `made_from`."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Temporary path whose file replaces `path` at the end of the context; after an error, `path` is unchanged.

    Symbolic links are followed.  A device, a pipe or `-` (stdout) is written to, and never replaced.

    Raises:
        InputError: the file cannot be written.
    """
    if is_stream(path):
        with _stream_path(path) as part:
            yield part
        return
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    part = target.with_name(f".{_openable_name(target.name)}.{os.getpid()}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666))
        mode = (target if target.exists() else part).stat().st_mode & 0o777
        yield part
        with suppress(
            OSError
        ):  # some libraries write files that only the owner may read; some file systems have no modes
            part.chmod(mode)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        if (sources := _SOURCES.get()) is not None:
            with suppress(OSError, AttributeError):  # file system or platform without extended attributes
                os.setxattr(part, PROVENANCE, _provenance(part, sources))
        part.replace(target)
    except (OSError, SafetensorError) as error:  # safetensors has an error of its own for a full disk
        reason = getattr(error, "strerror", "") or error
        cure = "check that the folder exists and the disk is not full"
        hint = "the old file is unchanged" if os.path.lexists(path) else cure
        raise InputError(f"{path}: cannot be written ({reason}); {hint}") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _openable_name(name: str) -> str:
    """File name that any library can open: the name itself, or a digest of one that is not UTF-8 or is very long."""
    data = os.fsencode(name)
    return name if name.isprintable() and len(data) < MAX_NAME_BYTES else hashlib.sha256(data).hexdigest()[:24]


def is_stream(path: Path) -> bool:
    """Whether a path is stdout (`-`), a device, a pipe or a socket, which is written to and never replaced."""
    if path == STDOUT or str(path).startswith(PIPES):
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextmanager
def _stream_path(path: Path) -> Iterator[Path]:
    """Temporary path whose bytes are copied to a stream at the end of the context."""
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / _openable_name(path.name)
        yield part
        try:
            with part.open("rb") as source:
                if path == STDOUT:
                    shutil.copyfileobj(source, sys.stdout.buffer)
                    sys.stdout.buffer.flush()
                else:
                    with path.open("wb") as out:
                        shutil.copyfileobj(source, out)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror}); choose another place") from None


@contextmanager
def made_from(*sources: str | Path) -> Iterator[None]:
    """Records on files that are written in the context their sources, where the file system has extended attributes."""
    token = _SOURCES.set([Path(source) for source in sources])
    try:
        yield
    finally:
        _SOURCES.reset(token)


def is_own(path: Path, sources: Iterable[Path]) -> bool:
    """Whether this tool wrote a file from these sources, and the file is unchanged since."""
    try:
        return os.getxattr(path, PROVENANCE) == _provenance(path, sources)
    except (OSError, AttributeError):
        return False


def _provenance(path: Path, sources: Iterable[Path]) -> bytes:
    """Value of the PROVENANCE attribute of a file."""
    status, names = path.stat(), sorted(os.fsencode(os.path.realpath(source)) for source in sources)
    return f"{status.st_size} {status.st_mtime_ns} {hashlib.sha256(bytes(1).join(names)).hexdigest()}".encode()


@contextmanager
def exclusive_lock(folder: Path, shared: bool = False) -> Iterator[None]:
    """Lock of a folder for one writer; deletes the temporary files that a killed writer left there.

    The lock ends with its process, however that ends.

    Args:
        folder: created if it is missing.
        shared: share the lock with other writers that share it, and delete nothing.

    Raises:
        InputError: another process writes there, or the folder cannot be written.
    """
    with _locked(folder, ".lock", shared=shared, wait=False):
        for part in () if shared else folder.rglob(".*.part"):
            part.unlink(missing_ok=True)
        yield


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Lock of a folder that waits for its turn; raises as `exclusive_lock`."""
    with _locked(folder, ".turn", shared=False, wait=True):
        yield


@contextmanager
def _locked(folder: Path, name: str, shared: bool, wait: bool) -> Iterator[None]:
    """Context with a lock on a file in a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / name).open("a")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from None
    with lock:
        if not _try_lock(lock.fileno(), shared, wait):
            raise InputError(f"{folder}: another process writes there; wait for it, or choose another folder")
        yield


def _try_lock(file: int, shared: bool, wait: bool) -> bool:
    """Locks an open file; returns whether that succeeded."""
    try:
        import fcntl
    except ImportError:  # a platform without such locks
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
