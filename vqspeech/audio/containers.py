"""Containers of audio (Ogg, FLAC, MP3, AIFF, AU): where streams begin and end, and the length that each states.

A decoder stops at the end of the first of several concatenated (chained) streams, or at an estimate of the length.
This module reads headers of pages and frames only, never samples.
"""

import mmap
import re
import struct
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

UNKNOWN_SIZE = 0xFFFFFFFF
"""Size in a header whose writer did not know it."""
LEFTOVER_FRAMES = 2
"""Frames of an MP3 beyond the count in its header that are no stream of their own: encoders count differently."""
_BITRATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates in kbit/s by version (1; 2 and 2.5) and layer."""


class Part(NamedTuple):
    """Stream within a file: its first byte, its size in bytes, and whether the length in its header is reliable.

    `torn_s`: time in seconds at which an incomplete Ogg page would have ended; 0 where no page is incomplete.
    """

    start: int
    size: int
    counted: bool = True
    torn_s: float = 0.0


class _Frame(NamedTuple):
    """MPEG audio frame: its size in bytes, its samples, and the size of its side information."""

    size: int
    samples: int
    side: int


def parts(path: Path, kind: str) -> list[Part]:
    """Streams of a file of kind "OGG", "FLAC" or "MP3", in their order; of another kind, the whole file."""
    scan = {"OGG": _ogg, "FLAC": _flac, "MP3": _mp3}.get(kind)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return (scan(data) if scan else []) or [Part(0, len(data))]


def _ogg(data: mmap.mmap) -> list[Part]:
    """Streams of an Ogg file: one begins at a page flagged as first that follows a page that is not."""
    starts, torn, place, in_first_pages, rate = [0], [0.0], 0, True, 0
    while (place := data.find(b"OggS", place)) >= 0 and place + 27 <= len(data):
        flags, granule = struct.unpack_from("<Bq", data, place + 5)
        body = place + 27 + data[place + 26]
        size = body - place + sum(data[place + 27 : body])
        if flags & 2:
            if not in_first_pages:
                starts.append(place)
                torn.append(0.0)
            rate = _ogg_rate(data[body : body + 32])
        in_first_pages = bool(flags & 2)
        if place + size > len(data):
            torn[-1] = max(granule, 0) / rate if rate else 0.0
            torn[-1] = torn[-1] or 1e-3  # no packet ends on this page
        place += size
    ends = [*starts[1:], len(data)]
    return [Part(start, end - start, True, torn_s) for start, end, torn_s in zip(starts, ends, torn, strict=True)]


def _ogg_rate(packet: bytes) -> int:
    """Granules per second, by the first packet of a stream; 0 for codecs other than Vorbis, Opus and FLAC."""
    if packet.startswith(b"OpusHead"):
        return 48000
    if packet.startswith(b"\x01vorbis") and len(packet) >= 16:
        return struct.unpack_from("<I", packet, 12)[0]
    if packet.startswith(b"\x7fFLAC") and len(packet) >= 30:
        return int.from_bytes(packet[27:30], "big") >> 4
    return 0


def _flac(data: mmap.mmap) -> list[Part]:
    """Streams of a FLAC file: each begins with its marker and a STREAMINFO block of 34 bytes."""
    starts = [match.start() for match in re.finditer(rb"fLaC[\x00\x80]\x00\x00\x22", data)]
    return [
        Part(start, end - start, bool(int.from_bytes(data[start + 21 : start + 26], "big") & (2**36 - 1)))
        for start, end in pairwise([*starts, len(data)])
    ]


def _mp3(data: mmap.mmap) -> list[Part]:
    """Streams of an MP3 file: one begins at a frame with a count (Xing, Info or VBRI), or where the count ends."""
    streams: list[Part] = []
    start, place, counted, remaining = 0, 0, False, 0
    while place < len(data):
        frame = _frame(data, place)
        if frame is None:
            place = _end_of_tag(data, place) or _resynchronise(data, place + 1)
            continue
        count = _count(data, place, frame)
        if count is not None:
            if place > start and (streams or _has_frames(data, start, place)):
                streams.append(Part(start, place - start, counted))
                start = place
            counted, remaining = True, count + LEFTOVER_FRAMES
        elif counted and (remaining := remaining - 1) < 0:  # frames beyond the count are a stream of their own
            streams.append(Part(start, place - start))
            start, counted = place, False
        place += frame.size
    return [*streams, Part(start, len(data) - start, counted)]


def _has_frames(data: mmap.mmap, start: int, end: int) -> bool:
    """Whether there is an MPEG audio frame between two bytes."""
    while start < end:
        if _frame(data, start):
            return True
        start = _end_of_tag(data, start) or _resynchronise(data, start + 1)
    return False


def _frame(data: mmap.mmap, place: int) -> _Frame | None:
    """MPEG audio frame that begins at a byte, or None."""
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
    """Number of frames after a frame with a Xing, Info or VBRI header; None without one."""
    at = place + 4 + frame.side
    if data[at : at + 4] in (b"Xing", b"Info") and data[at + 7] & 1:
        return int.from_bytes(data[at + 8 : at + 12], "big") or None
    at = place + 36
    return int.from_bytes(data[at + 14 : at + 18], "big") or None if data[at : at + 4] == b"VBRI" else None


def _end_of_tag(data: mmap.mmap, place: int) -> int:
    """First byte after an ID3 tag that begins at a byte; 0 where there is none."""
    if data[place : place + 3] == b"ID3" and place + 10 <= len(data):
        size = 0
        for byte in data[place + 6 : place + 10]:
            size = size << 7 | byte & 0x7F
        return place + 10 + size + 10 * (data[place + 5] >> 4 & 1)
    return place + 128 if data[place : place + 3] == b"TAG" else 0


def _resynchronise(data: mmap.mmap, place: int) -> int:
    """Next byte at which a tag begins, or a frame that another frame follows; the end of the file without one."""
    for match in re.compile(rb"\xff[\xe0-\xff]|ID3").finditer(data, place):
        at = match.start()
        if data[at : at + 3] == b"ID3":
            return at
        frame = _frame(data, at)
        if frame and (at + frame.size >= len(data) or _frame(data, at + frame.size)):
            return at
    return len(data)


def stated_bytes(path: Path, kind: str) -> int:
    """Size of a complete file in bytes, by the header of its samples; 0 where none is stated.

    Args:
        path: of the file.
        kind: WAV, WAVEX, W64, AIFF, AU, CAF or NIST, as libsndfile names them.
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
        if kind == "CAF":
            return _end_of_chunk(file, 8, b"data", 8, "big", 0)
        return _end_of_chunk(file, 12, b"SSND", 4, "big", 0) if kind == "AIFF" else 0


def _end_of_chunk(
    file: BinaryIO, start: int, name: bytes, size_bytes: int, order: Literal["big", "little"], counted: int
) -> int:
    """End of a chunk of a RIFF-like file, 0 if unknown; its size includes `counted` bytes of its header."""
    file.seek(start)
    while len(head := file.read(len(name) + size_bytes)) == len(name) + size_bytes:
        size = int.from_bytes(head[len(name) :], order)
        if head[: len(name)] == name:
            return 0 if size in (0, UNKNOWN_SIZE, 2**64 - 1) else file.tell() + size - counted
        padding = 0 if size_bytes == 8 and not counted else -size % (8 if counted else 2)
        file.seek(max(0, size - counted) + padding, 1)
    return 0
