"""Writing of waves to files and pipes: 16-bit WAV and FLAC."""

import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqspeech.errors import InputError
from vqspeech.system.files import atomic_path


class Writer:
    """Writer of a 16-bit WAV or FLAC file, which appears under its name only when it is complete.

    It is a context manager; `write` appends samples.  After an error no file is left.
    """

    def __init__(self, path: str | Path, sample_rate: int) -> None:
        self.path, self.sample_rate = Path(path), sample_rate

    def __enter__(self) -> "Writer":
        import soundfile

        kind = (self.path.suffix[1:] or "wav").upper()
        if kind not in {"WAV", "FLAC"}:
            raise InputError(f"{self.path}: cannot write .{kind.lower()}; end the name in .wav or .flac")
        with ExitStack() as stack:
            part = stack.enter_context(atomic_path(self.path))
            with self._translated_errors():
                self._file = soundfile.SoundFile(part, "w", self.sample_rate, 1, subtype="PCM_16", format=kind)
            stack.callback(self._close)
            self._open = stack.pop_all()
        return self

    def write(self, wave: NDArray[np.floating]) -> None:
        """Appends samples, clipped to [-1, 1]."""
        with self._translated_errors():
            self._file.write(np.clip(wave, -1.0, 1.0))

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def _close(self) -> None:
        with self._translated_errors():
            self._file.close()

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Errors of libsndfile in the context become an InputError."""
        import soundfile

        try:
            yield
        except soundfile.LibsndfileError:
            raise InputError(
                f"{self.path}: cannot be written; check that the folder exists and the disk is not full"
            ) from None


class PipeWriter:
    """Writer of a 16-bit WAV of unknown length, or of its samples alone, to stdout; a context manager."""

    def __init__(self, sample_rate: int, header: bool = True) -> None:
        self.sample_rate, self.header = sample_rate, header

    def __enter__(self) -> "PipeWriter":
        if not self.header:
            return self
        unknown_size, rate = struct.pack("<I", 0xFFFFFFFF), self.sample_rate
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
        sys.stdout.buffer.write(b"RIFF" + unknown_size + b"WAVE" + form + b"data" + unknown_size)
        return self

    def write(self, wave: NDArray[np.floating]) -> None:
        """Appends samples, clipped to [-1, 1]."""
        sys.stdout.buffer.write(np.round(np.clip(wave, -1.0, 1.0) * 32767).astype("<i2").tobytes())
        sys.stdout.buffer.flush()

    def __exit__(self, *_: object) -> None:
        pass


def write(path: str | Path, wave: NDArray[np.floating], sample_rate: int) -> None:
    """Writes a wave to a 16-bit WAV or FLAC file, by the suffix of its name; complete or not at all."""
    with Writer(path, sample_rate) as file:
        file.write(wave)
