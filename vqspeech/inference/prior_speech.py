"""Speech from a prior: sampled codes, with or without a prompt, decoded to files."""

import math
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from vqspeech import audio
from vqspeech.errors import InputError
from vqspeech.inference.prior_sampler import PriorSampler
from vqspeech.inference.sampling_config import SamplingConfig
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.inference.vocoder import Request
from vqspeech.shapes import Codes

MAX_DURATION_S = 3600.0


def sample_codes(
    sampler: PriorSampler, speaker: str, duration_s: float, number: int, sampling: SamplingConfig = SamplingConfig(),
    prompt: Path | None = None,
) -> Codes:  # fmt: skip
    """Codes of `number` utterances, (number, frames, codebooks), each beginning with those of the prompt.

    Args:
        duration_s: of the new speech of each, rounded up to whole frames.
        sampling: of the codes.
        prompt: a recording that each utterance begins with.

    Raises:
        InputError: an unknown speaker, a duration out of range, or a prompt that cannot be read.
    """
    model = sampler.model
    if not 0 < duration_s <= MAX_DURATION_S:
        raise InputError(f"seconds {duration_s:g} is out of range; choose above 0 to {MAX_DURATION_S:g}")
    frames = math.ceil(round(duration_s * model.sample_rate) / model.hop)
    prompt_codes: Codes = np.zeros((0, model.codebooks), np.int64)
    if prompt:
        prompt_codes = model.encode(audio.read(prompt, model.sample_rate))
    new = sampler.sample(speaker, frames, number, sampling, prompt_codes)
    return np.concatenate([np.tile(prompt_codes, (number, 1, 1)), new], axis=1)


def decode_to_files(
    model: SpeechCodec, codes: Codes, speaker: str, directory: Path, sampling: SamplingConfig = SamplingConfig(),
    progress: Callable[[float], None] = lambda _: None,
) -> Iterator[Path]:  # fmt: skip
    """Write codes, (number, frames, codebooks), as SPEAKER-1.wav, SPEAKER-2.wav...; yields the paths.

    Args:
        sampling: of the vocoder; utterance n adds n to its seed.
        progress: is called with the seconds that were decoded so far, of all together.
    """
    requests = [
        Request([utterance], speaker, sampling._replace(seed=sampling.seed + number))
        for number, utterance in enumerate(codes)
    ]
    for number, waves in groupby(model.decode_many(requests, progress), lambda pair: pair[0]):
        path = directory / f"{speaker}-{number + 1}.wav"
        with audio.Writer(path, model.sample_rate) as writer:
            for _, wave in waves:
                writer.write(wave)
        yield path
