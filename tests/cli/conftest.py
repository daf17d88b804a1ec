"""Fixtures of several files."""

import pytest
from click.testing import Result
from typer.testing import CliRunner

from vqspeech.cli.app import app


@pytest.fixture
def call():
    """Runs the command within this process: call("data", "split", folder)."""

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run
