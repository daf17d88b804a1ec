"""Fixtures of several files."""

import pytest

import vqspeech
from vqspeech.codec import bitstream


@pytest.fixture
def model(run):
    return vqspeech.load(run)


@pytest.fixture
def short_chunks(monkeypatch):
    monkeypatch.setattr(bitstream, "CHUNK_FRAMES", 50)
