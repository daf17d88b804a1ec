import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import vqspeech
from vqspeech import SamplingConfig, audio


def command(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "vqspeech", *map(str, arguments)], capture_output=True, text=True)


def test_a_recording_that_breaks_off_costs_none_of_the_others(run, tmp_path, speech):
    audio.write(tmp_path / "a.wav", speech(0.2), 16000)
    wave = speech(3.0)
    wave[40000:] = np.nan
    soundfile.write(tmp_path / "b.wav", wave, 16000, subtype="FLOAT")
    audio.write(tmp_path / "c.wav", speech(0.1), 16000)
    soundfile.write(tmp_path / "none.wav", np.zeros(1), 44100)
    paths = [tmp_path / name for name in ("missing.wav", "a.wav", "b.wav", "c.wav", "none.wav")]
    done = command("convert", "--model", run, "--speaker", "alice", *paths, "--json")
    assert done.returncode == 2
    converted = [row["path"] for row in json.loads(done.stdout)]
    assert converted == [str(tmp_path / f"{name}.alice.wav") for name in ("a", "c", "none")]
    assert "missing.wav: no such file" in done.stderr
    assert soundfile.info(tmp_path / "none.alice.wav").frames == 0
    assert "b.wav: has samples that are not numbers" in done.stderr
    assert soundfile.info(tmp_path / "a.alice.wav").frames == 3200
    assert not (tmp_path / "b.alice.wav").exists()


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("seconds", [0.0013, 0.3, 0.50004])
def test_a_conversion_is_exactly_as_long_as_its_source(run, tmp_path, speech, rate, seconds):
    soundfile.write(tmp_path / "in.wav", speech(seconds, rate), rate)
    done = vqspeech.convert(tmp_path / "in.wav", "p225", run)
    assert done.path == tmp_path / "in.p225.wav"
    frames = soundfile.info(tmp_path / "in.wav").frames
    assert soundfile.info(done.path).frames == round(frames * 16000 / rate)
    assert soundfile.info(done.path).samplerate == 16000
    assert len(done.codes) == -(-soundfile.info(done.path).frames // 16)


def test_several_recordings_are_converted_into_a_folder_and_told_as_json(run, tmp_path, speech):
    for name in ("a.wav", "b.flac"):
        audio.write(tmp_path / name, speech(0.2), 16000)
    paths = [tmp_path / "a.wav", tmp_path / "b.flac"]
    options = ["--model", run, "--speaker", "alice", "--out-dir", tmp_path / "out", "--seed", 3, "--temperature", 0.8]
    done = command("convert", *options, "--json", *paths)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [one["path"] for one in told] == [str(tmp_path / "out" / name) for name in ("a.alice.wav", "b.alice.wav")]
    assert told[0]["duration_s"] == pytest.approx(0.2)
    again = vqspeech.convert(paths[0], "alice", run, tmp_path / "again.wav", sampling=SamplingConfig(0.8, seed=3))
    assert again.path.read_bytes() == (tmp_path / "out/a.alice.wav").read_bytes()
