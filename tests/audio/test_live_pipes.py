"""Live pipes: blocks as they arrive, WAV or raw; half a sample is told."""

import io
import os

import numpy as np
import pytest
import soundfile

from vqspeech.audio.live_pipes import live_blocks
from vqspeech.errors import InputError


def wav_bytes(wave: np.ndarray, rate: int = 16000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def test_a_wav_and_its_raw_samples_are_the_same_wave(speech):
    wave = speech(0.5)
    data = wav_bytes(wave)
    is_wav, blocks = live_blocks(io.BytesIO(data), 16000)
    whole = np.concatenate([*blocks])
    is_raw, raw = live_blocks(io.BytesIO(data[44:]), 16000)
    assert (is_wav, is_raw) == (True, False)
    assert np.array_equal(np.concatenate([*raw]), whole)
    assert np.abs(whole - wave).max() < 1e-4


def test_a_block_is_there_as_soon_as_it_was_written(speech):
    wave = speech(0.5)
    data = wav_bytes(wave)
    end, start = os.pipe()
    with os.fdopen(end, "rb") as reader, os.fdopen(start, "wb", 0) as writer:
        writer.write(data[:1044])  # the pipe stays open
        _, blocks = live_blocks(reader, 16000)
        assert len(next(blocks)) == 500
        writer.write(data[1044:1645])
        assert len(next(blocks)) == 300  # and half a sample, which waits
        writer.write(data[1645:1646])
        assert len(next(blocks)) == 1


def test_channels_are_mixed_and_rates_converted(speech):
    wave = speech(1.0, 48000)
    _, blocks = live_blocks(io.BytesIO(wav_bytes(np.stack([wave, 0.5 * wave], 1), 48000)), 16000)
    mono = np.concatenate([*blocks])
    assert len(mono) == 16000
    assert np.std(mono) == pytest.approx(0.75 * np.std(wave), rel=0.1)


def test_half_a_sample_at_the_end_is_told_after_what_is_whole(speech):
    data, pieces = wav_bytes(speech(0.1)), []
    _, blocks = live_blocks(io.BytesIO(data[:-1]), 16000)
    with pytest.raises(InputError, match="ends in the middle of a sample"):
        pieces.extend(blocks)
    assert sum(map(len, pieces)) == 1599


@pytest.mark.parametrize(("data", "told"), [(b"", "holds no samples"), (b"RIFFxxxx", "ends within its header")])
def test_what_is_no_audio_is_refused(data, told):
    with pytest.raises(InputError, match=told):
        live_blocks(io.BytesIO(data), 16000)
