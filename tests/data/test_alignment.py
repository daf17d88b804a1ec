"""Phones: their files are read as they were written, and forced alignment finds what the synthesiser said."""

import numpy as np
import pytest

from vqspeech.data import alignment, corpus, phones, synthetic
from vqspeech.data.corpus import Utterance
from vqspeech.data.phones import Phone

LABELS = [Phone(0.0, 0.5, "pau"), Phone(0.5, 0.62, "ih"), Phone(0.62, 0.7, "z"), Phone(0.7, 1.0, "")]


def close(actual, expected):
    assert [row.phone or "pau" for row in actual] == [row.phone or "pau" for row in expected]
    assert np.allclose([row[:2] for row in actual], [row[:2] for row in expected], atol=1e-4)


def test_htk_and_textgrid_and_ctm_say_the_same(tmp_path):
    from praatio import textgrid
    from praatio.data_classes.interval_tier import IntervalTier

    rows = (f"{phone.start_s * 1e7:.0f} {phone.end_s * 1e7:.0f} {phone.phone}\n" for phone in LABELS)
    (tmp_path / "a.lab").write_text("".join(rows))
    grid = textgrid.Textgrid()
    grid.addTier(IntervalTier("words", [(0.5, 0.7, "is")], 0, 1))
    grid.addTier(IntervalTier("phones", LABELS, 0, 1))
    grid.save(str(tmp_path / "b.TextGrid"), "long_textgrid", includeBlankSpaces=True)
    rows = (f"c 1 {phone.start_s} {phone.end_s - phone.start_s} {phone.phone or 'sil'} 0.9\n" for phone in LABELS)
    (tmp_path / "c.ctm").write_text("".join(rows))
    close(phones.read_htk(tmp_path / "a.lab"), LABELS)
    close(phones.read_textgrid(tmp_path / "b.TextGrid"), LABELS)
    assert [phones.fold(phone.phone) for phone in phones.read_ctm(tmp_path / "c.ctm")["c"]] == ["pau", "ih", "z", "pau"]


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """One sentence of the mini corpus, its text and its phones as the synthesiser spoke them."""
    folder = tmp_path_factory.mktemp("mini")
    synthetic.make(folder / "mini", voices=synthetic.VOICES[:1])
    lab = min(folder.rglob("*.lab"))
    key = lab.stem
    wav = next(folder.rglob(f"{key}*.flac"), None) or next(folder.rglob(f"{key}*.wav"))
    return wav, next(folder.rglob(f"{key}.txt")).read_text(), phones.read_htk(lab)


def test_forced_alignment_finds_what_the_synthesiser_said(spoken):
    from vqspeech import audio

    wav, text, labels = spoken
    aligned = alignment.align_by_pocketsphinx(audio.read(wav, 16000), text)
    errors = phones.boundary_errors(aligned, labels)
    assert np.median(errors) < 0.03
    assert aligned[-1].end_s == pytest.approx(labels[-1].end_s, abs=0.05)


def test_what_cannot_be_aligned_is_told_and_the_rest_kept(tmp_path, spoken):
    wav, text, _ = spoken
    texts = {"a": text, "b": "zqx", "c": None}
    corpus.write(tmp_path, [Utterance(key, "s", str(wav), text=words) for key, words in texts.items()])
    assert [skip.reason for skip in alignment.align(tmp_path)] == ["not in the dictionary: zqx", "has no text"]
    assert list(phones.read(tmp_path)) == ["a"]
