"""Commands of evaluation."""

import json

import pytest

from vqspeech import InputError


def test_the_bench_prints_a_row_an_engine_and_precision_and_the_same_as_json(call):
    sizes = ("--residual", "8", "--skip", "8", "--layers", "2", "--seconds", "0.05")
    rows = json.loads(call("bench", *sizes, "--json").stdout)
    assert {row["engine"] for row in rows} == {"numba", "torch"}
    lines = call("bench", *sizes).stdout.splitlines()
    assert all(any(row["engine"] in line for line in lines) for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "--data", "data"], "--data needs --model"),
        (["evaluate", "pairs"], "pairs: cannot be read (FileNotFoundError); give a file of `source voice` rows"),
        (["evaluate", "empty"], "empty: names no pair"),
    ],
)
def test_bad_input_is_refused_before_a_model_is_loaded(call, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").touch()
    result = call(*arguments)
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)
