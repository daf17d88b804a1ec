"""Edges cut and speech packed: the same bytes however it is done, and nothing bad goes unsaid."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from vqspeech import InputError, audio
from vqspeech.audio import mulaw
from vqspeech.audio.preprocessing import preprocessed
from vqspeech.data import corpus, packing, phones
from vqspeech.data.archives import MulawShards
from vqspeech.data.corpus import Utterance

RATE = 16000


@pytest.fixture
def directory(tmp_path: Path, speech, monkeypatch) -> Path:
    """Seven utterances of two speakers, each half a second of sound between half seconds of silence."""
    monkeypatch.setattr(packing, "SHARD_UTTERANCES", 3)
    silence, utterances = np.zeros(RATE // 2, np.float32), []
    for number in range(7):
        path = tmp_path / f"{number}.flac"
        soundfile.write(path, np.concatenate([silence, speech(0.5, seed=number), silence]), RATE)
        utterances.append(Utterance(f"s{number % 2}_{number}", f"s{number % 2}", str(path)))
    corpus.write(tmp_path / "data", utterances)
    return tmp_path / "data"


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def bounds(directory: Path) -> list[tuple[float, float | None]]:
    return [(utt.start_s, utt.end_s) for utt in corpus.read(directory)]


def test_what_is_packed_is_the_compressed_recording(directory: Path):
    done = packing.pack(directory, RATE)
    packed = MulawShards(directory / "packed")
    assert (done.utterances, len(packed), done.skipped) == (7, 7, [])
    assert done.hours == pytest.approx(7 * 1.5 / 3600)
    for utt, row, classes in zip(corpus.read(directory), packed.rows, packed, strict=False):
        assert (row.key, row.speaker) == (utt.key, utt.speaker)
        (wave,) = preprocessed([audio.read(utt.path, RATE)], RATE)
        assert np.array_equal(classes, mulaw.compress(wave))


def test_two_processes_pack_the_same_bytes_as_one(directory: Path):
    packing.pack(directory, RATE)
    first_bytes = files(directory / "packed")
    for path in (directory / "packed").iterdir():
        path.unlink()
    packing.pack(directory, RATE, nj=2)
    assert files(directory / "packed") == first_bytes


def test_only_the_shard_that_is_missing_is_made_again(directory: Path):
    packing.pack(directory, RATE)
    folder, whole = directory / "packed", files(directory / "packed")
    (folder / "shard-00001.u8").unlink()
    (folder / "shard-00001.tsv").unlink()
    before = (folder / "shard-00000.u8").stat().st_mtime_ns
    packing.pack(directory, RATE)
    assert files(folder) == whole
    assert (folder / "shard-00000.u8").stat().st_mtime_ns == before


def test_other_utterances_make_other_shards_and_leave_none_behind(directory: Path):
    packing.pack(directory, RATE)
    corpus.write(directory, corpus.read(directory)[:2])
    assert packing.pack(directory, RATE).utterances == 2
    assert len(list((directory / "packed").glob("shard-*"))) == 2


def test_a_recording_that_cannot_be_read_is_skipped_and_told(directory: Path, tmp_path: Path):
    (tmp_path / "0.flac").write_bytes(b"")
    (tmp_path / "1.flac").write_text("not a sound")
    (tmp_path / "2.flac").unlink()
    soundfile.write(tmp_path / "3.flac", np.full(100, np.nan, np.float32), RATE, format="WAV", subtype="FLOAT")
    done = packing.pack(directory, RATE)
    assert done.utterances == 3
    reasons = {skip.key: skip.reason for skip in done.skipped}
    messages = {"s0_0": "is empty (0 bytes)", "s1_1": "is not audio", "s0_2": "no such file", "s1_3": "not numbers"}
    assert set(reasons) == set(messages)
    assert all(messages[key] in reason for key, reason in reasons.items())
    table = (directory / "packed/skipped.tsv").read_text().splitlines()
    assert table[0] == "key\tpath\treason"
    assert table[1:] == ["\t".join(skip) for skip in done.skipped]


def test_nothing_to_pack_is_refused(directory: Path, tmp_path: Path):
    for path in tmp_path.glob("*.flac"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"none of 7 recordings could be read; first: .*is empty"):
        packing.pack(directory, RATE)


def test_progress_ends_with_all_done(directory: Path):
    calls = []
    packing.pack(directory, RATE, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1][0] == calls[-1][1]


def test_silence_is_cut_up_to_a_margin(directory: Path):
    assert packing.trim_corpus(directory) == []
    for start_s, end_s in bounds(directory):
        assert start_s == pytest.approx(0.5 - packing.MARGIN_S, abs=0.1)
        assert end_s == pytest.approx(1.0 + packing.MARGIN_S, abs=0.1)
    assert corpus.validate(directory) == []


def test_two_processes_cut_as_one_and_a_second_cut_changes_nothing(directory: Path):
    packing.trim_corpus(directory)
    once = files(directory)
    packing.trim_corpus(directory)
    assert files(directory) == once
    (directory / "segments").unlink()
    packing.trim_corpus(directory, nj=2)
    assert files(directory) == once


def test_labels_go_before_the_level_where_there_are_any(directory: Path, tmp_path: Path):
    (tmp_path / "labels/s1").mkdir(parents=True)
    (tmp_path / "labels/s0_0.lab").write_text(
        "0 6000000 pau\n6000000 7000000 aa\n7000000 8000000 b\n8000000 15000000 sil\n"
    )
    (tmp_path / "labels/s1/s1_1.lab").write_text("0 2000000\n2000000 9000000 s\n")
    for _ in range(2):
        packing.trim_corpus(directory, tmp_path / "labels")
        bounds = {utt.key: (utt.start_s, utt.end_s) for utt in corpus.read(directory)}
        assert bounds["s0_0"] == (0.55, 0.85)
        assert bounds["s1_1"] == (0.15, 0.95)
        assert bounds["s0_2"] == pytest.approx((0.45, 1.05), abs=0.1)


def test_an_unreadable_recording_is_left_uncut_and_told(directory: Path, tmp_path: Path):
    (tmp_path / "4.flac").write_bytes(b"")
    (skipped,) = packing.trim_corpus(directory)
    assert (skipped.key, skipped.path) == ("s0_4", str(tmp_path / "4.flac"))
    assert "is empty (0 bytes); copy the file again or leave it out" in skipped.reason


def test_a_label_that_is_none_is_named_with_its_line(tmp_path: Path):
    (tmp_path / "x.lab").write_text("0 5 aa\nnonsense\n")
    with pytest.raises(InputError, match=r"x.lab:2: 'nonsense' is not `start end phone` in units of 100 ns; mend it"):
        phones.read_htk(tmp_path / "x.lab")


def test_an_interrupted_packing_is_not_taken_for_a_whole_one(directory: Path, tmp_path: Path):
    def interrupt(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        packing.pack(directory, RATE, progress=interrupt)
    with pytest.raises(InputError, match="holds no packed speech"):
        MulawShards(directory / "packed")
    packing.pack(directory, RATE)
    assert len(MulawShards(directory / "packed")) == 7


def test_a_shard_whose_sound_is_gone_is_made_again(directory: Path):
    packing.pack(directory, RATE)
    whole = files(directory / "packed")
    (directory / "packed/shard-00001.u8").unlink()
    packing.pack(directory, RATE)
    assert files(directory / "packed") == whole


def test_the_reason_for_a_skip_is_still_told_when_packing_again(directory: Path, tmp_path: Path):
    (tmp_path / "0.flac").write_bytes(b"")
    assert packing.pack(directory, RATE) == packing.pack(directory, RATE)


def test_a_recording_cut_short_before_its_segment_is_skipped(directory: Path, tmp_path: Path):
    path = tmp_path / "long.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 4 * RATE), RATE)
    path.write_bytes(path.read_bytes()[:30000])
    corpus.write(directory, [*corpus.read(directory), Utterance("s9_9", "s9", str(path), 2.5, 3.5)])
    (skipped,) = packing.pack(directory, RATE).skipped
    assert "cut short" in skipped.reason


def test_a_recording_of_less_than_a_sample_is_skipped(directory: Path, tmp_path: Path):
    soundfile.write(tmp_path / "0.flac", np.zeros(1, np.float32), 48000)
    (skipped,) = packing.pack(directory, RATE).skipped
    assert "less than one sample at 16000 Hz; leave it out" in skipped.reason


def test_a_missing_folder_of_labels_is_refused(directory: Path):
    with pytest.raises(InputError, match="nowhere: no such folder of labels; mend the path, or cut without labels"):
        packing.trim_corpus(directory, "nowhere")


def test_labels_of_something_longer_are_not_used(directory: Path, tmp_path: Path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/s0_0.lab").write_text("90000000 95000000 aa\n")
    packing.trim_corpus(directory, tmp_path / "labels")
    assert bounds(directory)[0] == pytest.approx((0.45, 1.05), abs=0.1)


def test_silence_with_the_rumble_of_a_room_is_cut(directory: Path, tmp_path: Path):
    rumble = 0.01 * np.sin(2 * np.pi * 50 * np.arange(RATE * 3 // 2) / RATE)
    for path in tmp_path.glob("*.flac"):
        soundfile.write(path, soundfile.read(path)[0] + rumble, RATE)
    packing.trim_corpus(directory)
    assert all((start, end) == pytest.approx((0.45, 1.05), abs=0.1) for start, end in bounds(directory))
