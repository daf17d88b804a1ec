"""WAV files and pipes, chunk by chunk: wrong, unknown and small sizes, and files joined end to end.

libsndfile corrects a size in the header by what is there, and says nothing; so recordings that are cut short look
whole.  Here the size that the header promises is kept beside what comes.
"""

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech.errors import InputError

UNKNOWN_BYTES = 0x7FFF0000
"""A writer that does not know the size says 0, or one from here on."""
READ_BYTES = 1 << 16
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


class Format(NamedTuple):
    """The samples of a WAV: rate in Hz, channels, bits of a sample, and whether they are floats."""

    rate: int
    channels: int
    bits: int
    floats: bool

    @property
    def block(self) -> int:
        """Bytes of a frame."""
        return self.channels * self.bits // 8

    def decode(self, data: bytes) -> NDArray[np.float32]:
        """Whole frames of bytes as (frames, channels); integers become [-1, 1)."""
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
    """A data chunk of a WAV file: where its samples begin, the bytes that are there, and the frames promised."""

    format: Format
    start: int
    size: int
    promised: int | None


def index(file: BinaryIO, size: int) -> list[Data]:
    """The data chunks of a file of `size` bytes, those of further WAVs behind the first included.

    Raises:
        InputError: no WAV, or one whose samples are coded; libsndfile may know it.
    """
    found, place = [], 0
    while size - place >= 12:
        file.seek(place)
        try:
            samples, said = header(file)
        except InputError:
            if not found:
                raise
            break  # what follows the last WAV is none
        start = file.tell()
        there = size - start
        end = start + said if 0 < said <= there else size
        if 0 <= said < there and not _ends(file, start + said, size):
            end = size  # the header knows of less than there is
        following = _next(file, end, size)
        promised = said // samples.block if said and (said < UNKNOWN_BYTES or said <= there) else None
        if said == 0 and _ends(file, start, size):
            end, promised = start, 0
        found.append(Data(samples, start, end - start, promised))
        place = following
    return found


def header(file: Any) -> tuple[Format, int]:
    """The format of a WAV and the bytes that its data chunk says it has; the file then stands at the first sample.

    Raises:
        InputError: no WAV, or one whose samples are coded.
    """
    kind, _, form = struct.unpack("<4sI4s", _exactly(file, 12))
    if kind not in (b"RIFF", b"RF64") or form != b"WAVE":
        raise InputError("is no WAV; convert it first")
    samples, wide = None, None
    while True:
        name, size = struct.unpack("<4sI", _exactly(file, 8))
        if name == b"data":
            break
        if name == b"ds64":
            wide = struct.unpack("<Q", _exactly(file, size + size % 2)[8:16])[0]
        elif name == b"fmt ":
            samples = _format(_exactly(file, size + size % 2))
        else:
            _skip(file, size + size % 2)
    if samples is None:
        raise InputError("has no format before its samples; convert it first")
    return samples, wide if wide is not None and size == 0xFFFFFFFF else size


def pipe(file: BinaryIO, first: tuple[Format, int], name: str) -> Iterator[tuple[Format, NDArray[np.float32]]]:
    """Blocks of (frames, channels) of a WAV whose header was read, and of those behind it, each with its format.

    Raises:
        InputError: less comes than the header promises.
    """
    samples, said = first
    while True:
        known = 0 < said < UNKNOWN_BYTES
        left, held, got = said if known else -1, b"", 0
        while left and (data := _read(file, READ_BYTES if left < 0 else min(READ_BYTES, left))):
            left -= len(data) if known else 0
            held += data
            whole = len(held) // samples.block * samples.block
            yield samples, samples.decode(held[:whole])
            held, got = held[whole:], got + whole // samples.block
        if known and left >= samples.block:
            raise cut_short(name, got / samples.rate, said // samples.block / samples.rate)
        if not known or not (after := _following(file, said % 2)):
            return
        if isinstance(after, bytes):  # samples that the header does not know of
            held = after + file.read(-len(after) % samples.block)
            yield samples, samples.decode(held)
            said = 0
        else:
            samples, said = after


def cut_short(name: object, got_s: float, promised_s: float) -> InputError:
    """The error of a recording of which less comes than was promised."""
    return InputError(
        f"{name}: cut short: {got_s:.2f} s of the {promised_s:.2f} s that its header promises; "
        "copy the file again or leave it out"
    )


def _format(data: bytes) -> Format:
    if len(data) < 16:
        raise InputError("has a broken format chunk; convert it first")
    tag, channels, rate, _, block, bits = struct.unpack("<HHIIHH", data[:16])
    if tag == EXTENSIBLE and len(data) >= 26:
        (tag,) = struct.unpack("<H", data[24:26])
    speaker_mean = {PCM: (8, 16, 24, 32), FLOAT: (32, 64)}.get(tag, ())
    if bits not in speaker_mean or not channels or not rate or block != channels * bits // 8:
        raise InputError(f"has samples of {bits} bits in format {tag}; make it a 16-bit WAV")
    return Format(rate, channels, bits, tag == FLOAT)


def _is_chunk(name: bytes) -> bool:
    """Whether four bytes are the name of a chunk, and not samples."""
    return len(name) == 4 and all(one == 0x20 or chr(one).isalnum() for one in name) and name.isascii()


def _ends(file: BinaryIO, place: int, size: int) -> bool:
    """Whether samples end here: the file does, or a chunk follows."""
    for at in (place + place % 2, place):
        file.seek(at)
        if size - at < 8 or _is_chunk(file.read(4)):
            return True
    return False


def _next(file: BinaryIO, place: int, size: int) -> int:
    """Where another WAV begins, behind the chunks that follow some samples; the end of the file if none does."""
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


def _following(file: BinaryIO, odd: int) -> tuple[Format, int] | bytes | None:
    """What a pipe has behind the samples that were promised: another WAV, more samples or nothing."""
    _skip(file, odd)
    while len(head := _read(file, 8)) == 8:
        if head[:4] in (b"RIFF", b"RF64"):
            return header(_Again(head, file))
        if not _is_chunk(head[:4]):
            return head
        size = struct.unpack("<I", head[4:])[0]
        _skip(file, size + size % 2)
    return None


class _Again:
    """A pipe of which some bytes that were read are read again."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head, self._file = head, file

    def read(self, size: int) -> bytes:
        head, self._head = self._head[:size], self._head[size:]
        return head + _read(self._file, size - len(head))


def _read(file: Any, size: int) -> bytes:
    """Bytes as they come, `size` of them unless the file ends."""
    parts = []
    while size > 0 and (data := file.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def _exactly(file: Any, size: int) -> bytes:
    data = _read(file, min(size, 1 << 24))
    if len(data) < size:
        raise InputError("ends within its header; copy the file again or leave it out")
    return data


def _skip(file: Any, size: int) -> None:
    while size > 0 and (data := _read(file, min(size, READ_BYTES))):
        size -= len(data)
