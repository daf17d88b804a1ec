"""Live conversion: pushed blocks give the offline conversion, late by the latency, whatever their sizes."""

import numpy as np
import pytest
import torch

from vqspeech import InputError, SamplingConfig, config
from vqspeech.audio import mulaw
from vqspeech.inference.live import LiveConverter, LiveSession
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.models import checkpoint
from vqspeech.models.vqvae import VQVAE
from vqspeech.models.wavenet_vocoder import WaveNetVocoder
from vqspeech.nn.quantizer import data_dependent_init_

CMN_WINDOW_S = 0.2


@pytest.fixture
def model_dir(tiny, tmp_path, speech):
    """A run directory of an untrained model of features, with a WaveNet vocoder; all frames are voiced."""
    tree = tiny.model_dump()
    tree["model"]["encoder"] |= {"strides": (2,), "causal_blocks": 1}
    tree["model"]["features"] = {"n_mels": 20, "n_mfcc": 8, "cmn_window_s": CMN_WINDOW_S, "use_f0": True}
    tree["model"]["quantizer"] |= {"codebook_size": 512}  # so that nearly any change changes a code
    tree["model"]["acoustic"] = {"channels": 8}
    tree["training"] |= {"stage": "acoustic", "segment_length": 6400}
    settings = config.from_tree(tree, "live")
    torch.manual_seed(0)
    checkpoint.init_run_dir(tmp_path / "live", settings, ["a", "b"])
    model = VQVAE.from_config(settings.model, 2)
    data_dependent_init_(model.encoder.latents, model.latents(torch.from_numpy(mulaw.compress(speech(0.96)))[None]))
    with torch.no_grad():
        model.acoustic_model.residual.weight.normal_(std=0.3)
        model.acoustic_model.residual.bias[0] += 1e4
    checkpoint.save(tmp_path / "live", model)
    sizes = {"residual_channels": 8, "skip_channels": 8, "layers": 2, "layers_per_stack": 2, "cond_channels": 6}
    vocoder = config.from_tree({"vocoder": sizes, "training": {"segment_length": 3200}}, "")
    checkpoint.init_run_dir(tmp_path / "live/vocoder", vocoder, ["a", "b"])
    network = WaveNetVocoder(vocoder.vocoder)
    torch.nn.init.normal_(network.wavenet.logits.weight, std=3.0)
    torch.nn.init.normal_(network.before.weight, std=1.0)
    torch.nn.init.normal_(network.after.weight, std=3.0)  # the least change of the features changes a symbol
    checkpoint.save(tmp_path / "live/vocoder", network)
    return tmp_path / "live"


@pytest.fixture(params=["source-filter", "wavenet"])
def model(model_dir, request):
    return SpeechCodec(model_dir, request.param, precision="float32" if request.param == "wavenet" else None)


def pushed(converter: LiveConverter, blocks: list) -> np.ndarray:
    return np.concatenate([*map(converter.push, blocks), converter.finish()])


@pytest.mark.parametrize("lookahead_s", [0.0, 0.06])
def test_codes_and_speech_of_blocks_are_those_of_the_whole(model, speech, lookahead_s):
    wave = speech(1.0)
    codes = np.concatenate([*model.encode_blocks([wave], lookahead_s=lookahead_s)])
    sampling = SamplingConfig(temperature=0.0, seed=3)  # the likeliest symbols: no draw near a border
    whole = model.decode(codes, "b", sampling)
    pieces = [*model.decode_live(iter(np.split(codes, [1, 2, 9])), "b", sampling)]
    assert np.abs(np.concatenate(pieces) - whole).max() < 1e-3 * np.abs(whole).max()
    live = [*model.encode_blocks(np.split(wave, [5, 700, 7000]), None, lookahead_s)]
    assert np.array_equal(np.concatenate(live), codes)


def test_the_output_lags_by_the_latency_and_is_as_long_as_the_input(model, speech):
    wave = speech(1.0)[:15500]
    converter = LiveConverter(model, "a")
    assert converter.block == 320
    returned = []
    for start in range(0, len(wave), 320):
        returned.append(converter.push(wave[start : start + 320]))
        blocks = min(start + 320, len(wave)) // 320
        assert sum(map(len, returned)) == max(0, blocks * 320 - converter.latency)
    whole = np.concatenate([*returned, converter.finish()])
    assert len(whole) == len(wave)
    assert np.abs(whole).max() > 0
    again = pushed(LiveConverter(model, "a"), np.split(wave, [7, 330, 5000, 5001]))
    assert np.abs(again - whole).max() < 1e-3 * np.abs(whole).max()


def test_no_sample_depends_on_input_beyond_the_latency(model, speech):
    wave = speech(1.0)
    first = pushed(LiveConverter(model, "a"), [wave])
    latency = LiveConverter(model, "a").latency
    reached = []
    for place in range(6400, 12800, 500):
        changed = wave.copy()
        changed[place:] = np.random.default_rng(place).uniform(-0.9, 0.9, len(wave) - place)
        second = pushed(LiveConverter(model, "a"), [changed])
        differs = np.flatnonzero(np.abs(first - second) > 1e-7)
        reached.append(place // 320 * 320 - int(differs[0]))
    assert max(reached) <= latency
    assert max(reached) > latency - 640  # the bound is near


def test_latency_is_the_sum_of_its_parts(model):
    latency = LiveConverter(model, "a").latency
    assert LiveConverter(model, "a", lookahead_s=0.1).latency == latency + 5 * 320
    net, vocoder = model.net, model._vocoder
    codes = net.encoder.right_context + net.right_context
    analysis = net.feature_extractor.context_samples
    assert latency == -(-analysis // 320) * 320 + 320 * (codes - net.right_context) + vocoder.lookahead


def test_a_quiet_input_is_brought_to_the_level_and_silence_stays_silent(model_dir, speech):
    model = SpeechCodec(model_dir)
    loud, quiet = (pushed(LiveConverter(model, "a"), [gain * speech(1.0)]) for gain in (0.5, 0.25))
    assert np.abs(loud).max() > 0
    assert np.abs(quiet).max() > 0
    assert not pushed(LiveConverter(model, "a"), [np.zeros(16000, np.float32)]).any()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"block_ms": 0}, "blocks of 0 ms"),
        ({"lookahead_s": 0.3}, r"a look-ahead of 0\.3 s; this model has 0 to 0\.2 s"),
        ({"lookahead_s": float("nan")}, "a look-ahead of nan s"),
        ({"speaker": "c"}, "unknown speaker 'c'"),
        ({"sampling": SamplingConfig(temperature=-1)}, "temperature -1 is out of range"),
    ],
)
def test_what_a_converter_cannot_do_is_refused(model_dir, options, told):
    with pytest.raises(InputError, match=told):
        LiveConverter(SpeechCodec(model_dir), **{"speaker": "a"} | options)


class Echo:
    """A converter that gives back what it takes."""

    sample_rate, block, latency_s = 16000, 320, 0.195

    def push(self, wave):
        return wave


def ramp(number: int) -> np.ndarray:
    return np.full(320, number / 100, np.float32)


def test_a_session_plays_what_it_hears_in_order():
    session, played = LiveSession(Echo()), []
    for number in range(1, 30):
        session.listen(ramp(number))
        assert session.work(0.0)
        played.append(session.speak(320)[0])
    start = played.index(ramp(1)[0])
    assert played[start:] == [ramp(number)[0] for number in range(1, 30 - start)]
    assert session.dropouts == 0
    assert not session.work(0.0)
    assert session.latency_s == pytest.approx(0.195 + 0.04)


def test_a_session_that_cannot_keep_up_drops_the_oldest_and_never_drifts():
    session = LiveSession(Echo())
    for number in range(1, 40):  # it works on every fourth block only
        session.listen(ramp(number))
        if number % 4 == 0:
            session.work(0.0)
        session.speak(320)
    assert session.dropouts > 10
    while session.work(0.0):
        pass
    newest = session.speak(3 * 320)
    assert newest.max() > ramp(30)[0]  # what is played is not far behind what is said


def test_a_loudspeaker_that_is_slower_than_the_microphone_does_not_fall_behind():
    session = LiveSession(Echo())
    for number in range(1, 100):
        session.listen(ramp(number))
        session.work(0.0)
        wave = session.speak(300)  # its clock is slow
    assert session.dropouts > 0
    assert float(wave[0]) > ramp(99 - LiveSession.MAX_BLOCKS)[0]
