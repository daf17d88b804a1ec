"""WAV files and pipes, chunk by chunk: wrong, unknown and small sizes, and concatenated files.

libsndfile silently replaces a size in the header by the size of the file, so recordings that are cut short look
complete.  This module keeps both: the size that the header states, and the size that is present.
"""

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech.errors import InputError

UNKNOWN_BYTES = 0x7FFF0000
"""Least size of a data chunk that means an unknown size, as does 0."""
READ_BYTES = 1 << 16
"""Bytes that are read from a pipe at a time."""
PCM = 1
"""Format tag of integer samples."""
FLOAT = 3
"""Format tag of float samples."""
EXTENSIBLE = 0xFFFE
"""Format tag of a format chunk that has the tag of the samples in its extension."""


class Format(NamedTuple):
    """Sample format of a WAV: rate in Hz, channels, bits per sample, and whether samples are floats."""

    rate: int
    channels: int
    bits: int
    floats: bool

    @property
    def block(self) -> int:
        """Bytes per frame."""
        return self.channels * self.bits // 8

    def decode(self, data: bytes) -> NDArray[np.float32]:
        """Samples of the complete frames of some bytes: (frames, channels); integers are scaled to [-1, 1)."""
        data = data[: len(data) // self.block * self.block]
        if self.floats:
            with np.errstate(over="ignore"):
                wave = np.frombuffer(data, f"<f{self.bits // 8}").astype(np.float32)
        elif self.bits == 8:
            wave = (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / np.float32(128)
        elif self.bits == 24:
            wide = np.zeros((len(data) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            wave = wide.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
        else:
            wave = np.frombuffer(data, f"<i{self.bits // 8}").astype(np.float32) / np.float32(2 ** (self.bits - 1))
        return wave.astype(np.float32, copy=False).reshape(-1, self.channels)


class Data(NamedTuple):
    """Data chunk of a WAV file: first byte and size in bytes of its samples, and the frames that its header states."""

    format: Format
    start: int
    size: int
    promised: int | None


def index(file: BinaryIO, size: int) -> list[Data]:
    """Data chunks of a file of `size` bytes, including those of WAVs appended to the first.

    Raises:
        InputError: the file is not a WAV, or its samples are not PCM; libsndfile may have a decoder.
    """
    chunks, place = [], 0
    while size - place >= 12:
        file.seek(place)
        try:
            samples, stated = header(file)
        except InputError:
            if not chunks:
                raise
            break  # the data after the last WAV is not a WAV
        start = file.tell()
        present = size - start
        end = start + stated if 0 < stated <= present else size
        if 0 <= stated < present and not _samples_end(file, start + stated, size):
            end = size  # the samples continue beyond the stated size
        following = _next_wav(file, end, size)
        promised = stated // samples.block if stated and (stated < UNKNOWN_BYTES or stated <= present) else None
        if stated == 0 and _samples_end(file, start, size):
            end, promised = start, 0
        chunks.append(Data(samples, start, end - start, promised))
        place = following
    return chunks


def header(file: Any) -> tuple[Format, int]:
    """Sample format of a WAV and the stated size of its data chunk in bytes; leaves the file at the first sample.

    Raises:
        InputError: the file is not a WAV, or its samples are not PCM.
    """
    kind, _, form = struct.unpack("<4sI4s", _read_exactly(file, 12))
    if kind not in (b"RIFF", b"RF64") or form != b"WAVE":
        raise InputError("is not a WAV file; convert it first")
    samples, wide = None, None
    while True:
        name, size = struct.unpack("<4sI", _read_exactly(file, 8))
        if name == b"data":
            break
        if name == b"ds64":
            wide = struct.unpack("<Q", _read_exactly(file, size + size % 2)[8:16])[0]
        elif name == b"fmt ":
            samples = _parse_format(_read_exactly(file, size + size % 2))
        else:
            _skip(file, size + size % 2)
    if samples is None:
        raise InputError("has no format chunk before its samples; convert it first")
    return samples, wide if wide is not None and size == 0xFFFFFFFF else size


def pipe(file: BinaryIO, first: tuple[Format, int], name: str) -> Iterator[tuple[Format, NDArray[np.float32]]]:
    """Blocks of a WAV from a pipe, (frames, channels), and of WAVs appended to it, each with its format.

    Args:
        file: the pipe, at the first sample.
        first: what `header` returned.
        name: for errors.

    Raises:
        InputError: the pipe ends before the stated size.
    """
    samples, stated = first
    while True:
        has_size = 0 < stated < UNKNOWN_BYTES
        remaining, buffer, n_frames = stated if has_size else -1, b"", 0
        while remaining and (data := _read(file, READ_BYTES if remaining < 0 else min(READ_BYTES, remaining))):
            remaining -= len(data) if has_size else 0
            buffer += data
            n_complete = len(buffer) // samples.block * samples.block
            yield samples, samples.decode(buffer[:n_complete])
            buffer, n_frames = buffer[n_complete:], n_frames + n_complete // samples.block
        if has_size and remaining >= samples.block:
            raise cut_short(name, n_frames / samples.rate, stated // samples.block / samples.rate)
        if not has_size or not (following := _after_samples(file, stated % 2)):
            return
        if isinstance(following, bytes):  # the samples continue beyond the stated size
            buffer = following + file.read(-len(following) % samples.block)
            yield samples, samples.decode(buffer)
            stated = 0
        else:
            samples, stated = following


def cut_short(name: object, present_s: float, promised_s: float) -> InputError:
    """Error of a recording that is shorter than its header states."""
    return InputError(
        f"{name}: cut short: {present_s:.2f} s of the {promised_s:.2f} s that its header promises; "
        "copy the file again or leave it out"
    )


def _parse_format(data: bytes) -> Format:
    """Sample format by the content of a format chunk."""
    if len(data) < 16:
        raise InputError("has a broken format chunk; convert it first")
    tag, channels, rate, _, block, bits = struct.unpack("<HHIIHH", data[:16])
    if tag == EXTENSIBLE and len(data) >= 26:
        (tag,) = struct.unpack("<H", data[24:26])
    supported_bits = {PCM: (8, 16, 24, 32), FLOAT: (32, 64)}.get(tag, ())
    if bits not in supported_bits or not channels or not rate or block != channels * bits // 8:
        raise InputError(f"has samples of {bits} bits in format {tag}; make it a 16-bit WAV")
    return Format(rate, channels, bits, tag == FLOAT)


def _is_chunk(name: bytes) -> bool:
    """Whether four bytes are the name of a chunk, not samples."""
    return len(name) == 4 and all(char == 0x20 or chr(char).isalnum() for char in name) and name.isascii()


def _samples_end(file: BinaryIO, place: int, size: int) -> bool:
    """Whether samples end at a byte: the file ends there, or a chunk follows."""
    for at in (place + place % 2, place):
        file.seek(at)
        if size - at < 8 or _is_chunk(file.read(4)):
            return True
    return False


def _next_wav(file: BinaryIO, place: int, size: int) -> int:
    """First byte of the next WAV, after the chunks that follow some samples; the end of the file without one."""
    while place < size:
        for at in (place + place % 2, place):
            file.seek(at)
            head = file.read(12)
            if head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE":
                return at
        file.seek(place + place % 2)
        head = file.read(8)
        if len(head) < 8 or not _is_chunk(head[:4]):
            return size
        place += place % 2 + 8 + struct.unpack("<I", head[4:])[0]
    return size


def _after_samples(file: BinaryIO, odd: int) -> tuple[Format, int] | bytes | None:
    """Header of another WAV after the stated samples of a pipe, or the first bytes of more samples, or None."""
    _skip(file, odd)
    while len(head := _read(file, 8)) == 8:
        if head[:4] in (b"RIFF", b"RF64"):
            return header(Unread(head, file))
        if not _is_chunk(head[:4]):
            return head
        size = struct.unpack("<I", head[4:])[0]
        _skip(file, size + size % 2)
    return None


class Unread:
    """Pipe from which bytes that were read already are read again first."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head, self._file = head, file

    def read(self, size: int) -> bytes:
        """At most `size` bytes."""
        head, self._head = self._head[:size], self._head[size:]
        return head + _read(self._file, size - len(head))


def _read(file: Any, size: int) -> bytes:
    """Bytes of a file or pipe, `size` of them unless it ends."""
    parts = []
    while size > 0 and (data := file.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def _read_exactly(file: Any, size: int) -> bytes:
    """Bytes of a header; raises InputError if the file ends before."""
    data = _read(file, min(size, 1 << 24))
    if len(data) < size:
        raise InputError("ends within its header; copy the file again or leave it out")
    return data


def _skip(file: Any, size: int) -> None:
    """Reads past some bytes of a file or pipe."""
    while size > 0 and (data := _read(file, min(size, READ_BYTES))):
        size -= len(data)
