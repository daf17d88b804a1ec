"""Commands of codes: files and pipes, bad input, and thinning."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile

import vqspeech
from vqspeech import audio
from vqspeech.codec import thinning, vqs_files


def command(*arguments: object, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "vqspeech", *map(str, arguments)], capture_output=True, input=data)


def test_files_and_pipes_say_the_same(run, tmp_path, speech):
    audio.write(tmp_path / "in.wav", speech(0.5, 22050), 22050)
    options = ["--model", run]
    assert command("encode", *options, "--speaker", "p225", tmp_path / "in.wav").returncode == 0
    piped = command("encode", *options, "--speaker", "p225", "-", "-o", "-", data=(tmp_path / "in.wav").read_bytes())
    assert piped.returncode == 0, piped.stderr
    assert piped.stdout == (tmp_path / "in.vqs").read_bytes()
    done = command("decode", *options, tmp_path / "in.vqs", "-o", tmp_path / "out.wav")
    assert done.returncode == 0, done.stderr
    piped = command("decode", *options, "-", "-o", "-", data=(tmp_path / "in.vqs").read_bytes())
    assert piped.returncode == 0, piped.stderr
    assert soundfile.info(tmp_path / "out.wav").frames == 8000
    assert len(piped.stdout) == 44 + 2 * 8000
    assert (
        np.abs(np.frombuffer(piped.stdout[44:], "<i2") / 32768 - soundfile.read(tmp_path / "out.wav")[0]).max() < 1e-4
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["decode", "text.vqs"], "text.vqs: is no .vqs file: it begins with b'no s'"),
        (["decode", "empty.vqs"], "empty.vqs: is empty (0 bytes)"),
        (["decode", "missing.vqs"], "missing.vqs: no such file"),
        (["decode", "cut.vqs"], "cut.vqs: is cut short at chunk 0"),
        (["decode", "nobody.vqs"], "nobody.vqs: names no voice; choose one with --speaker"),
        (["decode", "nobody.vqs", "--speaker", "p22"], "unknown speaker 'p22'"),
        (["encode", "text.vqs", "-o", "x.vqs"], "text.vqs: is not audio"),
        (["encode", "text.vqs"], "text.vqs: is read by this command"),
        (["encode", "good.wav", "--speaker", "bob"], "unknown speaker 'bob'"),
        (["encode", "good.wav", "-o", "no/such.vqs"], "no/such.vqs: cannot be written"),
        (["encode", "-"], "what comes from stdin has no name"),
        (["encode", "-", "-o", "x.vqs"], "standard input: is not audio"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2_and_leaves_nothing(run, tmp_path, speech, monkeypatch, arguments, error):
    monkeypatch.chdir(tmp_path)
    audio.write("good.wav", speech(0.1), 16000)
    data = b"".join(vqs_files.encode_blocks(vqspeech.load(run), [speech(0.1)]))
    for name, content in {"text": b"no sound\n" * 50, "empty": b"", "cut": data[:-5], "nobody": data}.items():
        (tmp_path / f"{name}.vqs").write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    done = command(*arguments, "--model", run, data=b"rubbish" * 100)
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.decode().splitlines() if line.startswith("vqspeech: ")]
    assert len(lines) == 1
    assert error in lines[0]
    assert b"Traceback" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_thinning_by_the_command_is_thinning_of_the_bytes(run_of_two_codebooks, tmp_path, speech):
    model = vqspeech.load(run_of_two_codebooks)
    data = b"".join(vqs_files.encode_blocks(model, [speech(0.2)], "alice"))
    (tmp_path / "in.vqs").write_bytes(data)
    done = command("thin", tmp_path / "in.vqs", "--codebooks", "1")
    assert (done.returncode, done.stdout.decode().strip()) == (0, str(tmp_path / "in.1.vqs"))
    assert (tmp_path / "in.1.vqs").read_bytes() == b"".join(thinning.thin([data], 1))
    assert command("thin", "-", "-o", "-", data=data).stdout == (tmp_path / "in.1.vqs").read_bytes()
    more = command("thin", tmp_path / "in.vqs", "--codebooks", "3")
    assert more.returncode == 2
    assert b"3 codebooks are requested" in more.stderr
    assert not (tmp_path / "in.3.vqs").exists()
