"""Names that a terminal lacks, and JSON results."""

import json
import os
import subprocess
import sys
from pathlib import Path

from vqspeech import audio
from vqspeech.cli.options import results_of


def test_a_name_that_the_terminal_lacks_is_printed_as_its_bytes(run, tmp_path, speech):
    path = tmp_path / "\u03a9.wav"
    audio.write(path, speech(0.1), 16000)
    command = [sys.executable, "-m", "vqspeech", "encode", "--model", str(run), str(path)]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "cp1252"}, timeout=100)
    assert (done.returncode, done.stdout) == (0, os.fsencode(path.with_suffix(".vqs")) + b"\n")


def test_json_lists_what_was_done(call, run, tmp_path, speech):
    audio.write(tmp_path / "a.wav", speech(0.1), 16000)
    done = call("convert", "--model", run, "--speaker", "alice", tmp_path / "no.wav", tmp_path / "a.wav", "--json")
    assert done.exit_code == 2
    assert [row["path"] for row in json.loads(done.stdout)] == [str(tmp_path / "a.alice.wav")]


def test_results_of_a_model_that_is_not_ones_own_go_to_exp(run):
    assert results_of(str(run)) == run
    assert results_of("hf:owner/name") == Path("exp/owner-name")
    assert results_of("english-16k") == Path("exp/english-16k")
