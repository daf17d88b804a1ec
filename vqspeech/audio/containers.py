"""Containers of audio (Ogg, FLAC, MP3, AIFF, AU): where streams begin and end, and the length that each states.

A decoder stops at the end of the first of several streams that were joined (chained), or where an estimate of its
length is reached.  What is read here are headers of pages and frames, never sound.
"""

import mmap
import re
import struct
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

UNKNOWN_SIZE = 0xFFFFFFFF
LEFTOVER_FRAMES = 2
"""So many frames of an MP3 beyond what its header counts are the encoder's way of counting."""
_BITRATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Kilobits a second by version (1; 2 and 2.5) and layer."""


class Part(NamedTuple):
    """A stream within a file: its first byte, its bytes, and whether its length in the header can be relied on.

    `torn_s`: seconds that an Ogg page which is cut within would have ended at; 0 where none is.
    """

    start: int
    size: int
    counted: bool = True
    torn_s: float = 0.0


class _Frame(NamedTuple):
    size: int
    samples: int
    side: int


def parts(path: Path, kind: str) -> list[Part]:
    """The streams of a file of kind "OGG", "FLAC" or "MP3", in their order; of another kind the whole file."""
    walk = {"OGG": _ogg, "FLAC": _flac, "MP3": _mp3}.get(kind)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return (walk(data) if walk else []) or [Part(0, len(data))]


def _ogg(data: mmap.mmap) -> list[Part]:
    """A new stream begins where a first page comes after one that is none."""
    starts, torn, place, begun, rate = [0], [0.0], 0, True, 0
    while (place := data.find(b"OggS", place)) >= 0 and place + 27 <= len(data):
        flags, granule = struct.unpack_from("<Bq", data, place + 5)
        body = place + 27 + data[place + 26]
        size = body - place + sum(data[place + 27 : body])
        if flags & 2:
            if not begun:
                starts.append(place)
                torn.append(0.0)
            rate = _ogg_rate(data[body : body + 32])
        begun = bool(flags & 2)
        if place + size > len(data):
            torn[-1] = max(granule, 0) / rate if rate else 0.0
            torn[-1] = torn[-1] or 1e-3  # no packet ends on this page
        place += size
    ends = [*starts[1:], len(data)]
    return [Part(at, end - at, True, lost) for at, end, lost in zip(starts, ends, torn, strict=True)]


def _ogg_rate(packet: bytes) -> int:
    """Granules a second, by the first packet of a stream; 0 where it is none of Vorbis, Opus, Speex or FLAC."""
    if packet.startswith(b"OpusHead"):
        return 48000
    if packet.startswith(b"\x01vorbis") and len(packet) >= 16:
        return struct.unpack_from("<I", packet, 12)[0]
    if packet.startswith(b"\x7fFLAC") and len(packet) >= 30:
        return int.from_bytes(packet[27:30], "big") >> 4
    return 0


def _flac(data: mmap.mmap) -> list[Part]:
    """A stream begins with its marker and a block of 34 bytes that describes it."""
    starts = [found.start() for found in re.finditer(rb"fLaC[\x00\x80]\x00\x00\x22", data)]
    return [
        Part(at, end - at, bool(int.from_bytes(data[at + 21 : at + 26], "big") & (2**36 - 1)))
        for at, end in pairwise([*starts, len(data)])
    ]


def _mp3(data: mmap.mmap) -> list[Part]:
    """A stream begins where a frame counts those that follow it (Xing, Info or VBRI), or where this count is over."""
    found: list[Part] = []
    start, place, counted, left = 0, 0, False, 0
    while place < len(data):
        frame = _frame(data, place)
        if frame is None:
            place = _behind_tag(data, place) or _resynchronised(data, place + 1)
            continue
        count = _count(data, place, frame)
        if count is not None:
            if place > start and (found or _has_frames(data, start, place)):
                found.append(Part(start, place - start, counted))
                start = place
            counted, left = True, count + LEFTOVER_FRAMES
        elif counted and (left := left - 1) < 0:  # more frames than were counted: they are a stream of their own
            found.append(Part(start, place - start))
            start, counted = place, False
        place += frame.size
    return [*found, Part(start, len(data) - start, counted)]


def _has_frames(data: mmap.mmap, start: int, end: int) -> bool:
    while start < end:
        if _frame(data, start):
            return True
        start = _behind_tag(data, start) or _resynchronised(data, start + 1)
    return False


def _frame(data: mmap.mmap, place: int) -> _Frame | None:
    """The MPEG audio frame that begins here."""
    head = data[place : place + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = {3: 1, 2: 2, 0: 3}.get(head[1] >> 3 & 3, 0), 4 - (head[1] >> 1 & 3)
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    if not version or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    hertz = (44100, 48000, 32000)[rate] >> (version - 1)
    bits = 1000 * _BITRATES[min(version, 2), layer][bitrate - 1]
    padding = head[2] >> 1 & 1
    if layer == 1:
        return _Frame((12 * bits // hertz + padding) * 4, 384, 0)
    samples = 576 if layer == 3 and version > 1 else 1152
    mono = head[3] >> 6 == 3
    side = (17 if mono else 32) if version == 1 else (9 if mono else 17)
    return _Frame(samples // 8 * bits // hertz + padding, samples, side)


def _count(data: mmap.mmap, place: int, frame: _Frame) -> int | None:
    """How many frames follow one that says so."""
    at = place + 4 + frame.side
    if data[at : at + 4] in (b"Xing", b"Info") and data[at + 7] & 1:
        return int.from_bytes(data[at + 8 : at + 12], "big") or None
    at = place + 36
    return int.from_bytes(data[at + 14 : at + 18], "big") or None if data[at : at + 4] == b"VBRI" else None


def _behind_tag(data: mmap.mmap, place: int) -> int:
    """The byte behind an ID3 tag that begins here; 0 where none does."""
    if data[place : place + 3] == b"ID3" and place + 10 <= len(data):
        size = 0
        for one in data[place + 6 : place + 10]:
            size = size << 7 | one & 0x7F
        return place + 10 + size + 10 * (data[place + 5] >> 4 & 1)
    return place + 128 if data[place : place + 3] == b"TAG" else 0


def _resynchronised(data: mmap.mmap, place: int) -> int:
    """The next byte where a frame begins that another one follows, or a tag; the end where none does."""
    for found in re.compile(rb"\xff[\xe0-\xff]|ID3").finditer(data, place):
        at = found.start()
        if data[at : at + 3] == b"ID3":
            return at
        frame = _frame(data, at)
        if frame and (at + frame.size >= len(data) or _frame(data, at + frame.size)):
            return at
    return len(data)


def stated_bytes(path: Path, kind: str) -> int:
    """Size that a file should have by the header of its samples; 0 where none is stated.

    Args:
        kind: WAV, WAVEX, W64, AIFF, AU or NIST, as libsndfile names them.
    """
    with path.open("rb") as file:
        head = file.read(1024)
        if kind == "AU":
            order: Literal["big", "little"] = "big" if head[:4] == b".snd" else "little"
            start, size = (int.from_bytes(head[at : at + 4], order) for at in (4, 8))
            return 0 if size == UNKNOWN_SIZE else start + size
        if kind == "NIST":
            numbers = {name: int(value) for name, value in re.findall(rb"(\w+) -i (\d+)", head)}
            width = 1 if re.search(rb"[au]law|mu-law", head) else numbers.get(b"sample_n_bytes", 2)
            size = numbers.get(b"sample_count", 0) * width
            return 1024 + size * numbers.get(b"channel_count", 1) if size else 0
        if kind in ("WAV", "WAVEX"):
            return _end_of_chunk(file, 12, b"data", 4, "little", 0)
        if kind == "W64":
            return _end_of_chunk(file, 40, b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a", 8, "little", 24)
        return _end_of_chunk(file, 12, b"SSND", 4, "big", 0) if kind == "AIFF" else 0


def _end_of_chunk(
    file: BinaryIO, start: int, name: bytes, size_bytes: int, order: Literal["big", "little"], counted: int
) -> int:
    """Where a chunk of a RIFF-like file ends; `counted` bytes of its own header are counted in its size."""
    file.seek(start)
    while len(head := file.read(len(name) + size_bytes)) == len(name) + size_bytes:
        size = int.from_bytes(head[len(name) :], order)
        if head[: len(name)] == name:
            return 0 if size in (0, UNKNOWN_SIZE) else file.tell() + size - counted
        file.seek(max(0, size - counted) + -size % (8 if counted else 2), 1)
    return 0
