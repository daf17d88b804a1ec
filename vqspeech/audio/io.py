"""Reading of recordings: any format, sample rate and channels, from files and pipes, as one mono wave.

A wave is float32 in [-1, 1], mono, shape (time,).  Classes are its 256 mu-law levels, uint8: see `mulaw`.
"""

import functools
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech.audio import decoding, wav
from vqspeech.audio.decoding import Stream
from vqspeech.audio.preprocessing import Mixing, Survey
from vqspeech.audio.writing import PipeWriter as PipeWriter
from vqspeech.audio.writing import Writer as Writer
from vqspeech.audio.writing import write as write
from vqspeech.errors import InputError, warn
from vqspeech.shapes import Wave
from vqspeech.system.jit import load_librosa

EDGE_DB = 35.0
"""Frames this far below the loudest one, after pre-emphasis, are silence at the ends of a recording."""
SILENCE_DB = -70.0
"""A recording without a louder frame, in dB below full scale, is silent."""
DECISION_S = 10.0
"""Seconds from a pipe that decide how its channels are mixed."""
PIPE = "standard input"
"""Name of a pipe in messages."""


def info(path: str | Path) -> tuple[int, float]:
    """Sample rate in Hz and duration in seconds, from the header, or by decoding where the header may be wrong.

    Raises:
        InputError: the file does not exist, is not audio, or is empty.
    """
    recording = _open(path)
    return recording.rate, recording.frames / recording.rate


def read(path: str | Path, sample_rate: int, start_s: float = 0.0, end_s: float | None = None) -> Wave:
    """Recording, or its part from start_s to end_s, mixed to mono and resampled: (time,).

    Raises:
        InputError: the file does not exist, is not audio, is empty or cut short, or has samples that are not numbers.
    """
    pieces = list(blocks(path, sample_rate, start_s=start_s, end_s=end_s))
    if not pieces:
        raise InputError(f"{path}: less than one sample at {sample_rate} Hz; leave it out")
    return np.concatenate(pieces)


def blocks(
    path: str | Path, sample_rate: int, block_s: float = 30.0, start_s: float = 0.0, end_s: float | None = None
) -> Iterator[Wave]:
    """Recording as in `read`, in blocks, so that one of any length fits in memory.

    The blocks together have exactly round(duration * sample_rate) samples, whatever the rate of the file.  A recording
    is read until its decoder ends, through all concatenated streams; fewer samples than its header states are an
    error.  Channels that cancel, and a silent recording, give a warning on stderr.
    """
    recording = _open(path)
    rate, name = recording.rate, str(path)
    start = round(start_s * rate)
    end = max(recording.frames, recording.promised) if end_s is None else round(end_s * rate)
    if recording.frames <= start < min(end, recording.promised):
        raise wav.cut_short(path, recording.frames / rate, recording.promised / rate)
    if start >= min(end, recording.frames):
        raise InputError(f"{path}: has no samples between {start_s:g} s and {end / rate:g} s; fix the segment")
    mono = _mono(recording, name, start, None if end_s is None else end)
    sized = _rechunk(mono, max(1, round(block_s * rate)))
    bounds = f" between {start_s:g} s and {end / rate:g} s" if start_s or end_s is not None else ""
    yield from resampled(_warn_if_silent(sized, rate, f"{name}: is silent{bounds}"), rate, sample_rate)


def resampled(blocks: Iterable[Wave], rate: int, sample_rate: int) -> Iterator[Wave]:
    """Wave in blocks at another sample rate: of n samples in all, exactly round(n * sample_rate / rate)."""
    import soxr

    if rate == sample_rate:
        yield from blocks
        return
    stream, n_in, n_out = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32"), 0, 0
    for block in blocks:
        wave = stream.resample_chunk(block)
        n_in, n_out = n_in + len(block), n_out + len(wave)
        if len(wave):
            yield wave
    tail = stream.resample_chunk(np.zeros(0, np.float32), last=True)
    missing = max(0, round(n_in * sample_rate / rate) - n_out)  # the resampler rounds the length differently
    if missing:
        yield np.pad(tail[:missing], (0, max(0, missing - len(tail))))


class _Recording(NamedTuple):
    """Streams of a file, how each is mixed, and the total of its frames at the rate of the first stream."""

    streams: list[Stream]
    mixings: list[Mixing]
    frames: int

    @property
    def rate(self) -> int:
        return self.streams[0].rate

    @property
    def promised(self) -> int:
        """Frames that the headers state, at the rate of the first stream; streams of unknown length count as 0."""
        return sum(round((stream.promised or 0) * self.rate / stream.rate) for stream in self.streams)


def _open(path: str | Path) -> _Recording:
    """Streams of a recording, surveyed once per version of the file; raises InputError."""
    path = Path(path)
    try:
        status = path.stat()
    except OSError:
        raise InputError(f"{path}: no such file; check the path") from None
    return _survey(path, str(path), status.st_mtime_ns, status.st_size)


@functools.lru_cache(256)
def _survey(path: Path, name: str, *_: int) -> _Recording:
    """Survey of a recording before it is read; decodes streams of several channels, of floats or of unknown length."""
    streams, mixings, frames = decoding.streams(path), [], 0
    for stream in streams:
        survey, mixing = Survey(), Mixing()
        length = stream.promised if stream.present is None else stream.present
        if length is None or stream.channels > 1 or stream.floats:
            for block in stream.blocks(0):
                survey.add(block)
            mixing, warning = survey.mixing(name, stream.floats)
            if warning:
                warn(warning)
            length = survey.frames
        mixings.append(mixing)
        frames += round(length * streams[0].rate / stream.rate)
    if frames == 0:
        raise InputError(f"{name}: holds no samples; copy the file again or leave it out")
    return _Recording(streams, mixings, frames)


def _mono(recording: _Recording, name: str, start: int, end: int | None) -> Iterator[Wave]:
    """Frames from start to end of all streams, mixed to mono, at the rate of the first stream."""
    first = recording.streams[0]
    if len(recording.streams) == 1 and first.seeks:
        waves, place = _check_length(first, recording.mixings[0], name, start), start
    else:
        pairs = zip(recording.streams, recording.mixings, strict=True)
        parts = (resampled(_check_length(stream, mixing, name), stream.rate, first.rate) for stream, mixing in pairs)
        waves, place = chain.from_iterable(parts), 0
    for wave in waves:
        skipped, place = max(0, start - place), place + len(wave)
        part = wave[skipped : None if end is None else max(0, len(wave) - (place - end)) if place > end else None]
        if len(part):
            yield part
        if end is not None and place >= end:
            return


def _check_length(stream: Stream, mixing: Mixing, name: str, start: int = 0) -> Iterator[Wave]:
    """Stream from a frame on, mixed to mono; raises InputError if it ends before the length that its header states."""
    n_read = start
    for block in stream.blocks(start):
        n_read += len(block)
        yield mixing.mix(block, name)
    if stream.promised is not None and n_read + stream.slack < stream.promised:
        raise wav.cut_short(name, n_read / stream.rate, stream.promised / stream.rate)


def _rechunk(waves: Iterable[Wave], size: int) -> Iterator[Wave]:
    """Wave in blocks of `size` samples, of which the last may be shorter."""
    buffer: list[Wave] = []
    for wave in waves:
        buffer.append(wave)
        if sum(map(len, buffer)) >= size:
            joined = np.concatenate(buffer)
            for start in range(0, len(joined) - size + 1, size):
                yield joined[start : start + size]
            buffer = [joined[len(joined) // size * size :]]
    if sum(map(len, buffer)):
        yield np.concatenate(buffer)


def _warn_if_silent(waves: Iterable[Wave], rate: int, line: str) -> Iterator[Wave]:
    """Unchanged wave; warns at its end if no frame is louder than SILENCE_DB, without its offset."""
    size, loudest = max(2, rate // 50), 0.0
    for wave in waves:
        frames = wave[: len(wave) // size * size].reshape(-1, size) if len(wave) >= size else wave[None]
        loudest = max(loudest, float(frames.astype(np.float64).var(axis=1).max(initial=0)))
        yield wave
    if loudest < 10 ** (SILENCE_DB / 10):
        warn(line)


def piped(file: BinaryIO) -> tuple[int, Iterator[Wave]]:
    """Sample rate in Hz and blocks of a recording from a pipe, mixed to mono.

    A WAV is decoded as it arrives, other formats when the pipe has ended.

    Raises:
        InputError: the data is not audio, or is shorter than its header states.
    """
    tee = _Tee(file)
    try:
        first = wav.header(tee)
    except InputError:
        return _spool(tee.data, file)
    rate = first[0].rate

    def mono() -> Iterator[Wave]:
        for form, pairs in groupby(wav.pipe(file, first, PIPE), key=itemgetter(0)):
            yield from resampled(_mix_pipe(form, map(itemgetter(1), pairs)), form.rate, rate)

    return rate, _warn_if_silent(mono(), rate, f"{PIPE}: is silent")


def _mix_pipe(form: wav.Format, blocks: Iterator[NDArray[np.float32]]) -> Iterator[Wave]:
    """Blocks of (frames, channels), mixed to mono; where there is a choice, the first DECISION_S decide."""
    mixing = Mixing()
    if form.channels > 1 or form.floats:
        surveyed, survey = [], Survey()
        for block in blocks:
            surveyed.append(block)
            survey.add(block)
            if survey.frames >= DECISION_S * form.rate:
                break
        mixing, warning = survey.mixing(PIPE, form.floats)
        if warning:
            warn(warning)
        blocks = chain(surveyed, blocks)
    for block in blocks:
        yield mixing.mix(block, PIPE)


def _spool(head: bytes, file: BinaryIO) -> tuple[int, Iterator[Wave]]:
    """Recording from a pipe by way of a temporary file; `head` is what was read of the pipe before."""
    folder = tempfile.TemporaryDirectory(prefix="vqspeech-")
    path = Path(folder.name) / "in"
    with path.open("wb") as spool:
        spool.write(head)
        shutil.copyfileobj(file, spool)
    try:
        recording = _survey(path, PIPE, path.stat().st_mtime_ns, path.stat().st_size)
    except InputError as fault:
        folder.cleanup()
        raise InputError(str(fault).replace(str(path), PIPE)) from None

    def mono() -> Iterator[Wave]:
        with folder:
            yield from _mono(recording, PIPE, 0, None)

    return recording.rate, _warn_if_silent(mono(), recording.rate, f"{PIPE}: is silent")


class _Tee:
    """Pipe that records in `data` what is read from it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.data = file, b""

    def read(self, size: int) -> bytes:
        """At most `size` bytes."""
        data = self.file.read(size)
        self.data += data
        return data


def trim_bounds(wave: Wave, sample_rate: int) -> tuple[float, float]:
    """Start and end of the sound in seconds, by librosa's trim at EDGE_DB; a silent wave is not trimmed.

    Pre-emphasis removes low-frequency rumble: without it, the silence of VCTK is only some 25 dB below
    speech, and little of it would be trimmed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        librosa = load_librosa()

    emphasised = librosa.effects.preemphasis(wave)
    _, (start, end) = librosa.effects.trim(emphasised, top_db=EDGE_DB, frame_length=1024, hop_length=256)
    return (start / sample_rate, end / sample_rate) if end > start else (0.0, len(wave) / sample_rate)
