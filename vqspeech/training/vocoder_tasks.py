"""Training task of a WaveNet vocoder on packed speech."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vqspeech import config
from vqspeech.audio import mulaw
from vqspeech.data.archives import MulawShards
from vqspeech.data.batches import utterance_batch
from vqspeech.data.wave_batches import WaveBatch, WaveCrops, collate_waves
from vqspeech.errors import InputError
from vqspeech.evaluation.likelihood import EvalResult, spread
from vqspeech.inference.conditioning import predicted_features
from vqspeech.models import checkpoint
from vqspeech.models.wavenet_vocoder import WaveNetVocoder
from vqspeech.nn.acoustic_model import N_MELS
from vqspeech.training.loop import Progress, fit
from vqspeech.training.state import drawn
from vqspeech.training.tasks import prepared_run_dir

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
        InputError: no packed speech, another sample rate than the config's, an acoustic model that does not fit, or a
            run directory that holds something else.
    """
    parts, held_out_parts = [MulawShards(path) for path in train], [MulawShards(path) for path in held_out]
    for part in parts + held_out_parts:
        part.check_sample_rate(settings.vocoder.sample_rate)
    speakers = sorted({speaker for part in parts for speaker in part.speakers})
    model = drawn(lambda: WaveNetVocoder(settings.vocoder), settings.training.seed)
    places = spread(list(dict(zip(train, parts, strict=True)).values()), GAINS_S * settings.vocoder.sample_rate)
    model.measure_gains_([torch.from_numpy(_whole_frames(part[index], model.step)) for part, index in places])
    if settings.training.init_from:
        initial = checkpoint.load_vocoder(settings.training.init_from)
        if initial.config.vocoder != settings.vocoder:
            raise InputError(f"{settings.training.init_from}: is a vocoder of other sizes; begin with one of the same")
        model.load_state_dict(initial.model.state_dict())
    predicted = _predicted(settings, parts, model.step) if settings.training.predicted_features else []
    training = settings.training
    crops = WaveCrops(
        parts, speakers, training.segment_length, training.decoder_segment_length or training.segment_length,
        model.step, training.seed, training.input_noise, gain_db=training.gain_db, balance=training.speaker_balance,
        predicted=predicted, predicted_share=training.predicted_features,
    )  # fmt: skip

    def evaluate(learner: nn.Module) -> EvalResult:
        vocoder: Any = copy.deepcopy(learner).cpu().eval()
        bits = measure_vocoder(vocoder, spread(held_out_parts, settings.training.evaluate_s * model.sample_rate))
        return EvalResult({"held_out_bits_per_sample": bits}, {}, 0)

    with prepared_run_dir(directory, settings, []) as begin:
        return fit(
            model, crops, collate_waves, settings.training, directory,
            save=lambda learner: checkpoint.save(directory, learner), evaluate=evaluate, report=report, begin=begin,
        )  # fmt: skip


@torch.inference_mode()
def _predicted(
    settings: config.VocoderConfig, parts: Sequence[MulawShards], step: int
) -> list[list[NDArray[np.float16]]]:
    """What the acoustic model predicts of each utterance of each part, from its codes and in its own voice.

    Raises:
        InputError: no acoustic model, one of other frames, or speakers that it does not know.
    """
    if not settings.training.acoustic_model:
        raise InputError("training.predicted_features needs an acoustic model; set training.acoustic_model to its run")
    run = checkpoint.load(settings.training.acoustic_model)
    model, row_of_speaker = run.model, {name: row for row, name in enumerate(run.speakers)}
    if not model.acoustic_model or model.acoustic_model.mel.hop_length != step or settings.vocoder.n_mels != N_MELS:
        raise InputError(
            f"{settings.training.acoustic_model}: predicts no {settings.vocoder.n_mels} mels every {step} samples; "
            "give a model that does"
        )
    features: dict[int, list[NDArray[np.float16]]] = {}
    for part in parts:
        if unknown := set(part.speakers) - set(row_of_speaker):
            raise InputError(f"{settings.training.acoustic_model}: does not know the speaker {min(unknown)}")
        if id(part) in features:
            continue
        rows = []
        for index, row in enumerate(part.rows):
            batch = utterance_batch(mulaw.as_classes(part[index]), row_of_speaker[row.speaker], model.hop)
            latents = model.quantizer.decode(model.encode(batch.classes))
            log_mel, f0 = predicted_features(model, latents, batch.speakers, model.hop // step)
            rows.append(torch.cat([log_mel[0].t(), f0[0, :, None]], dim=1).numpy().astype(np.float16))
        features[id(part)] = rows
    return [features[id(part)] for part in parts]


@torch.inference_mode()
def measure_vocoder(vocoder: WaveNetVocoder, places: list[tuple[MulawShards, int]]) -> float:
    """Bits per sample of some utterances, each a packed folder and the place in it; whole, in float32."""
    bits, samples = 0.0, 0
    for part, index in places:
        wave = torch.from_numpy(_whole_frames(part[index], vocoder.step))
        batch = WaveBatch(wave, torch.zeros(wave.shape, dtype=torch.int8), torch.zeros(1, dtype=torch.long))
        bits += float(vocoder.loss(batch).parts["bits_per_sample"]) * wave.shape[1]
        samples += wave.shape[1]
    return bits / max(1, samples)


def _whole_frames(packed: NDArray, step: int) -> NDArray[np.float32]:
    """A recording as a batch of one, with silence behind it up to a whole acoustic frame."""
    return np.pad(mulaw.as_wave(packed), (0, -len(packed) % step))[None]
