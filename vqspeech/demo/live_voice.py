"""Live conversion of what the microphone of a browser hears."""

import io
import queue
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqspeech.audio.preprocessing import Mixing, as_frames
from vqspeech.errors import InputError
from vqspeech.inference.live import LiveConverter
from vqspeech.shapes import Wave

CHUNK_S = 0.5
"""Length of the chunks that a browser is sent."""
SILENT_S = 10.0
"""Time without a microphone after which a conversion has ended."""


class LiveVoice:
    """A live conversion for one person, at the rate of their microphone.

    Args:
        converter: converts.
        lock: is held while it works.
        limit_s: seconds after which it ends.
    """

    def __init__(self, converter: LiveConverter, lock: threading.Lock, limit_s: float) -> None:
        self._converter, self._lock, self._limit_s = converter, lock, limit_s
        self._resampler: Any = None
        self._rate, self._input_s = 0, 0.0
        self._waves: queue.Queue[Wave | None] = queue.Queue()

    @property
    def latency_s(self) -> float:
        """Seconds by which the output lags behind the input."""
        return self._converter.latency_s

    def push(self, rate: int, samples: NDArray) -> None:
        """Converts more of the microphone, (time,) or (time, channels); `chunks` gives the result.

        Raises:
            InputError: the limit is reached, the rate changes, or samples that are not numbers.
        """
        import soxr

        self._input_s += len(samples) / rate
        if self._input_s > self._limit_s:
            raise InputError(f"live conversion ends after {self._limit_s:.0f} s here; start it again")
        if self._resampler is None:
            self._rate = rate
            self._resampler = soxr.ResampleStream(rate, self._converter.sample_rate, 1, dtype="float32")
        if rate != self._rate:
            raise InputError("the microphone changed its sample rate; start it again")
        wave = self._resampler.resample_chunk(Mixing().mix(as_frames(samples), "the microphone"))
        with self._lock:
            self._waves.put(self._converter.push(wave.astype(np.float32)))

    def stop(self) -> None:
        """Ends the conversion; the rest is still given."""
        with self._lock:
            self._waves.put(self._converter.finish())
        self._waves.put(None)

    def chunks(self) -> Iterator[bytes]:
        """The output in WAVs of CHUNK_S as it comes, until the conversion is stopped or the microphone is silent."""
        ready, ended = np.zeros(0, np.float32), False
        while not ended:
            try:
                wave = self._waves.get(timeout=SILENT_S)
            except queue.Empty:
                wave = None
            ended = wave is None
            ready = ready if wave is None else np.concatenate([ready, wave])
            if len(ready) and (ended or len(ready) >= CHUNK_S * self._converter.sample_rate):
                yield _wav(ready, self._converter.sample_rate)
                ready = ready[:0]


def _wav(wave: Wave, sample_rate: int) -> bytes:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, wave, sample_rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
