"""Levels of conversions."""

from pathlib import Path

import numpy as np
import pytest

import vqspeech
from vqspeech import InputError, audio
from vqspeech.audio import loudness
from vqspeech.inference import conversion
from vqspeech.models import speaker_table
from vqspeech.models.speaker_table import SpeakerInfo


@pytest.fixture
def known(run) -> Path:
    """A run whose voices' levels are known."""
    speaker_table.write(run, [SpeakerInfo("p225", 90.0, -20.0, "F", "English"), SpeakerInfo("p226", 30.0, -30.0)])
    return run


def test_a_conversion_is_as_loud_as_the_voice_or_the_source_and_never_clips(known, speech, tmp_path):
    model = vqspeech.load(known)
    wave = np.concatenate([np.zeros(16000), speech(1.0), np.zeros(16000)]).astype(np.float32)
    audio.write(tmp_path / "in.wav", wave / 4, 16000)
    source = loudness.analyse_level([wave / 4], 16000).level_db

    def said(speaker: str, level: str):
        conversion.convert(model, tmp_path / "in.wav", speaker, tmp_path / "out.wav", level=level)
        return audio.read(tmp_path / "out.wav", 16000)

    for speaker, level, expected in (("p226", "voice", -30.0), ("p226", "source", source), ("alice", "voice", source)):
        out = loudness.analyse_level([said(speaker, level)], 16000)
        assert abs(out.level_db - expected) < 0.2 or (out.level_db < expected and abs(out.peak - 0.98) < 0.01)
        assert out.peak <= 0.981
        assert not said(speaker, level)[: 16000 - 3000].any()
    codes = model.encode(audio.read(tmp_path / "in.wav", 16000))
    raw = model.decode(codes, "p226", length=len(wave))
    assert np.abs(said("p226", "raw") - raw).max() < 1e-4
    with pytest.raises(InputError, match="level 'loud' is unknown"):
        said("p226", "loud")


def test_silence_and_the_loudest_of_recordings_are_converted(known, tmp_path):
    model = vqspeech.load(known)
    square = np.where(np.arange(8000) % 100 < 50, 1.0, -1.0).astype(np.float32)
    for name, wave in (("silence", np.zeros(8000, np.float32)), ("square", square), ("tick", np.eye(1, 8000)[0])):
        audio.write(tmp_path / f"{name}.wav", wave, 16000)
        for level in ("voice", "source"):
            done = conversion.convert(model, tmp_path / f"{name}.wav", "p225", tmp_path / "out.wav", level=level)
            out = audio.read(done.path, 16000)
            assert len(out) == 8000
            assert np.abs(out).max() <= 0.981
            assert name != "silence" or not out.any()
