"""The model that ships: it is there, small, whole, and says something in every voice."""

import subprocess
import sys

import numpy as np
import pytest

import vqspeech
from vqspeech import audio, hub, loudness, mini, mulaw, voices
from vqspeech.composing import Composer


@pytest.fixture(scope="module")
def model():
    return vqspeech.load()


@pytest.fixture(scope="module")
def sentence(tmp_path_factory):
    """A synthetic voice says a sentence: nobody in training did."""
    wave, _ = mini.Synthesiser(mini.VOICES[2]).speak(mini.sentences()[20])
    path = tmp_path_factory.mktemp("said") / "in.wav"
    audio.write(path, wave / np.float32(32768), mini.SAMPLE_RATE)
    return path


def test_it_is_small_and_its_card_and_table_say_what_it_is(model):
    folder = hub.SHIPPED / hub.DEFAULT
    assert sum(path.stat().st_size for path in folder.rglob("*.safetensors")) < 16_000_000
    card = (folder / "README.md").read_text(encoding="utf-8")
    for heading in ("Data and credits", "Training", "Measurements", "Limits", "Uses"):
        assert f"## {heading}\n" in card
    assert "@" not in card
    assert set(voices.read(folder)) == set(model.speakers)
    assert {"p225", "p226", "p227", "p228", "p232", "p239"} < set(model.speakers)
    assert all(one.seconds >= 60 for one in voices.read(folder).values())


def test_a_sentence_is_said_again_in_another_voice_as_loud_as_that_voice(model, sentence, tmp_path):
    source = audio.read(sentence, 16000)
    said = {}
    for speaker in ("p225", "p226"):
        done = vqspeech.convert(sentence, speaker, model, tmp_path / f"{speaker}.wav")
        said[speaker] = audio.read(done.path, 16000)
        heard = loudness.hear([said[speaker]], 16000)
        assert len(said[speaker]) == len(source)
        loud = heard.level_db == pytest.approx(model.level_db(speaker), abs=0.5)
        assert loud or (heard.level_db < model.level_db(speaker) and heard.peak > 0.97)  # no louder without clipping
        assert heard.peak <= 0.981
    assert not np.allclose(said["p225"], said["p226"], atol=0.01)
    codes = model.encode(source)
    assert len(np.unique(codes)) > len(codes) / 5


def test_it_expects_speech_and_not_noise(model, sentence):
    """Bits a sample on speech that it never heard are below the 8 of knowing nothing; noise costs more."""
    import torch

    from vqspeech.dataset import whole

    wave = audio.read(sentence, 16000)[:32000]
    noise = np.random.default_rng(0).normal(0, wave.std(), len(wave)).astype(np.float32)
    bits = []
    with torch.inference_mode():
        for one in (wave, noise):
            batch = whole(mulaw.compress(one), 0, model.hop)
            bits.append(float(model.model.loss(batch).parts["bits_per_sample"]))
    assert bits[0] < 6.0 < bits[1]


def test_its_prior_composes_codes_and_belongs_to_it(model):
    composer = Composer(hub.find_prior("", hub.DEFAULT), model)
    codes = composer.compose("p225", 100, 2, seed=1)
    assert codes.shape == (2, 100, 1)
    assert len(np.unique(codes)) > 20


def test_the_command_needs_no_model_named(sentence, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "vqspeech", "convert", "--speaker", "p225", "-o", tmp_path / "out.wav", sentence],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(audio.read(tmp_path / "out.wav", 16000)) == len(audio.read(sentence, 16000))
