"""Phones: one manner of articulation each, and one folding."""

import numpy as np
import pytest

from vqspeech import InputError
from vqspeech.data import alignment, corpus, phones
from vqspeech.data.corpus import Utterance
from vqspeech.data.phones import Phone

LABELS = [Phone(0.0, 0.5, "pau"), Phone(0.5, 0.62, "ih"), Phone(0.62, 0.7, "z"), Phone(0.7, 1.0, "")]


def close(actual, expected):
    assert [row.phone or "pau" for row in actual] == [row.phone or "pau" for row in expected]
    assert np.allclose([row[:2] for row in actual], [row[:2] for row in expected], atol=1e-4)


def test_what_is_written_is_read(tmp_path):
    phones.write(tmp_path, {"b": LABELS, "a": LABELS[:2]})
    table = phones.read(tmp_path)
    assert list(table) == ["a", "b"]
    close(table["b"], LABELS)


def test_every_phone_has_one_manner_and_folds_to_itself():
    assert len(phones.PHONES) == 41 == len(set(phones.PHONES))
    assert [phones.fold(phone) for phone in phones.PHONES] == list(phones.PHONES)
    assert {phones.fold(phone) for phone in ("AH0", "IY1", "HH", "SIL", "axr")} == {"ah", "iy", "hh", "pau", "er"}


def test_a_frame_is_what_is_said_at_its_middle():
    labels = phones.frame_phones(LABELS, frames=12, hop=100, sample_rate=1000)  # middles at 0.05, 0.15 ... 1.15
    assert [phones.PHONES[label] for label in labels] == ["pau"] * 5 + ["ih", "z"] + ["pau"] * 5


def test_labels_of_a_recording_are_cut_and_shifted_with_the_utterance(tmp_path):
    corpus.write(tmp_path, [Utterance("a", "s", "a.wav", 0.55, 0.65), Utterance("b", "s", "b.wav")])
    (tmp_path / "labels/s").mkdir(parents=True)
    (tmp_path / "labels/s/a.lab").write_text("0 5000000 pau\n5000000 6200000 ih\n6200000 7000000 z\n")
    assert [skip.key for skip in alignment.import_labels(tmp_path, tmp_path / "labels")] == ["b"]
    close(phones.read(tmp_path)["a"], [Phone(0, 0.07, "ih"), Phone(0.07, 0.1, "z")])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.lab", "0 1 aa\n5 x b\n", "a.lab:2: '5 x b' is not `start end phone`"),
        ("a.TextGrid", "no grid", "a.TextGrid: is no TextGrid"),
        ("phones.ctm", "a 1 0.5 -1 aa\n", "phones.ctm:1: 'a 1 0.5 -1 aa' is not `utterance channel"),
        ("phones.ctm", "a 1 nan 1 aa\n", "phones.ctm:1"),
    ],
)  # fmt: skip
def test_what_is_no_label_is_refused_by_file_and_line(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    readers = {".lab": phones.read_htk, ".TextGrid": phones.read_textgrid, ".ctm": phones.read_ctm}
    with pytest.raises(InputError, match=message):
        readers[(tmp_path / name).suffix](tmp_path / name)


def test_a_phone_of_another_alphabet_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"phone 'aai' is not of ARPAbet, TIMIT or CMUdict \(nearest: a"):
        phones.fold("aai")
