"""Sound in and out of files, the only place where either is done.

A wave is float32 in [-1, 1], mono, shape (time,).  Classes are its 256 mu-law levels, uint8: see `mulaw`.
"""

import os
import struct
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vqspeech.compiling import load_librosa
from vqspeech.errors import InputError
from vqspeech.files import arriving

if TYPE_CHECKING:
    import soundfile

EDGE_DB = 35.0
"""An edge is silent while its frames stay this far below the loudest one, after pre-emphasis."""

Wave = NDArray[np.float32]


def info(path: str | Path) -> tuple[int, float]:
    """Sample rate in Hz and duration in seconds, from the header alone."""
    with _opened(path) as file:
        return file.samplerate, file.frames / file.samplerate


def read(path: str | Path, sample_rate: int, start_s: float = 0.0, end_s: float | None = None) -> Wave:
    """A recording, or the part of it from start_s to end_s, mixed to mono and resampled.

    Raises:
        InputError: no such file, not audio, empty, cut short, or with samples that are no numbers.
    """
    pieces = list(blocks(path, sample_rate, start_s=start_s, end_s=end_s))
    if not pieces:
        raise InputError(f"{path}: less than one sample at {sample_rate} Hz; leave it out")
    return np.concatenate(pieces)


def blocks(
    path: str | Path, sample_rate: int, block_s: float = 30.0, start_s: float = 0.0, end_s: float | None = None
) -> Iterator[Wave]:
    """The same wave as `read`, a block at a time, so that a recording of any length fits in memory.

    The blocks together have exactly round(duration * sample_rate) samples, whatever the file's own rate.
    """
    import soundfile

    with _opened(path) as file:
        rate = file.samplerate
        start, end = round(start_s * rate), file.frames if end_s is None else min(round(end_s * rate), file.frames)
        if start >= end:
            raise InputError(f"{path}: no sound between {start_s:g} s and {end / rate:g} s; mend the segment")
        try:
            file.seek(start)
        except soundfile.LibsndfileError:
            raise InputError(f"{path}: cut short before {start_s:g} s; copy the file again or leave it out") from None
        yield from resampled(_mono(file, path, end - start, max(1, round(block_s * rate))), rate, sample_rate)


def resampled(blocks: Iterable[Wave], rate: int, sample_rate: int) -> Iterator[Wave]:
    """Blocks of n samples in all, at another sample rate: exactly round(n * sample_rate / rate) samples in all."""
    import soxr

    if rate == sample_rate:
        yield from blocks
        return
    stream, heard, given = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32"), 0, 0
    for block in blocks:
        wave = stream.resample_chunk(block)
        heard, given = heard + len(block), given + len(wave)
        if len(wave):
            yield wave
    rest = stream.resample_chunk(np.zeros(0, np.float32), last=True)
    owed = max(0, round(heard * sample_rate / rate) - given)  # the resampler rounds its last samples in its own way
    if owed:
        yield np.pad(rest[:owed], (0, max(0, owed - len(rest))))


def _mono(file: "soundfile.SoundFile", path: str | Path, frames: int, size: int) -> Iterator[Wave]:
    """The next `frames` frames of a file, mixed to mono, in blocks of `size`."""
    import soundfile

    left = frames
    while left:
        try:
            block = file.read(min(left, size), dtype="float32", always_2d=True)
        except soundfile.LibsndfileError:  # the decoder lost its way: there is no more
            block = np.zeros((0, 1), np.float32)
        if len(block) == 0:
            got, rate = (frames - left) / file.samplerate, file.samplerate
            raise InputError(
                f"{path}: cut short: {got:.2f} s of the {frames / rate:.2f} s that its header promises; "
                "copy the file again or leave it out"
            )
        left -= len(block)
        wave = block.mean(axis=1)
        if not np.isfinite(wave).all():
            raise InputError(f"{path}: has samples that are not numbers (NaN or infinite); export it again")
        yield wave


def _opened(path: str | Path):
    """The file, open for reading; every way in which that fails is an InputError that says how to go on."""
    import soundfile

    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a recording in it")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: may not be read; check its permissions")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes); copy the file again or leave it out")
    try:
        file = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        reason = str(error.error_string).rstrip(".")
        raise InputError(
            f"{path}: is not audio that can be read ({reason}); give WAV, FLAC, Ogg, Opus or MP3"
        ) from None
    if file.frames == 0:
        file.close()
        raise InputError(f"{path}: holds no samples; copy the file again or leave it out")
    return file


def piped(file: BinaryIO, block: int = 1 << 16) -> tuple[int, Iterator[Wave]]:
    """Sample rate in Hz and the blocks of a 16-bit WAV that comes from a pipe, mixed to mono.

    Raises:
        InputError: something else than such a WAV.
    """
    import wave

    try:
        source = wave.open(file)  # noqa: SIM115 (the pipe is not ours to close)
    except (wave.Error, EOFError) as error:
        raise InputError(f"what comes in is no 16-bit WAV ({error}); convert it first") from None
    if source.getsampwidth() != 2:
        raise InputError(f"what comes in has {8 * source.getsampwidth()} bits; make it a 16-bit WAV")

    def blocks() -> Iterator[Wave]:
        while data := source.readframes(block):
            frames = np.frombuffer(data[: len(data) // (2 * source.getnchannels()) * 2 * source.getnchannels()], "<i2")
            yield frames.reshape(-1, source.getnchannels()).mean(1).astype(np.float32) / 32768

    return source.getframerate(), blocks()


class Writer:
    """A 16-bit WAV or FLAC that appears under its name only when it is whole.

    Used as a context manager: samples are appended with `write`; an error on the way leaves nothing behind.
    """

    def __init__(self, path: str | Path, sample_rate: int) -> None:
        self.path, self.sample_rate = Path(path), sample_rate

    def __enter__(self) -> "Writer":
        import soundfile

        kind = (self.path.suffix[1:] or "wav").upper()
        if kind not in {"WAV", "FLAC"}:
            raise InputError(f"{self.path}: cannot write .{kind.lower()}; end the name in .wav or .flac")
        with ExitStack() as stack:
            part = stack.enter_context(arriving(self.path))
            with self._told():
                self._file = soundfile.SoundFile(part, "w", self.sample_rate, 1, subtype="PCM_16", format=kind)
            stack.callback(self._close)
            self._open = stack.pop_all()
        return self

    def write(self, wave: NDArray[np.floating]) -> None:
        """Appends samples; what is beyond [-1, 1] is clipped."""
        with self._told():
            self._file.write(np.clip(wave, -1.0, 1.0))

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def _close(self) -> None:
        with self._told():
            self._file.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        import soundfile

        try:
            yield
        except soundfile.LibsndfileError:
            raise InputError(f"{self.path}: cannot be written; check that the folder exists and has room") from None


class PipeWriter:
    """A 16-bit WAV on stdout, whose header does not know how long it will be; as a context manager."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate

    def __enter__(self) -> "PipeWriter":
        endless, rate = struct.pack("<I", 0xFFFFFFFF), self.sample_rate
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
        sys.stdout.buffer.write(b"RIFF" + endless + b"WAVE" + form + b"data" + endless)
        return self

    def write(self, wave: NDArray[np.floating]) -> None:
        """Appends samples; what is beyond [-1, 1] is clipped."""
        sys.stdout.buffer.write(np.round(np.clip(wave, -1.0, 1.0) * 32767).astype("<i2").tobytes())
        sys.stdout.buffer.flush()

    def __exit__(self, *_: object) -> None:
        pass


def write(path: str | Path, wave: NDArray[np.floating], sample_rate: int) -> None:
    """A wave as a 16-bit WAV or FLAC file, by its name; whole or not at all."""
    with Writer(path, sample_rate) as file:
        file.write(wave)


def edges(wave: Wave, sample_rate: int) -> tuple[float, float]:
    """Where the sound starts and ends, in seconds: librosa's trim at EDGE_DB; the whole of a silent wave.

    Pre-emphasis takes the rumble of the room away: without it the silence of VCTK is only some 25 dB below
    speech, and little of it would be cut.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        librosa = load_librosa()

    bright = librosa.effects.preemphasis(wave)
    _, (start, end) = librosa.effects.trim(bright, top_db=EDGE_DB, frame_length=1024, hop_length=256)
    return (start / sample_rate, end / sample_rate) if end > start else (0.0, len(wave) / sample_rate)
