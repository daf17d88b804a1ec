"""A new voice from some seconds of speech: one vector is fitted, everything else stays as it was trained."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqspeech import audio, dataset, loudness, machine, mulaw, voices
from vqspeech.errors import InputError
from vqspeech.synthesis import Model, Wave
from vqspeech.voices import Enrolled, Voice

LEAST_S, FEW_S, MOST_S = 3.0, 10.0, 60.0
"""Seconds of speech, pauses not counted: refused below the first, warned below the second, cut at the last."""
NOISY_DB = 15.0
"""A recording whose quietest tenth is less than this below its speech is noisy."""
CLIPPED = 2e-4
"""Share of samples at full scale above which a recording is clipped."""
HELD_BACK = 0.2
CROP, BATCH, EVERY, PATIENCE, LEARNING_RATE = 7680, 4, 10, 3, 0.1
"""Samples in a crop; crops in a step; steps between looks at what is held back; looks without a gain; Adam's rate, as a
share of the spread of the known voices' vectors."""
DRIFT_DB, NOISE = 6.0, 4.0
"""The past that the decoder is told (`dataset.misheard`): from the true one it would take the voice from there."""
CHOICE_S = 2.5
"""Seconds on which all voices compete for where to begin."""


def enrol(
    model: Model,
    name: str,
    recordings: list[Path],
    max_steps: int = 100,
    seed: int = 0,
    progress: Callable[[float], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
) -> Path:
    """Fits a voice to recordings of one person and keeps it; from then on all that takes a speaker takes its name.

    The vector begins as that of the known voice which finds the recordings likeliest, and follows the gradient
    of their likelihood, told the codes that the encoder gives them.  A fifth of each is held back: the vector
    that does best on it is kept, and when nothing has been gained for a while, it is over.

    Args:
        recordings: 10 to 60 s of speech in all, of one person.
        max_steps: of Adam, each on BATCH crops of CROP samples.
        seed: of the crops.
        progress: told the share that is done.
        warn: told what is wrong with the recordings, a line each.

    Returns:
        The file of the voice.

    Raises:
        InputError: a name that is taken or none, no speech, less than LEAST_S of it, or recordings that cannot be read.
    """
    voices.check_name(name)
    if name in model.speakers:
        raise InputError(f"there is a voice {name!r} already; take another name, or --remove it first")
    waves = [_heard(path, model.sample_rate, warn) for path in recordings]
    level, seconds = _level(waves, model.sample_rate)
    if math.isnan(level) or seconds < LEAST_S:
        raise InputError(f"{recordings[0]}: {seconds:.1f} s of speech in all; give at least {FEW_S:g} s of one person")
    if seconds < FEW_S:
        warn(f"{seconds:.1f} s of speech are few; with {FEW_S:g} to {MOST_S:g} s the voice comes nearer")
    usual = float(np.median([model.level_db(one) for one in model.speakers]))
    gain = 0.0 if math.isnan(usual) else usual - level
    classes = [mulaw.compress(wave * np.float32(10 ** (gain / 20))) for wave in waves]
    vector = _fitted(model, classes, max_steps, seed, progress)
    run = model.run
    voice = Voice(name, seconds, level + gain)
    return voices.keep(run.room, run.digest, Enrolled(voice, vector.numpy()))


def remove(model: Model, name: str) -> None:
    """Removes an enrolled voice.

    Raises:
        InputError: there is none of that name; those that the model was trained on stay.
    """
    voices.forget(model.run.room, name)


def _heard(path: Path, sample_rate: int, warn: Callable[[str], None]) -> Wave:
    """A recording without silent edges; what is wrong with it is told."""
    wave = audio.read(path, sample_rate)
    start, end = audio.edges(wave, sample_rate)
    wave = wave[round(start * sample_rate) : round(end * sample_rate)]
    if float(np.mean(np.abs(wave) > 0.999)) > CLIPPED:
        warn(f"{path}: is clipped; record it more quietly")
    heard = loudness.hear([wave], sample_rate)
    if heard.level_db - float(np.quantile(heard.levels_db, 0.1)) < NOISY_DB:
        warn(f"{path}: is noisy; the voice will have learned the noise too")
    return wave


def _level(waves: list[Wave], sample_rate: int) -> tuple[float, float]:
    """The level of speech, and how many seconds of it there are."""
    heard = loudness.hear(iter(waves), sample_rate)
    return heard.level_db, float((~loudness.pauses(heard)).sum()) * loudness.FRAME_S


def _fitted(
    model: Model, classes: list[NDArray[np.uint8]], max_steps: int, seed: int, progress: Callable[[float], None]
) -> Tensor:
    """The vector of a voice, (dim,)."""
    net, hop = model.model, model.hop
    crop = CROP // hop * hop
    learned, held = [], []
    for whole in classes:
        most = round(MOST_S * model.sample_rate * len(whole) / sum(map(len, classes)))
        frames = min(len(whole), most) // hop
        cut = round(frames * (1 - HELD_BACK)) * hop
        learned.append(whole[:cut])
        held.append(whole[cut : frames * hop])
    rng = np.random.default_rng(seed)
    tests = _told(_stacked([part[: len(part) // hop * hop] for part in held], crop), rng)
    table = net.speaker.weight.detach()
    with torch.inference_mode():
        vector, best = _beginning(model, tests)
    vector, kept = vector.clone().requires_grad_(), vector.clone()
    adam, idle = torch.optim.Adam([vector], LEARNING_RATE * float(table.std(0).mean())), 0
    net.requires_grad_(False)
    for step in range(max_steps):
        adam.zero_grad()
        batch, past = _told(_stacked([_crop(learned, crop, rng) for _ in range(BATCH)], crop), rng)
        for one, told in zip(batch.split(1), past.split(1), strict=True):
            _nats(model, one, told, vector).backward()
        adam.step()
        progress((step + 1) / max_steps)
        if (step + 1) % EVERY == 0:
            with torch.inference_mode():
                now = float(_nats(model, *tests, vector))
            if now < best - 1e-4:
                best, kept, idle = now, vector.detach().clone(), 0
            elif (idle := idle + 1) == PATIENCE:
                break
    progress(1.0)
    return kept


def _told(classes: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Crops, and the same as the decoder is told them."""
    past = [dataset.misheard(one.numpy(), rng, DRIFT_DB, NOISE) for one in classes]
    return classes, torch.from_numpy(np.stack(past))


def _beginning(model: Model, tests: tuple[Tensor, Tensor]) -> tuple[Tensor, float]:
    """The vector among the known voices' and their mean that finds some crops likeliest, and its nats on all."""
    table = model.model.speaker.weight.detach()
    choices = (table.mean(0), *table)
    every = max(1, round(tests[0].numel() / (CHOICE_S * model.sample_rate)))
    nats = [float(_nats(model, tests[0][::every], tests[1][::every], vector)) for vector in choices]
    vector = choices[int(np.argmin(nats))]
    return vector, float(_nats(model, *tests, vector))


def _nats(model: Model, classes: Tensor, past: Tensor, vector: Tensor) -> Tensor:
    """What a voice makes of crops, (batch, time), told their codes and a past: nats a sample, and how far off it is."""
    net, device = model.model, model.device
    classes, past = classes.to(device), past.to(device)
    with torch.no_grad():
        latents = net.quantiser.decode(net.encode(classes))
    voices = vector.to(device).expand(len(classes), -1)
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=machine.in_bfloat16("auto")):
        nats, off = net.nats(classes, past, latents, voices)
    return nats + sum(off.values())


def _crop(parts: list[NDArray[np.uint8]], size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A crop at random, of a part as likely as it is long."""
    lengths = np.array([len(part) for part in parts], np.float64)
    part = parts[rng.choice(len(parts), p=lengths / lengths.sum())]
    start = rng.integers(max(1, len(part) - size + 1))
    return part[start : start + size]


def _stacked(parts: list[NDArray[np.uint8]], size: int) -> Tensor:
    """Sequences cut into crops, the last of each filled up with silence: (crops, size)."""
    return torch.from_numpy(np.stack([*_cut(parts, size)]))


def _cut(parts: list[NDArray[np.uint8]], size: int) -> Iterator[NDArray[np.uint8]]:
    for part in parts:
        for start in range(0, max(1, len(part)), size):
            piece = part[start : start + size]
            yield np.pad(piece, (0, size - len(piece)), constant_values=mulaw.SILENCE)
