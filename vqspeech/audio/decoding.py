"""Decoding of recordings to streams of samples: by libsndfile, or by ffmpeg for other formats.

A file has one stream, or several that were joined.  Each says how long it promises to be, and is read until its
decoder ends; who reads it compares the two.
"""

import io
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech.audio import containers, wav
from vqspeech.errors import InputError

BLOCK_FRAMES = 1 << 15
ENDLESS_BYTES = 1 << 40
"""Size of a file as reported to libsndfile, so that it trusts the header and not the file."""
KINDS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "NIST", "FLAC", "OGG", "MP3")
"""What libsndfile reads here; of other kinds it does not know whether a file is complete."""
CODED = (
    "IMA_ADPCM", "MS_ADPCM", "GSM610", "DWVW_12", "DWVW_16", "DWVW_24", "G721_32", "G723_24", "G723_40",
    "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32", "ALAC_16", "ALAC_20", "ALAC_24", "ALAC_32",
)  # fmt: skip
"""Coded samples, whose end libsndfile seeks in the file: it must know the true size."""
MP3_SLACK_FRAMES = 2 * 1152
W64_SLACK_FRAMES = 8
"""Its chunks are padded to eight bytes."""
FFMPEG_SLACK_S = 0.15
"""Containers state durations roundly, and with the padding of the encoder."""
CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,caf,eac3,flac,flv,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,ogg,tta,w64,"
    "wav,wv,avi,dts,opus"
)
"""What ffmpeg may take a file for: no playlists, which name other files."""
FORMATS = "WAV, FLAC, Ogg, Opus or MP3"

Block = NDArray[np.float32]


class Stream(NamedTuple):
    """One stream of a recording.

    Attributes:
        promised: frames that its header promises; None where it promises nothing.
        slack: frames that may be missing all the same.
        there: frames that are there, where that is known without decoding.
        floats: whether its samples may lie outside [-1, 1].
        seeks: whether it is read from any frame on without those before it.
        blocks: the frames from a given one on, (frames, channels) a block, until the decoder ends.
    """

    rate: int
    channels: int
    promised: int | None
    slack: int
    there: int | None
    floats: bool
    seeks: bool
    blocks: Callable[[int], Iterator[Block]]


def streams(path: Path) -> list[Stream]:
    """The streams of a recording, in their order; at least one.

    Raises:
        InputError: no such file, or one that is no audio.
    """
    import soundfile

    _check(path)
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE":
            with suppress(InputError):  # coded samples: libsndfile may know them
                return [_pcm(path, data) for data in wav.index(file, path.stat().st_size)]
    try:
        return _libsndfile(path)
    except soundfile.LibsndfileError as error:
        return [_ffmpeg(path, str(error.error_string).rstrip("."))]


def _check(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a recording in it")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: may not be read; check its permissions")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes); copy the file again or leave it out")


def _pcm(path: Path, data: wav.Data) -> Stream:
    samples = data.format

    def blocks(start: int) -> Iterator[Block]:
        with path.open("rb") as file:
            left = data.size - min(data.size, start * samples.block)
            file.seek(data.start + data.size - left)
            while chunk := file.read(min(left, BLOCK_FRAMES * samples.block)):
                left -= len(chunk)
                yield samples.decode(chunk)

    return Stream(
        samples.rate, samples.channels, data.promised, 0, data.size // samples.block, samples.floats, True, blocks
    )


def _libsndfile(path: Path) -> list[Stream]:
    import soundfile

    whole = containers.Part(0, path.stat().st_size)
    try:
        with _sound(path, whole, 0) as file:
            kind, subtype, frames, rate = file.format, file.subtype, file.frames, file.samplerate
    except soundfile.LibsndfileError:  # or its header says that it is longer
        with _sound(path, whole, ENDLESS_BYTES) as file:
            kind, subtype, frames, rate = file.format, file.subtype, file.frames, file.samplerate
    if kind not in KINDS:
        return [_ffmpeg(path, f"{kind} files are not read: their length cannot be checked")]
    if _true_size(kind, subtype) and (stated := containers.stated_bytes(path, kind)) > whole.size:
        promised_s = (
            frames / rate * (1 if kind in ("AIFF", "CAF") else stated / whole.size)
        )  # others count what is there
        raise wav.cut_short(path, promised_s * whole.size / stated, promised_s)
    found = []
    for part in containers.parts(path, kind):
        counted = part.counted
        with _sound(path, part, _claimed(kind, subtype)) as file:
            rate, channels, frames = file.samplerate, file.channels, file.frames
            floats = file.subtype in ("FLOAT", "DOUBLE")
        if kind == "W64":
            frames = _w64_frames(path, frames)
        if part.torn_s:
            frames = max(frames + 1, round(part.torn_s * rate))
        promised = frames if counted and frames < ENDLESS_BYTES >> 10 else None
        slack = {"MP3": MP3_SLACK_FRAMES, "W64": W64_SLACK_FRAMES}.get(kind, 0)
        read = (
            partial(_decoded, path, part, _claimed(kind, subtype))
            if counted or kind != "MP3"
            else partial(_piped, path, part)
        )
        seeks = counted and kind != "FLAC"  # libsndfile seeks a FLAC frame by the reported size
        found.append(Stream(rate, channels, promised, slack, None, floats, seeks, read))
    return found


def _claimed(kind: str, subtype: str) -> int:
    """Size in bytes that is reported to libsndfile for a file of this kind; 0: the true one."""
    return 0 if kind in ("OGG", "MP3", "W64") or _true_size(kind, subtype) else ENDLESS_BYTES


def _true_size(kind: str, subtype: str) -> bool:
    """Whether the length of a file of this kind is that of its header, not of its samples."""
    return kind == "NIST" or subtype in CODED


def _w64_frames(path: Path, frames: int) -> int:
    """Frames by the data chunk of a Wave64 file, which libsndfile takes to reach the end of the file."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    at, form = head.find(b"data\xf3\xac\xd3\x11"), head.find(b"fmt \xf3\xac\xd3\x11")
    if at < 0 or form < 0:
        return frames
    size = int.from_bytes(head[at + 16 : at + 24], "little") - 24
    block = int.from_bytes(head[form + 36 : form + 38], "little")
    return size // block if block and 0 < size < ENDLESS_BYTES else ENDLESS_BYTES


def _decoded(path: Path, part: containers.Part, claimed: int, start: int) -> Iterator[Block]:
    import soundfile

    with _sound(path, part, claimed) as file, suppress(soundfile.LibsndfileError):
        if start:  # an error is the end: the decoder lost its way
            file.seek(start)
        while len(block := file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
            yield block


def _piped(path: Path, part: containers.Part, start: int) -> Iterator[Block]:
    """A stream through a pipe: of one that cannot seek, libsndfile does not guess a length at which it would stop."""
    import soundfile

    out, into = os.pipe()

    def feed() -> None:
        with suppress(BrokenPipeError), _Window(path, part) as source, os.fdopen(into, "wb") as sink:
            shutil.copyfileobj(source, sink)

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    try:
        with suppress(soundfile.LibsndfileError), soundfile.SoundFile(out, closefd=False) as file:
            while len(block := np.asarray(file.read(BLOCK_FRAMES, always_2d=True, dtype="float32"), np.float32)):
                if start < len(block):
                    yield block[start:]
                start = max(0, start - len(block))
    finally:
        os.close(out)
        thread.join()


class _Window(io.RawIOBase):
    """A part of a file as a file, which claims to have `claimed` bytes."""

    def __init__(self, path: Path, part: containers.Part, claimed: int = 0) -> None:
        self._file, self._part, self._place = path.open("rb"), part, 0
        self._claimed = claimed or part.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = offset + (0, self._place, self._claimed)[whence]  # libsndfile may ask for any place
        return self._place

    def readinto(self, buffer: Any) -> int:
        spool = memoryview(buffer).cast("B")
        left = max(0, min(len(spool), self._part.size - self._place)) if self._place >= 0 else 0
        if left:
            self._file.seek(self._part.start + self._place)
            left = self._file.readinto(spool[:left])
        self._place += left
        return left

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def _sound(path: Path, part: containers.Part, claimed: int) -> Iterator[Any]:
    """A part of a file, open by libsndfile."""
    import soundfile

    class Sequential(soundfile.SoundFile):
        """A file in which soundfile does not seek after each block, as it may not know where it ends."""

        def seekable(self) -> bool:
            return False

    with _Window(path, part, claimed) as window:
        source: Any = window
        with Sequential(source) as file:
            yield file


def _ffmpeg(path: Path, reason: str) -> Stream:
    """What libsndfile cannot read, by ffmpeg where it is installed."""
    found = shutil.which("ffmpeg")
    if not found:
        raise InputError(
            f"{path}: is not audio that can be read ({reason}); give {FORMATS}, convert it with "
            "`ffmpeg -i IN OUT.wav`, or install ffmpeg"
        )
    with tempfile.TemporaryFile() as stderr:
        try:
            with _running(found, path, stderr) as pipe:
                form, _ = wav.header(pipe)
            stderr.seek(0)
            message = stderr.read().decode(errors="replace")
        except (InputError, OSError):
            lines = _text(stderr).replace(f"file:{path}: ", "").splitlines() or [""]
            raise InputError(
                f"{path}: is not audio that can be read ({reason}; ffmpeg: {lines[-1].strip()}); give {FORMATS}"
            ) from None
        message = _text(stderr)
    duration = re.search(r"Duration: (\d+):(\d+):([\d.]+)", message)
    promised = None
    if duration and "Estimating duration" not in message:
        hours, minutes, seconds = map(float, duration.groups())
        promised = round((3600 * hours + 60 * minutes + seconds) * form.rate) or None

    def blocks(start: int) -> Iterator[Block]:
        with tempfile.TemporaryFile() as stderr, _running(found, path, stderr) as pipe:
            for _, block in wav.pipe(pipe, wav.header(pipe), str(path)):
                if start < len(block):
                    yield block[start:]
                start = max(0, start - len(block))

    return Stream(form.rate, form.channels, promised, round(FFMPEG_SLACK_S * form.rate), None, True, False, blocks)


@contextmanager
def _running(ffmpeg: str, path: Path, stderr: Any) -> Iterator[Any]:
    """The recording as a WAV of floats on a pipe, at its own rate; ended when it is left."""
    command = [ffmpeg, "-hide_banner", "-nostdin", "-protocol_whitelist", "file,pipe", "-format_whitelist", CONTAINERS]
    command += ["-i", f"file:{path}", "-map", "0:a:0", "-vn", "-c:a", "pcm_f32le", "-f", "wav", "pipe:1"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr)
    assert process.stdout
    try:
        yield process.stdout
    finally:
        process.stdout.close()
        process.kill()
        process.wait()


def _text(stderr: BinaryIO) -> str:
    stderr.seek(0)
    return stderr.read().decode(errors="replace")
