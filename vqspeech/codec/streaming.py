"""Streaming encoder and decoder: push samples or bytes, get what is complete."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from vqspeech.codec import vqs_files
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.shapes import Wave


class StreamingEncoder:
    """Streaming encoder: push samples, get bytes of a .vqs.

    Example:
        ```
        encoder = Encoder(model, "p225")
        for block in microphone:
            file.write(encoder.push(block))
        file.write(encoder.finish())
        ```
    """

    def __init__(self, model: SpeechCodec, speaker: str = "", **options: Any) -> None:
        self._turned = _PushAdapter(lambda blocks: vqs_files.encode_blocks(model, blocks, speaker, **options))

    def push(self, samples: Wave) -> bytes:
        """The bytes that are complete after these samples, (time,)."""
        return b"".join(self._turned.push(samples))

    def finish(self) -> bytes:
        """The rest of the bytes."""
        return b"".join(self._turned.finish())


class StreamingDecoder:
    """Streaming decoder: push bytes of a .vqs, get samples; options are those of `vqs_files.decode_blocks`."""

    def __init__(self, model: SpeechCodec, **options: Any) -> None:
        self._turned = _PushAdapter(lambda blocks: vqs_files.decode_blocks(model, blocks, **options))

    def push(self, data: bytes) -> Wave:
        """The samples that are complete after these bytes, (time,)."""
        return np.concatenate([np.zeros(0, np.float32), *self._turned.push(data)])

    def finish(self) -> Wave:
        """The rest of the samples."""
        return np.concatenate([np.zeros(0, np.float32), *self._turned.finish()])


class _PushAdapter:
    """Push interface of a function from an iterable to an iterator, which runs in a thread.

    The function runs in a thread that waits for the next push whenever it asks for its next input.
    """

    def __init__(self, function: Callable[[Iterable], Iterator]) -> None:
        self._in: queue.Queue = queue.Queue()
        self._out: queue.Queue = queue.Queue()

        def inputs() -> Iterator:
            while True:
                self._out.put(("wants", None))
                item = self._in.get()
                if item is None:
                    return
                yield item

        def work() -> None:
            try:
                for result in function(inputs()):
                    self._out.put(("has", result))
                self._out.put(("ends", None))
            except BaseException as fault:  # for whoever pushes next
                self._out.put(("fails", fault))

        threading.Thread(target=work, daemon=True).start()
        self._early = self._collect()

    def push(self, item: Any) -> list:
        self._in.put(item)
        early, self._early = self._early, []
        return early + self._collect()

    def finish(self) -> list:
        return self.push(None)

    def _collect(self) -> list:
        found = []
        while True:
            what, value = self._out.get()
            if what == "fails":
                raise value
            if what != "has":
                return found
            found.append(value)
