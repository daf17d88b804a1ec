"""Phone posteriors: what an encoder that is stood in for gives, whether utterances are encoded together or alone."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from vqspeech import InputError, audio
from vqspeech.data import corpus, phones, posteriors
from vqspeech.data.corpus import Utterance
from vqspeech.data.phones import PHONES, Phone
from vqspeech.data.posteriors import GAP_FRAMES, HOP, WINDOW_FRAMES, Posteriors

LEVELS = {"s": 0.3, "m": 0.1, "pau": 0.001}


class StubRecogniser:
    """Stands in for a recogniser: mean, RMS and peak of a frame, and the peak of GAP_FRAMES around it."""

    def __init__(self, asr, threads=1):
        self.model = SimpleNamespace(feature_extractor=self.spectra, encode=self.encode)

    @staticmethod
    def spectra(wave, padding):
        assert len(wave) == WINDOW_FRAMES * HOP
        assert padding == 0
        return wave.reshape(2 * WINDOW_FRAMES, HOP // 2).T

    @staticmethod
    def encode(spectra):
        frames = spectra.T.reshape(WINDOW_FRAMES, HOP)
        peaks = np.abs(frames).max(1)
        around = sliding_window_view(np.pad(peaks, GAP_FRAMES), 2 * GAP_FRAMES + 1).max(1)
        return np.stack([frames.mean(1), np.sqrt((frames**2).mean(1)), peaks, around], axis=1)[None]


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """Six utterances of 3 s: "s", "m" and a pause, 0.1 s each, each at its level; the last one has no labels."""
    monkeypatch.setattr(posteriors, "Recogniser", StubRecogniser)
    draws, utterances, labels = np.random.default_rng(0), [], {}
    for number in range(6):
        symbols = draws.permutation(["s", "m", "pau"] * 10)
        noise = draws.standard_normal(1600 * len(symbols))
        levels = np.repeat([LEVELS[symbol] for symbol in symbols], 1600)
        audio.write(tmp_path / f"{number}.wav", levels * noise, 16000)
        key = f"s{number % 2}-{number}"
        utterances.append(Utterance(key, f"s{number % 2}", str(tmp_path / f"{number}.wav")))
        labels[key] = [Phone(0.1 * at, 0.1 * (at + 1), str(symbol)) for at, symbol in enumerate(symbols)]
    corpus.write(tmp_path / "data", sorted(utterances, key=lambda utterance: utterance.key))
    labels.pop("s1-5")
    phones.write(tmp_path / "data", labels)
    return tmp_path / "data"


def test_utterances_that_are_encoded_together_have_the_features_that_each_has_alone(directory):
    encoder, utterances = posteriors.Encoder("tiny"), corpus.read(directory)
    together = dict((utt.key, features) for utt, features in encoder.encode(utterances))
    assert list(together) == [utt.key for utt in utterances]
    for utt in utterances:
        ((_, alone),) = encoder.encode([utt])
        assert alone.shape == (150, 4)
        assert np.allclose(together[utt.key], alone, atol=1e-6)


def test_what_is_longer_than_a_window_is_encoded_in_windows_and_what_cannot_be_read_left_out(tmp_path, directory):
    wave = 0.1 * np.random.default_rng(1).standard_normal(WINDOW_FRAMES * HOP + 5 * HOP + 1).astype(np.float32)
    audio.write(tmp_path / "long.wav", wave, 16000)
    (tmp_path / "bad.wav").write_text("no sound\n" * 50)
    utterances = [Utterance(name, "s", str(tmp_path / f"{name}.wav")) for name in ("bad", "long")]
    ((utt, features),) = posteriors.Encoder("tiny").encode(utterances)
    assert utt.key == "long"
    assert len(features) == WINDOW_FRAMES + 6
    whole = audio.read(tmp_path / "long.wav", 16000)[: (WINDOW_FRAMES + 5) * HOP].reshape(-1, HOP)
    assert np.allclose(features[:-1, 2], np.abs(whole).max(1), atol=1e-6)


def test_posteriors_are_shares_that_find_the_phone_that_was_said(directory):
    right = posteriors.write([directory], "models/tiny")
    assert right > 0.9
    read = Posteriors(directory)
    assert read.frame_s == 0.02
    assert "s0-0" in read
    assert "s0-9" not in read
    labels = phones.read(directory)
    for key, spoken in labels.items():
        shares = read[key].astype(np.float32)
        assert shares.shape == (150, len(PHONES))
        assert np.allclose(shares.sum(1), 1, atol=5e-3)
        likeliest = [PHONES[column] for column in shares.argmax(1)]
        expected = [next(phone.phone for phone in spoken if phone.end_s > 0.02 * (frame + 0.5)) for frame in range(150)]
        assert np.mean([a == b for a, b in zip(likeliest, expected, strict=True)]) > 0.9
    unlabelled = read["s1-5"].astype(np.float32)
    assert {PHONES[column] for column in unlabelled.argmax(1)} == {"m", "pau", "s"}
    assert json.loads((directory / "posteriors/about.json").read_text())["asr"] == "tiny"


def test_a_layer_that_was_fitted_before_gives_the_same_posteriors(directory, tmp_path):
    posteriors.write([directory], "tiny")
    archive = (directory / "posteriors/posteriors.f16").read_bytes()
    layer = tmp_path / "layer.safetensors"
    layer.write_bytes((directory / "posteriors/layer.safetensors").read_bytes())
    (directory / "phones.ctm").unlink()
    assert math.isnan(posteriors.write([directory], "tiny", layer))
    assert (directory / "posteriors/posteriors.f16").read_bytes() == archive
    with pytest.raises(InputError, match=r"no utterance has labels in phones.ctm; give --layer"):
        posteriors.write([directory], "tiny")
    layer.write_bytes(b"no layer")
    with pytest.raises(InputError, match=r"layer.safetensors: is no layer of phone posteriors"):
        posteriors.write([directory], "tiny", layer)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("posteriors/about.json", '{"format": 2}'),
        ("posteriors/about.json", "rubbish"),
        ("posteriors/posteriors.f16", "odd"),
        ("posteriors.scp", "s0-0 nowhere\n"),
        ("posteriors.scp", None),
    ],
)
def test_posteriors_that_are_not_whole_are_refused(directory, name, content):
    posteriors.write([directory], "tiny")
    if content is None:
        (directory / name).unlink()
    else:
        (directory / name).write_text(content)
    with pytest.raises(InputError, match=r"data: its posteriors cannot be read \(.*\); make them again"):
        Posteriors(directory)


def test_posteriors_beside_packed_speech_are_found_and_those_of_other_frames_refused(directory, tmp_path):
    with pytest.raises(InputError, match="has no phone posteriors and no labels; run `vqspeech data posteriors`"):
        posteriors.beside_packed([tmp_path / "other/packed"], 0.02)
    posteriors.write([directory], "tiny")
    first, second = posteriors.beside_packed([directory / "packed", tmp_path / "other/packed"], 0.02)
    assert first["s0-0"].shape == (150, len(PHONES))
    assert second is None
    (averaged,) = posteriors.beside_packed([directory / "packed"], 0.04)
    assert averaged["s0-0"] == pytest.approx(first["s0-0"].astype(float).reshape(75, 2, -1).mean(1), abs=1e-3)
    for frame_s in (0.01, 0.03):
        with pytest.raises(InputError, match=rf"posteriors of 0.02 s a frame, the config has {frame_s} s a code"):
            posteriors.beside_packed([directory / "packed"], frame_s)


def test_labels_are_posteriors_of_one(directory):
    """They are taken where there are no posteriors, or where they are preferred."""
    (alone,) = posteriors.beside_packed([directory / "packed"], 0.04)
    posteriors.write([directory], "tiny")
    (preferred,) = posteriors.beside_packed([directory / "packed"], 0.04, prefer_labels=True)
    assert "s1-5" not in alone
    for key in ("s0-0", "s1-1"):
        expected = phones.frame_phones(phones.read(directory)[key], 75, 640, 16000)
        for labels in (alone, preferred):
            assert np.array_equal(labels[key].argmax(1), expected)
            assert np.array_equal(labels[key].sum(1), np.ones(75))


@pytest.mark.parametrize(("frames", "names"), [(500, 20), (2000, 2)])
def test_too_few_labels_to_fit_a_layer_are_refused(frames, names):
    labels = np.arange(frames) % names
    with pytest.raises(InputError, match=f"{frames} frames with {names} different phones are labelled"):
        posteriors.fit((np.zeros((frames, 4), np.float32), labels))
