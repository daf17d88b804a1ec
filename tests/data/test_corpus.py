"""Kaldi data directories: what is written is read, every fault is told, parts share no sentence."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqspeech import InputError
from vqspeech.data import corpus
from vqspeech.data.corpus import Utterance

NAMES = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=6)


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A directory without a fault."""
    recordings = [tmp_path / f"{n}.wav" for n in range(3)]
    for path in recordings:
        path.write_bytes(b"RIFF")
    corpus.write(tmp_path / "data", [Utterance(f"a_{n}", "a", str(p), text="x") for n, p in enumerate(recordings)])
    return tmp_path / "data"


@given(
    st.dictionaries(NAMES, st.tuples(NAMES, st.none() | st.lists(NAMES).map(" ".join)), min_size=1, max_size=8),
    st.none() | st.integers(1, 10**6),
)
def test_reading_gives_back_what_was_written(tmp_path_factory, rows, end_ms):
    end_s = None if end_ms is None else end_ms / 1000
    utterances = [Utterance(k, s, f"a b/{k}.wav", 0.0, end_s, t) for k, (s, t) in sorted(rows.items())]
    directory = tmp_path_factory.mktemp("data")
    corpus.write(directory, reversed(utterances))
    assert corpus.read(directory) == utterances


def test_writing_without_texts_or_bounds_takes_their_old_tables_away(sound: Path):
    cut = [replace(utt, end_s=1.5) for utt in corpus.read(sound)]
    corpus.write(sound, cut)
    assert (sound / "segments").read_text().splitlines()[0] == "a_0 a_0 0.000 1.500"
    corpus.write(sound, [replace(utt, end_s=None, text=None) for utt in cut])
    assert sorted(path.name for path in sound.iterdir()) == ["spk2utt", "utt2spk", "wav.scp"]


def test_a_sound_directory_has_no_fault(sound: Path):
    assert corpus.validate(sound) == []


@pytest.mark.parametrize(
    ("table", "content", "message"),
    [
        ("wav.scp", None, "wav.scp: is missing; a data directory needs it"),
        ("utt2spk", "", "utt2spk: is empty; list at least one row or delete the file"),
        ("utt2spk", "a_1 a\na_0 a\na_2 a\n", "utt2spk:2: 'a_0' comes after 'a_1': the table is not sorted"),
        ("utt2spk", "a_0 a\na_0 a\na_1 a\na_2 a\n", "utt2spk:2: 'a_0' is there twice (line 1); keep one of the rows"),
        ("utt2spk", "a_0\na_1 a\na_2 a\n", "utt2spk:1: 'a_0' has fewer than 2 fields"),
        ("utt2spk", "a_0 a\na_1 a\n", "wav.scp:3: 'a_2' is missing in utt2spk; add it to utt2spk or delete it here"),
        ("utt2spk", "a_0 a/b\na_1 a\na_2 a\n", "utt2spk:1: 'a/b' has a slash in its name; rename the speaker"),
        ("text", "a_0 x\nb x\n", "text:2: 'b' is missing in utt2spk"),
        ("spk2utt", "a a_0 a_1\n", "spk2utt:1: 'a' does not have the utterances of utt2spk; delete spk2utt"),
        ("wav.scp", "a_0 sox x.wav -t wav - |\n", "wav.scp:1: 'sox x.wav -t wav - |' is a command; decode"),
        ("wav.scp", "a_0 nowhere.wav\n", "wav.scp:1: 'nowhere.wav' is no file; paths start at the working directory"),
        ("segments", "a_0 a_0 2 1\n", "segments:1: 'a_0 2 1' ends before it starts; write start_s < end_s"),
        ("segments", "a_0 a_0 x 1\n", "segments:1: 'a_0 x 1' is not recording, start and end in seconds"),
        ("segments", "a_0 c 0 1\n", "segments:1: 'a_0' names recording 'c', which wav.scp does not list"),
    ],
)
def test_a_fault_is_told_with_file_line_value_and_cure(sound: Path, table: str, content: str | None, message: str):
    if content is None:
        (sound / table).unlink()
    else:
        (sound / table).write_text(content)
    assert any(str(fault).startswith(f"{sound}/{message}") for fault in corpus.validate(sound))


def test_all_faults_are_told_at_once(sound: Path):
    (sound / "utt2spk").write_text("a_2 a\na_0 a\na_1\n")
    (sound / "text").write_bytes(b"a_0 \xff\n")
    (sound.parent / "1.wav").write_bytes(b"")
    faults = "\n".join(map(str, corpus.validate(sound)))
    for part in ("not sorted", "fewer than 2 fields", "text:1: is not UTF-8 (byte 4)", "1.wav' is empty; copy"):
        assert part in faults


def test_reading_names_the_first_fault_and_counts_the_others(sound: Path):
    (sound / "utt2spk").write_text("a_2 a\na_0 a\na_1 a\n")
    with pytest.raises(
        InputError, match=r"utt2spk:2: 'a_0' comes after .*\(and 1 more: see `vqspeech data validate`\)"
    ):
        corpus.read(sound)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "..", "a\u200b"])
def test_a_name_that_no_table_can_hold_is_not_written(tmp_path: Path, name: str):
    with pytest.raises(InputError, match="rename it"):
        corpus.write(tmp_path, [Utterance(name, "s", "x.wav")])


def test_directories_are_combined_in_order_and_a_common_key_is_refused(tmp_path: Path):
    corpus.write(tmp_path / "1", [Utterance("b", "s", "b.wav")])
    corpus.write(tmp_path / "2", [Utterance("a", "s", "a.wav")])
    assert [utt.key for utt in corpus.combine([tmp_path / "1", tmp_path / "2"])] == ["a", "b"]
    with pytest.raises(InputError, match="utterance 'b' is in another directory too; rename one of them"):
        corpus.combine([tmp_path / "1", tmp_path / "1"])


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\n", "\x0c"])
def test_no_sign_in_a_text_breaks_its_row(tmp_path: Path, mark: str):
    corpus.write(tmp_path, [Utterance("a", "s", "x.wav", text=f"one{mark}two")])
    assert corpus.read(tmp_path)[0].text == "one two"


def test_a_corpus_is_walked_through_again_and_again_without_being_held(tmp_path: Path):
    def peak(number: int) -> int:
        corpus.write(tmp_path, [Utterance(f"s_{at:06d}", "s", "a.wav", text=f"words {at}") for at in range(number)])
        (tmp_path / "spk2utt").unlink()  # a line of it has all utterances of a speaker
        tracemalloc.start()
        utterances = corpus.Corpus(tmp_path)
        assert [sum(1 for _ in utterances), len(utterances), next(iter(utterances)).key] == [number, number, "s_000000"]
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return memory

    assert peak(20_000) < peak(2_000) + 100_000


def test_a_corpus_that_changes_while_it_is_read_is_told(sound: Path):
    utterances = corpus.Corpus(sound)
    (sound / "wav.scp").write_text("a_0 x\n")
    with pytest.raises(InputError, match="was changed while it was read; run again"):
        list(utterances)
