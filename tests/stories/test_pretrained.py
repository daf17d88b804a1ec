"""The model that ships: it is there, small, whole, and says something in every voice."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import vqspeech
from vqspeech import SamplingConfig, audio
from vqspeech.audio import loudness
from vqspeech.data import synthetic
from vqspeech.data.wave_batches import WaveBatch
from vqspeech.evaluation import objective
from vqspeech.evaluation.objective import Comparison, Recording
from vqspeech.inference.prior_sampler import PriorSampler
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.models import checkpoint, hub, speaker_table


@pytest.fixture(scope="module")
def model():
    return vqspeech.load()


@pytest.fixture(scope="module")
def sentence(tmp_path_factory):
    """A synthetic voice says a sentence: nobody in training did."""
    wave, _ = synthetic.Synthesiser(synthetic.VOICES[2]).speak(synthetic.sentences()[20])
    path = tmp_path_factory.mktemp("said") / "in.wav"
    audio.write(path, wave / np.float32(32768), synthetic.SAMPLE_RATE)
    return path


def test_it_is_small_and_its_card_and_table_say_what_it_is(model):
    folder = hub.SHIPPED / hub.DEFAULT
    assert sum(path.stat().st_size for path in folder.rglob("*.safetensors")) < 16_000_000
    card = (folder / "README.md").read_text(encoding="utf-8")
    for heading in ("Data and credits", "Training", "Measurements", "Limits", "Uses"):
        assert f"## {heading}\n" in card
    assert "@" not in card
    assert set(speaker_table.read(folder)) == set(model.speakers)
    assert {"kokoro_af_heart", "p225", "p226", "p227", "p228", "p232", "p239"} < set(model.speakers)
    assert all(speaker.seconds >= 60 for speaker in speaker_table.read(folder).values())


def test_a_sentence_is_said_again_in_another_voice_as_loud_as_that_voice(model, sentence, tmp_path):
    source = audio.read(sentence, 16000)
    waves = {}
    for speaker in ("p225", "p226"):
        done = vqspeech.convert(sentence, speaker, model, tmp_path / f"{speaker}.wav")
        waves[speaker] = audio.read(done.path, 16000)
        analysis = loudness.analyse_level([waves[speaker]], 16000)
        assert len(waves[speaker]) == len(source)
        loud = analysis.level_db == pytest.approx(model.level_db(speaker), abs=0.5)
        # no louder without clipping
        assert loud or (analysis.level_db < model.level_db(speaker) and analysis.peak > 0.97)
        assert analysis.peak <= 0.981
    assert not np.allclose(waves["p225"], waves["p226"], atol=0.01)
    codes = model.encode(source)
    assert len(np.unique(codes)) > len(codes) / 5


def test_its_vocoder_expects_speech_and_not_noise(model, sentence):
    """Bits a sample on speech that it never heard are below the 8 of knowing nothing; noise costs more."""
    vocoder = checkpoint.load_vocoder(model.run.folder / hub.VOCODER).model
    wave = audio.read(sentence, 16000)[:32000]
    noise = np.random.default_rng(0).normal(0, wave.std(), len(wave)).astype(np.float32)
    bits = []
    with torch.inference_mode():
        for signal in map(torch.from_numpy, (wave, noise)):
            errors = torch.zeros(1, len(signal), dtype=torch.int8)
            batch = WaveBatch(signal[None], errors, torch.zeros(1, dtype=torch.long))
            bits.append(float(vocoder.loss(batch).parts["bits_per_sample"]))
    assert bits[0] + 0.3 < bits[1] < 8.5


def test_it_speaks_by_its_wavenet_and_live_by_the_faster_vocoder(model):
    assert model.default_vocoder == "wavenet"
    assert not model.uses_source_filter
    assert SpeechCodec.fastest_vocoder(model.run) == "source-filter"


def test_encoding_imports_no_engine():
    code = "import sys, numpy, vqspeech; vqspeech.load().encode(numpy.zeros(1600, numpy.float32)); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "vqspeech.inference.speech_codec" in done.stdout.split()
    assert "vqspeech.engines.numba_engine" not in done.stdout.split()


@pytest.mark.parametrize("vocoder", ["source-filter", "wavenet"])
def test_both_vocoders_say_the_sentence(sentence, vocoder, tmp_path):
    """What is spoken is as loud over time as what was said: neither silence nor noise."""
    source = audio.read(sentence, 16000)[:48000]
    audio.write(tmp_path / "in.wav", source, 16000)
    done = vqspeech.convert(tmp_path / "in.wav", "p225", vqspeech.load(vocoder=vocoder), tmp_path / "out.wav")
    converted = audio.read(done.path, 16000)
    assert objective.loudness_correlation(Comparison(Recording(source), Recording(converted))) > 0.2


def test_its_prior_composes_codes_and_belongs_to_it(model):
    sampler = PriorSampler(hub.resolve_prior("", hub.DEFAULT), model)
    codes = sampler.sample("p225", 100, 2, SamplingConfig(seed=1))
    assert codes.shape == (2, 100, 2)
    assert len(np.unique(codes)) > 20


def test_the_command_needs_no_model_named(sentence, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "vqspeech", "convert", "--speaker", "p225", "-o", tmp_path / "out.wav", sentence],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(audio.read(tmp_path / "out.wav", 16000)) == len(audio.read(sentence, 16000))
