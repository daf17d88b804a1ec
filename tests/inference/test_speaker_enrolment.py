"""Enrolment: it finds the speaker, and warns of bad recordings."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import vqspeech
from vqspeech import InputError, SamplingConfig, audio
from vqspeech.audio import preprocessing
from vqspeech.inference import speaker_enrolment
from vqspeech.models import checkpoint


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "vqspeech", *map(str, arguments)], capture_output=True, text=True,
        env=os.environ | environment,
    )  # fmt: skip


def test_enrolling_finds_the_voice_that_said_it(run, speech, tmp_path, monkeypatch):
    """A voice with a vector of its own speaks; enrolling on what it said makes that likelier than any known voice."""
    monkeypatch.setattr(speaker_enrolment, "CROP_SAMPLES", 1600)
    # without the high-pass: this test is about what an untrained model says, which is no speech
    monkeypatch.setattr(preprocessing.HighPass, "__call__", lambda self, block: block)
    for name in ("DRIFT_DB", "NOISE"):  # a model that was drawn has not learned to mistrust its past
        monkeypatch.setattr(speaker_enrolment, name, 0.0)
    plain = checkpoint.load(run)
    plain.model.speaker.weight.data.mul_(10)  # the speakers of a model that was drawn are hard to tell apart
    plain.model.wavenet.cond.weight.data.mul_(3)
    checkpoint.save(run, plain.model)
    model = vqspeech.load(run)
    torch.manual_seed(3)
    model.net.speaker.weight.data[2] = 2 * torch.randn(3)
    for number in range(2):
        codes = np.random.default_rng(number).integers(0, 16, 3000)
        audio.write(tmp_path / f"{number}.wav", model.decode(codes, "alice", SamplingConfig(seed=number)), 16000)
    told, warned = [], []
    model = vqspeech.load(run)
    path = speaker_enrolment.enrol(
        model, "bob", [tmp_path / "0.wav", tmp_path / "1.wav"], 40, progress=told.append, warn=warned.append
    )
    assert path == run / "voices/bob.safetensors"
    assert told[-1] == 1.0
    assert told == sorted(told)
    again = vqspeech.load(run)
    assert again.speakers[-1] == "bob"
    wave = audio.read(tmp_path / "1.wav", 16000)
    new = torch.from_numpy(speaker_enrolment.mulaw.compress(wave)[None, -16000:])
    crops = speaker_enrolment._Crops(new, new, torch.from_numpy(again.encode(wave)[None, -16000 // again.hop :]))
    with torch.inference_mode():
        nats = [float(speaker_enrolment._loss(again, crops, vector)) for vector in again.net.speaker.weight]
    assert np.argmin(nats) == 3
    with pytest.raises(InputError, match="there is a voice 'bob' already"):
        speaker_enrolment.enrol(again, "bob", [tmp_path / "0.wav"])
    speaker_enrolment.remove(again, "bob")
    assert not path.exists()


def test_a_wavenet_vocoder_does_not_change_what_is_enrolled():
    """The untrained WaveNet inside of an acoustic model has no say, whichever vocoder is chosen."""
    classes = torch.randint(0, 256, (1, 3200), generator=torch.manual_seed(0))
    losses = []
    for vocoder in ("source-filter", "wavenet"):
        model = vqspeech.load(vocoder=vocoder)
        crops = speaker_enrolment._Crops(classes, classes, torch.zeros(1, 10, model.codebooks, dtype=torch.long))
        with torch.inference_mode():
            losses.append(float(speaker_enrolment._loss(model, crops, model.net.speaker.weight[0])))
    assert losses[0] == losses[1]


def test_enrolling_warns_of_few_noisy_and_clipped_seconds_and_refuses_less(run, speech, tmp_path, monkeypatch):
    monkeypatch.setattr(speaker_enrolment, "CROP_SAMPLES", 1600)
    model, warned = vqspeech.load(run), []
    audio.write(tmp_path / "short.wav", speech(1.0), 16000)
    audio.write(tmp_path / "silence.wav", np.zeros(160000), 16000)
    for name in ("short", "silence"):
        with pytest.raises(InputError, match="s of speech; give at least 10 s"):
            speaker_enrolment.enrol(model, "bob", [tmp_path / f"{name}.wav"])
    noise = np.random.default_rng(0).normal(0, 0.05, 96000)
    audio.write(tmp_path / "noisy.wav", speech(6.0) + noise, 16000)
    audio.write(tmp_path / "clipped.wav", 20 * speech(6.0), 16000)
    speaker_enrolment.enrol(model, "bob", [tmp_path / "noisy.wav"], 1, warn=warned.append)
    speaker_enrolment.enrol(model, "eve", [tmp_path / "clipped.wav"], 1, warn=warned.append)
    assert any("noisy.wav: is noisy" in line for line in warned)
    assert any("clipped.wav: is clipped" in line for line in warned)
    assert any("s of speech are few" in line for line in warned)


def test_the_command_enrols_and_removes_and_bad_input_is_one_line(run, speech, tmp_path):
    audio.write(tmp_path / "a.wav", speech(5.0), 16000)
    done = command("enrol", "--model", run, "--name", "bob", "--max-steps", 1, tmp_path / "a.wav")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(run / "voices/bob.safetensors")
    wave, out = tmp_path / "a.wav", tmp_path / "out.wav"
    assert command("convert", "--model", run, "--speaker", "bob", "-o", out, wave).returncode == 0
    assert json.loads(command("speakers", "--model", run, "--json").stdout)[-1]["name"] == "bob"
    assert command("enrol", "--model", run, "--name", "bob", "--remove").stdout == "removed bob\n"
    for arguments, told in (
        (["--name", "a/b", wave], "'a/b' cannot name a voice"),
        (["--name", "p225", wave], "there is a voice 'p225' already"),
        (["--name", "p225", "--remove"], "no voice 'p225' was enrolled"),
        (["--name", "bob", tmp_path / "none.wav"], "none.wav: no such file"),
        (["--name", "bob"], "give recordings"),
        ([wave], "a voice needs a name"),
    ):
        done = command("enrol", "--model", run, *arguments)
        assert done.returncode == 2
        assert told in done.stderr
        assert len(done.stderr.splitlines()) == 1
