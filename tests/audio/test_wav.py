"""WAV files whose headers are wrong."""

import io
import struct

import numpy as np
import pytest
import soundfile

from vqspeech import audio

RATE = 16000


def encoded(wave, kind="WAV", subtype=None, **options) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, format=kind, subtype=subtype, **options)
    return file.getvalue()


def sized(data: bytes, riff: int, samples: int) -> bytes:
    """A WAV with other sizes in its header."""
    at = data.index(b"data")
    return data[:4] + struct.pack("<I", riff) + data[8 : at + 4] + struct.pack("<I", samples) + data[at + 8 :]


def heard(tmp_path, data: bytes):
    """What is read of a file and of a pipe of these bytes, in samples, and what `info` says."""
    path = tmp_path / "in.bin"
    path.write_bytes(data)
    rate, blocks = audio.piped(io.BytesIO(data))
    return len(audio.read(path, RATE)), sum(map(len, blocks)) * RATE / rate, round(audio.info(path)[1] * RATE)


@pytest.mark.parametrize("sizes", [(0, 0), (36, 0), (0xFFFFFFFF,) * 2, (0x7FFFFFFF, 0x7FFFF000), (16036, 16000)])
def test_a_wav_whose_header_knows_less_is_read_to_its_end(tmp_path, speech, sizes):
    wave = speech(2.0)
    assert heard(tmp_path, sized(encoded(wave), *sizes)) == (32000,) * 3


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM"])
def test_a_wav_of_any_samples_comes_alike_from_file_and_pipe(tmp_path, speech, subtype):
    data = encoded(speech(1.0), subtype=subtype)
    (tmp_path / "a.wav").write_bytes(data)
    wave = np.concatenate(list(audio.piped(io.BytesIO(data))[1]))
    assert np.allclose(audio.read(tmp_path / "a.wav", RATE), wave, atol=1e-6)
    assert np.allclose(wave[:RATE], soundfile.read(io.BytesIO(data))[0][:RATE], atol=1e-6)
