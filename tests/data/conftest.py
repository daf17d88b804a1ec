"""Fixtures of several files."""

import pytest

from vqspeech import audio
from vqspeech.data import corpus


@pytest.fixture
def data(tmp_path, speech):
    """A data directory of two recordings."""
    for name in ("a", "b"):
        audio.write(tmp_path / f"{name}.wav", speech(0.3), 16000)
    utterances = [corpus.Utterance(f"s-{name}", "s", str(tmp_path / f"{name}.wav"), text=name) for name in "ab"]
    corpus.write(tmp_path / "data", utterances)
    return tmp_path / "data"
