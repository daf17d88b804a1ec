"""Command `live`: pipes, devices that come and go, and bad input in one line."""

import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import vqspeech
from vqspeech.audio import devices
from vqspeech.cli import live
from vqspeech.errors import InputError
from vqspeech.inference.live import LiveConverter


def command(*arguments: object, data: bytes = b"") -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "vqspeech", "live", *map(str, arguments)], input=data, capture_output=True
    )


@pytest.fixture
def wav(speech) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, speech(0.3), 16000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def test_a_pipe_is_converted_to_a_pipe_of_the_same_kind_and_length(run, wav):
    out = command("-", "-o", "-", "--speaker", "p225", "--model", run, data=wav)
    assert out.returncode == 0, out.stderr
    assert out.stdout[:4] == b"RIFF"
    assert len(out.stdout) == len(wav)
    assert b"latency" in out.stderr
    raw = command("-", "-o", "-", "--speaker", "p225", "--model", run, data=wav[44:])
    assert raw.stdout == out.stdout[44:]
    short = command("-", "-o", "-", "--speaker", "p225", "--model", run, data=wav[:-1])
    assert short.returncode == 2
    assert b"ends in the middle of a sample" in short.stderr
    assert len(short.stdout) == len(wav) - 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"speaker": ""}, "whose voice?"),
        ({"out": None}, "go together"),
        ({"source": None}, "go together"),
        ({"speaker": "p999"}, "unknown speaker 'p999'"),
        ({"block_ms": -1.0}, "blocks of -1 ms"),
    ],
)
def test_bad_input_is_told(run, tmp_path, options, told):
    soundfile.write(tmp_path / "in.wav", np.zeros(1600), 16000)
    arguments = {"source": tmp_path / "in.wav", "speaker": "p225", "model": str(run), "out": str(tmp_path / "out.wav")}
    with pytest.raises(InputError, match=told):
        live.live(**arguments | options)
    assert not (tmp_path / "out.wav").exists()


def test_a_recording_is_converted_to_a_file(run, tmp_path, speech):
    soundfile.write(tmp_path / "in.wav", speech(0.3), 16000)
    live.live(tmp_path / "in.wav", "p225", str(run), str(tmp_path / "out.wav"), lookahead=0.0)
    assert soundfile.info(tmp_path / "out.wav").frames == 4800


class Duplex:
    """Devices that are unplugged after 5 blocks, and again after 3; then the user presses Ctrl-C."""

    lengths, played, latency_s = [5, 3], [], 0.01

    def __init__(self, source, sink, sample_rate, block, listen, speak):
        if not self.lengths:
            raise KeyboardInterrupt
        self.block, self.listen, self.speak, self.left = block, listen, speak, self.lengths.pop(0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @property
    def active(self):
        self.left -= 1
        self.listen(np.full(self.block, 0.1, np.float32))
        self.played.append(self.speak(self.block))
        return self.left > 0


def test_unplugged_devices_are_waited_for_until_the_user_ends(run, monkeypatch, capsys):
    monkeypatch.setattr(devices, "Duplex", Duplex)
    monkeypatch.setattr(devices, "rescan", lambda: None)
    monkeypatch.setattr(live.time, "sleep", lambda _: None)
    converter = LiveConverter(vqspeech.load(run), "p225")
    with pytest.raises(KeyboardInterrupt):
        live._convert_devices(converter, None, None)
    told = capsys.readouterr().err
    assert told.count("a device is gone") == 2
    assert told.count("real-time factor") == 2
    assert len(Duplex.played) == 8


def test_a_device_that_there_never_was_is_an_error(run, monkeypatch):
    def refuse(*_):
        raise InputError("no such device")

    monkeypatch.setattr(devices, "Duplex", refuse)
    with pytest.raises(InputError, match="no such device"):
        live._convert_devices(LiveConverter(vqspeech.load(run), "p225"), "x", None)
