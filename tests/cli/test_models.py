"""Commands of models."""

import json

import pytest

from vqspeech import InputError
from vqspeech.models import checkpoint


def test_voices_are_listed(call, run):
    assert call("speakers", "--model", run).stdout.split() == ["p225", "p226", "alice"]


def test_a_list_of_voices_as_json_has_what_is_known_of_each(call, run_with_levels):
    rows = json.loads(call("speakers", "--model", run_with_levels, "--json").stdout)
    assert [row["name"] for row in rows] == ["p225", "p226", "alice"]
    assert [row["level_db"] for row in rows] == [-20.0, -30.0, None]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["enrol", "a.wav"], "a voice needs a name; say --name"),
        (["enrol", "--name", "bob"], "give recordings to enrol a voice, or --remove without any"),
        (["enrol", "a.wav", "--name", "bob", "--remove"], "give recordings to enrol a voice, or --remove without any"),
        (["demo", "--auth", "password"], "--auth wants USER:PASSWORD"),
        (["demo", "--auth", ":password"], "--auth wants USER:PASSWORD"),
    ],
)
def test_options_that_contradict_each_other_are_refused_before_a_model_is_loaded(call, arguments, message):
    result = call(*arguments, "--model", "nowhere")
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)


def test_a_voice_that_was_exported_away_is_no_more_in_the_list(call, run, tmp_path):
    exported = call("export", run, "--out", tmp_path / "few", "--speaker", "p22*")
    digest = exported.stdout.split()[-1]
    assert call("speakers", "--model", tmp_path / "few").stdout.split() == ["p225", "p226"]
    assert checkpoint.load(tmp_path / "few").digest == digest
