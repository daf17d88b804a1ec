"""Probes: what is known is found, what is not known is not, and labels of the test part stay there."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from vqspeech import InputError
from vqspeech.cli.app import app
from vqspeech.data import corpus, phones
from vqspeech.data.corpus import Utterance
from vqspeech.evaluation import information, probe, tables
from vqspeech.evaluation.information import LabelledFrames
from vqspeech.inference.speech_codec import SpeechCodec

DRAWS = np.random.default_rng(0)


def stretches(symbols, labels, speakers="ab"):
    size = len(labels) // len(speakers)
    return [
        LabelledFrames(name, symbols[at * size : (at + 1) * size], labels[at * size : (at + 1) * size])
        for at, name in enumerate(speakers)
    ]


def test_codes_that_know_nothing_get_the_commonest_phone_and_no_information():
    labels, symbols = DRAWS.choice(4, 40_000, p=[0.1, 0.6, 0.2, 0.1]), DRAWS.integers(0, 8, 40_000)
    labelled = stretches(symbols, labels)
    assert (information.majority_label(information.counts(labelled, 8, 4)) == 1).all()
    assert information.information(information.counts(labelled, 8, 4))["bits"] < 0.01


def test_information_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    labels, symbols = DRAWS.integers(0, 6, 500), DRAWS.integers(0, 9, 500)
    symbols[:250] = labels[:250]
    results = information.information(information.counts([LabelledFrames("a", symbols, labels)], 9, 6))
    nmi = metrics.normalized_mutual_info_score(labels, symbols, average_method="geometric")
    assert results["nmi"] == pytest.approx(nmi)
    assert results["v_measure"] == pytest.approx(metrics.v_measure_score(labels, symbols))
    assert results["homogeneity"] == pytest.approx(metrics.homogeneity_score(labels, symbols))


def test_the_interval_is_over_speakers_not_frames():
    even = information.share({name: (500, 1000) for name in "abcdef"})
    uneven = information.share({name: (1000 * at, 5000) for at, name in enumerate("abcdef")})
    assert even == (0.5, 0.5, 0.5)
    assert uneven.value == 0.5
    assert uneven.low < 0.35
    assert uneven.high > 0.65


def test_windows_hold_the_neighbours_and_repeat_the_ends():
    assert information.windows(np.array([4, 5, 6]), 3).tolist() == [[4, 4, 5], [4, 5, 6], [5, 6, 6]]
    assert information.windows(np.array([4, 5]), 1).tolist() == [[4], [5]]


def test_a_probe_finds_what_k_means_knows_and_that_random_order_destroys_it(run, parts):
    results = probe.probe(SpeechCodec(run), parts / "train", parts / "test")
    accuracy = results["accuracy"]["no pauses"]
    assert accuracy["k-means of MFCC"]["accuracy"] > 0.9
    assert accuracy["codes in random order"]["accuracy"] < 0.65
    assert accuracy["codes"]["majority"] == pytest.approx(0.5, abs=0.01)
    assert results["accuracy"]["raw"]["codes"]["majority"] < accuracy["codes"]["majority"]
    assert results["abx"]["MFCC"]["within"] < 0.1
    assert sum(map(sum, results["confusion"])) == sum(map(sum, results["codes_by_phone"]))
    assert results["conditions"]["map"] == {"m": "m", "s": "s", "sil": "pau"}
    assert "| always the commonest phone |" in tables.markdown(tables.probed(json.loads(json.dumps(results))))


def test_labels_of_the_test_part_cannot_reach_the_map(run, parts):
    before = probe.probe(SpeechCodec(run), parts / "train", parts / "test")
    labels = phones.read(parts / "test")
    swapped = {"s": "m", "m": "s", "sil": "sil"}
    relabelled = {key: [phone._replace(phone=swapped[phone.phone]) for phone in rows] for key, rows in labels.items()}
    phones.write(parts / "test", relabelled)
    after = probe.probe(SpeechCodec(run), parts / "train", parts / "test")
    assert after["phone_of_code"] == before["phone_of_code"]
    accuracies = [results["accuracy"]["no pauses"]["k-means of MFCC"]["accuracy"] for results in (before, after)]
    assert sum(accuracies) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("kind", ["utterance", "sentence"])
def test_a_test_part_that_was_learned_is_refused(run, parts, kind):
    learned, held = corpus.read(parts / "train"), corpus.read(parts / "test")
    text = learned[0].text if kind == "sentence" else "new words"
    key = held[0].key if kind == "sentence" else learned[0].key
    labels = phones.read(parts / "train") | phones.read(parts / "test")
    corpus.write(parts / "test", [Utterance(key, "alice", held[0].path, text=text), *held[1:]])
    phones.write(parts / "test", labels)
    with pytest.raises(InputError, match=f"the {kind} of '{key}' is in .*train too, so it is not held out"):
        probe.probe(SpeechCodec(run), parts / "train", parts / "test")


def test_a_part_without_phones_is_refused_with_the_command_that_makes_them(run, parts):
    (parts / "test/phones.ctm").unlink()
    with pytest.raises(InputError, match=r"phones.ctm: is missing; make it with `vqspeech data align"):
        probe.probe(SpeechCodec(run), parts / "train", parts / "test")


def test_the_commands_label_probe_and_print_what_they_changed(run, parts):
    for part in ("train", "test"):
        labels = parts / f"labels_{part}.ctm"
        (parts / part / "phones.ctm").rename(labels)
        labelled = CliRunner().invoke(app, ["data", "align", str(parts / part), "--labels", str(labels)])
        assert labelled.output.strip() == str(parts / part / "phones.ctm")
    words = ["probe", "--model", str(run), "--train", str(parts / "train"), "--test", str(parts / "test")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "phone sil counts as pau\n" in result.output
    assert "| always the commonest phone |" in result.output
    assert json.loads((run / "probe.json").read_text())["conditions"]["codes"] == 16
