"""The mini corpus: the same bytes every time, exact phone times, all phones, many voices."""

import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vqspeech.data import synthetic
from vqspeech.errors import InputError

pytest.importorskip("espeakng_loader")

TWO = synthetic.VOICES[:2]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.make(tmp_path_factory.mktemp("mini") / "corpus", voices=TWO).directory


def _bytes(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def _segments(lab: Path) -> list[tuple[int, int, str]]:
    rows = [line.split() for line in lab.read_text().splitlines()]
    return [(int(start), int(end), phone) for start, end, phone in rows]


def test_a_second_making_gives_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    again = synthetic.make(tmp_path / "new" / "again", voices=TWO).directory
    assert _bytes(corpus) == _bytes(again)


@pytest.mark.parametrize("voice", synthetic.VOICES, ids=lambda voice: voice.name)
def test_every_voice_speaks_the_same_bytes_whatever_was_spoken_before(voice: synthetic.Voice) -> None:
    def waves() -> bytes:
        synthesiser = synthetic.Synthesiser(voice)
        return b"".join(synthesiser.speak(text)[0].tobytes() for text in synthetic.sentences()[:5])

    first = waves()
    synthetic.Synthesiser(synthetic.VOICES[0]).speak("Something else.")
    assert first == waves()


def test_a_finished_corpus_is_left_alone_and_counted(corpus: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    summary = synthetic.make(corpus, voices=TWO)
    assert before == {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    files = sorted(corpus.rglob("*.flac"))
    assert (summary.speakers, summary.utterances) == (2, len(files))
    assert summary.seconds == pytest.approx(sum(soundfile.info(f).duration for f in files), abs=1e-3)


def test_a_foreign_directory_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else than this mini corpus; name a new directory"):
        synthetic.make(tmp_path, voices=TWO)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_an_interrupted_making_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthetic.make(tmp_path / "corpus", stop, voices=TWO)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_synthesiser_is_an_error_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(InputError, match=r"pip install 'vqspeech\[recipe\]'"):
        synthetic.Synthesiser(TWO[0])


def test_the_layout_is_that_of_vctk_0_92(corpus: Path) -> None:
    keys = [f"p901_{number:03d}" for number in range(1, len(synthetic.readings(TWO[0])) + 1)]
    assert sorted(p.name for p in (corpus / "wav48_silence_trimmed/p901").iterdir()) == [
        f"{key}_mic1.flac" for key in keys
    ]
    assert sorted(p.stem for p in (corpus / "txt/p901").iterdir()) == keys
    assert sorted(p.stem for p in (corpus / "lab/p901").iterdir()) == keys
    assert (corpus / "txt/p901/p901_001.txt").read_text().strip() == synthetic.sentences()[0]
    header, *rows = (corpus / "speaker-info.txt").read_text().splitlines()
    assert header.split() == ["ID", "AGE", "GENDER", "ACCENTS", "REGION"]
    assert rows[0].split() == ["p901", "24", "F", "American", "Standard"]


def test_phones_follow_each_other_from_zero_to_the_end_of_the_file(corpus: Path) -> None:
    for lab in corpus.rglob("*.lab"):
        segments = _segments(lab)
        sound = corpus / "wav48_silence_trimmed" / lab.parent.name / f"{lab.stem}_mic1.flac"
        assert segments[0][0] == 0
        assert segments[-1][1] == round(soundfile.info(sound).duration * 1e7)
        assert all(start < end for start, end, _ in segments)
        assert all(left[1] == right[0] for left, right in pairwise(segments))


def test_pauses_are_silent_and_vowels_are_loud() -> None:
    level = {"pau": [], "aa": [], "iy": [], "ow": []}
    synthesiser = synthetic.Synthesiser(synthetic.VOICES[1])
    for text in synthetic.sentences()[:20]:
        wave, events = synthesiser.speak(text)
        for start, end, phone in synthetic.segments(wave, events):
            if phone in level:
                level[phone].append(np.sqrt(np.mean(wave[start:end].astype(float) ** 2)))
    assert max(level["pau"]) < 100 < 1000 < min(level["aa"] + level["iy"] + level["ow"])


def test_a_stop_starts_with_its_closure() -> None:
    wave, events = synthetic.Synthesiser(synthetic.VOICES[1]).speak("Keep a copper kettle.")
    for start, _, phone in synthetic.segments(wave, events):
        if phone in {"p", "t"}:
            assert wave[start - 1] != 0
        if phone == "p":
            assert not wave[start : start + 500].any()  # 23 ms


def test_known_words_give_their_phones() -> None:
    wave, events = synthetic.Synthesiser(synthetic.VOICES[1]).speak("She chose both of the thick measures.")
    phones = " ".join(phone for _, _, phone in synthetic.segments(wave, events))
    assert phones == "pau sh iy ch ow z b ow th ah v dh ah th ih k m eh zh er z pau"


def test_every_phoneme_has_a_phone_and_every_phone_is_spoken() -> None:
    spoken: Counter[str] = Counter()
    for voice in synthetic.VOICES:
        synthesiser = synthetic.Synthesiser(voice)
        for text in synthetic.readings(voice):
            spoken.update(phone for _, _, phone in synthetic.segments(*synthesiser.speak(text)))
    assert len(synthetic._PHONEMES) == 40  # 39 and the pause
    assert set(spoken) == set(synthetic._PHONEMES)
    assert min(spoken.values()) >= 80


def test_there_are_twelve_voices_or_more_and_no_two_are_alike() -> None:
    assert len({voice.name for voice in synthetic.VOICES}) == len(synthetic.VOICES) >= 12
    assert len({voice.variant for voice in synthetic.VOICES}) == len(synthetic.VOICES)
    assert all(voice.name >= "p901" for voice in synthetic.VOICES)


def test_everybody_reads_the_first_sentences_and_many_others_have_one_reader() -> None:
    readers = Counter(text for voice in synthetic.VOICES for text in synthetic.readings(voice))
    texts = synthetic.sentences()
    assert len(set(texts)) == len(texts) == len(readers)
    assert all(readers[text] == len(synthetic.VOICES) for text in texts[: synthetic.COMMON])
    assert Counter(readers[text] for text in texts[synthetic.COMMON :]) == {1: 50, 2: 50, 3: 50}
