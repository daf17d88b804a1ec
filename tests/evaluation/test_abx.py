"""ABX discrimination."""

import json

import numpy as np
import pytest

from vqspeech.data import corpus
from vqspeech.evaluation import abx, probe, tables
from vqspeech.inference.speech_codec import SpeechCodec

DRAWS = np.random.default_rng(0)


def tokens(noise):
    vectors = np.eye(4)
    return [
        abx.Token(phone, speaker, vectors[at] + noise * DRAWS.standard_normal((DRAWS.integers(1, 5), 4)))
        for speaker in "xyz"
        for at, phone in enumerate("abcd")
        for _ in range(30)
    ]


@pytest.mark.parametrize("across", [False, True])
def test_abx_is_right_for_what_differs_and_a_guess_for_noise(across):
    assert abx.error(tokens(0.01), across, 200) == 0
    noise = [token._replace(features=DRAWS.standard_normal((3, 4))) for token in tokens(1)]
    assert abx.error(noise, across, 800) == pytest.approx(0.5, abs=0.08)


def test_abx_of_one_speaker_has_no_triple_across():
    assert np.isnan(abx.error([token for token in tokens(0.1) if token.speaker == "x"], True, 10))


def test_a_distance_does_not_depend_on_tempo_or_order_of_its_sides():
    first = DRAWS.standard_normal((5, 3))
    assert abx.distance(first, first.repeat(3, axis=0)) == pytest.approx(0, abs=1e-6)
    second = DRAWS.standard_normal((4, 3))
    assert abx.distance(first, second) == pytest.approx(abx.distance(second, first))


def test_one_speaker_alone_has_no_speaker_probe_and_no_abx_across(run, parts):
    for part in ("train", "test"):
        corpus.write(parts / part, [one for one in corpus.read(parts / part) if one.speaker == "alice"])
    results = probe.probe(SpeechCodec(run), parts / "train", parts / "test")
    assert results["abx"]["codes"]["across"] is None
    assert results["speaker"]["accuracy"] is None
    assert "NaN" not in json.dumps(results)
    assert "none % right of 1;" in tables.markdown(tables.probed(results))
