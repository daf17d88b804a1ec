"""Fixtures of several files."""

from pathlib import Path

import pytest

from vqspeech.models import speaker_table
from vqspeech.models.speaker_table import SpeakerInfo


@pytest.fixture
def known(run) -> Path:
    """A run whose voices' levels are known."""
    speaker_table.write(run, [SpeakerInfo("p225", 90.0, -20.0, "F", "English"), SpeakerInfo("p226", 30.0, -30.0)])
    return run
