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
"""An edge is silent while its frames stay this far below the loudest one, after pre-emphasis."""
SILENCE_DB = -70.0
"""A recording no frame of which is louder than this, below full scale, is silent."""
DECISION_S = 10.0
"""How channels from a pipe are mixed is decided after these."""
PIPE = "what comes in"


def info(path: str | Path) -> tuple[int, float]:
    """Sample rate in Hz and duration in seconds: from the header, or by decoding where it does not say or may be wrong.

    Raises:
        InputError: no such file, not audio, or empty.
    """
    recording = _opened(path)
    return recording.rate, recording.frames / recording.rate


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

    The blocks together have exactly round(duration * sample_rate) samples, whatever the file's own rate.  A recording
    is read until its decoder ends, through all streams that were joined; what its header promises must come.  Channels
    that cancel, and a silent recording, give a warning on stderr.
    """
    recording = _opened(path)
    rate, name = recording.rate, str(path)
    start = round(start_s * rate)
    end = max(recording.frames, recording.promised) if end_s is None else round(end_s * rate)
    if recording.frames <= start < min(end, recording.promised):
        raise wav.cut_short(path, recording.frames / rate, recording.promised / rate)
    if start >= min(end, recording.frames):
        raise InputError(f"{path}: no sound between {start_s:g} s and {end / rate:g} s; mend the segment")
    mono = _mono(recording, name, start, None if end_s is None else end)
    sized = _of_size(mono, max(1, round(block_s * rate)))
    bounds = f" between {start_s:g} s and {end / rate:g} s" if start_s or end_s is not None else ""
    yield from resampled(_listened(sized, rate, f"{name}: nothing is heard in it{bounds}"), rate, sample_rate)


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


class _Recording(NamedTuple):
    """The streams of a file, how each is mixed, and its frames in all at the rate of the first."""

    streams: list[Stream]
    mixings: list[Mixing]
    frames: int

    @property
    def rate(self) -> int:
        return self.streams[0].rate

    @property
    def promised(self) -> int:
        """Frames that the headers promise, at this rate; what promises nothing counts as nothing."""
        return sum(round((stream.promised or 0) * self.rate / stream.rate) for stream in self.streams)


def _opened(path: str | Path) -> _Recording:
    """A recording, surveyed once; every way in which that fails is an InputError that says how to go on."""
    path = Path(path)
    try:
        status = path.stat()
    except OSError:
        raise InputError(f"{path}: no such file; check the path") from None
    return _surveyed(path, str(path), status.st_mtime_ns, status.st_size)


@functools.lru_cache(256)
def _surveyed(path: Path, name: str, *_: int) -> _Recording:
    """What is known before a recording is read; decodes those of several channels, of floats or of unknown length."""
    streams, mixings, frames = decoding.streams(path), [], 0
    for stream in streams:
        survey, mixing = Survey(), Mixing()
        length = stream.promised if stream.there is None else stream.there
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
    """The frames from start to end of all streams, mixed to mono, at the rate of the first."""
    first = recording.streams[0]
    if len(recording.streams) == 1 and first.seeks:
        waves, place = _checked(first, recording.mixings[0], name, start), start
    else:
        pairs = zip(recording.streams, recording.mixings, strict=True)
        joined = (resampled(_checked(one, mixing, name), one.rate, first.rate) for one, mixing in pairs)
        waves, place = chain.from_iterable(joined), 0
    for wave in waves:
        skipped, place = max(0, start - place), place + len(wave)
        kept = wave[skipped : None if end is None else max(0, len(wave) - (place - end)) if place > end else None]
        if len(kept):
            yield kept
        if end is not None and place >= end:
            return


def _checked(stream: Stream, mixing: Mixing, name: str, start: int = 0) -> Iterator[Wave]:
    """A stream from a frame on, mixed to mono; what its header promises must come."""
    got = start
    for block in stream.blocks(start):
        got += len(block)
        yield mixing.mix(block, name)
    if stream.promised is not None and got + stream.slack < stream.promised:
        raise wav.cut_short(name, got / stream.rate, stream.promised / stream.rate)


def _of_size(waves: Iterable[Wave], size: int) -> Iterator[Wave]:
    """The same wave in blocks of `size`, the last one shorter."""
    held: list[Wave] = []
    for wave in waves:
        held.append(wave)
        if sum(map(len, held)) >= size:
            whole = np.concatenate(held)
            for at in range(0, len(whole) - size + 1, size):
                yield whole[at : at + size]
            held = [whole[len(whole) // size * size :]]
    if sum(map(len, held)):
        yield np.concatenate(held)


def _listened(waves: Iterable[Wave], rate: int, line: str) -> Iterator[Wave]:
    """Pass a wave through, and warn at its end if no frame exceeded SILENCE_DB, offset removed."""
    size, loudest = max(2, rate // 50), 0.0
    for wave in waves:
        frames = wave[: len(wave) // size * size].reshape(-1, size) if len(wave) >= size else wave[None]
        loudest = max(loudest, float(frames.astype(np.float64).var(axis=1).max(initial=0)))
        yield wave
    if loudest < 10 ** (SILENCE_DB / 10):
        warn(line)


def piped(file: BinaryIO) -> tuple[int, Iterator[Wave]]:
    """Sample rate in Hz and the blocks of a recording that comes from a pipe, mixed to mono.

    A WAV is taken as it comes, all else when it is there as a whole.

    Raises:
        InputError: what comes is no audio, or less than its header promises.
    """
    kept = _Kept(file)
    try:
        first = wav.header(kept)
    except InputError:
        return _spooled(kept.data, file)
    rate = first[0].rate

    def mono() -> Iterator[Wave]:
        for form, pairs in groupby(wav.pipe(file, first, PIPE), key=itemgetter(0)):
            yield from resampled(_decided(form, map(itemgetter(1), pairs)), form.rate, rate)

    return rate, _listened(mono(), rate, f"{PIPE}: nothing is heard in it")


def _decided(form: wav.Format, blocks: Iterator[NDArray[np.float32]]) -> Iterator[Wave]:
    """Blocks of (frames, channels), mixed to mono as the first DECISION_S of them say, if there is something to say."""
    mixing = Mixing()
    if form.channels > 1 or form.floats:
        begun, survey = [], Survey()
        for block in blocks:
            begun.append(block)
            survey.add(block)
            if survey.frames >= DECISION_S * form.rate:
                break
        mixing, warning = survey.mixing(PIPE, form.floats)
        if warning:
            warn(warning)
        blocks = chain(begun, blocks)
    for block in blocks:
        yield mixing.mix(block, PIPE)


def _spooled(head: bytes, file: BinaryIO) -> tuple[int, Iterator[Wave]]:
    """What comes from a pipe, kept in a file until its end; `head` was read before."""
    buffer = tempfile.TemporaryDirectory(prefix="vqspeech-")
    path = Path(buffer.name) / "in"
    with path.open("wb") as kept:
        kept.write(head)
        shutil.copyfileobj(file, kept)
    try:
        recording = _surveyed(path, PIPE, path.stat().st_mtime_ns, path.stat().st_size)
    except InputError as fault:
        buffer.cleanup()
        raise InputError(str(fault).replace(str(path), PIPE)) from None

    def mono() -> Iterator[Wave]:
        with buffer:
            yield from _mono(recording, PIPE, 0, None)

    return recording.rate, _listened(mono(), recording.rate, f"{PIPE}: nothing is heard in it")


class _Kept:
    """A pipe, and what was read of it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.data = file, b""

    def read(self, size: int) -> bytes:
        """At most `size` bytes."""
        data = self.file.read(size)
        self.data += data
        return data


def edges(wave: Wave, sample_rate: int) -> tuple[float, float]:
    """Where the sound starts and ends, in seconds: librosa's trim at EDGE_DB; the whole of a silent wave.

    Pre-emphasis removes low-frequency rumble: without it the silence of VCTK is only some 25 dB below
    speech, and little of it would be cut.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        librosa = load_librosa()

    bright = librosa.effects.preemphasis(wave)
    _, (start, end) = librosa.effects.trim(bright, top_db=EDGE_DB, frame_length=1024, hop_length=256)
    return (start / sample_rate, end / sample_rate) if end > start else (0.0, len(wave) / sample_rate)
