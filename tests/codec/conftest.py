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


@pytest.fixture
def stacked_model(stacked_model, short_chunks):
    """A model of two codebooks, whose files have short chunks."""
    return stacked_model
