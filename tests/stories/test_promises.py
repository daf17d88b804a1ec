"""What a command promises: exit codes, targets, checks before changes, refusals, many at once."""

import pytest

from vqspeech import InputError, audio
from vqspeech.data import corpus
from vqspeech.evaluation import evaluate
from vqspeech.inference import tokens
from vqspeech.models import checkpoint
from vqspeech.system import files
from vqspeech.training import tasks


@pytest.fixture
def data(tmp_path, speech):
    """A data directory of two recordings."""
    for name in ("a", "b"):
        audio.write(tmp_path / f"{name}.wav", speech(0.3), 16000)
    utterances = [corpus.Utterance(f"s-{name}", "s", str(tmp_path / f"{name}.wav"), text=name) for name in "ab"]
    corpus.write(tmp_path / "data", utterances)
    return tmp_path / "data"


def test_a_training_that_is_refused_changes_nothing(tiny, packed, tmp_path):
    folder = tmp_path / "trained"
    tasks.train_vqvae(tiny, [packed], [packed], folder)
    before = {path: path.read_bytes() for path in folder.glob("*.*") if path.is_file()}
    table = packed / "shard-00000.tsv"
    table.write_text(table.read_text().replace("s0", "t0"))
    settings = tiny.model_copy(update={"training": tiny.training.model_copy(update={"seed": 5})})
    with pytest.raises(InputError, match="speaker table"):
        tasks.train_vqvae(settings, [packed], [packed], folder)
    assert {path: path.read_bytes() for path in before} == before
    checkpoint.load(folder)


def test_two_writers_of_codes_do_not_meet(run, data):
    with files.exclusive_lock(data / "codes"), pytest.raises(InputError, match="another process writes there"):
        tokens.encode_corpus(run, data)
    with files.exclusive_lock(data / "codes", shared=True):
        assert tokens.encode_corpus(run, data, part=(1, 2)) == 1
        with pytest.raises(InputError, match="another process writes there"):
            tokens.merge_shards(run, data)


def test_pairs_take_paths_with_blanks(tmp_path):
    (tmp_path / "pairs").write_text("my corpus/a b.wav\tp225\nc.wav p226 d.wav\n")
    assert [(str(pair.source), pair.speaker) for pair in evaluate.read_pairs(tmp_path / "pairs")] == [
        ("my corpus/a b.wav", "p225"),
        ("c.wav", "p226"),
    ]
