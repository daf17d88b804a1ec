"""Training stories: a VQ-VAE from packed speech, a prior from codes; and what they are worth on held-out data."""

import copy
import importlib.util
import math
import os
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vqspeech import checkpoint, config, loudness, metrics, mulaw, voices
from vqspeech.archives import Codes, Packed
from vqspeech.dataset import CodeCrops, Crops, collate, collate_codes, whole
from vqspeech.errors import InputError
from vqspeech.files import alone
from vqspeech.fitting import Measured, Progress, fit
from vqspeech.models.prior import Prior
from vqspeech.models.vqvae import VQVAE, Sketch, Told
from vqspeech.nn.quantiser import usage
from vqspeech.posteriors import beside_packed
from vqspeech.synthesis import Model
from vqspeech.training_state import drawn
from vqspeech.voices import Voice

LISTEN_S = 3.0
LEVEL_S, MANNER_S = 180.0, 60.0
"""Seconds of a voice by which its level is known, and its manner."""
NEW = "outline."
"""A part that a model may have which one that it begins with has not."""


def train_vqvae(
    settings: config.Config,
    train: Sequence[str | Path],
    held_out: Sequence[str | Path],
    directory: Path,
    report: Callable[[Progress], None] = lambda _: None,
) -> dict[str, float]:
    """Trains a VQ-VAE on packed folders, or URLs of them, into a run directory; see `fit`.

    Raises:
        InputError: no packed speech, another sample rate than the config's, a held-out speaker that
            training does not know, a WaveNet alone without `init`, or a run directory that holds something else.
    """
    if settings.training.learns == "wavenet" and not settings.training.init:
        raise InputError("a WaveNet alone needs codes that are learned; set training.init to a run that has them")
    kept = 2 * settings.training.mixed_shards
    parts, held = [Packed(one, kept) for one in train], [Packed(one) for one in held_out]
    speakers = sorted({speaker for part in parts for speaker in part.speakers})
    for path, part in zip([*train, *held_out], parts + held, strict=True):
        part.check_sample_rate(settings.model.sample_rate)
        _check_speakers(path, part.speakers, speakers)
    model = drawn(lambda: VQVAE(settings.model, len(speakers)), settings.training.seed)
    if settings.training.init:
        _take_weights_(model, speakers, settings.training.init, checkpoint.load)
    asked = settings.training.phone_weight or settings.training.phone_context_weight
    posteriors = beside_packed(train, model.hop / model.sample_rate) if asked else []
    crops = Crops(
        parts, speakers, settings.training.crop, settings.model.hop, settings.training.seed,
        settings.training.drift_db, settings.training.noise, settings.training.balance, settings.training.mixed_shards,
        settings.training.spoken, posteriors,
    )  # fmt: skip

    weights = settings.training.phone_weight, settings.training.phone_context_weight
    learner = model
    if settings.training.learns != "all":
        learner = Sketch(model, *weights) if settings.training.learns == "sketch" else Told(model)

    def learned(learner: nn.Module) -> VQVAE:
        return learner.model if isinstance(learner, Sketch | Told) else learner  # type: ignore[return-value]

    def evaluate(learner: nn.Module) -> Measured:
        run = checkpoint.Run(copy.deepcopy(learned(learner)).cpu().eval(), settings, speakers, digest="")
        return measure(run, held, settings.training.evaluate_s, settings.training.listen)

    distinct = list(dict(zip(train, parts, strict=True)).values())  # what is heard twice was not said twice
    with started(directory, settings, speakers, distinct) as begin:
        numbers = fit(
            learner, crops, collate, settings.training, directory, begin=begin,
            save=lambda learner: checkpoint.save(directory, learned(learner)), evaluate=evaluate, report=report,
        )  # fmt: skip
        if model.outline and os.environ.get("RANK", "0") == "0":
            _learn_manners_(directory, speakers, distinct)
        return numbers


def _learn_manners_(directory: Path, speakers: list[str], parts: Sequence[Packed]) -> None:
    """Adds to a run how each of its voices departs, from up to MANNER_S of their speech."""
    model = checkpoint.load_trained(directory).model
    if model.manners is not None:  # a training that was over already
        return
    model.manners, said = torch.zeros(len(speakers), *model.voice_shapes[1]), _said(parts)
    for row, name in enumerate(speakers):
        recordings = [whole(mulaw.as_classes(part[at]), row, model.hop).classes for part, at in said[name]]
        model.manners[row] = model.manner(recordings, model.speaker.weight[row])
    checkpoint.save(directory, model)


def _said(parts: Sequence[Packed]) -> dict[str, list[tuple[Packed, int]]]:
    """Where the first MANNER_S of each voice are, by name."""
    said: dict[str, list[tuple[Packed, int]]] = defaultdict(list)
    samples: dict[str, int] = defaultdict(int)
    for part in parts:
        for at, row in enumerate(part.rows):
            if samples[row.speaker] < MANNER_S * part.sample_rate:
                said[row.speaker].append((part, at))
            samples[row.speaker] += row.length
    return said


def known_voices(parts: Sequence[Packed]) -> list[Voice]:
    """How much speech there is of each voice, and its level, by name; of no more than LEVEL_S of each."""
    seconds: dict[str, float] = defaultdict(float)
    levels: dict[str, list[NDArray]] = defaultdict(list)
    for part in parts:
        for at, row in enumerate(part.rows):
            if seconds[row.speaker] < LEVEL_S:
                heard = loudness.hear([mulaw.as_wave(part[at])], part.sample_rate)
                levels[row.speaker].append(heard.levels_db)
            seconds[row.speaker] += row.length / part.sample_rate
    return [
        Voice(name, seconds[name], loudness.speech_level_db(np.concatenate(levels[name]))) for name in sorted(seconds)
    ]


@torch.inference_mode()
def measure(run: checkpoint.Run, held_out: list[Packed], seconds: float, listen: int = 0) -> Measured:
    """Held-out bits per sample, or of a sketch how far the outline is off, and codebook usage; in float32.

    Whole utterances, spread evenly over all of them, enough to make up `seconds`; the first `listen` are
    also spoken again from their codes, LISTEN_S of each, where numba is installed: does their loudness follow?
    """
    index = {speaker: number for number, speaker in enumerate(run.speakers)}
    heard: dict[str, float] = defaultdict(float)
    samples, sketch = 0, run.config.training.learns == "sketch"
    counts, recordings, contours = torch.zeros(run.config.model.quantiser.codes), {}, []
    for number, (part, at) in enumerate(spread(held_out, seconds * run.model.sample_rate)):
        row, classes = part.rows[at], mulaw.as_classes(part[at])
        batch = whole(classes, index[row.speaker], run.model.hop)
        parts = (run.model.sketch if sketch else run.model.loss)(batch).parts
        counts += parts.pop("code_counts")
        parts = {name: part for name, part in parts.items() if not name.endswith("_counts")}
        size = batch.classes.shape[1]
        samples += size
        for name, value in parts.items():
            heard[name] += float(value) * size
        if number < listen and not sketch and importlib.util.find_spec("numba"):
            awake, frames = Model(run, engine="numba"), int(LISTEN_S * run.model.sample_rate) // run.model.hop
            codes = run.model.encode(batch.classes)[0, :frames].numpy()
            recordings[f"reconstruction/{row.key}"] = spoken = awake.decode(codes, row.speaker)
            source = mulaw.LEVELS[batch.classes[0, : len(spoken)].numpy()]
            contours.append(metrics.contour_correlation(source, spoken, run.model.sample_rate))
    used, perplexity = usage(counts)
    numbers = {f"held_out_{name}": value / samples for name, value in heard.items()}
    numbers |= {"held_out_codes_used": used, "held_out_perplexity": perplexity}
    if contours:
        numbers |= {"held_out_contour": sum(contours) / len(contours)}
    return Measured(numbers, recordings, run.model.sample_rate)


def train_prior(
    settings: config.PriorConfig,
    train: list[Path],
    held_out: list[Path],
    directory: Path,
    report: Callable[[Progress], None] = lambda _: None,
) -> dict[str, float]:
    """Trains a prior on the codes of data directories into a run directory; see `fit`.

    Its held-out bits per code stand beside those of who knows less: `uniform`, log2 of the codebook's size; `unigram`,
    how often each code comes in training; `order_1`, a coder that counts what follows each code, has read the training
    data and goes on counting.

    Raises:
        InputError: no codes, codes of several models or of another codebook size than the config's, or as
            `train_vqvae`.
    """
    parts, held = [Codes(one) for one in train], [Codes(one) for one in held_out]
    speakers, about = sorted({speaker for part in parts for speaker in part.speakers}), parts[0].about
    for path, part in zip(train + held_out, parts + held, strict=True):
        if part.about["model"] != about["model"]:
            raise InputError(
                f"{path}: has codes of model {part.about['model'][:24]}, {train[0]} of {about['model'][:24]}; "
                "tokenize both with one model"
            )
        _check_speakers(path, part.speakers, speakers)
    for name, what in (("codes", "codes in a codebook"), ("codebooks", "codebooks")):
        if getattr(settings.prior, name) not in (None, about[name]):
            raise InputError(
                f"{train[0]}: has {about[name]} {what}, the config wants {getattr(settings.prior, name)}; "
                f"set prior.{name}={about[name]}"
            )
    sizes = {name: about[name] for name in ("model", "codes", "codebooks")}
    settings = settings.model_copy(update={"prior": settings.prior.model_copy(update=sizes)})
    model = drawn(lambda: Prior(settings.prior, len(speakers)), settings.training.seed)
    if settings.training.init:
        _take_weights_(model, speakers, settings.training.init, checkpoint.load_prior)
    known = [codes.astype(np.int64) for part in parts for codes in part]
    columns = np.concatenate(known).T
    model.expect_(torch.from_numpy(np.stack([np.bincount(one, minlength=about["codes"]) for one in columns])))
    crops = CodeCrops(
        parts, speakers, settings.training.crop, settings.training.seed, about["codes"], settings.training.noise,
        settings.training.balance,
    )  # fmt: skip
    places = spread(held, settings.training.evaluate_s * about["sample_rate"] / about["hop"])
    simple = metrics.simple_bits(known, [part[at] for part, at in places], about["codes"])

    def evaluate(learner: nn.Module) -> Measured:
        bits = measure_prior(copy.deepcopy(learner).cpu().eval(), places, speakers)  # type: ignore[arg-type]
        return Measured(metrics.by_codebook("held_out_bits_per_code", bits) | simple, {}, 0)

    with started(directory, settings, speakers) as begin:
        return fit(
            model, crops, collate_codes, settings.training, directory,
            save=lambda learner: checkpoint.save(directory, learner), evaluate=evaluate, report=report, begin=begin,
        )  # fmt: skip


@torch.inference_mode()
def measure_prior(prior: Prior, places: list[tuple[Codes, int]], speakers: list[str]) -> list[float]:
    """Bits per code of each codebook, of utterances: each a directory's codes and a place in them; in float32."""
    index, nats, frames = {name: number for number, name in enumerate(speakers)}, torch.zeros(prior.codebooks), 0
    for part, at in places:
        codes = torch.from_numpy(part[at].astype(np.int64))[None]
        nats += prior.nats(codes, codes, torch.tensor([index[part.rows[at].speaker]])).sum((0, 1))
        frames += codes.shape[1]
    return (nats / math.log(2) / max(1, frames)).tolist()


def spread(parts: Sequence[Any], symbols: float) -> list[tuple[Any, int]]:
    """Utterances, spread evenly over all of them, enough to make up so many symbols (samples or codes)."""
    places = [(part, at) for part in parts for at in range(len(part))]
    total = sum(part.rows[at].length for part, at in places)
    return places[:: max(1, int(total / symbols))]


@contextmanager
def started(
    directory: Path, settings: config.AnyConfig, speakers: list[str], spoken: Sequence[Packed] = ()
) -> Generator[Callable[[], None], None, None]:
    """A run directory that no other training writes into; of several processes the first one sees to that, alone.

    Yields what begins the run, for `fit` to call when nothing can be refused any more.
    """

    def begin() -> None:
        checkpoint.start(directory, settings, speakers)
        if spoken and not (directory / voices.TABLE).exists():
            voices.write(directory, known_voices(spoken))

    if os.environ.get("RANK", "0") != "0":
        yield lambda: None
        return
    with alone(directory):
        checkpoint.check_start(directory, settings, speakers)
        yield begin


def _check_speakers(path: str | Path, speakers: list[str], known: list[str]) -> None:
    if strange := set(speakers) - set(known):
        raise InputError(f"{path}: speaker {min(strange)} is not in the training data; hold out sentences instead")


def _take_weights_(
    model: nn.Module, speakers: list[str], directory: str, load: Callable[[str], checkpoint.Run | checkpoint.PriorRun]
) -> None:
    """Puts the weights of a run into a model of the same sizes, each voice by its name or as the mean of all.

    An outline stays as it was drawn where the run has none; manners are learned when all else is.
    """
    run = load(directory)
    weights, table = run.model.state_dict(), checkpoint.VECTORS
    weights.pop(checkpoint.MANNERS, None)
    for name, own in model.state_dict().items():
        if name.startswith(NEW) and name not in weights:
            weights[name] = own
        if name != table and (name not in weights or weights[name].shape != own.shape):
            there = tuple(weights[name].shape) if name in weights else "none"
            raise InputError(
                f"{directory}: {name} is {there}, in this config {tuple(own.shape)}; begin with a run of the same sizes"
            )
    voices = weights[table]
    if voices.shape[1:] != model.state_dict()[table].shape[1:]:
        raise InputError(f"{directory}: a voice has {voices.shape[1]} numbers; set the config's speaker to that")
    known = {name: voices[row] for row, name in enumerate(run.speakers)}
    weights[table] = torch.stack([known.get(name, voices.mean(dim=0)) for name in speakers])
    model.load_state_dict(weights)
