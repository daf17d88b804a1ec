"""Decoding of recordings to streams of samples: by libsndfile, or by ffmpeg for other formats.

A file has one stream, or several that were concatenated.  Each has the length that its header states, and is read
until its decoder ends; the caller compares the two.
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
"""Frames of a block."""
ENDLESS_BYTES = 1 << 40
"""Size of a file as reported to libsndfile, so that it trusts the header and not the file."""
KINDS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "NIST", "FLAC", "OGG", "MP3")
"""Formats that are read by libsndfile; for its other formats, it does not know whether a file is complete."""
CODED = (
    "IMA_ADPCM", "MS_ADPCM", "GSM610", "DWVW_12", "DWVW_16", "DWVW_24", "G721_32", "G723_24", "G723_40",
    "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32", "ALAC_16", "ALAC_20", "ALAC_24", "ALAC_32",
)  # fmt: skip
"""Encodings whose end libsndfile looks for in the file, so it needs the true size."""
MP3_SLACK_FRAMES = 2 * 1152
"""Tolerance of the length of an MP3: two frames of 1152 samples."""
W64_SLACK_FRAMES = 8
"""Tolerance of the length of a Wave64 file, whose chunks are padded to eight bytes."""
FFMPEG_SLACK_S = 0.15
"""Tolerance of durations by ffmpeg: containers round them, and include the padding of the encoder."""
CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,caf,eac3,flac,flv,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,ogg,tta,w64,"
    "wav,wv,avi,dts,opus"
)
"""Formats that ffmpeg may read: no playlists, which refer to other files."""
FORMATS = "WAV, FLAC, Ogg, Opus or MP3"
"""Formats that error messages suggest."""

Block = NDArray[np.float32]
"""Samples, (frames, channels)."""


class Stream(NamedTuple):
    """One stream of a recording.

    Attributes:
        rate: sample rate in Hz.
        channels: number of channels.
        promised: frames that its header states; None where it states no length.
        slack: frames that may be missing without an error.
        present: frames in the file, where that is known without decoding.
        floats: whether its samples may be outside [-1, 1].
        seeks: whether it can be read from any frame on without those before it.
        blocks: function from the first frame to blocks of (frames, channels), until the decoder ends.
    """

    rate: int
    channels: int
    promised: int | None
    slack: int
    present: int | None
    floats: bool
    seeks: bool
    blocks: Callable[[int], Iterator[Block]]


def streams(path: Path) -> list[Stream]:
    """Streams of a recording, in their order; at least one.

    Raises:
        InputError: the file does not exist, or is not audio.
    """
    import soundfile

    _check_readable(path)
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE":
            with suppress(InputError):  # not PCM: libsndfile may have a decoder
                return [_pcm_stream(path, data) for data in wav.index(file, path.stat().st_size)]
    try:
        return _libsndfile_streams(path)
    except soundfile.LibsndfileError as error:
        return [_ffmpeg_stream(path, str(error.error_string).rstrip("."))]


def _check_readable(path: Path) -> None:
    """Raises InputError if a path is no file that can be read, or an empty one."""
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a recording in it")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: cannot be read; check its permissions")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes); copy the file again or leave it out")


def _pcm_stream(path: Path, data: wav.Data) -> Stream:
    """Stream of the PCM samples of a data chunk of a WAV file."""
    samples = data.format

    def blocks(start: int) -> Iterator[Block]:
        with path.open("rb") as file:
            remaining = data.size - min(data.size, start * samples.block)
            file.seek(data.start + data.size - remaining)
            while chunk := file.read(min(remaining, BLOCK_FRAMES * samples.block)):
                remaining -= len(chunk)
                yield samples.decode(chunk)

    return Stream(
        samples.rate, samples.channels, data.promised, 0, data.size // samples.block, samples.floats, True, blocks
    )


def _libsndfile_streams(path: Path) -> list[Stream]:
    """Streams of a file of one of KINDS; other kinds are left to ffmpeg."""
    import soundfile

    whole_file = containers.Part(0, path.stat().st_size)
    try:
        with _soundfile(path, whole_file, 0) as file:
            kind, subtype, frames, rate = file.format, file.subtype, file.frames, file.samplerate
    except soundfile.LibsndfileError:  # or its header states a greater length
        with _soundfile(path, whole_file, ENDLESS_BYTES) as file:
            kind, subtype, frames, rate = file.format, file.subtype, file.frames, file.samplerate
    if kind not in KINDS:
        return [_ffmpeg_stream(path, f"{kind} files are not read: their length cannot be checked")]
    if _needs_true_size(kind, subtype) and (stated := containers.stated_bytes(path, kind)) > whole_file.size:
        counts_stated = kind in ("AIFF", "CAF")  # of other kinds, libsndfile counts the frames that are present
        promised_s = frames / rate * (1 if counts_stated else stated / whole_file.size)
        raise wav.cut_short(path, promised_s * whole_file.size / stated, promised_s)
    result = []
    for part in containers.parts(path, kind):
        counted = part.counted
        with _soundfile(path, part, _reported_size(kind, subtype)) as file:
            rate, channels, frames = file.samplerate, file.channels, file.frames
            floats = file.subtype in ("FLOAT", "DOUBLE")
        if kind == "W64":
            frames = _w64_frames(path, frames)
        if part.torn_s:
            frames = max(frames + 1, round(part.torn_s * rate))
        promised = frames if counted and frames < ENDLESS_BYTES >> 10 else None
        slack = {"MP3": MP3_SLACK_FRAMES, "W64": W64_SLACK_FRAMES}.get(kind, 0)
        read = (
            partial(_decode, path, part, _reported_size(kind, subtype))
            if counted or kind != "MP3"
            else partial(_decode_by_pipe, path, part)
        )
        seeks = counted and kind != "FLAC"  # libsndfile seeks a FLAC frame by the reported size
        result.append(Stream(rate, channels, promised, slack, None, floats, seeks, read))
    return result


def _reported_size(kind: str, subtype: str) -> int:
    """Size in bytes that libsndfile is given for a file of this kind; 0: the true one."""
    return 0 if kind in ("OGG", "MP3", "W64") or _needs_true_size(kind, subtype) else ENDLESS_BYTES


def _needs_true_size(kind: str, subtype: str) -> bool:
    """Whether libsndfile must be given the true size of a file of this kind."""
    return kind == "NIST" or subtype in CODED


def _w64_frames(path: Path, frames: int) -> int:
    """Frames by the data chunk of a Wave64 file; libsndfile assumes that the chunk ends with the file."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    data, form = head.find(b"data\xf3\xac\xd3\x11"), head.find(b"fmt \xf3\xac\xd3\x11")
    if data < 0 or form < 0:
        return frames
    size = int.from_bytes(head[data + 16 : data + 24], "little") - 24
    block = int.from_bytes(head[form + 36 : form + 38], "little")
    return size // block if block and 0 < size < ENDLESS_BYTES else ENDLESS_BYTES


def _decode(path: Path, part: containers.Part, claimed: int, start: int) -> Iterator[Block]:
    """Blocks of a part of a file from a frame on, by libsndfile."""
    import soundfile

    with _soundfile(path, part, claimed) as file, suppress(soundfile.LibsndfileError):
        if start:  # a decoding error ends the stream
            file.seek(start)
        while len(block := file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
            yield block


def _decode_by_pipe(path: Path, part: containers.Part, start: int) -> Iterator[Block]:
    """Blocks of a part of a file, decoded from a pipe: without a seekable file, libsndfile does not guess a length."""
    import soundfile

    read_end, write_end = os.pipe()

    def feed() -> None:
        with suppress(BrokenPipeError), _Window(path, part) as source, os.fdopen(write_end, "wb") as sink:
            shutil.copyfileobj(source, sink)

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    try:
        with suppress(soundfile.LibsndfileError), soundfile.SoundFile(read_end, closefd=False) as file:
            while len(block := np.asarray(file.read(BLOCK_FRAMES, always_2d=True, dtype="float32"), np.float32)):
                if start < len(block):
                    yield block[start:]
                start = max(0, start - len(block))
    finally:
        os.close(read_end)
        thread.join()


class _Window(io.RawIOBase):
    """Part of a file as a file object, whose reported size is `claimed` bytes; 0: its true size."""

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
        self._place = offset + (0, self._place, self._claimed)[whence]  # libsndfile may seek anywhere
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._part.size - self._place)) if self._place >= 0 else 0
        if count:
            self._file.seek(self._part.start + self._place)
            count = self._file.readinto(view[:count])
        self._place += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def _soundfile(path: Path, part: containers.Part, claimed: int) -> Iterator[Any]:
    """Part of a file, opened by libsndfile with a reported size of `claimed` bytes; 0: its true size."""
    import soundfile

    class Sequential(soundfile.SoundFile):
        """Sound file in which soundfile does not seek after each block; the seek may fail near an unknown end."""

        def seekable(self) -> bool:
            return False

    with _Window(path, part, claimed) as window:
        source: Any = window
        with Sequential(source) as file:
            yield file


def _ffmpeg_stream(path: Path, reason: str) -> Stream:
    """Stream of a file that libsndfile cannot read, by ffmpeg where it is installed; `reason` is for the error."""
    ffmpeg = shutil.which("ffmpeg")
    if not ffmpeg:
        raise InputError(
            f"{path}: is not audio that can be read ({reason}); give {FORMATS}, convert it with "
            "`ffmpeg -i IN OUT.wav`, or install ffmpeg"
        )
    with tempfile.TemporaryFile() as stderr:
        try:
            with _ffmpeg_pipe(ffmpeg, path, stderr) as pipe:
                form, _ = wav.header(pipe)
            stderr.seek(0)
            message = stderr.read().decode(errors="replace")
        except (InputError, OSError):
            lines = _read_text(stderr).replace(f"file:{path}: ", "").splitlines() or [""]
            raise InputError(
                f"{path}: is not audio that can be read ({reason}; ffmpeg: {lines[-1].strip()}); give {FORMATS}"
            ) from None
        message = _read_text(stderr)
    duration = re.search(r"Duration: (\d+):(\d+):([\d.]+)", message)
    promised = None
    if duration and "Estimating duration" not in message:
        hours, minutes, seconds = map(float, duration.groups())
        promised = round((3600 * hours + 60 * minutes + seconds) * form.rate) or None

    def blocks(start: int) -> Iterator[Block]:
        with tempfile.TemporaryFile() as stderr, _ffmpeg_pipe(ffmpeg, path, stderr) as pipe:
            for _, block in wav.pipe(pipe, wav.header(pipe), str(path)):
                if start < len(block):
                    yield block[start:]
                start = max(0, start - len(block))

    return Stream(form.rate, form.channels, promised, round(FFMPEG_SLACK_S * form.rate), None, True, False, blocks)


@contextmanager
def _ffmpeg_pipe(ffmpeg: str, path: Path, stderr: Any) -> Iterator[Any]:
    """Recording as a WAV of floats on a pipe, at its own rate; ffmpeg ends with the context."""
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


def _read_text(stderr: BinaryIO) -> str:
    """Text that a process wrote to a file."""
    stderr.seek(0)
    return stderr.read().decode(errors="replace")
