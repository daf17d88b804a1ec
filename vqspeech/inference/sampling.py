"""Speech from nothing, or from how a recording begins: the prior composes codes, the decoder says them."""

import math
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech import audio
from vqspeech.errors import InputError
from vqspeech.inference.prior_sampler import Codes, PriorSampler
from vqspeech.inference.speech_codec import Request, SpeechCodec

LONGEST_S = 3600.0


class SamplingConfig(NamedTuple):
    """How codes and samples are drawn: `temperature` and `top_p` are of the codes."""

    seed: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    decoder_temperature: float = 1.0


def sample_codes(
    sampler: PriorSampler, speaker: str, seconds: float, number: int, drawing: SamplingConfig = SamplingConfig(),
    prompt: Path | None = None,
) -> Codes:  # fmt: skip
    """Codes of `number` utterances, (number, frames, codebooks), those of the prompt first.

    Args:
        seconds: of new speech in each, rounded up to whole frames.
        prompt: a recording that each begins with, as the model says it in this voice.

    Raises:
        InputError: an unknown speaker, a length out of range, or a prompt that cannot be read.
    """
    model = sampler.model
    if not 0 < seconds <= LONGEST_S:
        raise InputError(f"seconds {seconds:g} is out of range; choose above 0 to {LONGEST_S:g}")
    frames = math.ceil(round(seconds * model.sample_rate) / model.hop)
    begun: Codes = np.zeros((0, model.codebooks), np.int64)
    if prompt:
        begun = model.encode(audio.read(prompt, model.sample_rate))
    new = sampler.sample(speaker, frames, number, drawing.seed, drawing.temperature, drawing.top_p, begun)
    return np.concatenate([np.tile(begun, (number, 1, 1)), new], axis=1)


def speak(
    model: SpeechCodec, codes: NDArray[np.integer], speaker: str, directory: Path,
    drawing: SamplingConfig = SamplingConfig(), progress: Callable[[float], None] = lambda _: None,
) -> Iterator[Path]:  # fmt: skip
    """Writes codes, (number, frames, codebooks), as SPEAKER-1.wav, SPEAKER-2.wav... and yields the paths.

    Args:
        progress: told the seconds that have been spoken, of all together.
    """
    requests = [Request([one], speaker, drawing.seed + number) for number, one in enumerate(codes)]
    spoken = model.decode_many(requests, drawing.decoder_temperature, 1.0, progress)
    for number, waves in groupby(spoken, lambda pair: pair[0]):
        path = directory / f"{speaker}-{number + 1}.wav"
        with audio.Writer(path, model.sample_rate) as writer:
            for _, wave in waves:
                writer.write(wave)
        yield path
