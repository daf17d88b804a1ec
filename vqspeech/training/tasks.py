"""Training tasks: a VQ-VAE on packed speech, a prior on codes."""

import copy
import os
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vqspeech import config
from vqspeech.audio import loudness, mulaw
from vqspeech.data.archives import CodeShards, MulawShards
from vqspeech.data.batches import CodeCrops, Crops, collate, collate_codes, utterance_batch
from vqspeech.data.posteriors import PhoneTargets, beside_packed
from vqspeech.errors import InputError
from vqspeech.evaluation import metrics
from vqspeech.evaluation.likelihood import EvalResult, measure, measure_prior, spread
from vqspeech.models import checkpoint, speaker_table
from vqspeech.models.prior import Prior
from vqspeech.models.speaker_table import SpeakerInfo
from vqspeech.models.stages import AcousticStage, WaveNetStage
from vqspeech.models.vqvae import VQVAE
from vqspeech.system.files import exclusive_lock
from vqspeech.training.loop import Progress, fit
from vqspeech.training.state import drawn

LEVEL_S = 180.0
"""Speech of each speaker from which the level is measured."""
ADAPTATION_S = 60.0
"""Speech of each speaker to which the adaptation is fitted."""
ADAPTATION_SHARE = 0.5
"""Share of it that is used; enrolled speakers, of whom there is less speech to learn from, get all of it."""
NEW = ("acoustic_model.", "encoder.causal.", "quantizer.codebooks.")
"""Prefixes of the tensors that a model may have and its `init_from` may lack."""


def train_vqvae(
    settings: config.Config,
    train: Sequence[str | Path],
    held_out: Sequence[str | Path],
    directory: Path,
    report: Callable[[Progress], None] = lambda _: None,
) -> dict[str, float]:
    """Train a VQ-VAE on packed folders, or URLs of them, into a run directory; see `fit`.

    Raises:
        InputError: no packed speech, another sample rate than the config's, a held-out speaker that
            training does not know, a WaveNet stage without `init_from`, or a run directory that holds something else.
    """
    if settings.training.stage == "wavenet" and not settings.training.init_from:
        raise InputError("a WaveNet alone needs codes that are learned; set training.init_from to a run that has them")
    cached_shards = 2 * settings.training.shuffle_shards
    parts, held_out_parts = (
        [MulawShards(path, cached_shards) for path in train],
        [MulawShards(path) for path in held_out],
    )
    speakers = sorted({speaker for part in parts for speaker in part.speakers})
    for path, part in zip([*train, *held_out], parts + held_out_parts, strict=True):
        part.check_sample_rate(settings.model.sample_rate)
        _check_speakers(path, part.speakers, speakers)
    model = drawn(lambda: VQVAE.from_config(settings.model, len(speakers)), settings.training.seed)
    if settings.training.init_from:
        _take_weights_(model, speakers, settings.training.init_from, checkpoint.load)
    uses_phones = any(settings.training.phone_weights)
    if uses_phones or (
        settings.training.init_from and checkpoint.has_phone_labels(checkpoint.load(settings.training.init_from).config)
    ):
        training = settings.training.model_copy(update={"phone_labels": True})
        settings = settings.model_copy(update={"training": training})
    targets: list[PhoneTargets | None] = []
    if uses_phones:
        targets = beside_packed(train, model.hop / model.sample_rate, settings.training.phone_targets == "labels")
    crops = Crops(
        parts, speakers, settings.training.segment_length, settings.model.hop, settings.training.seed,
        settings.training.input_gain_drift_db, settings.training.input_noise, settings.training.speaker_balance,
        settings.training.shuffle_shards, settings.training.decoder_segment_length, targets,
    )  # fmt: skip

    learner = model
    if settings.training.stage != "joint":
        acoustic = settings.training.stage == "acoustic"
        learner = AcousticStage(model, *settings.training.phone_weights) if acoustic else WaveNetStage(model)

    def learned(learner: nn.Module) -> VQVAE:
        return learner.model if isinstance(learner, AcousticStage | WaveNetStage) else learner  # type: ignore[return-value]

    def evaluate(learner: nn.Module) -> EvalResult:
        run = checkpoint.Run(copy.deepcopy(learned(learner)).cpu().eval(), settings, speakers, digest="")
        return measure(run, held_out_parts, settings.training.evaluate_s, settings.training.log_audio)

    distinct = list(dict(zip(train, parts, strict=True)).values())  # a part that is given twice counts once
    with prepared_run_dir(directory, settings, speakers, distinct) as begin:
        numbers = fit(
            learner, crops, collate, settings.training, directory, begin=begin,
            save=lambda learner: checkpoint.save(directory, learned(learner)), evaluate=evaluate, report=report,
        )  # fmt: skip
        if model.acoustic_model and os.environ.get("RANK", "0") == "0":
            _fit_adaptations_(directory, speakers, distinct)
        return numbers


def _fit_adaptations_(directory: Path, speakers: list[str], parts: Sequence[MulawShards]) -> None:
    """Fit the adaptation of each speaker to up to ADAPTATION_S of speech, and save it with the run."""
    model = checkpoint.load_trained(directory).model
    if model.adaptations is not None:  # a training that was over already
        return
    model.adaptations, speech = torch.zeros(len(speakers), *model.speaker_shapes[1]), _speech_by_speaker(parts)
    for row, name in enumerate(speakers):
        recordings = [utterance_batch(mulaw.as_classes(part[at]), row, model.hop).classes for part, at in speech[name]]
        model.adaptations[row] = model.adaptation(recordings, model.speaker.weight[row], ADAPTATION_SHARE)
    checkpoint.save(directory, model)


def _speech_by_speaker(parts: Sequence[MulawShards]) -> dict[str, list[tuple[MulawShards, int]]]:
    """The first ADAPTATION_S of each speaker: parts and utterance numbers, by name."""
    speech: dict[str, list[tuple[MulawShards, int]]] = defaultdict(list)
    samples: dict[str, int] = defaultdict(int)
    for part in parts:
        for at, row in enumerate(part.rows):
            if samples[row.speaker] < ADAPTATION_S * part.sample_rate:
                speech[row.speaker].append((part, at))
            samples[row.speaker] += row.length
    return speech


def known_speakers(parts: Sequence[MulawShards]) -> list[SpeakerInfo]:
    """Duration and level of each speaker's speech, by name; the level is that of up to LEVEL_S."""
    seconds: dict[str, float] = defaultdict(float)
    levels: dict[str, list[NDArray]] = defaultdict(list)
    for part in parts:
        for at, row in enumerate(part.rows):
            if seconds[row.speaker] < LEVEL_S:
                analysis = loudness.analyse_level([mulaw.as_wave(part[at])], part.sample_rate)
                levels[row.speaker].append(analysis.levels_db)
            seconds[row.speaker] += row.length / part.sample_rate
    return [
        SpeakerInfo(name, seconds[name], loudness.speech_level_db(np.concatenate(levels[name])))
        for name in sorted(seconds)
    ]


def train_prior(
    settings: config.PriorConfig,
    train: list[Path],
    held_out: list[Path],
    directory: Path,
    report: Callable[[Progress], None] = lambda _: None,
) -> dict[str, float]:
    """Train a prior on the codes of data directories into a run directory; see `fit`.

    Held-out bits per code are logged beside three baselines: `uniform`, log2 of the codebook size; `unigram`, the code
    frequencies of the training data; `order_1`, an adaptive first-order model that has seen the training data.

    Raises:
        InputError: no codes, codes of several models or of another codebook size than the config's, or as
            `train_vqvae`.
    """
    parts, held_out_parts = [CodeShards(path) for path in train], [CodeShards(path) for path in held_out]
    speakers, metadata = sorted({speaker for part in parts for speaker in part.speakers}), parts[0].about
    for path, part in zip(train + held_out, parts + held_out_parts, strict=True):
        if part.about["model"] != metadata["model"]:
            raise InputError(
                f"{path}: has codes of model {part.about['model'][:24]}, {train[0]} of {metadata['model'][:24]}; "
                "tokenize both with one model"
            )
        _check_speakers(path, part.speakers, speakers)
    sizes = {"model": metadata["model"], "codebook_size": metadata["codes"], "codebooks": metadata["codebooks"]}
    for name, noun in (("codebook_size", "codes in a codebook"), ("codebooks", "codebooks")):
        if (configured := getattr(settings.prior, name)) not in (None, sizes[name]):
            raise InputError(
                f"{train[0]}: has {sizes[name]} {noun}, the config wants {configured}; set prior.{name}={sizes[name]}"
            )
    settings = settings.model_copy(update={"prior": settings.prior.model_copy(update=sizes)})
    model = drawn(lambda: Prior(settings.prior, len(speakers)), settings.training.seed)
    if settings.training.init_from:
        _take_weights_(model, speakers, settings.training.init_from, checkpoint.load_prior)
    train_codes = [codes.astype(np.int64) for part in parts for codes in part]
    columns = np.concatenate(train_codes).T
    model.init_unigram_bias_(
        torch.from_numpy(np.stack([np.bincount(column, minlength=metadata["codes"]) for column in columns]))
    )
    crops = CodeCrops(
        parts, speakers, settings.training.segment_length, settings.training.seed, metadata["codes"],
        settings.training.input_noise, settings.training.speaker_balance,
    )  # fmt: skip
    places = spread(held_out_parts, settings.training.evaluate_s * metadata["sample_rate"] / metadata["hop"])
    baselines = metrics.simple_bits(train_codes, [part[at] for part, at in places], metadata["codes"])

    def evaluate(learner: nn.Module) -> EvalResult:
        bits = measure_prior(copy.deepcopy(learner).cpu().eval(), places, speakers)  # type: ignore[arg-type]
        return EvalResult(metrics.by_codebook("held_out_bits_per_code", bits) | baselines, {}, 0)

    with prepared_run_dir(directory, settings, speakers) as begin:
        return fit(
            model, crops, collate_codes, settings.training, directory,
            save=lambda learner: checkpoint.save(directory, learner), evaluate=evaluate, report=report, begin=begin,
        )  # fmt: skip


@contextmanager
def prepared_run_dir(
    directory: Path, settings: config.AnyConfig, speakers: list[str], packed: Sequence[MulawShards] = ()
) -> Generator[Callable[[], None], None, None]:
    """Lock a run directory against other trainings; of several processes only the first one does.

    Yields a function that initialises the directory, for `fit` to call when all checks have passed.
    """

    def begin() -> None:
        checkpoint.init_run_dir(directory, settings, speakers)
        if packed and not (directory / speaker_table.TABLE).exists():
            speaker_table.write(directory, known_speakers(packed))

    if os.environ.get("RANK", "0") != "0":
        yield lambda: None
        return
    with exclusive_lock(directory):
        checkpoint.check_run_dir(directory, settings, speakers)
        yield begin


def _check_speakers(path: str | Path, speakers: list[str], train_speakers: list[str]) -> None:
    if unknown := set(speakers) - set(train_speakers):
        raise InputError(f"{path}: speaker {min(unknown)} is not in the training data; hold out sentences instead")


def _take_weights_(
    model: nn.Module, speakers: list[str], directory: str, load: Callable[[str], checkpoint.Run | checkpoint.PriorRun]
) -> None:
    """Load the weights of a run into a model of the same sizes; new speakers begin as the mean of all.

    An acoustic model, causal blocks and upper codebooks that the run lacks keep their initial weights; adaptations are
    fitted after training.
    """
    run = load(directory)
    weights, table = run.model.state_dict(), checkpoint.EMBEDDINGS
    weights.pop(checkpoint.ADAPTATIONS, None)
    for name, tensor in model.state_dict().items():
        if name.startswith(NEW) and name not in weights:
            weights[name] = tensor
        if name != table and (name not in weights or weights[name].shape != tensor.shape):
            shape = tuple(weights[name].shape) if name in weights else "none"
            raise InputError(
                f"{directory}: {name} is {shape}, in this config {tuple(tensor.shape)}; "
                "begin with a run of the same sizes"
            )
    embeddings = weights[table]
    if embeddings.shape[1:] != model.state_dict()[table].shape[1:]:
        raise InputError(f"{directory}: a voice has {embeddings.shape[1]} numbers; set the config's speaker to that")
    embedding_by_name = {name: embeddings[row] for row, name in enumerate(run.speakers)}
    weights[table] = torch.stack([embedding_by_name.get(name, embeddings.mean(dim=0)) for name in speakers])
    model.load_state_dict(weights)
