"""Kaldi tables: any white space, and bounds within recordings."""

from typer.testing import CliRunner

from vqspeech.cli.app import app
from vqspeech.data import corpus, kaldi


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_tables_have_any_white_space_and_segments_stay_within_recordings(data, tmp_path):
    table = data / "wav.scp"
    table.write_text(table.read_text().replace(" ", "\t ", 2))
    assert [row.key for row in kaldi.rows(table)] == ["s-a", "s-b"]
    assert corpus.validate(data) == []
    (data / "segments").write_text("s-a s-a 0.1 0.3\ns-b s-b 0.1 0.9\n")
    assert [fault.value for fault in corpus.validate(data)] == ["s-b"]
    assert call("data", "validate", data).exit_code == 2
