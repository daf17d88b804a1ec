"""Output paths: never a source, never a device, only with --force on something else."""

import os
import subprocess

import pytest
import torch
from typer.testing import CliRunner

from vqspeech import InputError, audio
from vqspeech.cli.app import app
from vqspeech.data import outputs
from vqspeech.models import checkpoint
from vqspeech.system import files


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


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
