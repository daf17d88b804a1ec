"""Streaming encoder and decoder: push samples or bytes, get what is complete."""

from typing import Any

import numpy as np

from vqspeech.codec import vqs_files
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.shapes import Wave
from vqspeech.system.push import PushAdapter


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
        self._adapter = PushAdapter(lambda blocks: vqs_files.encode_blocks(model, blocks, speaker, **options))

    def push(self, samples: Wave) -> bytes:
        """The bytes that are complete after these samples, (time,)."""
        return b"".join(self._adapter.push(samples))

    def finish(self) -> bytes:
        """The rest of the bytes."""
        return b"".join(self._adapter.finish())


class StreamingDecoder:
    """Streaming decoder: push bytes of a .vqs, get samples; options are those of `vqs_files.decode_blocks`."""

    def __init__(self, model: SpeechCodec, **options: Any) -> None:
        self._adapter = PushAdapter(lambda blocks: vqs_files.decode_blocks(model, blocks, **options))

    def push(self, data: bytes) -> Wave:
        """The samples that are complete after these bytes, (time,)."""
        return np.concatenate([np.zeros(0, np.float32), *self._adapter.push(data)])

    def finish(self) -> Wave:
        """The rest of the samples."""
        return np.concatenate([np.zeros(0, np.float32), *self._adapter.finish()])
