"""Uploads: size and time limits, safe names, and a folder for each request that is removed later."""

import math
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from vqspeech import audio
from vqspeech.errors import InputError

Tell = Callable[[float], None]


class Limits(NamedTuple):
    """What one request may cost: seconds of a recording, seconds of work, bytes of a file; and how long it is kept."""

    recording_s: float = 60.0
    work_s: float = 300.0
    file_bytes: int = 20_000_000
    kept_s: float = 1800.0

    @property
    def swept_s(self) -> tuple[int, int]:
        """How often uploads are looked through, and how old one is when it goes, in whole seconds."""
        return min(300, math.ceil(self.kept_s)), math.ceil(self.kept_s)


class UploadFolder:
    """A folder in which requests are worked on, and the limits that they keep."""

    def __init__(self, limits: Limits = Limits()) -> None:
        self.limits, self.folder = limits, Path(tempfile.mkdtemp(prefix="vqspeech-"))

    def close(self) -> None:
        """Removes all that was made."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def request_dir(self) -> Path:
        """A new folder for a request; those that are older than kept_s are removed."""
        for old in self.folder.iterdir():
            if old.is_dir() and time.time() - old.stat().st_mtime > self.limits.kept_s:
                shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=self.folder))

    def file(self, file: str | None) -> Path:
        """A file that was sent.

        Raises:
            InputError: there is none, or it is too large.
        """
        if not file:
            raise InputError("there is no recording yet; record or upload one")
        path, most = Path(file), self.limits.file_bytes
        if not path.exists():
            raise InputError("the recording was kept for a while and is gone; upload it again")
        if path.stat().st_size > most:
            raise InputError(f"the file has {path.stat().st_size:,} bytes; {most:,} are allowed here")
        return path

    def recording(self, file: str | None) -> tuple[Path, float]:
        """A recording that was sent, and its seconds.

        Raises:
            InputError: there is none, it is no audio, or it is too large or too long; its path is not shown.
        """
        path = self.file(file)
        with hide_path(path, "the recording"):
            seconds = audio.info(path)[1]
        self.check_duration(seconds)
        return path, seconds

    def check_duration(self, seconds: float) -> None:
        """Whether so much speech may be worked on.

        Raises:
            InputError: it may not.
        """
        if not 0 < seconds <= self.limits.recording_s:
            raise InputError(f"{seconds:.0f} s of speech; more than 0, up to {self.limits.recording_s:.0f} are taken")

    def with_deadline(self, progress: Tell, total: float) -> Tell:
        """Progress as a share of `total`; it also ends what takes longer than work_s, with an InputError."""
        end = time.monotonic() + self.limits.work_s

        def tell(done: float) -> None:
            if time.monotonic() > end:
                raise InputError(f"this took longer than {self.limits.work_s:.0f} s; try a shorter recording")
            progress(min(1.0, done / total))

        return tell


@contextmanager
def hide_path(path: Path, called: str) -> Iterator[None]:
    """Errors about a file, without where it lies: strangers need not know."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error).replace(f"{path}:", called)) from None


def names_only(line: str, *arguments: object) -> str:
    """A line for strangers: of each path in it the name alone.

    Args:
        arguments: of a request; paths among them may have blanks, others are found where they have none.

    >>> names_only("/tmp/x y/up load.wav: is empty; see /srv/models/a/config.yaml", "/tmp/x y/up load.wav")
    'up load.wav: is empty; see config.yaml'
    """
    for path in (Path(argument) for argument in arguments if isinstance(argument, str) and "/" in argument):
        line = line.replace(str(path), path.name) if path.is_absolute() else line
    return re.sub(r"(?<![\w.:/])/(?:[^/\s:;,()'\"]+/)+", "", line)


def safe_filename(name: str) -> str:
    """The stem of a file's name without what could surprise: ASCII letters, digits, `-` and `_`, 40 at most.

    >>> safe_filename("../my speech<b>.wav")
    'my_speech_b_'
    """
    return "".join(one if one.isascii() and (one.isalnum() or one in "-_") else "_" for one in Path(name).stem)[:40]
