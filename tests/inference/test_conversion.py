"""Conversion of recordings: length, level, and what one failure costs."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import vqspeech
from vqspeech import InputError, SamplingConfig, audio
from vqspeech.audio import loudness
from vqspeech.inference import conversion


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


def test_a_conversion_is_as_loud_as_the_voice_or_the_source_and_never_clips(run_with_levels, speech, tmp_path):
    model = vqspeech.load(run_with_levels)
    wave = np.concatenate([np.zeros(16000), speech(1.0), np.zeros(16000)]).astype(np.float32)
    audio.write(tmp_path / "in.wav", wave / 4, 16000)
    source = loudness.analyse_level([wave / 4], 16000).level_db

    def said(speaker: str, level: str):
        conversion.convert(model, tmp_path / "in.wav", speaker, tmp_path / "out.wav", level=level)
        return audio.read(tmp_path / "out.wav", 16000)

    for speaker, level, expected in (("p226", "voice", -30.0), ("p226", "source", source), ("alice", "voice", source)):
        out = loudness.analyse_level([said(speaker, level)], 16000)
        assert abs(out.level_db - expected) < 0.2 or (out.level_db < expected and abs(out.peak - 0.98) < 0.01)
        assert out.peak <= 0.981
        assert not said(speaker, level)[: 16000 - 3000].any()
    codes = model.encode(audio.read(tmp_path / "in.wav", 16000))
    raw = model.decode(codes, "p226", length=len(wave))
    assert np.abs(said("p226", "raw") - raw).max() < 1e-4
    with pytest.raises(InputError, match="level 'loud' is unknown"):
        said("p226", "loud")


def test_silence_and_the_loudest_of_recordings_are_converted(run_with_levels, tmp_path):
    model = vqspeech.load(run_with_levels)
    square = np.where(np.arange(8000) % 100 < 50, 1.0, -1.0).astype(np.float32)
    for name, wave in (("silence", np.zeros(8000, np.float32)), ("square", square), ("tick", np.eye(1, 8000)[0])):
        audio.write(tmp_path / f"{name}.wav", wave, 16000)
        for level in ("voice", "source"):
            done = conversion.convert(model, tmp_path / f"{name}.wav", "p225", tmp_path / "out.wav", level=level)
            out = audio.read(done.path, 16000)
            assert len(out) == 8000
            assert np.abs(out).max() <= 0.981
            assert name != "silence" or not out.any()
