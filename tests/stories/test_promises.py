"""What a command promises: exit codes, targets, checks before changes, refusals, many at once."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from vqspeech import InputError, audio
from vqspeech.cli import progress
from vqspeech.cli.app import app
from vqspeech.data import corpus, kaldi, outputs
from vqspeech.demo.uploads import names_only
from vqspeech.evaluation import evaluate
from vqspeech.inference import tokens
from vqspeech.models import checkpoint
from vqspeech.nn.encoder import CausalBlocks, Encoder
from vqspeech.system import files
from vqspeech.system.refusals import refusal
from vqspeech.training import tasks


def call(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture
def data(tmp_path, speech):
    """A data directory of two recordings."""
    for name in ("a", "b"):
        audio.write(tmp_path / f"{name}.wav", speech(0.3), 16000)
    utterances = [corpus.Utterance(f"s-{name}", "s", str(tmp_path / f"{name}.wav"), text=name) for name in "ab"]
    corpus.write(tmp_path / "data", utterances)
    return tmp_path / "data"


def test_the_round_trip_leaves_the_recording_and_is_done_again_only_over_its_own_results(run, tmp_path, speech):
    audio.write(tmp_path / "in.wav", speech(0.2), 16000)
    before = (tmp_path / "in.wav").read_bytes()
    encode = ("encode", "--model", run, "--speaker", "alice", tmp_path / "in.wav")
    decode = ("decode", "--model", run, tmp_path / "in.vqs")
    assert [call(*verb).exit_code for verb in (encode, decode, encode, decode)] == [0, 0, 0, 0]
    assert (tmp_path / "in.wav").read_bytes() == before
    (tmp_path / "in.decoded.wav").write_text("mine")
    refused = call(*decode)
    assert (refused.exit_code, (tmp_path / "in.decoded.wav").read_text()) == (1, "mine")
    assert "--force" in str(refused.exception)
    assert call(*decode, "--force").exit_code == 0
    assert call(*encode, "-o", tmp_path / "in.wav", "--force").exit_code == 1  # an InputError, which main makes 2
    assert call(*encode, "-o", f"{tmp_path}/new/").exit_code == 0
    assert (tmp_path / "new/in.vqs").exists()


def test_targets_are_never_sources_nor_parts_of_them(data, tmp_path):
    os.link(tmp_path / "a.wav", tmp_path / "hard.wav")
    (tmp_path / "soft.wav").symlink_to(tmp_path / "a.wav")
    for target in (tmp_path / "a.wav", tmp_path / "hard.wav", tmp_path / "soft.wav"):
        with pytest.raises(InputError, match="is read by this command"):
            outputs.check([tmp_path / "a.wav"], [target], force=True)
    for target in (data / "text", data / "codes/x.txt", tmp_path / "b.wav"):
        with pytest.raises(InputError, match="is read by this command"):
            outputs.check([data], [target], force=True)
    with pytest.raises(InputError, match="is read by this command"):
        outputs.check([tmp_path / "data/train"], [], True, [tmp_path / "data/train"])
    outputs.check([data], [data / "codes.txt"])


def test_streams_are_written_to_links_are_followed_and_modes_are_those_of_the_umask(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        with files.atomic_path(tmp_path / "pipe") as part:
            part.write_text("said")
        assert reader.communicate()[0] == b"said"
    assert files.is_stream(tmp_path / "pipe")
    assert files.is_stream(files.STDOUT)
    (tmp_path / "link").symlink_to(tmp_path / "file")
    before = os.umask(0o027)
    try:
        checkpoint.write_tensors(tmp_path / "link", {"a": torch.zeros(1)}, {})
    finally:
        os.umask(before)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_training_that_is_refused_changes_nothing(tiny, packed, tmp_path):
    folder = tmp_path / "trained"
    tasks.train_vqvae(tiny, [packed], [packed], folder)
    before = {path: path.read_bytes() for path in folder.glob("*.*") if path.is_file()}
    table = packed / "shard-00000.tsv"
    table.write_text(table.read_text().replace("s0", "t0"))
    other = tiny.model_copy(update={"training": tiny.training.model_copy(update={"seed": 5})})
    with pytest.raises(InputError, match="speaker table"):
        tasks.train_vqvae(other, [packed], [packed], folder)
    assert {path: path.read_bytes() for path in before} == before
    checkpoint.load(folder)


def test_two_writers_of_codes_do_not_meet(run, data):
    with files.exclusive_lock(data / "codes"), pytest.raises(InputError, match="another process writes there"):
        tokens.encode_corpus(run, data)
    with files.exclusive_lock(data / "codes", among_others=True):
        assert tokens.encode_corpus(run, data, part=(1, 2)) == 1
        with pytest.raises(InputError, match="another process writes there"):
            tokens.merge_shards(run, data)


def test_refusals_are_a_line_and_faults_are_not():
    assert "x: Is a directory" in str(refusal(IsADirectoryError(21, "Is a directory", "x")))
    assert refusal(UnicodeEncodeError("cp1252", "x", 0, 1, "no"))
    assert refusal(RuntimeError("Could not determine home directory."))
    assert refusal(KeyError("x")) is None


def test_a_name_that_the_terminal_lacks_is_printed_as_its_bytes(run, tmp_path, speech):
    path = tmp_path / "\u03a9.wav"
    audio.write(path, speech(0.1), 16000)
    command = [sys.executable, "-m", "vqspeech", "encode", "--model", str(run), str(path)]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "cp1252"}, timeout=100)
    assert (done.returncode, done.stdout) == (0, os.fsencode(path.with_suffix(".vqs")) + b"\n")


def test_tables_have_any_white_space_and_segments_stay_within_recordings(data, tmp_path):
    table = data / "wav.scp"
    table.write_text(table.read_text().replace(" ", "\t ", 2))
    assert [row.key for row in kaldi.rows(table)] == ["s-a", "s-b"]
    assert corpus.validate(data) == []
    (data / "segments").write_text("s-a s-a 0.1 0.3\ns-b s-b 0.1 0.9\n")
    assert [fault.value for fault in corpus.validate(data)] == ["s-b"]
    assert call("data", "validate", data).exit_code == 2


def test_pairs_take_paths_with_blanks(tmp_path):
    (tmp_path / "pairs").write_text("my corpus/a b.wav\tp225\nc.wav p226 d.wav\n")
    assert [(str(one.source), one.speaker) for one in evaluate.read_pairs(tmp_path / "pairs")] == [
        ("my corpus/a b.wav", "p225"),
        ("c.wav", "p226"),
    ]


def test_strangers_see_names_only():
    line = names_only("/tmp/x y/a b.wav: is empty; see /srv/m/config.yaml", "/tmp/x y/a b.wav", "p225")
    assert line == "a b.wav: is empty; see config.yaml"


def test_a_log_is_told_how_far_it_is(monkeypatch):
    told = io.StringIO()
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    monkeypatch.setattr(sys, "stderr", told)
    with progress.bar("training", 1.0, "") as update:
        update(0.5, "step 3")
    assert "training: 50 % step 3" in told.getvalue()


@pytest.mark.parametrize("stride", range(1, 9))
@pytest.mark.parametrize("pictures", [False, True])
def test_every_stride_keeps_its_frames(stride, pictures):
    encoder = Encoder(1, 4, (stride, 2), 1, 3, pictures)
    time = 2 * stride * 5
    signal = torch.zeros((1, 1, time, time) if pictures else (1, 1, time))
    assert encoder(signal).shape == ((1, 3, 5, 5) if pictures else (1, 3, 5))


def test_causal_blocks_begin_as_nothing_and_see_the_past_alone():
    torch.manual_seed(0)
    blocks, x = CausalBlocks(4, 3), torch.randn(1, 4, 1, 40)
    assert torch.equal(blocks(x), x)
    for narrow in blocks.narrow:
        torch.nn.init.normal_(narrow.weight)
    x.requires_grad_(True)
    blocks(x)[0, :, 0, 30].sum().backward()
    heard = x.grad[0, :, 0].abs().sum(0).nonzero()[:, 0]
    assert (int(heard.min()), int(heard.max())) == (30 - blocks.context, 30)


def test_one_sample_spoils_no_corpus(data, tmp_path):
    soundfile.write(tmp_path / "b.wav", np.zeros(1), 16000)
    assert call("data", "trim", data).exit_code == 0
    assert len(corpus.read(data)) == 2


def test_json_lists_what_was_done(run, tmp_path, speech):
    audio.write(tmp_path / "a.wav", speech(0.1), 16000)
    done = call("convert", "--model", run, "--speaker", "alice", tmp_path / "no.wav", tmp_path / "a.wav", "--json")
    assert done.exit_code == 2
    assert [row["path"] for row in json.loads(done.stdout)] == [str(tmp_path / "a.alice.wav")]
