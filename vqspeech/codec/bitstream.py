"""Bitstream of .vqs files: a header, and chunks that can be decoded alone; described in the documentation.

```
file    = header  chunk*  last chunk
header  = magic[4] version[1] model[12] sample_rate[4] hop[2] codes - 1 [2] codebooks - 1 [1] gain[1] n[1] speaker[n]
          crc[4]
chunk   = kind + codebook [1] number[4] size[2] payload[size] crc[4]
```
Chunks come number by number, in each codebook by codebook; those of the upper ones can be left out, see `thinning`.
Numbers are little-endian; a crc is the CRC-32 of all bytes before it in its header or chunk.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from vqspeech.errors import InputError
from vqspeech.shapes import Codes

MAGIC, VERSION = b"\x89VQS", 2
CHUNK_FRAMES = 1024
PACKED, ADAPTIVE, PRIOR = 0x10, 0x20, 0x30  # kinds: how a payload is coded; a prior's holds all codebooks
CODEBOOK = 0x0F  # added to a kind: which codebook, 0 to 15
LAST = 0x80  # added to a kind: the payload begins with the length of the recording in samples, 8 bytes
_HEAD, _CHUNK, _CRC, _LENGTH = (
    struct.Struct("<4sB12sIHHBbB"),
    struct.Struct("<BIH"),
    struct.Struct("<I"),
    struct.Struct("<Q"),
)
_SCALE = 1 << 16
_GAP = 1 << 16  # chunks that may be missing in a row
_MOST = 2 * CHUNK_FRAMES  # bytes of the codes of a codebook: none are larger than packed
GAIN_STEP_DB = 0.5


class Header(NamedTuple):
    """Header of a file: model digest (24 hex digits), sample rate in Hz, hop, codebook size, speaker, codebooks, gain.

    `speaker` is the default voice; `gain_db`, in steps of GAIN_STEP_DB, what the decoded wave is made louder by.
    """

    model: str
    sample_rate: int
    hop: int
    codes: int
    speaker: str = ""
    codebooks: int = 1
    gain_db: float = 0.0


class Chunk(NamedTuple):
    """Chunk: up to CHUNK_FRAMES codes of one codebook, entropy-coded.

    `length` is that of the whole recording in samples, in the chunks of the last number.
    """

    number: int
    kind: int
    payload: bytes
    length: int | None
    codebook: int = 0


class SymbolModel(Protocol):
    """Distribution of the next code as integer frequencies, above 0, that sum to 65,536."""

    def next(self) -> NDArray[np.int64]:
        """The frequencies of the next code, (codes,)."""
        ...

    def push(self, code: int) -> None:
        """Append the code that was coded."""
        ...


class AdaptiveModel:
    """Adaptive model: code counts within the chunk, added to the code frequencies of training.

    All in integers, so encoder and decoder agree on any two machines.

    Args:
        usage: (codes,) integers, 0 or more.
    """

    def __init__(self, usage: NDArray[np.int64]) -> None:
        self.counts = usage * 4096 // max(1, int(usage.sum())) + 1

    def next(self) -> NDArray[np.int64]:
        """The frequencies of the next code, (codes,)."""
        return scaled(self.counts)

    def push(self, code: int) -> None:
        """Append the code that was coded."""
        self.counts[code] += 8


def scaled(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts scaled to frequencies above 0 that sum to 65,536."""
    frequencies = counts * (_SCALE - len(counts)) // counts.sum() + 1
    frequencies[np.argmax(frequencies)] += _SCALE - frequencies.sum()
    return frequencies


def encode(codes: Codes, frequencies: SymbolModel) -> bytes:
    """Range coding of codes: (frames,) -> bytes."""
    coder = _constriction().queue.RangeEncoder()
    for code in codes.tolist():
        coder.encode(code, _model(frequencies.next()))
        frequencies.push(code)
    return coder.get_compressed().astype("<u4").tobytes()


def decode(payload: bytes, frames: int, frequencies: SymbolModel) -> NDArray[np.int64]:
    """The inverse of `encode`: bytes -> (frames,).

    Raises:
        InputError: these bytes are no codes.
    """
    if len(payload) % 4:
        raise InputError(f"{len(payload)} bytes are no whole words")
    coder = _constriction().queue.RangeDecoder(np.frombuffer(payload, "<u4").astype(np.uint32))
    codes = np.empty(frames, np.int64)
    try:
        for frame in range(frames):
            codes[frame] = code = int(coder.decode(_model(frequencies.next())))
            frequencies.push(code)
    except AssertionError as error:
        raise InputError(f"these are no codes ({error})") from None
    return codes


def pack(codes: Codes, alphabet: int) -> bytes:
    """Packed codes: each in the fewest bits that the alphabet needs, highest bit first."""
    bits = width(alphabet)
    return np.packbits((np.asarray(codes, np.int64)[:, None] >> np.arange(bits)[::-1]) & 1).tobytes()


def unpack(payload: bytes, frames: int, alphabet: int) -> NDArray[np.int64]:
    """The inverse of `pack`.

    Raises:
        InputError: another size than these codes have, or a code outside the alphabet.
    """
    bits = width(alphabet)
    if len(payload) != -(-frames * bits // 8):
        raise InputError(f"{len(payload)} bytes are not {frames} codes of {bits} bits")
    rows = np.unpackbits(np.frombuffer(payload, np.uint8))[: frames * bits].reshape(frames, bits)
    codes = rows.astype(np.int64) @ (1 << np.arange(bits)[::-1])
    if frames and codes.max() >= alphabet:
        raise InputError(f"code {codes.max()} is not in 0..{alphabet - 1}")
    return codes


def width(alphabet: int) -> int:
    """Bits of a packed code."""
    return max(1, (alphabet - 1).bit_length())


def write_header(header: Header) -> bytes:
    """A header as bytes.

    Raises:
        InputError: a speaker's name of more than 255 bytes, or a gain that does not fit.
    """
    name = header.speaker.encode()
    if len(name) > 255:
        raise InputError(f"speaker {header.speaker[:20]!r}... has a name of {len(name)} bytes; at most 255 fit")
    if not -128 <= (gain := round(header.gain_db / GAIN_STEP_DB)) < 128:
        raise InputError(f"gain {header.gain_db:g} dB is out of range; choose -64 to 63.5")
    sizes = header.sample_rate, header.hop, header.codes - 1, header.codebooks - 1, gain, len(name)
    return _sealed(_HEAD.pack(MAGIC, VERSION, bytes.fromhex(header.model), *sizes) + name)


def write_chunk(chunk: Chunk) -> bytes:
    """A chunk as bytes."""
    last = chunk.length is not None
    payload = (_LENGTH.pack(chunk.length) if last else b"") + chunk.payload
    kind = chunk.kind | chunk.codebook | (LAST if last else 0)
    return _sealed(_CHUNK.pack(kind, chunk.number, len(payload)) + payload)


class Reader:
    """Header and chunks from bytes that arrive in blocks of any size.

    Args:
        conceal: whether to go on behind damage, at the next chunk that is whole.

    Raises (from `push` and `finish`):
        InputError: these bytes are no .vqs, or of another version, or damaged, or cut short.
    """

    def __init__(self, conceal: bool = False) -> None:
        self.header: Header | None = None
        self.conceal, self.lost, self.ended = conceal, 0, False
        self._bytes, self._offset, self._place = bytearray(), 0, 0  # place: of the next chunk among all

    def push(self, block: bytes) -> Iterator[Chunk]:
        """The chunks that are complete after more bytes; `header` is set before the first of them."""
        self._bytes += block
        if self.header is None:
            self.header = self._read_header()
        while self.header is not None and not self.ended and (chunk := self._read_chunk(self.header.codebooks)):
            codebooks = self.header.codebooks
            self._place = chunk.number * codebooks + (codebooks if chunk.kind == PRIOR else chunk.codebook + 1)
            self.ended = chunk.length is not None and self._place % codebooks == 0
            yield chunk
        if self.ended and self._bytes and not self.conceal:
            raise InputError(f"{len(self._bytes)} bytes follow the last chunk (byte {self._offset}); cut them off")

    def finish(self) -> Iterator[Chunk]:
        """The last chunks, at the end of the bytes."""
        while self.conceal and self.header is not None and self._bytes and not self.ended:
            self._skip(1)
            yield from self.push(b"")
        if self.header is None:
            raise InputError("is cut short in its header; copy the file again" if self._bytes else "is empty (0 bytes)")
        if not self.ended:
            position = f"at chunk {self._place // self.header.codebooks}, byte {self._offset + len(self._bytes)}"
            raise InputError(f"is cut short {position}: its last chunk is missing; copy the file again")

    def _read_header(self) -> Header | None:
        buffer = bytes(self._bytes)
        if buffer[:4] != MAGIC[: len(buffer)]:
            raise InputError(f"is no .vqs file: it begins with {buffer[:4]!r}, not with {MAGIC!r}")
        if len(buffer) > 4 and buffer[4] != VERSION:
            cure = "use a newer one" if buffer[4] > VERSION else "encode the recording again"
            raise InputError(f"has version {buffer[4]} of the format, this program reads {VERSION}; {cure}")
        if len(buffer) < _HEAD.size or len(buffer) < _HEAD.size + buffer[_HEAD.size - 1] + _CRC.size:
            return None
        _, _, digest, sample_rate, hop, codes, codebooks, gain, size = _HEAD.unpack_from(buffer)
        end = _HEAD.size + size
        if _CRC.unpack_from(buffer, end)[0] != zlib.crc32(buffer[:end]):
            raise InputError("has a damaged header (CRC differs); copy the file again")
        self._skip(end + _CRC.size)
        name = buffer[_HEAD.size : end].decode(errors="replace")
        return Header(digest.hex(), sample_rate, hop, codes + 1, name, codebooks + 1, gain * GAIN_STEP_DB)

    def _read_chunk(self, codebooks: int) -> Chunk | None:
        while len(self._bytes) >= _CHUNK.size:
            kind, number, size = _CHUNK.unpack_from(self._bytes)
            head, bare, codebook = _LENGTH.size * (kind // LAST), kind & ~LAST & ~CODEBOOK, kind & CODEBOOK
            gap, n_codebooks = number * codebooks + codebook - self._place, codebooks if bare == PRIOR else 1
            likely = bare in (PACKED, ADAPTIVE, PRIOR) and 0 <= gap <= (_GAP if self.conceal else 0)
            likely = likely and codebook <= codebooks - n_codebooks and head <= size <= head + _MOST * n_codebooks
            end = _CHUNK.size + size + _CRC.size
            if likely and len(self._bytes) < end:
                return None
            body = bytes(self._bytes[: end - _CRC.size])
            if likely and _CRC.unpack_from(self._bytes, len(body))[0] == zlib.crc32(body):
                self.lost += gap
                self._skip(end)
                payload, length = body[_CHUNK.size :], None
                if kind & LAST:
                    payload, length = payload[_LENGTH.size :], _LENGTH.unpack_from(payload)[0]
                return Chunk(number, bare, payload, length, codebook)
            if not self.conceal:
                raise InputError(
                    f"is damaged in chunk {self._place // codebooks} (byte {self._offset}: CRC differs); copy the file "
                    "again, or hear the rest with --conceal"
                )
            self._skip(1)
        return None

    def _skip(self, size: int) -> None:
        del self._bytes[:size]
        self._offset += size


def _sealed(body: bytes) -> bytes:
    return body + _CRC.pack(zlib.crc32(body))


def _model(frequencies: NDArray[np.int64]):
    return _constriction().model.Categorical(frequencies / _SCALE, perfect=False)


def _constriction() -> Any:
    try:
        import constriction
    except ImportError:
        raise InputError("files of codes need constriction; pip install constriction") from None
    return constriction.stream  # type: ignore[attr-defined]
