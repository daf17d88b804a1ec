"""Autoregressive vocoder: codes, speaker and seed alone decide the wave."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import vqspeech
from vqspeech import SamplingConfig
from vqspeech.audio import chunks, mulaw
from vqspeech.engines import torch_engine
from vqspeech.inference import autoregressive_vocoder, speech_codec
from vqspeech.inference.vocoder import Request

SEED = SamplingConfig(seed=5)
ACOUSTIC = {"channels": 8}


def load(run, engine: str | None, **options) -> speech_codec.SpeechCodec:
    """By the WaveNet, in an engine; without one, by the source-filter vocoder."""
    return vqspeech.load(run, "wavenet" if engine else "source-filter", engine=engine, **options)


@pytest.fixture
def short_segments(monkeypatch):
    """Segments of 30 frames of 16 samples, overlaps of 4 frames, fades of 8 samples."""
    for name, seconds in {"SEGMENT_S": 480 / 16000, "OVERLAP_S": 64 / 16000, "FADE_S": 8 / 16000}.items():
        monkeypatch.setattr(autoregressive_vocoder, name, seconds)


@pytest.mark.parametrize(
    ("tiny", "engine"), [({}, "numba"), ({}, "torch"), (ACOUSTIC, "torch"), (ACOUSTIC, None)], indirect=["tiny"]
)
def test_speech_depends_on_codes_voice_and_seed_alone(run, engine, short_segments, monkeypatch):
    model, codes = load(run, engine), np.random.default_rng(0).integers(0, 16, 200)
    whole = model.decode(codes, "p226", SEED)
    assert len(whole) == 200 * model.hop
    streamed = [*model.decode_pieces(np.split(codes, [1, 2, 119]), "p226", SEED)]
    assert np.array_equal(np.concatenate(streamed), whole)
    requests = [Request([codes[:n]], "p226", SEED) for n in (1, 33, 200, 120)]
    for streams, steps in ((1, 7), (3, 256), (50, 40)):
        monkeypatch.setattr(autoregressive_vocoder, "STREAMS_PER_THREAD", streams)
        monkeypatch.setattr(autoregressive_vocoder, "FRAMES_PER_CALL", 4 * steps)
        spoken = [*load(run, engine, threads=1).decode_many(requests)]
        for number, request in enumerate(requests):
            wave = np.concatenate([wave for one, wave in spoken if one == number])
            assert np.array_equal(wave, model.decode(request.pieces[0], "p226", SEED))
    assert not np.array_equal(model.decode(codes, "p226", sampling=SamplingConfig(seed=6)), whole)


def test_one_segment_is_what_the_engine_says(run):
    model, codes = load(run, "torch"), torch.arange(16)[None]
    cond = model.net.condition(model.net.quantizer.decode(codes[:, :, None]), torch.tensor([1]))
    uniforms = torch.from_numpy(np.random.default_rng(5).random((1, 256), dtype=np.float32))
    with torch.inference_mode():
        classes, _ = torch_engine.generate(model.net.wavenet, cond, uniforms)
    assert np.array_equal(model.decode(np.arange(16), "p226", SEED), mulaw.expand(classes[0].numpy()))


def test_what_is_further_back_than_a_lead_is_not_heard(run, short_segments):
    """The model hears nothing before its receptive field: two beginnings, and after the first segment one speech."""
    model = vqspeech.load(run, precision="float32")
    assert math.ceil((model.net.wavenet.receptive_field + 64) / 16) * 16 >= model.net.wavenet.receptive_field + 64
    codes = np.random.default_rng(0).integers(0, 16, 120)
    other = np.concatenate([codes[:5] * 0, codes[5:]])
    one, another = model.decode(codes, "p226"), model.decode(other, "p226")
    assert not np.array_equal(one[:480], another[:480])
    assert np.array_equal(one[480:], another[480:])


@given(shift=st.floats(-np.pi, np.pi), pitch=st.floats(80, 400))
def test_a_seam_is_no_rougher_than_what_it_joins(shift, pitch):
    time = np.arange(4000) / 16000
    first, second = (np.sin(2 * np.pi * pitch * time + f0_to_phase).astype(np.float32) for f0_to_phase in (0, shift))
    joined = np.concatenate([*chunks.crossfade([(first[:2000], 0), (second[500:], 1500)], 1024, 160)])
    assert len(joined) == 4000
    assert np.array_equal(joined[:976], first[:976])
    assert np.array_equal(joined[2000:], second[2000:])
    steepest = np.abs(np.diff(first)).max()
    assert np.abs(np.diff(joined)).max() < 1.5 * steepest + 2 / 160 * np.abs(first[976:2000] - second[976:2000]).min()


def test_engines_speak_alike(run):
    codes = np.arange(16)
    models = [load(run, "torch"), load(run, "numba", precision="float32")]
    one, other = (model.decode(codes, "alice") for model in models)
    assert np.array_equal(one, other)
