"""Training of a vocoder from packed speech, and what it is worth on held-out data."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vqspeech import checkpoint, config, mulaw
from vqspeech.archives import Packed
from vqspeech.dataset import WaveBatch, WaveCrops, collate_waves
from vqspeech.errors import InputError
from vqspeech.fitting import Measured, Progress, fit
from vqspeech.models.vocoder import WaveNetVocoder
from vqspeech.training import spread, started
from vqspeech.training_state import drawn

GAINS_S = 600.0
"""Seconds of training data on which the gains of a vocoder's sub-bands are measured."""


def train_vocoder(
    settings: config.VocoderConfig,
    train: Sequence[str | Path],
    held_out: Sequence[str | Path],
    directory: Path,
    report: Callable[[Progress], None] = lambda _: None,
) -> dict[str, float]:
    """Trains a WaveNet vocoder on packed folders, or URLs of them, into a run directory; see `fit`.

    Raises:
        InputError: no packed speech, another sample rate than the config's, or a run directory that holds something
            else.
    """
    parts, held = [Packed(one) for one in train], [Packed(one) for one in held_out]
    for part in parts + held:
        part.check_sample_rate(settings.vocoder.sample_rate)
    speakers = sorted({speaker for part in parts for speaker in part.speakers})
    model = drawn(lambda: WaveNetVocoder(settings.vocoder), settings.training.seed)
    places = spread(list(dict(zip(train, parts, strict=True)).values()), GAINS_S * settings.vocoder.sample_rate)
    model.measure_gains_([torch.from_numpy(_whole_frames(part[at], model.step)) for part, at in places])
    if settings.training.init:
        begun = checkpoint.load_vocoder(settings.training.init)
        if begun.config.vocoder != settings.vocoder:
            raise InputError(f"{settings.training.init}: is a vocoder of other sizes; begin with one of the same")
        model.load_state_dict(begun.model.state_dict())
    crops = WaveCrops(
        parts, speakers, settings.training.crop, settings.training.spoken or settings.training.crop, model.step,
        settings.training.seed, settings.training.noise, gain_db=settings.training.gain_db,
        balance=settings.training.balance,
    )  # fmt: skip

    def evaluate(learner: nn.Module) -> Measured:
        vocoder: Any = copy.deepcopy(learner).cpu().eval()
        bits = measure_vocoder(vocoder, spread(held, settings.training.evaluate_s * model.sample_rate))
        return Measured({"held_out_bits_per_sample": bits}, {}, 0)

    with started(directory, settings, []) as begin:
        return fit(
            model, crops, collate_waves, settings.training, directory,
            save=lambda learner: checkpoint.save(directory, learner), evaluate=evaluate, report=report, begin=begin,
        )  # fmt: skip


@torch.inference_mode()
def measure_vocoder(vocoder: WaveNetVocoder, places: list[tuple[Packed, int]]) -> float:
    """Bits per sample of some utterances, each a packed folder and the place in it; whole, in float32."""
    bits, samples = 0.0, 0
    for part, at in places:
        wave = torch.from_numpy(_whole_frames(part[at], vocoder.step))
        batch = WaveBatch(wave, torch.zeros(wave.shape, dtype=torch.int8), torch.zeros(1, dtype=torch.long))
        bits += float(vocoder.loss(batch).parts["bits_per_sample"]) * wave.shape[1]
        samples += wave.shape[1]
    return bits / max(1, samples)


def _whole_frames(packed: NDArray, step: int) -> NDArray[np.float32]:
    """A recording as a batch of one, with silence behind it up to a whole acoustic frame."""
    return np.pad(mulaw.as_wave(packed), (0, -len(packed) % step))[None]
