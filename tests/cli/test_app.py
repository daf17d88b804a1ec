"""Command line: bad input is one line, and help is light."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vqspeech import audio


def command(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "vqspeech", *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--speaker", "p255", "good.wav"], "unknown speaker 'p255'; nearest of 3 speakers: p225"),
        (["--speaker", "p225", "missing.wav"], "missing.wav: no such file"),
        (["--speaker", "p225", "empty.wav"], "is empty (0 bytes)"),
        (["--speaker", "p225", "text.wav"], "is not audio"),
        (["--speaker", "p225", "nan.wav"], "not numbers"),
        (["--speaker", "p225", "good.wav", "-o", "out.mp3"], "end the name in .wav or .flac"),
        (["--speaker", "p225", "good.wav", "-o", "no/such/out.wav"], "cannot be written"),
        (["--speaker", "p225", "good.wav", "-o", "good.wav"], "is read by this command"),
        (["--speaker", "p225", "good.wav", "good.wav"], "would overwrite each other"),
        (["--speaker", "p225", "good.wav", "nan.wav", "-o", "x.wav"], "use --out-dir"),
        (["--speaker", "p225", "good.wav", "--out-dir", "text.wav"], "text.wav: cannot be made (File exists)"),
        (["--speaker", "p225", "good.wav", "--engine", "abacus"], "choose from numba, torch"),
        (["--speaker", "p225", "good.wav", "--device", "toaster"], "toaster"),
        (["--speaker", "p225", "good.wav", "--temperature", "-1"], "temperature -1 is out of range"),
        (["--speaker", "p225", "good.wav", "--top-p", "0"], "top_p 0 is out of range"),
        (["--speaker", "p225", "good.wav", "--precision", "int3"], "choose from bfloat16, float32"),
        (
            ["--speaker", "p225", "good.wav", "--model", "nowhere"],
            "nowhere: is no run directory",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2_and_leaves_nothing(run, tmp_path, speech, monkeypatch, arguments, error):
    monkeypatch.chdir(tmp_path)
    audio.write("good.wav", speech(0.2), 16000)
    Path("empty.wav").write_bytes(b"")
    Path("text.wav").write_text("no sound\n" * 50)
    nan = np.full(1600, np.nan, np.float32)
    soundfile.write("nan.wav", nan, 16000, subtype="FLOAT")
    before = sorted(tmp_path.rglob("*"))
    model = [] if "--model" in arguments else ["--model", run]
    done = command("convert", *model, *arguments)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("vqspeech: ")]
    assert len(lines) == 1
    assert error in lines[0]
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_help_needs_no_heavy_import():
    heavy = (
        "import sys, vqspeech.cli.app; print([m for m in ('torch', 'numpy', 'numba', 'librosa') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
    assert "convert" in command("--help").stdout
