"""Microphones and loudspeakers by PortAudio, through the library sounddevice."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np

from vqspeech.errors import InputError
from vqspeech.shapes import Wave


def list_devices() -> str:
    """The audio devices, a line each: number, name, inputs and outputs; `>` and `<` mark the default ones.

    Raises:
        InputError: sounddevice or PortAudio is not installed.
    """
    return str(_sounddevice().query_devices()) or "no audio devices"


class Duplex:
    """A microphone and a loudspeaker, each mono, that call back from a thread of their own; a context manager.

    Args:
        source: number or part of the name of the input device; None: the default one.
        sink: the same of the output device.
        sample_rate: in Hz.
        block: samples of a callback.
        listen: is called with each block of the input, (block,).
        speak: is called for each block of the output with its length, and returns it.

    Raises:
        InputError: sounddevice or PortAudio is not installed; no such device, or not at this sample rate.
    """

    def __init__(
        self, source: str | None, sink: str | None, sample_rate: int, block: int, listen: Callable[[Wave], None],
        speak: Callable[[int], Wave],
    ) -> None:  # fmt: skip
        self._library = _sounddevice()
        self._listen, self._speak = listen, speak
        self._options: dict[str, Any] = {"samplerate": sample_rate, "channels": 1, "dtype": "float32"}
        self._devices, self._block = (_number(source), _number(sink)), block
        self._check()

    def _check(self) -> None:
        library, rate = self._library, self._options["samplerate"]
        checks = (library.check_input_settings, library.check_output_settings)
        for kind, device, check in zip(("input", "output"), self._devices, checks, strict=True):
            named = f"{kind} device {device!r}" if device is not None else f"default {kind} device"
            try:
                found = library.query_devices(device, kind)
            except (ValueError, library.PortAudioError) as error:
                reason = str(error).splitlines()[0]
                raise InputError(f"{named}: there is none ({reason}); see --list-devices") from None
            try:
                check(device=device, **self._options)
            except (ValueError, library.PortAudioError) as error:
                reason = str(error).splitlines()[0]
                raise InputError(
                    f"{named} ({found['name']}): does not work at {rate} Hz in mono ({reason}); choose another one, "
                    "such as `default` or `pulse`, which convert rates"
                ) from None

    def __enter__(self) -> "Duplex":
        """Open the devices and start them."""

        def listen(samples: np.ndarray, *_: Any) -> None:
            self._listen(samples[:, 0].copy())

        def speak(samples: np.ndarray, *_: Any) -> None:
            samples[:, 0] = self._speak(len(samples))

        source, sink = self._devices
        common = self._options | {"blocksize": self._block, "latency": "low"}
        with ExitStack() as stack:
            try:
                self._streams = [
                    stack.enter_context(self._library.InputStream(device=source, callback=listen, **common)),
                    stack.enter_context(self._library.OutputStream(device=sink, callback=speak, **common)),
                ]
            except self._library.PortAudioError as error:
                raise InputError(f"the audio devices cannot be opened ({str(error).splitlines()[0]})") from None
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        with suppress(self._library.PortAudioError):  # a device that is gone cannot be closed
            self._open.close()

    @property
    def latency_s(self) -> float:
        """Seconds that the devices add, as they say."""
        return sum(stream.latency for stream in self._streams)

    @property
    def active(self) -> bool:
        """Whether both devices still run; an unplugged one does not."""
        try:
            return all(stream.active for stream in self._streams)
        except self._library.PortAudioError:
            return False


def rescan() -> None:
    """Look for devices again: PortAudio knows those alone that there were when it was initialised."""
    library = _sounddevice()
    with suppress(library.PortAudioError):
        library._terminate()
        library._initialize()


def _number(device: str | None) -> int | str | None:
    return int(device) if device is not None and device.isdecimal() else device


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise InputError("microphones need sounddevice; pip install 'vqspeech[live]'") from None
    except OSError:
        raise InputError(
            "microphones need the PortAudio library; install it, for example apt-get install libportaudio2"
        ) from None
    return sounddevice
