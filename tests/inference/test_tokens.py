import json

import numpy as np
import pytest
import soundfile

import vqspeech
from vqspeech import InputError, audio, config
from vqspeech.data import archives, corpus
from vqspeech.data.corpus import Utterance
from vqspeech.inference import tokens
from vqspeech.training import tasks


@pytest.fixture
def corpus_of_five(tmp_path, speech, monkeypatch):
    """A data directory of five utterances in shards of two, one of them a stretch of its recording."""
    monkeypatch.setattr(tokens, "SHARD_UTTERANCES", 2)
    tokens._cached_codec.cache_clear()
    utterances = []
    for number in range(5):
        path = tmp_path / f"{number}.wav"
        soundfile.write(
            path, speech(0.2 + 0.05 * number, 8000 if number == 3 else 16000, number), 8000 if number == 3 else 16000
        )
        bounds = (0.05, 0.2) if number == 2 else (0.0, None)
        utterances.append(
            Utterance(f"u{number}", "p225" if number < 3 else "alice", str(path), *bounds, f"words {number}")
        )
    corpus.write(tmp_path / "data", utterances)
    return tmp_path / "data"


def test_codes_of_a_corpus_are_those_of_its_utterances_one_by_one(run, corpus_of_five):
    assert tokens.encode_corpus(run, corpus_of_five) == 3
    assert tokens.merge_shards(run, corpus_of_five) == []
    codes, model = archives.CodeShards(corpus_of_five), vqspeech.load(run)
    assert codes.about["model"] == model.run.digest
    assert [row.speaker for row in codes.rows] == ["p225"] * 3 + ["alice"] * 2
    for one, found in zip(corpus.read(corpus_of_five), codes, strict=True):
        wave = audio.read(one.path, 16000, one.start_s, one.end_s)
        assert np.array_equal(found, model.encode(wave))


def test_parts_of_the_work_make_the_same_and_merge_wants_all_of_them(run, corpus_of_five):
    assert [tokens.encode_corpus(run, corpus_of_five, part=(number, 2)) for number in (1,)] == [2]
    with pytest.raises(InputError, match="1 of 3 shards of codes are missing"):
        tokens.merge_shards(run, corpus_of_five)
    assert not (corpus_of_five / "codes.scp").exists()
    assert tokens.encode_corpus(run, corpus_of_five, part=(2, 2)) == 1
    tokens.merge_shards(run, corpus_of_five)
    parts = (corpus_of_five / "codes.scp").read_text()
    tokens.encode_corpus(run, corpus_of_five)
    tokens.merge_shards(run, corpus_of_five)
    assert (corpus_of_five / "codes.scp").read_text() == parts
    for part in ((0, 2), (3, 2)):
        with pytest.raises(InputError, match="does not exist"):
            tokens.encode_corpus(run, corpus_of_five, part=part)


def test_what_is_done_is_kept_and_what_changed_is_made_anew(run, corpus_of_five, speech):
    tokens.encode_corpus(run, corpus_of_five)
    tokens.merge_shards(run, corpus_of_five)
    before = {path.name: path.stat().st_mtime_ns for path in (corpus_of_five / "codes").glob("*.u16")}
    soundfile.write(corpus_of_five.parent / "4.wav", speech(0.3, seed=9), 16000)
    tokens.encode_corpus(run, corpus_of_five)
    tokens.merge_shards(run, corpus_of_five)
    after = {path.name: path.stat().st_mtime_ns for path in (corpus_of_five / "codes").glob("*.u16")}
    assert len(after) == len(before) == 3
    assert len(after.items() & before.items()) == 2
    assert archives.CodeShards(corpus_of_five).rows[4].length == 300


def test_what_cannot_be_read_is_told_and_left_out(run, corpus_of_five):
    (corpus_of_five.parent / "1.wav").write_text("no sound")
    tokens.encode_corpus(run, corpus_of_five)
    (skipped,) = tokens.merge_shards(run, corpus_of_five)
    assert skipped.key == "u1"
    assert "1.wav" in skipped.reason
    assert [row.key for row in archives.CodeShards(corpus_of_five).rows] == ["u0", "u2", "u3", "u4"]


def test_exports_hold_the_codes(run, corpus_of_five, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    tokens.encode_corpus(run, corpus_of_five)
    tokens.merge_shards(run, corpus_of_five)
    tokens.write_text(corpus_of_five, tmp_path / "codes.txt")
    tokens.write_parquet(corpus_of_five, tmp_path / "codes.parquet")
    codes = archives.CodeShards(corpus_of_five)
    rows = [line.split() for line in (tmp_path / "codes.txt").read_text().splitlines()]
    table = parquet.read_table(tmp_path / "codes.parquet")
    assert table.column_names == ["id", "speaker", "text", "codes"]
    assert json.loads(table.schema.metadata[b"vqspeech"]) == codes.about
    for row, line, kept, found in zip(codes.rows, rows, table.to_pylist(), codes, strict=True):
        assert line == [row.key, *map(str, found[:, 0].tolist())]
        assert kept == {"id": row.key, "speaker": row.speaker, "text": f"words {row.key[1]}", "codes": found.T.tolist()}
    with pytest.raises(InputError, match="cannot be written"):
        tokens.write_text(corpus_of_five, tmp_path / "nowhere" / "codes.txt")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda data: (data / "codes.scp").unlink(), "has no codes; run `vqspeech tokenize`"),
        (lambda data: (data / "codes.scp").write_text(""), "is empty"),
        (lambda data: (data / "codes.scp").write_text("u0 nonsense\n"), "codes.scp:1: 'u0 nonsense' cannot be read"),
        (lambda data: [path.write_bytes(b"12") for path in (data / "codes").glob("*.u16")], "beyond the end"),
        (lambda data: (data / "codes" / "about.json").write_text('{"format": 7}'), "format 7"),
    ],
)
def test_damaged_codes_are_told(run, corpus_of_five, harm, told):
    tokens.encode_corpus(run, corpus_of_five)
    tokens.merge_shards(run, corpus_of_five)
    harm(corpus_of_five)
    with pytest.raises(InputError, match=told):
        archives.CodeShards(corpus_of_five)


def test_archives_and_exports_keep_codebooks_apart(stacked_model, speech, tmp_path):
    tokens._cached_codec.cache_clear()
    soundfile.write(tmp_path / "a.wav", speech(0.2), 16000)
    corpus.write(tmp_path / "data", [corpus.Utterance("u", "alice", str(tmp_path / "a.wav"))])
    tokens.encode_corpus(tmp_path / "run", tmp_path / "data")
    tokens.merge_shards(tmp_path / "run", tmp_path / "data")
    (codes,) = archives.CodeShards(tmp_path / "data")
    assert codes.shape == (200, 2)
    tokens.write_text(tmp_path / "data", tmp_path / "codes.txt")
    words = (tmp_path / "codes.txt").read_text().split()
    assert words[1::2] == [f"a{code}" for code in codes[:, 0]]
    assert words[2::2] == [f"b{code}" for code in codes[:, 1]]
    sizes = {"residual_channels": 8, "skip_channels": 12, "layers": 4, "layers_per_stack": 3, "speaker_dim": 3}
    sizes |= {"codebook_size": 16, "codebooks": 2}
    tree = {
        "max_steps": 4,
        "segment_length": 40,
        "batch_size": 2,
        "precision": "float32",
        "evaluate_every": 4,
        "save_every": 4,
    }
    settings = config.from_tree({"prior": sizes, "training": tree}, "")
    numbers = tasks.train_prior(settings, [tmp_path / "data"], [tmp_path / "data"], tmp_path / "prior")
    for name in ("held_out", "unigram", "order_1"):
        each = [numbers[f"{name}_bits_per_code_{number}"] for number in (1, 2)]
        assert numbers[f"{name}_bits_per_code"] == pytest.approx(sum(each) / 2)
