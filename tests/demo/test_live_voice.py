"""Live conversion for a browser: its microphone's rate and channels, chunks of WAV, and an end."""

import io
import threading

import numpy as np
import pytest
import soundfile

from vqspeech import InputError
from vqspeech.demo.live_voice import CHUNK_S, LiveVoice
from vqspeech.inference.live import LiveConverter


def test_chunks_are_the_conversion_of_what_was_heard(demo_service, speech):
    live, wave = demo_service.live("p226"), speech(2.0, 48000)
    stereo = (32767 * np.stack([wave, wave], axis=1)).astype(np.int16)
    for block in np.split(stereo, range(4800, len(stereo), 4800)):
        live.push(48000, block)
    live.stop()
    chunks = [soundfile.read(io.BytesIO(chunk), dtype="float32") for chunk in live.chunks()]
    assert {rate for _, rate in chunks} == {16000}
    assert all(len(chunk) >= CHUNK_S * 16000 for chunk, _ in chunks[:-1])
    spoken = np.concatenate([chunk for chunk, _ in chunks])
    assert 31000 < len(spoken) <= 32000  # a resampler keeps a little
    assert np.abs(spoken).max() > 0


def test_chunks_end_when_the_microphone_is_gone(demo_service, monkeypatch):
    monkeypatch.setattr("vqspeech.demo.live_voice.SILENT_S", 0.01)
    assert [*demo_service.live("p226").chunks()] == []


class Silence(LiveConverter):
    """A converter that says nothing."""

    def __init__(self):
        self.sample_rate, self.latency = 16000, 0

    def push(self, wave):
        return wave[:0]


def test_what_cannot_be_converted_is_told(demo_service):
    live = LiveVoice(Silence(), threading.Lock(), 1.0)
    live.push(16000, np.zeros(8000, np.float32))
    with pytest.raises(InputError, match="changed its sample rate"):
        live.push(44100, np.zeros(44, np.float32))
    with pytest.raises(InputError, match="ends after 1 s here"):
        live.push(16000, np.zeros(9000, np.float32))
    with pytest.raises(InputError, match="unknown speaker"):
        demo_service.live("nobody")
