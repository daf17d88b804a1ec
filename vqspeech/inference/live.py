"""Live conversion: push samples of a voice, get samples of another a fixed time later."""

import math
import queue
import threading
import time
from collections.abc import Iterable, Iterator

import numpy as np

from vqspeech.audio.running_level import PauseGate, RunningGain, RunningLevel
from vqspeech.errors import InputError
from vqspeech.inference.conversion import MAX_GAIN_DB, MAX_PEAK
from vqspeech.inference.sampling_config import SamplingConfig
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.shapes import Wave
from vqspeech.system.push import PushAdapter


class LiveConverter:
    """Conversion to a speaker's voice of a wave that arrives in blocks of any size, at the model's sample rate.

    It is the model of `convert` with little look-ahead: the output lags behind the input by `latency` samples.  As in
    `convert`, the input is brought to the speaker's level before it is encoded, here by the level of its past, and long
    pauses are silent.

    Args:
        model: with either vocoder.
        speaker: one of `model.speakers`.
        block_ms: the input is converted in blocks of this length, rounded up to whole codes.
        lookahead_s: see `SpeechCodec.encode_blocks`; it adds to the latency.
        sampling: of the vocoder.

    Raises:
        InputError: an unknown speaker, a length or look-ahead out of range.

    Example:
        ```
        converter = LiveConverter(model, "p225", block_ms=40)
        for block in microphone:
            loudspeaker.write(converter.push(block))
        loudspeaker.write(converter.finish())
        ```
    """

    def __init__(
        self, model: SpeechCodec, speaker: str, block_ms: float = 20.0, lookahead_s: float = 0.0,
        sampling: SamplingConfig = SamplingConfig(),
    ) -> None:  # fmt: skip
        if not 0 < block_ms <= 1000:
            raise InputError(f"blocks of {block_ms:g} ms; give more than 0, and at most 1000")
        self.sample_rate = model.sample_rate
        self.block = math.ceil(block_ms / 1000 * model.sample_rate / model.hop - 1e-9) * model.hop
        self.latency = model.live_latency(lookahead_s)
        self._level = RunningLevel(model.sample_rate)
        self._gain = RunningGain(self._level, model.level_db(speaker), MAX_GAIN_DB)
        self._gate = PauseGate(self._level)
        self._buffer: list[Wave] = []
        self._n_pushed = self._n_returned = 0

        def convert(blocks: Iterable[Wave]) -> Iterator[Wave]:
            return model.decode_live(model.encode_blocks(blocks, None, lookahead_s), speaker, sampling)

        for _ in convert([np.zeros(self.latency + self.block, np.float32)]):
            pass  # the first time is slow: libraries plan, and engines are compiled
        self._adapter = PushAdapter(convert)

    @property
    def latency_s(self) -> float:
        """Seconds by which the output lags behind the input; a block, and what a device adds, come on top."""
        return self.latency / self.sample_rate

    def push(self, wave: Wave) -> Wave:
        """The part of the output that is complete after more input: (time,) -> (time,), maybe none."""
        self._buffer.append(np.asarray(wave, np.float32))
        samples = np.concatenate(self._buffer)
        whole = len(samples) // self.block * self.block
        self._buffer = [samples[whole:]]
        blocks = np.split(samples[:whole], range(self.block, whole, self.block)) if whole else []
        return np.concatenate([np.zeros(0, np.float32), *map(self._convert, blocks)])

    def finish(self) -> Wave:
        """The rest of the output, which is then as long as the input."""
        rest = self._convert(np.concatenate([np.zeros(0, np.float32), *self._buffer]))
        n_missing = self._n_pushed - self._n_returned
        return np.concatenate([rest, self._returned(self._adapter.finish())])[: len(rest) + n_missing]

    def _convert(self, block: Wave) -> Wave:
        self._n_pushed += len(block)
        self._level.add(block)
        return self._returned(self._adapter.push(self._gain(block)))

    def _returned(self, waves: list[Wave]) -> Wave:
        wave = np.concatenate([np.zeros(0, np.float32), *waves])
        self._n_returned += len(wave)
        return np.clip(self._gate(wave), -MAX_PEAK, MAX_PEAK)


class LiveSession:
    """A converter between a microphone and a loudspeaker, which are served by threads of their own.

    The microphone calls `listen`, the loudspeaker `speak`; `work` converts in between.  Where it cannot keep up, the
    oldest input is dropped and the output is silent for that long, so that the delay never grows; where the clocks of
    the devices differ, output is dropped or silent now and then.  Each such event counts as a dropout.

    Args:
        converter: converts the input.
    """

    MAX_BLOCKS = 8
    """Blocks of input that wait to be converted, and of output that wait to be played, at most."""
    READY_BLOCKS = 1
    """Blocks of output that wait before the first one is played."""

    def __init__(self, converter: LiveConverter) -> None:
        self.dropouts, self.busy_s, self.converted_s = 0, 0.0, 0.0
        self.last_input: Wave = np.zeros(0, np.float32)
        self._converter = converter
        self._input: queue.Queue[Wave] = queue.Queue(self.MAX_BLOCKS)
        self._output, self._lock, self._playing = np.zeros(0, np.float32), threading.Lock(), False

    @property
    def latency_s(self) -> float:
        """Seconds from the input to the output, without what the devices add."""
        return self._converter.latency_s + (1 + self.READY_BLOCKS) * self._converter.block / self._converter.sample_rate

    @property
    def real_time_factor(self) -> float:
        """Time of conversion divided by the time of what was converted."""
        return self.busy_s / max(self.converted_s, 1e-9)

    def listen(self, wave: Wave) -> None:
        """Takes a block of input, (time,); returns at once."""
        try:
            self._input.put_nowait(wave)
        except queue.Full:
            self.dropouts += 1
            self._input.get_nowait()
            self._input.put_nowait(wave)

    def speak(self, number: int) -> Wave:
        """The next `number` samples of the output; returns at once."""
        block = self._converter.block
        with self._lock:
            if not self._playing and len(self._output) >= number + self.READY_BLOCKS * block:
                self._playing = True
            if not self._playing:
                return np.zeros(number, np.float32)
            wave, self._output = self._output[:number], self._output[number:]
            if len(wave) < number:
                self.dropouts, self._playing = self.dropouts + 1, False
            return np.pad(wave, (0, number - len(wave)))

    def work(self, timeout_s: float) -> bool:
        """Converts the next block of input; returns whether one came in time."""
        try:
            wave = self._input.get(timeout=timeout_s)
        except queue.Empty:
            return False
        start = time.perf_counter()
        converted = self._converter.push(wave)
        self.busy_s += time.perf_counter() - start
        self.converted_s += len(wave) / self._converter.sample_rate
        self.last_input = wave
        with self._lock:
            self._output = np.concatenate([self._output, converted])
            longest = self.MAX_BLOCKS * self._converter.block
            if len(self._output) > longest:
                self.dropouts += 1
                self._output = self._output[len(self._output) - longest // 2 :]
        return True
