"""A new voice from some seconds of speech: its vector and its manner are fitted, all else stays as it was trained."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqspeech import audio
from vqspeech.audio import loudness, mulaw
from vqspeech.audio.preprocessing import preprocessed
from vqspeech.data import batches
from vqspeech.errors import InputError
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.inference.vocoder import Wave
from vqspeech.models import speaker_table
from vqspeech.models.speaker_table import EnrolledSpeaker, SpeakerInfo
from vqspeech.system import hardware

LEAST_S, FEW_S, MOST_S = 3.0, 10.0, 60.0
"""Seconds of speech, pauses not counted: refused below the first, warned below the second, cut at the last."""
NOISY_DB = 15.0
"""A recording whose quietest tenth is less than this below its speech is noisy."""
CLIPPED = 2e-4
"""Share of samples at full scale above which a recording is clipped."""
HELD_BACK = 0.2
CROP, BATCH, MIN_RECORDINGS, EVERY, PATIENCE, LEARNING_RATE = 7680, 32, 4, 10, 3, 0.1
"""Samples in a crop; crops in a step, and where a WaveNet must say them; steps between looks at what is held back;
looks without a gain; Adam's rate, as a share of the spread of the known voices' vectors."""
DRIFT_DB, NOISE = 6.0, 4.0
"""Corruption of the WaveNet's input (`data.batches.corrupt_history`): with the true past it would copy the voice."""
CHOICE_S = 2.5
"""Seconds on which all voices compete for where to begin."""


def enrol(
    model: SpeechCodec,
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
    that does best on it is kept, and when nothing has been gained for a while, it is over.  How the voice departs from
    what is foreseen for this vector, its manner, has a closed form, see `nn.acoustic_model.Outline.adaptation`.

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
    speaker_table.check_name(name)
    if name in model.speakers:
        raise InputError(f"there is a voice {name!r} already; take another name, or --remove it first")
    waves = [_heard(path, model.sample_rate, warn) for path in recordings]
    level, seconds = _level(waves, model.sample_rate)
    if math.isnan(level) or seconds < LEAST_S:
        raise InputError(f"{recordings[0]}: {seconds:.1f} s of speech in all; give at least {FEW_S:g} s of one person")
    if seconds < FEW_S:
        warn(f"{seconds:.1f} s of speech are few; with {FEW_S:g} to {MOST_S:g} s the voice comes nearer")
    speaker_mean = float(np.median([model.level_db(one) for one in model.speakers]))
    gain = 0.0 if math.isnan(speaker_mean) else speaker_mean - level
    share = min(1.0, MOST_S * model.sample_rate / sum(map(len, waves)))
    waves = [wave[: round(share * len(wave))] for wave in waves]
    classes = [mulaw.compress(wave * np.float32(10 ** (gain / 20))) for wave in waves]
    vector = _fitted(model, classes, max_steps, seed, progress)
    run, voice = model.run, SpeakerInfo(name, seconds, level + gain)
    return speaker_table.save(
        run.user_data_dir, run.digest, EnrolledSpeaker(voice, vector.numpy(), _fit_adaptation(model, classes, vector))
    )


def remove(model: SpeechCodec, name: str) -> None:
    """Removes an enrolled voice.

    Raises:
        InputError: there is none of that name; those that the model was trained on stay.
    """
    speaker_table.delete(model.run.user_data_dir, name)


def _heard(path: Path, sample_rate: int, warn: Callable[[str], None]) -> Wave:
    """A recording without silent edges; what is wrong with it is told."""
    (wave,) = preprocessed([audio.read(path, sample_rate)], sample_rate)
    start, end = audio.edges(wave, sample_rate)
    wave = wave[round(start * sample_rate) : round(end * sample_rate)]
    if float(np.mean(np.abs(wave) > 0.999)) > CLIPPED:
        warn(f"{path}: is clipped; record it more quietly")
    heard = loudness.analyse_level([wave], sample_rate)
    if heard.level_db - float(np.quantile(heard.levels_db, 0.1)) < NOISY_DB:
        warn(f"{path}: is noisy; the voice will have learned the noise too")
    return wave


def _level(waves: list[Wave], sample_rate: int) -> tuple[float, float]:
    """The level of speech, and how many seconds of it there are."""
    heard = loudness.analyse_level(iter(waves), sample_rate)
    return heard.level_db, float((~loudness.pauses(heard)).sum()) * loudness.FRAME_S


def _fitted(
    model: SpeechCodec, classes: list[NDArray[np.uint8]], max_steps: int, seed: int, progress: Callable[[float], None]
) -> Tensor:
    """The vector of a voice, (dim,)."""
    net, hop = model.net, model.hop
    learned, held = [], []
    for recording in classes:
        frames = len(recording) // hop
        codes = model.encode(mulaw.expand(recording[: frames * hop]))  # of the whole: a crop lacks what is around it
        cut = round(frames * (1 - HELD_BACK))
        if 0 < cut < frames:
            learned.append(_Part(recording[: cut * hop].reshape(-1, hop), codes[:cut]))
            held.append(_Part(recording[cut * hop : frames * hop].reshape(-1, hop), codes[cut:]))
    rng = np.random.default_rng(seed)
    tests = _batch([part.crop(start) for part in held for start in range(0, max(1, len(part.codes)), CROP // hop)], rng)
    table = net.speaker.weight.detach()
    with torch.inference_mode():
        vector, best = _beginning(model, tests)
    vector, kept = vector.clone().requires_grad_(), vector.clone()
    adam, idle = torch.optim.Adam([vector], LEARNING_RATE * float(table.std(0).mean())), 0
    net.requires_grad_(False)
    for step in range(max_steps):
        adam.zero_grad()
        for batch in (
            (BATCH,) if model.uses_source_filter else (1,) * MIN_RECORDINGS
        ):  # an outline costs a hundredth of a WaveNet
            _nats(model, _batch([_drawn(learned, rng) for _ in range(batch)], rng), vector).backward()
        adam.step()
        progress((step + 1) / max_steps)
        if (step + 1) % EVERY == 0:
            with torch.inference_mode():
                now = float(_nats(model, tests, vector))
            if now < best - 1e-4:
                best, kept, idle = now, vector.detach().clone(), 0
            elif (idle := idle + 1) == PATIENCE:
                break
    progress(1.0)
    return kept


def _fit_adaptation(model: SpeechCodec, classes: list[NDArray[np.uint8]], vector: Tensor) -> NDArray[np.float32]:
    """How the voice departs, of a model that has an outline."""
    if not model.net.acoustic_model:
        return np.zeros((0, 0), np.float32)
    recordings = [batches.utterance_batch(one, 0, model.hop).classes.to(model.device) for one in classes]
    return model.net.adaptation(recordings, vector.to(model.device)).cpu().numpy()


class _Part(NamedTuple):
    """A part of a recording: classes, (frames, hop), and codes, (frames,)."""

    classes: NDArray[np.uint8]
    codes: NDArray[np.integer]

    def crop(self, start: int) -> "_Part":
        """CROP samples from a frame on; the last one is said again where there are fewer."""
        frames = CROP // self.classes.shape[1]
        chosen = np.arange(start, start + frames).clip(0, max(0, len(self.codes) - 1))
        return _Part(self.classes[chosen], self.codes[chosen])


class _Crops(NamedTuple):
    """Crops, and the past that the decoder is told of them: (crops, time); and their codes, (crops, frames)."""

    classes: Tensor
    past: Tensor
    codes: Tensor


def _drawn(parts: list[_Part], rng: np.random.Generator) -> _Part:
    """A crop at random, of a part as likely as it is long."""
    lengths = np.array([len(part.codes) for part in parts], np.float64)
    part = parts[rng.choice(len(parts), p=lengths / lengths.sum())]
    return part.crop(int(rng.integers(max(1, len(part.codes) - CROP // part.classes.shape[1] + 1))))


def _batch(crops: list[_Part], rng: np.random.Generator) -> _Crops:
    classes = np.stack([crop.classes.reshape(-1) for crop in crops])
    past = np.stack([batches.corrupt_history(one, rng, DRIFT_DB, NOISE) for one in classes])
    codes = np.stack([crop.codes for crop in crops]).astype(np.int64)
    return _Crops(*map(torch.from_numpy, (classes, past, codes)))


def _beginning(model: SpeechCodec, tests: _Crops) -> tuple[Tensor, float]:
    """The vector among the known voices' and their mean that finds some crops likeliest, and its nats on all."""
    table = model.net.speaker.weight.detach()
    choices = (table.mean(0), *table)
    every = max(1, round(tests.classes.numel() / (CHOICE_S * model.sample_rate)))
    few = _Crops(*(part[::every] for part in tests))
    vector = choices[int(np.argmin([float(_nats(model, few, vector)) for vector in choices]))]
    return vector, float(_nats(model, tests, vector))


def _nats(model: SpeechCodec, crops: _Crops, vector: Tensor) -> Tensor:
    """What a voice makes of crops, told their codes: how far its outline is off; nats too, if that does not speak."""
    net, device = model.net, model.device
    classes, past, codes = (part.to(device) for part in crops)
    embeddings, starts = (
        vector.to(device).expand(len(classes), -1),
        torch.zeros(len(classes), dtype=torch.long).to(device),
    )
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=hardware.in_bfloat16("auto")):
        latents = net.quantizer.decode(codes)
        if model.uses_source_filter:
            return torch.stack([*net.acoustic_losses(classes, latents, embeddings).values()]).sum()
        nats, acoustic_losses = net.nats(classes, past, starts, latents, embeddings)
    return nats + sum(acoustic_losses.values())
