"""Pipes of audio that is being recorded or played: read and written as it comes."""

from collections.abc import Iterator
from typing import BinaryIO

from vqspeech.audio import wav
from vqspeech.audio.io import PIPE, resampled
from vqspeech.audio.preprocessing import Mixing
from vqspeech.errors import InputError
from vqspeech.shapes import Wave

READ_BYTES = 1 << 14
"""Bytes that are read at once, at most."""


def live_blocks(file: BinaryIO, sample_rate: int) -> tuple[bool, Iterator[Wave]]:
    """Whether a pipe holds a WAV, and its blocks as they arrive, mixed to mono and resampled.

    Without the header of a WAV, the samples are raw: 16-bit, little-endian, mono, at `sample_rate`.

    Raises:
        InputError: the header is broken; later, samples that are not numbers, or half a sample at the end.
    """
    head = file.read(4)
    if not head:
        raise InputError(f"{PIPE}: holds no samples; pipe a recording into it")
    is_wav = head == b"RIFF"
    form = wav.header(wav.Unread(head, file))[0] if is_wav else wav.Format(sample_rate, 1, 16, False)

    def mono() -> Iterator[Wave]:
        data = b"" if is_wav else head
        while True:
            whole = len(data) // form.block * form.block
            if whole:
                yield Mixing().mix(form.decode(data[:whole]), PIPE)
            new = file.read1(READ_BYTES)  # type: ignore[attr-defined]
            data = data[whole:] + new
            if not new:
                break
        if data:
            raise InputError(f"{PIPE}: ends in the middle of a sample; what came before it is converted")

    return is_wav, resampled(mono(), form.rate, sample_rate)
