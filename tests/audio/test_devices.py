"""Audio devices, by a library with two devices that there are not."""

import builtins
import sys
import types

import numpy as np
import pytest

from vqspeech.audio import devices
from vqspeech.errors import InputError


class PortAudioError(Exception):
    """As of sounddevice."""


class Stream:
    """A device that calls back when `tick` is called."""

    open: list = []  # noqa: RUF012
    latency, active = 0.01, True

    def __init__(self, device, callback, samplerate, channels, dtype, blocksize, latency):
        if device == "busy":
            raise PortAudioError("Device unavailable [-9985]")
        self.device, self.callback, self.block = device, callback, blocksize

    def __enter__(self):
        Stream.open.append(self)
        return self

    def __exit__(self, *_):
        Stream.open.remove(self)

    def tick(self, samples):
        self.callback(samples, len(samples), None, None)


def query_devices(device=None, kind=None):
    if kind is None:
        return "  0 microphone (1 in, 0 out)\n  1 loudspeaker (0 in, 1 out)"
    if device == "nowhere":
        raise ValueError(f"No {kind} device matching {device!r}")
    if device == 7:
        raise PortAudioError("Error querying device 7")
    return {"name": "hw:0"}


def check_settings(device, samplerate, channels, dtype):
    if samplerate != 16000:
        raise PortAudioError("Invalid sample rate [PaErrorCode -9997]")


@pytest.fixture
def library(monkeypatch):
    module = types.ModuleType("sounddevice")
    module.__dict__.update(
        query_devices=query_devices, check_input_settings=check_settings, check_output_settings=check_settings,
        PortAudioError=PortAudioError, InputStream=Stream, OutputStream=Stream, _terminate=lambda: None,
        _initialize=lambda: None,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module


def duplex(source=None, sink=None, rate=16000, heard=None):
    return devices.Duplex(source, sink, rate, 320, (heard if heard is not None else []).append, np.ones)


def test_what_a_microphone_hears_is_taken_and_what_is_spoken_is_played(library):
    heard, silence = [], np.zeros((320, 1), np.float32)
    with duplex("0", "loud", heard=heard) as pair:
        microphone, loudspeaker = Stream.open
        assert (microphone.device, loudspeaker.device) == (0, "loud")
        microphone.tick(np.full((320, 1), 0.5, np.float32))
        loudspeaker.tick(silence)
        assert pair.active
        assert pair.latency_s == pytest.approx(0.02)
        loudspeaker.active = False
        assert not pair.active
    assert heard[0].shape == (320,)
    assert (heard[0] == 0.5).all()
    assert (silence == 1).all()
    assert not Stream.open
    assert "microphone" in devices.list_devices()
    devices.rescan()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"source": "nowhere"}, "input device 'nowhere': there is none"),
        ({"sink": "7"}, "output device 7: there is none"),
        ({"rate": 44100}, r"default input device \(hw:0\): does not work at 44100 Hz"),
    ],
)
def test_a_device_that_does_not_fit_is_told(library, arguments, told):
    with pytest.raises(InputError, match=told):
        duplex(**arguments)


def test_a_device_that_is_in_use_is_told_and_the_other_one_closed(library):
    with pytest.raises(InputError, match="cannot be opened"), duplex(sink="busy"):
        pass
    assert not Stream.open


@pytest.mark.parametrize(
    ("error", "told"), [(ImportError, r"vqspeech\[live\]"), (OSError("PortAudio library not found"), "libportaudio2")]
)
def test_a_missing_library_is_told_with_its_cure(monkeypatch, error, told):
    real = builtins.__import__

    def fail(name, *rest):
        if name == "sounddevice":
            raise error
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(InputError, match=told):
        devices.list_devices()
