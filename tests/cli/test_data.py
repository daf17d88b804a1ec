"""Commands of data directories."""

import csv

import numpy as np
import pytest
import soundfile

from vqspeech import InputError, audio
from vqspeech.data import archives, corpus


@pytest.fixture
def data(tmp_path, speech):
    """A data directory of two recordings."""
    for name in ("a", "b"):
        audio.write(tmp_path / f"{name}.wav", speech(0.3), 16000)
    utterances = [corpus.Utterance(f"s-{name}", "s", str(tmp_path / f"{name}.wav"), text=name) for name in "ab"]
    corpus.write(tmp_path / "data", utterances)
    return tmp_path / "data"


@pytest.fixture
def library(tmp_path):
    """A data directory of four speakers with 30 sentences each."""
    (tmp_path / "any.wav").touch()
    utterances = [
        corpus.Utterance(f"{speaker}-{number:02d}", speaker, str(tmp_path / "any.wav"), text=f"sentence {number}")
        for speaker in ("ann", "ben", "cy", "di")
        for number in range(30)
    ]
    corpus.write(tmp_path / "library", utterances)
    return tmp_path / "library"


def test_one_sample_spoils_no_corpus(call, data, tmp_path):
    soundfile.write(tmp_path / "b.wav", np.zeros(1), 16000)
    assert call("data", "trim", data).exit_code == 0
    assert len(corpus.read(data)) == 2


def test_a_fault_of_a_data_directory_is_printed_with_its_line_and_exit_code_2(call, data):
    sound = call("data", "validate", data)
    assert (sound.exit_code, sound.stdout) == (0, f"{data}: 2 utterances, no fault\n")
    (data / "utt2spk").write_text("s-a s\n")
    faulty = call("data", "validate", data)
    assert faulty.exit_code == 2
    assert all(line.startswith(str(data)) for line in faulty.stdout.splitlines())
    assert "'s-b'" in faulty.stdout


def test_a_split_and_its_combination_hold_every_utterance_once(call, library, tmp_path):
    result = call("data", "split", library, tmp_path / "split", "--unseen-speakers", "1")
    assert result.exit_code == 0, result.output
    with (tmp_path / "split/split.tsv").open() as file:
        part_of_key = {row["key"]: row["part"] for row in csv.DictReader(file, delimiter="\t")}
    parts = ("train", "dev", "test", "unseen")
    for part in parts:
        assert {utt.key for utt in corpus.read(tmp_path / "split" / part)} == {
            key for key, name in part_of_key.items() if name == part
        }
    folders = [tmp_path / "split" / part for part in parts]
    assert call("data", "combine", *folders, "--out", tmp_path / "again").exit_code == 0
    by_key = lambda folder: sorted(corpus.read(folder), key=lambda utterance: utterance.key)  # noqa: E731
    assert by_key(tmp_path / "again") == by_key(library)


def test_samples_are_packed_in_8_or_16_bits_and_in_no_others(call, data):
    for bits, dtype in ((8, np.uint8), (16, np.int16)):
        assert "2 utterances, 0.00 hours packed" in call("data", "pack", data, "--bits", bits).stdout
        assert archives.MulawShards(data / "packed")[0].dtype == dtype
    result = call("data", "pack", data, "--bits", "12")
    assert isinstance(result.exception, InputError)
    assert str(result.exception) == "--bits 12 is unknown; choose 8 or 16"
