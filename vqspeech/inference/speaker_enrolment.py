"""Speaker enrolment: an embedding and an adaptation, fitted to seconds of speech; the network stays as it is."""

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
from vqspeech.models import speaker_table
from vqspeech.models.speaker_table import EnrolledSpeaker, SpeakerInfo
from vqspeech.shapes import Wave
from vqspeech.system import hardware

MIN_SPEECH_S = 3.0
"""Less speech, pauses not counted, is refused."""
FEW_SPEECH_S = 10.0
"""Less speech gives a warning."""
MAX_SPEECH_S = 60.0
"""More speech is not used."""
NOISY_DB = 15.0
"""A recording whose quietest tenth is less than this below its speech level is noisy."""
CLIPPED_SHARE = 2e-4
"""Share of samples at full scale above which a recording is clipped."""
VALIDATION_SHARE = 0.2
CROP_SAMPLES = 7680
BATCH_CROPS = 32
"""Crops in a step by the acoustic losses."""
WAVENET_BATCH_CROPS = 4
"""Crops in a step by the likelihood of the WaveNet, which costs a hundred times as much."""
EVALUATE_EVERY = 10
"""Steps between evaluations on the validation crops."""
PATIENCE = 3
"""Evaluations without improvement before it stops."""
LEARNING_RATE = 0.1
"""Of Adam, as a share of the standard deviation of the known speaker embeddings."""
DRIFT_DB, NOISE = 6.0, 4.0
"""Corruption of the WaveNet's input (`data.batches.corrupt_history`): teacher-forced it would copy the speaker."""
INITIAL_CHOICE_S = 2.5
"""Speech on which the known speakers compete for the initial embedding."""


def enrol(
    model: SpeechCodec,
    name: str,
    recordings: list[Path],
    max_steps: int = 100,
    seed: int = 0,
    progress: Callable[[float], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
) -> Path:
    """Fit a speaker to recordings of one person, and save it; all functions then take its name.

    The embedding begins as that of the known speaker with the lowest loss on the recordings, and follows the gradient
    of the loss given the codes of the recordings.  A fifth of each recording validates: the best embedding is kept, and
    fitting stops when there is no improvement.  The adaptation has a closed form, see `AcousticModel.fit_adaptation`.

    Args:
        recordings: 10 to 60 s of speech in all, of one person.
        max_steps: of Adam.
        seed: of the crops.
        progress: is called with the share that is done.
        warn: is called with each warning about the recordings.

    Returns:
        The file of the speaker.

    Raises:
        InputError: a name that is taken or invalid, less than MIN_SPEECH_S of speech, or unreadable recordings.
    """
    speaker_table.check_name(name)
    if name in model.speakers:
        raise InputError(f"there is a voice {name!r} already; take another name, or --remove it first")
    waves = [_read(path, model.sample_rate, warn) for path in recordings]
    level, seconds = _level(waves, model.sample_rate)
    if math.isnan(level) or seconds < MIN_SPEECH_S:
        raise InputError(f"{recordings[0]}: {seconds:.1f} s of speech; give at least {FEW_SPEECH_S:g} s of one person")
    if seconds < FEW_SPEECH_S:
        warn(f"{seconds:.1f} s of speech are few; with {FEW_SPEECH_S:g} to {MAX_SPEECH_S:g} s the voice comes nearer")
    speaker_mean = float(np.median([model.level_db(speaker) for speaker in model.speakers]))
    gain = 0.0 if math.isnan(speaker_mean) else speaker_mean - level
    share = min(1.0, MAX_SPEECH_S * model.sample_rate / sum(map(len, waves)))
    waves = [wave[: round(share * len(wave))] for wave in waves]
    classes = [mulaw.compress(wave * np.float32(10 ** (gain / 20))) for wave in waves]
    vector = _fit_embedding(model, classes, max_steps, seed, progress)
    run, voice = model.run, SpeakerInfo(name, seconds, level + gain)
    return speaker_table.save(
        run.user_data_dir, run.digest, EnrolledSpeaker(voice, vector.numpy(), _fit_adaptation(model, classes, vector))
    )


def remove(model: SpeechCodec, name: str) -> None:
    """Remove an enrolled speaker.

    Raises:
        InputError: no enrolled speaker of that name; those of the training data cannot be removed.
    """
    speaker_table.delete(model.run.user_data_dir, name)


def _read(path: Path, sample_rate: int, warn: Callable[[str], None]) -> Wave:
    """Read a recording, trim its silent edges, and warn of clipping and noise."""
    (wave,) = preprocessed([audio.read(path, sample_rate)], sample_rate)
    start, end = audio.trim_bounds(wave, sample_rate)
    wave = wave[round(start * sample_rate) : round(end * sample_rate)]
    if float(np.mean(np.abs(wave) > 0.999)) > CLIPPED_SHARE:
        warn(f"{path}: is clipped; record it more quietly")
    heard = loudness.analyse_level([wave], sample_rate)
    if heard.level_db - float(np.quantile(heard.levels_db, 0.1)) < NOISY_DB:
        warn(f"{path}: is noisy; the voice will have learned the noise too")
    return wave


def _level(waves: list[Wave], sample_rate: int) -> tuple[float, float]:
    """Speech level in dB, and duration of the speech in seconds."""
    heard = loudness.analyse_level(iter(waves), sample_rate)
    return heard.level_db, float((~loudness.pauses(heard)).sum()) * loudness.FRAME_S


def _fit_embedding(
    model: SpeechCodec, classes: list[NDArray[np.uint8]], max_steps: int, seed: int, progress: Callable[[float], None]
) -> Tensor:
    """The embedding of a speaker, (dim,)."""
    net, hop = model.net, model.hop
    learned, held = [], []
    for recording in classes:
        frames = len(recording) // hop
        codes = model.encode(mulaw.expand(recording[: frames * hop]))  # of the whole: a crop lacks what is around it
        cut = round(frames * (1 - VALIDATION_SHARE))
        if 0 < cut < frames:
            learned.append(_Part(recording[: cut * hop].reshape(-1, hop), codes[:cut]))
            held.append(_Part(recording[cut * hop : frames * hop].reshape(-1, hop), codes[cut:]))
    rng = np.random.default_rng(seed)
    tests = _batch(
        [part.crop(start) for part in held for start in range(0, max(1, len(part.codes)), CROP_SAMPLES // hop)], rng
    )
    table = net.speaker.weight.detach()
    with torch.inference_mode():
        vector, best = _initial_embedding(model, tests)
    vector, kept = vector.clone().requires_grad_(), vector.clone()
    adam, idle = torch.optim.Adam([vector], LEARNING_RATE * float(table.std(0).mean())), 0
    net.requires_grad_(False)
    for step in range(max_steps):
        adam.zero_grad()
        for batch in (1,) * WAVENET_BATCH_CROPS if model.uses_own_wavenet else (BATCH_CROPS,):
            _loss(model, _batch([_random_crop(learned, rng) for _ in range(batch)], rng), vector).backward()
        adam.step()
        progress((step + 1) / max_steps)
        if (step + 1) % EVALUATE_EVERY == 0:
            with torch.inference_mode():
                now = float(_loss(model, tests, vector))
            if now < best - 1e-4:
                best, kept, idle = now, vector.detach().clone(), 0
            elif (idle := idle + 1) == PATIENCE:
                break
    progress(1.0)
    return kept


def _fit_adaptation(model: SpeechCodec, classes: list[NDArray[np.uint8]], vector: Tensor) -> NDArray[np.float32]:
    """The adaptation of the speaker; empty without an acoustic model."""
    if not model.net.acoustic_model:
        return np.zeros((0, 0), np.float32)
    recordings = [batches.utterance_batch(one, 0, model.hop).classes.to(model.device) for one in classes]
    return model.net.adaptation(recordings, vector.to(model.device)).cpu().numpy()


class _Part(NamedTuple):
    """A part of a recording: classes, (frames, hop), and codes, (frames,)."""

    classes: NDArray[np.uint8]
    codes: NDArray[np.integer]

    def crop(self, start: int) -> "_Part":
        """CROP_SAMPLES from a frame on; the last frame is repeated where there are fewer."""
        frames = CROP_SAMPLES // self.classes.shape[1]
        chosen = np.arange(start, start + frames).clip(0, max(0, len(self.codes) - 1))
        return _Part(self.classes[chosen], self.codes[chosen])


class _Crops(NamedTuple):
    """Crops and the decoder's input, (crops, time); and their codes, (crops, frames, codebooks)."""

    classes: Tensor
    past: Tensor
    codes: Tensor


def _random_crop(parts: list[_Part], rng: np.random.Generator) -> _Part:
    """A random crop; a part is chosen in proportion to its length."""
    lengths = np.array([len(part.codes) for part in parts], np.float64)
    part = parts[rng.choice(len(parts), p=lengths / lengths.sum())]
    return part.crop(int(rng.integers(max(1, len(part.codes) - CROP_SAMPLES // part.classes.shape[1] + 1))))


def _batch(crops: list[_Part], rng: np.random.Generator) -> _Crops:
    classes = np.stack([crop.classes.reshape(-1) for crop in crops])
    past = np.stack([batches.corrupt_history(one, rng, DRIFT_DB, NOISE) for one in classes])
    codes = np.stack([crop.codes for crop in crops]).astype(np.int64)
    return _Crops(*map(torch.from_numpy, (classes, past, codes)))


def _initial_embedding(model: SpeechCodec, tests: _Crops) -> tuple[Tensor, float]:
    """The known embedding, or their mean, with the lowest loss on some crops; and its loss on all."""
    table = model.net.speaker.weight.detach()
    choices = (table.mean(0), *table)
    every = max(1, round(tests.classes.numel() / (INITIAL_CHOICE_S * model.sample_rate)))
    few = _Crops(*(part[::every] for part in tests))
    vector = choices[int(np.argmin([float(_loss(model, few, vector)) for vector in choices]))]
    return vector, float(_loss(model, tests, vector))


def _loss(model: SpeechCodec, crops: _Crops, vector: Tensor) -> Tensor:
    """Loss of crops given their codes and an embedding: acoustic losses, and the likelihood by the model's own WaveNet.

    A WaveNet vocoder takes no embedding.
    """
    net, device = model.net, model.device
    classes, past, codes = (part.to(device) for part in crops)
    embeddings, starts = (
        vector.to(device).expand(len(classes), -1),
        torch.zeros(len(classes), dtype=torch.long).to(device),
    )
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=hardware.in_bfloat16("auto")):
        latents = net.quantizer.decode(codes)
        if not model.uses_own_wavenet:
            return torch.stack([*net.acoustic_losses(classes, latents, embeddings).values()]).sum()
        nats, acoustic_losses = net.nats(classes, past, starts, latents, embeddings)
    return nats + sum(acoustic_losses.values())
