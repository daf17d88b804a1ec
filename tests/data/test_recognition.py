"""Recognition: error rates against a plain twin, and texts of a corpus by a recogniser that is stood in for."""

import importlib.util
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqspeech import InputError, audio
from vqspeech.data import corpus, recognition


def edit_distance(first, second) -> int:
    """The recursion as it is in a textbook."""
    row = [*range(len(second) + 1)]
    for number, symbol in enumerate(first, 1):
        diagonal, row[0] = row[0], number
        for place, predicted in enumerate(second, 1):
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, diagonal + (symbol != predicted))
    return row[-1]


SENTENCES = st.lists(st.sampled_from(["a", "cat", "cats", "sat", "on", "mat"]), max_size=6).map(" ".join)


@given(SENTENCES, SENTENCES)
def test_error_rates_are_edit_distances_over_the_length_of_the_reference(reference, hypothesis):
    rates = recognition.errors(reference, hypothesis)
    words, letters = reference.split(), [*reference]
    assert (rates["words"], rates["letters"]) == (len(words), len(letters))
    assert rates["wer"] == edit_distance(words, hypothesis.split()) / max(1, len(words))
    assert rates["cer"] == edit_distance(letters, [*hypothesis]) / max(1, len(letters))


def test_case_and_punctuation_are_no_errors():
    rates = recognition.errors("It's eight-thirty, Mr. Bell!", "it's Eight thirty mr bell")
    assert (rates["wer"], rates["cer"]) == (0, 0)


class Listener:
    """Stands in for a recogniser: says how many tenths of a second it was given."""

    def __init__(self, asr, threads):
        self.asr = asr

    def hear(self, wave) -> str:
        return f"{self.asr} {round(10 * len(wave) / recognition.SAMPLE_RATE)}"


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """Three utterances: a recording, a part of it, and one that is no audio."""
    monkeypatch.setattr(recognition, "Recogniser", Listener)
    audio.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    (tmp_path / "b.wav").write_text("no sound\n" * 50)
    a, b = str(tmp_path / "a.wav"), str(tmp_path / "b.wav")
    utterances = [corpus.Utterance("s-a", "s", a, 0.0, 1.0), corpus.Utterance("s-c", "s", a, 0.2, 0.7)]
    corpus.write(tmp_path / "data", [*utterances[:1], corpus.Utterance("s-b", "s", b, 0.0, 1.0), *utterances[1:]])
    return tmp_path / "data"


def test_each_utterance_gets_the_text_of_its_own_stretch_and_what_cannot_be_read_an_empty_one(directory):
    progress = []
    skipped = recognition.transcribe(directory, "tiny", progress=lambda *numbers: progress.append(numbers))
    assert (directory / "text").read_text() == "s-a tiny 10\ns-b\ns-c tiny 5\n"
    assert [(skip.key, skip.path) for skip in skipped] == [("s-b", str(directory.with_name("b.wav")))]
    assert "is not audio" in skipped[0].reason
    assert progress == [(1, 3), (2, 3), (3, 3)]


def test_texts_that_are_there_are_not_replaced(directory):
    (directory / "text").write_text("s-a by hand\n")
    with pytest.raises(InputError, match="has a text already; move it away to have it transcribed"):
        recognition.transcribe(directory, "tiny")
    assert (directory / "text").read_text() == "s-a by hand\n"


@pytest.mark.skipif(not importlib.util.find_spec("faster_whisper"), reason="faster-whisper is not installed")
def test_a_model_that_is_not_there_is_told_in_a_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match=r"nowhere: cannot be loaded as a recogniser \(.+\); give a name or a folder"):
        recognition.Recogniser(str(tmp_path / "nowhere"))


def test_a_recogniser_that_is_not_installed_is_told_with_the_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(InputError, match=r"a recogniser needs faster-whisper; pip install 'vqspeech\[asr\]'"):
        recognition.Recogniser("tiny.en")
