"""Reference codecs: installed programs (Codec 2, Opus), at 16 kHz."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from vqspeech import audio
from vqspeech.shapes import Wave

RATE = 16000


class Coded(NamedTuple):
    """A recording coded and decoded: a wave, bytes, and the seconds that took, the programs' start included."""

    wave: Wave
    size: float
    encode_s: float
    decode_s: float


class ReferenceCodec(NamedTuple):
    """A codec: its name, its program, and how it is called in an empty folder."""

    name: str
    program: str
    code: Callable[[Wave, Path], Coded]

    def __call__(self, wave: Wave) -> Coded:
        """What the codec makes of a wave, (time,) at RATE."""
        with tempfile.TemporaryDirectory() as folder:
            return self.code(wave, Path(folder))


def installed() -> list[ReferenceCodec]:
    """The codecs whose programs are there."""
    return [peer for peer in REFERENCE_CODECS if shutil.which(peer.program)]


def _codec2(mode: str) -> Callable[[Wave, Path], Coded]:
    """Codec 2, which has 8 kHz and no container."""

    def code(wave: Wave, workdir: Path) -> Coded:
        narrow = b"".join(
            (np.clip(block, -1, 1) * 32767).astype("<i2").tobytes() for block in audio.resampled([wave], RATE, 8000)
        )
        filled = narrow + bytes(2 * 8 * 80)  # its last frames come out only when others follow
        (workdir / "in.raw").write_bytes(filled)
        times = (
            _run(["c2enc", mode, "in.raw", "out.bit"], workdir),
            _run(["c2dec", mode, "out.bit", "out.raw"], workdir),
        )
        decoded = np.frombuffer((workdir / "out.raw").read_bytes(), "<i2").astype(np.float32) / np.float32(32768)
        wide = np.concatenate([*audio.resampled([decoded], 8000, RATE)])
        return Coded(wide, (workdir / "out.bit").stat().st_size * len(narrow) / len(filled), *times)

    return code


def _opus(wave: Wave, workdir: Path) -> Coded:
    """Opus in Ogg at the lowest rate it has."""
    soundfile.write(workdir / "in.wav", wave, RATE)
    encode = ["opusenc", "--quiet", "--speech", "--bitrate", "6", "--framesize", "60", "in.wav", "out"]
    times = _run(encode, workdir), _run(["opusdec", "--quiet", "--rate", str(RATE), "out", "out.wav"], workdir)
    return Coded(audio.read(workdir / "out.wav", RATE), (workdir / "out").stat().st_size, *times)


def _speex(wave: Wave, workdir: Path) -> Coded:
    """Speex in Ogg at the lowest rate that it has for 16 kHz."""
    soundfile.write(workdir / "in.wav", wave, RATE)
    encode = ["speexenc", "--wideband", "--quality", "0", "--nframes", "10", "in.wav", "out"]
    times = _run(encode, workdir), _run(["speexdec", "out", "out.wav"], workdir)
    return Coded(audio.read(workdir / "out.wav", RATE), (workdir / "out").stat().st_size, *times)


def _run(words: list[str], workdir: Path) -> float:
    began = time.perf_counter()
    subprocess.run(words, cwd=workdir, check=True, capture_output=True)
    return time.perf_counter() - began


REFERENCE_CODECS = (
    ReferenceCodec("codec2 at 2400 bit/s", "c2enc", _codec2("2400")),
    ReferenceCodec("codec2 at 1300 bit/s", "c2enc", _codec2("1300")),
    ReferenceCodec("codec2 at 700 bit/s", "c2enc", _codec2("700C")),
    ReferenceCodec("Opus at 6 kbit/s", "opusenc", _opus),
    ReferenceCodec("Speex, quality 0", "speexenc", _speex),
)
