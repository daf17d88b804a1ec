"""Nearest speaker of a recording, and the gain that brings it to the level of a speaker."""

import math

import numpy as np
import pytest
import torch

import vqspeech
from vqspeech import audio
from vqspeech.inference import nearest_speaker
from vqspeech.nn.acoustic_model import N_MELS
from vqspeech.nn.f0 import estimate_f0


@pytest.fixture
def source(tmp_path, speech):
    audio.write(tmp_path / "in.wav", speech(1.0), 16000)
    return tmp_path / "in.wav"


def test_a_recording_that_is_twice_as_loud_needs_6_db_less(run_with_levels, tmp_path, speech):
    model = vqspeech.load(run_with_levels)
    for name, gain in (("quiet", 0.1), ("louder", 0.2)):
        audio.write(tmp_path / f"{name}.wav", gain * speech(1.0), 16000)
    quiet, louder = (nearest_speaker.lift_db(model, tmp_path / f"{name}.wav", "p225") for name in ("quiet", "louder"))
    assert quiet - louder == pytest.approx(6, abs=0.5)
    assert (2 * quiet).is_integer()


def test_a_gain_is_that_of_the_speaker_or_of_the_mean_and_0_where_no_level_is_known(run, run_with_levels, source):
    model = vqspeech.load(run_with_levels)  # p225 is at -20 dB, p226 at -30 dB, alice is unknown
    lift = lambda speaker: nearest_speaker.lift_db(model, source, speaker)  # noqa: E731
    assert lift("p225") - lift("p226") == pytest.approx(10, abs=0.5)
    assert lift("") == pytest.approx((lift("p225") + lift("p226")) / 2, abs=0.5)
    assert lift("alice") == 0.0


def test_a_gain_clips_nothing_and_silence_gets_none(run_with_levels, tmp_path):
    model = vqspeech.load(run_with_levels)
    click = np.zeros(16000, np.float32)
    click[::800] = 0.5  # rare and loud: its level is far below its peak
    audio.write(tmp_path / "click.wav", click, 16000)
    audio.write(tmp_path / "silence.wav", np.zeros(16000, np.float32), 16000)
    assert nearest_speaker.lift_db(model, tmp_path / "click.wav", "p225") == 6.0  # 11 dB would be that level
    assert nearest_speaker.lift_db(model, tmp_path / "silence.wav", "p225") == 0.0


@pytest.mark.parametrize("tiny", [{"channels": 8}], indirect=True)
@pytest.mark.parametrize("expected", ["p225", "p226", "alice"])
def test_the_speaker_whose_pitch_and_spectrum_are_those_of_the_recording_is_the_nearest(run, source, expected):
    """The usual spectrum of one speaker is made that of the recording; the others' are flat and an octave higher."""
    model = vqspeech.load(run)
    net, wave = model.net, torch.from_numpy(audio.read(source, 16000))[None]
    f0 = estimate_f0(wave, 16000, net.hop)[0]
    voiced = f0 > 0
    spectrum = net.acoustic_model.mel(wave)[0].unflatten(1, (len(f0), -1)).mean(2)[:, voiced].mean(1)
    linear = net.acoustic_model.speaker_mean
    with torch.no_grad():
        net.speaker.weight.copy_(torch.eye(3))
        mean_log_f0 = float(net.acoustic_model.speaker_means(torch.zeros(1, 3)).log_f0) - float(linear.bias[-1])
        linear.bias.zero_()
        linear.weight.zero_()
        linear.bias[-1] = f0[voiced].log().mean() - mean_log_f0 + math.log(2)
        index = model.speakers.index(expected)
        linear.weight[:N_MELS, index] = spectrum
        linear.weight[-1, index] = -math.log(2)
    assert nearest_speaker.nearest(model, source) == expected


@pytest.mark.parametrize("tiny", [{"channels": 8}], indirect=True)
def test_what_has_no_pitch_is_nearest_to_nobody(run, tmp_path):
    audio.write(tmp_path / "silence.wav", np.zeros(16000, np.float32), 16000)
    assert nearest_speaker.nearest(vqspeech.load(run), tmp_path / "silence.wav") == ""


def test_a_model_that_foresees_no_spectra_finds_nobody(run, source):
    assert nearest_speaker.nearest(vqspeech.load(run), source) == ""
