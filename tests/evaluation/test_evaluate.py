"""Evaluations: every system is measured on every pair, what is missing is told, and faults name their line."""

import csv
import json
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import numpy as np
import pytest
from typer.testing import CliRunner

from vqspeech import InputError, audio
from vqspeech.cli.app import app
from vqspeech.data import corpus
from vqspeech.data.corpus import Utterance
from vqspeech.evaluation import evaluate, objective, reference_codecs
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.models import checkpoint
from vqspeech.models.vqvae import VQVAE


@pytest.fixture
def pairs(tmp_path, speech):
    """Two recordings, one with a reference, and where their voices speak."""
    for name, seed in (("a", 0), ("b", 1), ("c", 2)):
        audio.write(tmp_path / f"{name}.wav", speech(0.6, seed=seed), 16000)
    corpus.write(tmp_path / "voices", [Utterance("c", "alice", str(tmp_path / "c.wav"))])
    path = tmp_path / "pairs.txt"
    path.write_text(f"{tmp_path}/a.wav alice\n\n{tmp_path}/b.wav p225 {tmp_path}/a.wav\n")
    return path


@pytest.fixture
def few(monkeypatch):
    """The measures that are quick and need nothing."""
    measures = [measure for measure in objective.MEASURES if measure.name in ("mcd", "level")]
    monkeypatch.setattr(evaluate, "MEASURES", measures)


def test_every_system_is_measured_on_every_pair(run, pairs, few, tmp_path):
    results = evaluate.evaluate(SpeechCodec(run), evaluate.read_pairs(pairs))
    systems = ["recording", "8-bit mu-law", *(codec.name for codec in reference_codecs.installed()), "vqspeech"]
    assert [row["system"] for row in results["rows"]] == systems * 2
    alone = evaluate.evaluate(SpeechCodec(run), evaluate.read_pairs(pairs), codecs=False)
    assert [row for row in results["rows"] if row["system"] in ("recording", "vqspeech")] == alone["rows"]
    means = evaluate.summary(results)
    assert means["recording"]["mcd"] == (0, 0, 0)
    assert 0 < means["8-bit mu-law"]["mcd"][0] < means["vqspeech"]["mcd"][0]
    evaluate.write(results, tmp_path / "out")
    assert json.loads((tmp_path / "out/evaluation.json").read_text())["rows"] == results["rows"]
    with (tmp_path / "out/evaluation.csv").open() as file:
        assert [float(row["mcd"]) for row in csv.DictReader(file)] == [row["mcd"] for row in results["rows"]]


def test_a_conversion_is_held_against_the_reference_where_there_is_one(run, pairs, few):
    rows = evaluate.read_pairs(pairs)
    model = SpeechCodec(run)
    against_source = evaluate.evaluate(model, [rows[1]._replace(reference=None)])["rows"][-1]["mcd"]
    assert evaluate.evaluate(model, rows[1:])["rows"][-1]["mcd"] != against_source


def stand_in(monkeypatch, name: str) -> None:
    """A package that seems to be installed."""
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    monkeypatch.setitem(sys.modules, name, module)


def test_nearness_is_to_the_voice_that_was_asked_for(run, pairs, few, monkeypatch, tmp_path):
    stand_in(monkeypatch, "resemblyzer")
    monkeypatch.setattr(evaluate.objective, "speaker_embedding", lambda wave: np.eye(2)[int(np.std(wave) > 0.05)])
    row = evaluate.evaluate(SpeechCodec(run), evaluate.read_pairs(pairs)[:1], tmp_path / "voices")["rows"][0]
    assert (row["to_target"], row["to_source"], row["nearer_target"]) == (1, 1, 0)


def test_a_voice_that_is_not_among_the_voices_is_left_out_of_the_mean(run, pairs, few, monkeypatch, tmp_path):
    stand_in(monkeypatch, "resemblyzer")
    monkeypatch.setattr(evaluate.objective, "speaker_embedding", lambda wave: np.eye(2)[0])
    results = evaluate.evaluate(
        SpeechCodec(run), evaluate.read_pairs(pairs), tmp_path / "voices"
    )  # alice is, p225 is not
    assert [("to_target" in row) for row in results["rows"]].count(True) == len(results["rows"]) // 2
    assert evaluate.summary(results)["vqspeech"]["to_target"] == (1, 1, 1)


def test_what_cannot_be_measured_is_null_and_not_in_the_mean(run, pairs, monkeypatch, tmp_path):
    values = iter([1.0, float("nan")] * 20)
    mute = objective.MEASURES[0]._replace(name="mute", of=lambda _: next(values))
    monkeypatch.setattr(evaluate, "MEASURES", [mute])
    results = evaluate.evaluate(SpeechCodec(run), evaluate.read_pairs(pairs))
    assert {row["mute"] for row in results["rows"]} == {1.0, None}
    evaluate.write(results, tmp_path / "out")
    assert "NaN" not in (tmp_path / "out/evaluation.json").read_text()
    assert all(means["mute"] == (1, 1, 1) for means in evaluate.summary(results).values() if means)


def test_a_measure_whose_package_is_missing_is_named_and_left_out(run, pairs, monkeypatch):
    lame = objective.MEASURES[0]._replace(name="lame", module="no_such_module")
    monkeypatch.setattr(evaluate, "MEASURES", [lame])
    results = evaluate.evaluate(SpeechCodec(run), evaluate.read_pairs(pairs)[:1])
    assert results["missing"] == {"lame": "no_such_module"}
    assert "lame" not in results["rows"][0]


def test_the_command_prints_a_table_and_what_it_left_out(run, pairs, few):
    result = CliRunner().invoke(app, ["evaluate", str(pairs), "--model", str(run)])
    assert result.exit_code == 0, result.output
    assert "| mcd, dB | 0.00 (0.00 to 0.00) |" in result.output
    assert (run / "evaluation.csv").is_file()


@pytest.mark.parametrize(
    ("content", "message"),
    [("a.wav\n", r":1: 'a.wav' is not `source voice \[ref"), ("\n", "names no pair"), (None, "cannot be read")],
)
def test_what_is_no_list_of_pairs_is_refused(tmp_path, content, message):
    path = tmp_path / "pairs.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        evaluate.read_pairs(path)


def test_an_unknown_voice_is_refused_before_anything_is_measured(run, pairs):
    rows = evaluate.read_pairs(pairs)
    with pytest.raises(InputError, match="unknown speaker 'bob'"):
        evaluate.evaluate(SpeechCodec(run), [*rows, rows[0]._replace(speaker="bob")])


def test_bits_are_measured_on_the_speakers_that_the_model_has(tiny, packed, tmp_path, run):
    (tmp_path / "data").mkdir()
    packed.rename(tmp_path / "data/packed")
    checkpoint.init_run_dir(tmp_path / "few", tiny, ["s1"])
    checkpoint.save(tmp_path / "few", VQVAE.from_config(tiny.model, 1))
    numbers = evaluate.bits_per_sample(checkpoint.load(tmp_path / "few"), tmp_path / "data")
    assert 5 < numbers["held_out_bits_per_sample"] < 9
    with pytest.raises(InputError, match="knows none of its speakers"):
        evaluate.bits_per_sample(checkpoint.load(run), tmp_path / "data")
