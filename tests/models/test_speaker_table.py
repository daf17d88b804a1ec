"""Where models lie, voices that come later, and how loud a conversion is."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import vqspeech
from vqspeech import InputError, audio
from vqspeech.inference import speaker_enrolment
from vqspeech.models import checkpoint, exporting, speaker_table
from vqspeech.models.speaker_table import EnrolledSpeaker, SpeakerInfo
from vqspeech.models.vqvae import VQVAE


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "vqspeech", *map(str, arguments)], capture_output=True, text=True,
        env=os.environ | environment,
    )  # fmt: skip


def test_a_table_of_voices_is_read_as_it_was_written_and_rubbish_is_told(tmp_path):
    table = [SpeakerInfo("p225", 90.5, -20.1, "F", "English"), SpeakerInfo("名前", 1.0, -3.0)]
    speaker_table.write(tmp_path, table)
    assert speaker_table.read(tmp_path) == {speaker.name: speaker for speaker in table}
    for text in ("name\tseconds\tlevel_db\np225\tx\t1\n", "a\tb\n1\t2\n", "name\tseconds\np225\t1\n", "\xff"):
        (tmp_path / speaker_table.TABLE).write_text(text, encoding="latin-1")
        with pytest.raises(InputError, match="is no table of voices"):
            speaker_table.read(tmp_path)


@pytest.mark.parametrize("name", ["../../a", "a/b", "a\\b", "a b", "a\u202eb", ".."])
def test_a_model_whose_voices_have_names_that_are_paths_is_not_loaded(tiny, tmp_path, name):
    checkpoint.init_run_dir(tmp_path / "run", tiny, ["p225", name])
    checkpoint.save(tmp_path / "run", VQVAE.from_config(tiny.model, 2))
    with pytest.raises(InputError, match=r"do not trust this model$"):
        vqspeech.load(tmp_path / "run")


@pytest.mark.parametrize(
    "name", ["", "a/b", "../a", ".a", "a b", "a\nb", "a" * 65, "-a", "a\u202eb", "a\x00", "a\\b", '"']
)
def test_names_that_could_be_paths_or_tricks_are_refused(name, run, tmp_path):
    with pytest.raises(InputError, match="cannot name a voice"):
        speaker_table.check_name(name)
    with pytest.raises(InputError, match="cannot name a voice"):
        speaker_table.delete(tmp_path, name)


def test_an_enrolled_voice_is_one_of_the_models_for_every_verb(run, tmp_path):
    plain = checkpoint.load(run)
    vector = np.array([1.0, -2.0, 3.0], np.float32)
    speaker_table.save(run, plain.digest, EnrolledSpeaker(SpeakerInfo("bob", 12.0, -21.5), vector))
    with_bob = checkpoint.load(run)
    assert with_bob.speakers == ["p225", "p226", "alice", "bob"]
    assert with_bob.digest == plain.digest
    assert np.array_equal(with_bob.model.speaker.weight[3].detach().numpy(), vector)
    assert torch.equal(with_bob.model.speaker.weight[:3], plain.model.speaker.weight)
    assert with_bob.voices["bob"].level_db == -21.5
    codes = np.arange(16)
    same, model = vqspeech.load(plain), vqspeech.load(run)
    assert np.array_equal(same.decode(codes, "p226"), model.decode(codes, "p226"))
    assert len(model.decode(codes, "bob")) == 256
    assert command("speakers", "--model", run).stdout.split() == with_bob.speakers
    speaker_table.delete(run, "bob")
    assert checkpoint.load(run).speakers == plain.speakers
    with pytest.raises(InputError, match="no voice 'bob' was enrolled; there are none"):
        speaker_table.delete(run, "bob")


@pytest.mark.parametrize("tiny", [{"channels": 8}], indirect=True)
def test_an_enrolled_voice_keeps_its_manner_and_so_does_an_export(run, speech, tmp_path, monkeypatch):
    monkeypatch.setattr(speaker_enrolment, "CROP_SAMPLES", 1600)
    plain = vqspeech.load(run)
    assert plain.net.adaptations is None
    audio.write(tmp_path / "a.wav", speech(5.0), 16000)
    speaker_enrolment.enrol(plain, "bob", [tmp_path / "a.wav"], 1)
    whole = vqspeech.load(run)
    adaptations = whole.net.adaptations
    assert adaptations.shape == (4, *whole.net.speaker_shapes[1])
    assert not adaptations[:3].any()
    assert adaptations[3].any()
    codes = np.arange(16)
    assert np.array_equal(whole.decode(codes, "p226"), plain.decode(codes, "p226"))  # which has none
    exporting.export(run, tmp_path / "bob", speakers=["bob"])
    only = vqspeech.load(tmp_path / "bob")
    assert torch.equal(only.net.adaptations, adaptations[3:])
    assert np.array_equal(only.decode(codes, "bob"), whole.decode(codes, "bob"))
    whole.net.adaptations = None
    assert not np.array_equal(only.decode(codes, "bob"), whole.decode(codes, "bob"))


def test_a_voice_of_another_model_or_a_broken_one_is_left_out_and_told(run, tmp_path):
    vector = np.ones(3, np.float32)
    speaker_table.save(run, "another", EnrolledSpeaker(SpeakerInfo("bob"), vector))
    speaker_table.save(run, checkpoint.load(run).digest, EnrolledSpeaker(SpeakerInfo("eve"), np.ones(5, np.float32)))
    speaker_table.save(run, checkpoint.load(run).digest, EnrolledSpeaker(SpeakerInfo("nan"), vector * np.nan))
    (run / "voices/junk.safetensors").write_bytes(b"\xff" * 99)
    assert checkpoint.load(run).speakers == ["p225", "p226", "alice"]
    warnings = command("speakers", "--model", run).stderr.splitlines()
    assert [line.split("/")[-1].split(".")[0] for line in warnings] == ["bob", "eve", "junk", "nan"]
