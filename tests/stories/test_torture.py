"""The campaigns of torture.py in their short form."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "campaigns"))
import torture


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torture") / "origin"
    torture.workplace(folder)
    return folder


@pytest.mark.parametrize("verb", ["pack", "train", "encode"])
def test_a_verb_that_is_killed_tears_nothing_and_ends_as_if_it_had_not_been(origin, verb):
    tally = torture.killed(verb, 1, 3, origin)
    assert not tally.faults
    assert sum(tally.counts[name] for name in torture.SIGNALS)


IN_A_CALLBACK = """
import ctypes, signal, sys, threading, time, typer
from vqspeech.cli import app as cli
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
start = threading.Thread.start
threading.Thread.start = lambda thread: (start(thread), time.sleep({slowness}))
def work():
    call = ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(signal.{sent}))
    call()
    for _ in range(1000):
        time.sleep(0.01)
cli.app = typer.Typer()
cli.app.command()(work)
sys.argv = ["vqspeech"]
cli.main()
"""


@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("slowness", [0, 0.3])
def test_a_request_to_end_is_heard_though_it_comes_within_a_callback_of_a_library(sent, slowness):
    code = IN_A_CALLBACK.format(sent=sent, slowness=slowness)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 130
    assert re.fullmatch("vqspeech: interrupted; .* is kept, .*; run the same command again\n", ended.stderr)


@pytest.mark.parametrize("kind", list(torture.HOSTILE))
def test_mutated_files_are_read_or_refused_in_one_line(kind):
    result = torture.HOSTILE[kind](150, 1)
    assert not result.faults
    assert result.refused


def test_the_campaign_notices_what_is_torn(origin, monkeypatch, tmp_path):
    monkeypatch.setattr(torture, "run", _tearing)
    assert any("is torn" in fault for fault in torture.killed("encode", 1, 0, origin).faults)


def _tearing(verb, folder, after_s=None, sent=9):
    """A verb that writes half of its file when it is killed."""
    (folder / "out.vqs").write_bytes(b"half" if after_s else b"half and half")
    return torture.Ended(0, "", 0.1 if after_s else 0.0)


@pytest.mark.parametrize("verb", ["pack", "tokenize"])
def test_on_a_disk_that_gets_full_nothing_is_torn_and_it_is_told(origin, verb, tmp_path):
    try:
        with torture.mounted(tmp_path):
            pass
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a disk of one's own needs root and mount")
    tally = torture.filled(verb, 2, 1, origin)
    assert not tally.faults
    assert tally.counts["full"]
