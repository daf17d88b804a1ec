"""The seeded crops of packed speech, and of codes, that training sees."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vqspeech.audio import mulaw
from vqspeech.data.archives import Codes, MulawShards
from vqspeech.data.phones import PHONES
from vqspeech.data.posteriors import Posteriors

DRIFT_SAMPLES = 320
UNKNOWN = -100
"""No code: what cross entropy leaves out."""


class Batch(NamedTuple):
    """Crops of speech.

    `classes`: (batch, time) mu-law, uint8; `past`: (batch, spoken time), what the decoder is told of a part of them
    when it predicts the next ones; `starts`: (batch,) frames at which that part begins; `speakers`: (batch,) indices
    into the speaker table; `uniforms`: (batch, frames) draws in [0, 1), for whatever in the model is random; `phones`:
    (batch, frames, phones) posteriors, zeros where there are none, if they are asked for.
    """

    classes: Tensor
    past: Tensor
    starts: Tensor
    speakers: Tensor
    uniforms: Tensor
    phones: Tensor | None = None


class CodeBatch(NamedTuple):
    """Crops of codes.

    `codes`: (batch, frames, codebooks), UNKNOWN where there is none to predict; `past`: the same as the prior is told
    them; `speakers`: (batch,) indices into the speaker table.
    """

    codes: Tensor
    past: Tensor
    speakers: Tensor


class CropSampler:
    """Endless random crops of sequences: crop n is a function of (seed, n) and of nothing else.

    So a run that is resumed, or spread over more processes, sees the very same crops in the same order.
    An epoch visits each utterance as often as its length has crops, in random order, at random offsets.

    Args:
        parts: `MulawShards` or `Codes`; their keys need not differ, and a part that is given twice counts twice.
        speakers: the speaker table; crop speakers are indices into it.
        crop: the most symbols in a crop.
        balance: a speaker is heard in proportion to the length of their speech, to this power: 1 is as recorded, 0
            is all speakers alike.
        mixed: how many shards are gone through at a time, those of each time at random; 0: all.
        step: crops begin at a multiple of it.
    """

    def __init__(
        self, parts: Sequence[MulawShards | Codes], speakers: list[str], crop: int, seed: int, balance: float = 1.0,
        mixed: int = 0, step: int = 1,
    ) -> None:  # fmt: skip
        self.parts, self.crop, self.seed, self.mixed, self.step = parts, crop, seed, mixed, step
        index = {speaker: number for number, speaker in enumerate(speakers)}
        tables = [one.rows for one in parts]
        columns = (
            np.repeat(np.arange(len(tables)), [len(rows) for rows in tables]),
            np.concatenate([np.arange(len(rows)) for rows in tables]),
            np.concatenate([np.array([index[name] for name in rows.speakers])[rows.speaker] for rows in tables]),
        )
        self._where = np.stack(columns, axis=1)
        visits = np.rint(np.concatenate([rows.length for rows in tables]) / crop).clip(1)
        self._epoch = int(visits.sum())
        voices = self._where[:, 0] * len(speakers) + self._where[:, 2]
        visits *= np.bincount(voices, visits)[voices] ** (balance - 1)
        self._until = np.cumsum(visits * (self._epoch / visits.sum()))
        if mixed:
            shards = columns[0] << 32 | np.concatenate([rows.shard for rows in tables])
            self._shard = np.unique(shards, return_inverse=True)[1]
        self._order_of = (-1, np.zeros(0, np.int64))

    def __len__(self) -> int:
        """Crops in an epoch."""
        return self._epoch

    def __getitem__(self, number: int) -> tuple[NDArray, int, np.random.Generator]:
        """A crop, its speaker, and a generator for whatever else is random about it."""
        crop, (_, _, speaker), _, rng = self.at(number)
        return crop, speaker, rng

    def at(self, number: int) -> tuple[NDArray, tuple[int, int, int], int, np.random.Generator]:
        """The same with where it is from: its part, its place in it and its speaker, and its first symbol."""
        epoch, place = divmod(number, len(self))
        part, at, speaker = map(int, self._where[self._order(epoch)[place]])
        rng = np.random.default_rng([self.seed, 1, number])
        symbols = self.parts[part][at]
        offset = int(rng.integers(max(0, len(symbols) - self.crop) // self.step + 1)) * self.step
        return symbols[offset : offset + self.crop], (part, at, speaker), offset, rng

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """The visits of an epoch in their order; the last epoch asked for is remembered."""
        if self._order_of[0] != epoch:
            rng = np.random.default_rng([self.seed, 0, epoch])
            # systematic sampling: an utterance worth 2.3 visits has 2 or 3, and 2.3 on average over the epochs
            visits = np.searchsorted(self._until, np.arange(self._epoch) + rng.random(), side="right")
            order = rng.permutation(np.minimum(visits, len(self._until) - 1))
            if self.mixed:
                turn = rng.permutation(self._shard.max() + 1)[self._shard[order]] // self.mixed
                order = order[np.argsort(turn, kind="stable")]
            self._order_of = epoch, order
        return self._order_of[1]


class Crops(Dataset):
    """Crops of packed speech by a `CropSampler`; what is shorter than a crop is followed by silence.

    Args:
        packed, speakers, crop, seed, balance, mixed: as in `CropSampler`; the crop is a multiple of the hop.
        hop: samples per code.
        spoken: samples of each crop, at random, of which the decoder is told the past; 0: all.
        drift_db, noise: of the past that the decoder is told in half of the crops, see `corrupt_history`.
        posteriors: of each part, or none: crops then begin at whole frames, and have phones.
    """

    def __init__(
        self, packed: list[MulawShards], speakers: list[str], crop: int, hop: int, seed: int,
        drift_db: float = 0.0, noise: float = 0.0, balance: float = 1.0, mixed: int = 0, spoken: int = 0,
        posteriors: Sequence[Posteriors | None] = (),
    ) -> None:  # fmt: skip
        step = hop if any(posteriors) else 1
        self.schedule, self.crop, self.hop = CropSampler(packed, speakers, crop, seed, balance, mixed, step), crop, hop
        self.posteriors = list(posteriors) if any(posteriors) else []
        self.drift_db, self.noise, self.spoken = drift_db, noise, spoken or crop

    def __len__(self) -> int:
        """Crops in an epoch."""
        return len(self.schedule)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, int, int, Tensor, Tensor]:
        crop, where, offset, rng = self.schedule.at(number)
        crop = mulaw.as_classes(crop)
        frames, spoken = len(crop) // self.hop, self.spoken // self.hop
        crop = np.pad(crop, (0, self.crop - len(crop)), constant_values=mulaw.SILENCE)
        uniforms = rng.random(self.crop // self.hop, dtype=np.float32)
        unsure = (self.drift_db or self.noise) and rng.random() < 0.5  # the other half is told the truth
        start = int(rng.integers(frames - spoken + 1)) if frames > spoken else 0
        past = crop[start * self.hop :][: self.spoken]
        past = corrupt_history(past, rng, self.drift_db, self.noise) if unsure else past
        phones = self._phones(where, offset) if self.posteriors else torch.zeros(0, len(PHONES))
        return torch.from_numpy(crop), torch.from_numpy(past), start, where[2], torch.from_numpy(uniforms), phones

    def _phones(self, where: tuple[int, int, int], offset: int) -> Tensor:
        """The posteriors of a crop, (frames, phones)."""
        known, row = self.posteriors[where[0]], self.schedule.parts[where[0]].rows[where[1]]
        phones = np.zeros((self.crop // self.hop, len(PHONES)), np.float32)
        if known is not None and row.key in known:
            found = known[row.key][offset // self.hop :][: len(phones)]
            phones[: len(found)] = found
        return torch.from_numpy(phones)


class CodeCrops(Dataset):
    """Crops of codes by a `CropSampler`; what is shorter than a crop is followed by UNKNOWN.

    Args:
        codes, speakers, crop, seed, balance: as in `CropSampler`.
        alphabet: codes in each codebook.
        noise: share of the codes of the past that are replaced by random ones, so that less is learned by heart.
    """

    def __init__(
        self, codes: list[Codes], speakers: list[str], crop: int, seed: int, alphabet: int, noise: float,
        balance: float = 1.0,
    ) -> None:  # fmt: skip
        self.schedule, self.crop = CropSampler(codes, speakers, crop, seed, balance), crop
        self.alphabet, self.noise = alphabet, noise

    def __len__(self) -> int:
        """Crops in an epoch."""
        return len(self.schedule)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, int]:
        crop, speaker, rng = self.schedule[number]
        target = np.pad(crop.astype(np.int64), ((0, self.crop - len(crop)), (0, 0)), constant_values=UNKNOWN)
        wrong = (rng.random(target.shape) < self.noise) | (target == UNKNOWN)
        past = np.where(wrong, rng.integers(self.alphabet, size=target.shape), target)
        return torch.from_numpy(target), torch.from_numpy(past), speaker


def collate(crops: list[tuple[Tensor, Tensor, int, int, Tensor, Tensor]]) -> Batch:
    """Crops, stacked."""
    classes, past, starts, speakers, uniforms, phones = zip(*crops, strict=True)
    indices = torch.tensor(starts), torch.tensor(speakers)
    known = torch.stack(phones) if len(phones[0]) else None
    return Batch(torch.stack(classes), torch.stack(past), *indices, torch.stack(uniforms), known)


def collate_codes(crops: list[tuple[Tensor, Tensor, int]]) -> CodeBatch:
    """Crops of codes, stacked."""
    codes, past, speakers = zip(*crops, strict=True)
    return CodeBatch(torch.stack(codes), torch.stack(past), torch.tensor(speakers))


def corrupt_history(
    classes: NDArray[np.uint8], rng: np.random.Generator, drift_db: float, noise: float
) -> NDArray[np.uint8]:
    """The past as a decoder might have spoken it: at a level that drifts, and a little beside the classes.

    A decoder that is always told the true past learns loudness from it and not from the codes; when it then speaks
    by itself, nothing holds its level.  Told a past that drifted, it must learn from the codes where to be.

    Args:
        classes: (time,).
        drift_db: standard deviation of the gain, which is drawn every DRIFT_SAMPLES and between them interpolated.
        noise: standard deviation in classes, of the noisiest crops; each has its own between none and this.

    Source: the noise is that of LPCNet (Valin and Skoglund, 2019), section 3.5; the drift is ours.
    """
    knots = np.arange(0, len(classes) + DRIFT_SAMPLES, DRIFT_SAMPLES)
    gain_db = np.interp(np.arange(len(classes)), knots, rng.normal(0, drift_db, len(knots)))
    wave = np.clip(mulaw.LEVELS[classes] * 10 ** (gain_db / 20), -1, 1)
    beside = rng.normal(0, noise * rng.random(), len(classes))
    return np.clip(np.rint(mulaw.formula(wave) + beside), 0, mulaw.MU).astype(np.uint8)


def utterance_batch(classes: NDArray[np.uint8], speaker: int, hop: int) -> Batch:
    """One utterance as a batch, with silence behind it up to a whole frame; for measuring."""
    padded = np.pad(classes, (0, -len(classes) % hop), constant_values=mulaw.SILENCE)
    classes_ = torch.from_numpy(padded)[None]
    start = torch.zeros(1, dtype=torch.long)
    return Batch(classes_, classes_, start, torch.tensor([speaker]), torch.zeros(1, len(padded) // hop))
