"""Encoding in stages: chunks of any size give the codes of the whole, and no code looks further ahead than it says."""

import numpy as np
import pytest
import torch

from vqspeech import config
from vqspeech.audio import mulaw
from vqspeech.errors import InputError
from vqspeech.inference.encoding import encoding_lookahead, encoding_stages
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.models import checkpoint
from vqspeech.models.vqvae import VQVAE
from vqspeech.nn.quantizer import data_dependent_init_

FEATURES = ({}, {"cmn_window_s": 0.1}, {"cmn_window_s": 0.1, "n_mfcc": 8, "use_f0": True})


@pytest.fixture(params=FEATURES, ids=["spectra", "relative", "cepstra and pitch"])
def hears_mel(tiny, tmp_path, speech, request):
    """A run directory of an untrained model that hears spectra, as they are or relative to those around."""
    tree = tiny.model_dump()
    tree["model"]["encoder"] |= {"strides": (4,)}
    tree["model"]["features"] = {"n_mels": 20, "hop_length": 16} | request.param
    settings = config.from_tree(tree, "mel")
    torch.manual_seed(0)
    checkpoint.init_run_dir(tmp_path / "mel", settings, ["a"])
    model = VQVAE.from_config(settings.model, 1)
    said = model.latents(torch.from_numpy(mulaw.compress(speech(1.0)))[None])
    data_dependent_init_(model.encoder.latents, said)  # as drawn, it says the same of all
    checkpoint.save(tmp_path / "mel", model)
    return tmp_path / "mel"


@pytest.mark.parametrize("lookahead_s", [None, 0.0, 0.03])
def test_codes_by_pieces_are_the_codes_of_the_whole(hears_mel, speech, lookahead_s):
    model, wave = SpeechCodec(hears_mel), speech(1.0)
    if lookahead_s and not model.net.feature_extractor.cmn_window_s:
        pytest.skip("no means, no look-ahead")
    assert model.hop == 64
    (whole,) = model.encode_blocks([wave], lookahead_s=lookahead_s)
    assert len(set(whole.flatten().tolist())) > 1
    blocks = np.split(wave, [1, 100, 5000])
    for frames in (1, 7, 16):
        assert np.array_equal(np.concatenate([*model.encode_blocks(blocks, frames, lookahead_s)]), whole)


@pytest.mark.parametrize("lookahead_s", [0.0, 0.1])
def test_no_code_depends_on_a_sample_beyond_its_lookahead(hears_mel, speech, lookahead_s):
    model = SpeechCodec(hears_mel)
    lookahead_s = lookahead_s if model.net.feature_extractor.cmn_window_s else None
    lookahead = encoding_lookahead(encoding_stages(model.net, lookahead_s), model.hop)
    changed_later = 0
    for frame in (100, 101, 102):
        end = (frame + 1) * model.hop + lookahead
        first, second = speech(1.0), speech(1.0)
        second[end:] = np.random.default_rng(0).uniform(-1, 1, len(second) - end)
        codes = [np.concatenate([*model.encode_blocks([wave], 16, lookahead_s)]) for wave in (first, second)]
        assert np.array_equal(codes[0][: frame + 1], codes[1][: frame + 1])
        changed_later += int((codes[0] != codes[1]).sum())
    assert changed_later > 0


def test_a_look_ahead_that_the_features_lack_is_refused(hears_mel):
    with pytest.raises(InputError, match="a look-ahead of 2 s; this model has 0 to"):
        encoding_stages(SpeechCodec(hears_mel).net, 2.0)
