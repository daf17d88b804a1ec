"""Speech codec: codes of any cutting, and codes within their codebook."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import vqspeech
from vqspeech import InputError, config
from vqspeech.audio import mulaw
from vqspeech.inference import speech_codec
from vqspeech.models import checkpoint
from vqspeech.models.vqvae import VQVAE


@torch.no_grad()
def test_codes_by_pieces_are_the_codes_of_the_whole(run, speech):
    model, wave = vqspeech.load(run), speech(0.5)
    padded = torch.from_numpy(np.pad(mulaw.compress(wave), (0, -len(wave) % 16), constant_values=128))[None]
    assert np.array_equal(np.concatenate([*model.encode_blocks([wave], 8)]), model.net.encode(padded)[0].numpy())


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(1, 700), min_size=1, max_size=6), frames=st.integers(1, 40))
def test_any_cutting_of_the_input_gives_the_same_codes(cuts, frames):
    model = _loose_model()
    wave = np.random.default_rng(0).uniform(-1, 1, sum(cuts)).astype(np.float32)
    streamed = np.concatenate(list(model.encode_blocks(np.split(wave, np.cumsum(cuts)[:-1]), frames)))
    assert np.array_equal(streamed, model.encode(wave))
    assert len(streamed) == -(-len(wave) // 16)


def _loose_model():
    tree = {"encoder": {"channels": 8, "strides": [4, 4]}, "quantizer": {"codebook_size": 16, "codebook_dim": 4}}
    settings_ = config.from_tree({"model": tree, "training": {"segment_length": 256}}, "")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = VQVAE.from_config(settings_.model, 1)
    return speech_codec.SpeechCodec(checkpoint.Run(model.eval(), settings_, ["a"], ""))


def test_a_code_outside_the_codebook_is_refused(run):
    with pytest.raises(InputError, match=r"code 16 is not in 0\.\.15"):
        vqspeech.load(run).decode(np.array([3, 16]), "p225")
