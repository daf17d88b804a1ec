"""Recordings whose headers promise another length than comes, and recordings that are not fit to be encoded."""

import io
import os
import struct
import sys

import numpy as np
import pytest
import soundfile

from vqspeech import InputError, audio
from vqspeech.audio import decoding

RATE = 16000


def encoded(wave, kind="WAV", subtype=None, **options) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, format=kind, subtype=subtype, **options)
    return file.getvalue()


def sized(data: bytes, riff: int, samples: int) -> bytes:
    """A WAV with other sizes in its header."""
    at = data.index(b"data")
    return data[:4] + struct.pack("<I", riff) + data[8 : at + 4] + struct.pack("<I", samples) + data[at + 8 :]


def without_length(flac: bytes) -> bytes:
    """A FLAC as a pipe has it, that does not say how many samples it has."""
    return flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:]


def without_xing(mp3: bytes) -> bytes:
    """An MP3 without the frame that counts the others."""
    at = max(mp3.find(b"Xing"), mp3.find(b"Info"))
    return mp3[mp3.find(b"\xff", at + 120) :]


def lengths(tmp_path, data: bytes):
    """What is read of a file and of a pipe of these bytes, in samples, and what `info` says."""
    path = tmp_path / "in.bin"
    path.write_bytes(data)
    rate, blocks = audio.piped(io.BytesIO(data))
    return len(audio.read(path, RATE)), sum(map(len, blocks)) * RATE / rate, round(audio.info(path)[1] * RATE)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_joined_recordings_are_read_as_one(tmp_path, speech, kind):
    first, second = encoded(speech(1.0), kind), encoded(speech(1.5, seed=1), kind)
    assert lengths(tmp_path, first + second) == pytest.approx((40000,) * 3, abs=4 * 1152)


def test_a_flac_that_does_not_know_its_length_is_read_to_its_end(tmp_path, speech):
    assert lengths(tmp_path, without_length(encoded(speech(2.0), "FLAC"))) == (32000,) * 3


def test_an_mp3_of_variable_bit_rate_that_counts_nothing_is_read_to_its_end(tmp_path, speech):
    wave = np.concatenate([np.zeros(16000, np.float32), speech(3.0), np.zeros(16000, np.float32)])
    data = without_xing(encoded(wave, "MP3", bitrate_mode="VARIABLE"))
    assert lengths(tmp_path, data) == pytest.approx((len(wave),) * 3, abs=4 * 1152)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "W64", "CAF", "RF64"])
def test_less_than_was_promised_is_an_error_that_names_both(tmp_path, speech, kind):
    data = encoded(speech(3.0), kind, bitrate_mode="VARIABLE") if kind == "MP3" else encoded(speech(3.0), kind)
    data = data[: len(data) // 2]
    (tmp_path / "in").write_bytes(data)
    with pytest.raises(InputError, match=r"cut short: \d\.\d\d s of the \d\.\d\d s"):
        audio.read(tmp_path / "in", RATE)
    with pytest.raises(InputError, match=r"cut short: \d\.\d\d s of the \d\.\d\d s"):
        list(audio.piped(io.BytesIO(data))[1])


def test_what_libsndfile_cannot_read_is_read_by_ffmpeg_or_it_is_said_how(tmp_path, speech, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(1000))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(InputError, match=r"ffmpeg -i IN OUT\.wav"):
        audio.read(tmp_path / "a.m4a", RATE)
    (tmp_path / "bin").mkdir()
    wide = sized(encoded(speech(1.0), subtype="FLOAT"), 0xFFFFFFFF, 0xFFFFFFFF)
    (tmp_path / "out.wav").write_bytes(wide)
    fake = tmp_path / "bin" / "ffmpeg"
    for stated, expected in (("00:00:01.00", None), ("00:00:03.00", "cut short: 1.00 s of the 3.00 s")):
        fake.write_text(
            f"#!{sys.executable}\nimport sys\nprint('  Duration: {stated}, start', file=sys.stderr, flush=True)\n"
            f"sys.stdout.buffer.write(open({str(tmp_path / 'out.wav')!r}, 'rb').read())\n"
        )
        fake.chmod(0o755)
        os.utime(tmp_path / "a.m4a", ns=(0, len(stated) + (expected is not None)))
        if expected:
            with pytest.raises(InputError, match=expected):
                audio.read(tmp_path / "a.m4a", RATE)
        else:
            assert np.allclose(audio.read(tmp_path / "a.m4a", RATE)[:RATE], speech(1.0), atol=1e-6)


def test_silence_is_told_and_speech_is_not(tmp_path, speech, capsys):
    audio.write(tmp_path / "speech.wav", speech(0.5), RATE)
    audio.write(tmp_path / "offset.wav", np.full(8000, 0.1), RATE)
    for name in ("speech", "offset"):
        audio.read(tmp_path / f"{name}.wav", RATE)
    warnings = capsys.readouterr().err
    assert "offset.wav: is silent" in warnings
    assert "speech.wav" not in warnings


def every_kind() -> list[tuple[str, str]]:
    """All formats and subtypes that this libsndfile writes."""
    return [(kind, subtype) for kind in soundfile.available_formats() for subtype in soundfile.available_subtypes(kind)]


@pytest.mark.parametrize(("kind", "subtype"), every_kind())
def test_every_kind_of_file_is_read_whole_refused_when_cut_or_refused_at_all(kind, subtype, tmp_path):
    tone = (0.3 * np.sin(np.arange(8000) * 0.05)).astype(np.float32)
    path = tmp_path / f"whole.{kind.lower()}"
    try:
        soundfile.write(path, tone, 16000, format=kind, subtype=subtype)
    except (soundfile.LibsndfileError, ValueError):
        pytest.skip("libsndfile does not write it at 16 kHz")
    if kind not in decoding.KINDS:
        with pytest.raises(InputError, match="is not audio that can be read"):
            audio.read(path, 16000)
        return
    wave = audio.read(path, 16000)
    assert 7900 <= len(wave) <= 8000 + 2500  # encoders fill up their last frame
    data = path.read_bytes()
    cut = tmp_path / f"cut.{kind.lower()}"
    cut.write_bytes(data[: len(data) * 6 // 10])
    with pytest.raises(InputError):
        audio.read(cut, 16000)
