"""Exports keep what they say."""

import numpy as np
import pytest
import torch

import vqspeech
from vqspeech import InputError
from vqspeech.models import checkpoint, exporting, speaker_table
from vqspeech.models.speaker_table import EnrolledSpeaker, SpeakerInfo


def test_an_export_says_the_same_with_the_voices_that_were_kept(run_with_levels, tmp_path):
    digest = checkpoint.load(run_with_levels).digest
    speaker_table.save(
        run_with_levels, digest, EnrolledSpeaker(SpeakerInfo("bob", 12.0, -21.5), np.ones(3, np.float32))
    )
    model, codes = vqspeech.load(run_with_levels), np.arange(16)
    exporting.export(run_with_levels, tmp_path / "all")
    whole = vqspeech.load(tmp_path / "all")
    assert whole.speakers == ["p225", "p226", "alice", "bob"]
    for name in whole.speakers:
        assert np.array_equal(whole.decode(codes, name), model.decode(codes, name))
    exporting.export(run_with_levels, tmp_path / "few", at_least_s=60.0, bfloat16=True)
    few = vqspeech.load(tmp_path / "few")
    assert few.speakers == ["p225"]
    assert few.run.voices == {"p225": SpeakerInfo("p225", 90.0, -20.0, "F", "English")}
    assert (tmp_path / "few/model.safetensors").stat().st_size < (tmp_path / "all/model.safetensors").stat().st_size
    for name, tensor in few.net.state_dict().items():
        if name != "speaker.weight":
            assert torch.allclose(tensor.float(), model.net.state_dict()[name].float(), rtol=0.01), name
    assert "pip install vqspeech" in (tmp_path / "few/README.md").read_text()
    (tmp_path / "few/README.md").write_text("our own card\n")
    exporting.export(tmp_path / "few", tmp_path / "again", speakers=["p225"])
    assert (tmp_path / "again/README.md").read_text() == "our own card\n"
    exporting.export(run_with_levels, tmp_path / "some", speakers=["p2*", "b?b"])
    assert vqspeech.load(tmp_path / "some").speakers == ["p225", "p226", "bob"]
    for wrong, message in (
        ((run_with_levels, tmp_path / "few"), "holds something"),
        ((run_with_levels, tmp_path / "x", ["nobody"]), "has no voice 'nobody'"),
        ((run_with_levels, tmp_path / "x", [], 1000.0), "no voice has 1000 s"),
        (("nowhere", tmp_path / "x"), "is no run directory"),
    ):
        with pytest.raises(InputError, match=message):
            exporting.export(*wrong)
    assert not (tmp_path / "x").exists()
