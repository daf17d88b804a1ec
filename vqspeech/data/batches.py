"""Random crops of packed speech and of codes, as batches for training."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vqspeech.audio import mulaw
from vqspeech.data.archives import CodeShards, MulawShards
from vqspeech.data.phones import PHONES
from vqspeech.data.posteriors import PhoneTargets

DRIFT_SAMPLES = 320
UNKNOWN = -100
"""No code: the index that cross entropy ignores."""


class Batch(NamedTuple):
    """Crops of speech.

    `classes`: (batch, time) mu-law, uint8; `past`: (batch, segment time), the decoder's input for a segment of each;
    `starts`: (batch,) frames at which the segments begin; `speakers`: (batch,) indices of the speaker table;
    `uniforms`: (batch, frames) random numbers in [0, 1) for augmentation; `phones`: (batch, frames, phones) posteriors,
    zeros where there are none, or None.
    """

    classes: Tensor
    past: Tensor
    starts: Tensor
    speakers: Tensor
    uniforms: Tensor
    phones: Tensor | None = None


class CodeBatch(NamedTuple):
    """Crops of codes.

    `codes`: (batch, frames, codebooks), the targets, UNKNOWN where there are none; `past`: the input; `speakers`:
    (batch,) indices of the speaker table.
    """

    codes: Tensor
    past: Tensor
    speakers: Tensor


class CropSampler:
    """Endless random crops of sequences: crop n is a function of (seed, n) alone.

    So a run that is resumed, or spread over more processes, sees the same crops in the same order.  An epoch visits
    each utterance as often as its length has crops, in random order, at random offsets.

    Args:
        parts: `MulawShards` or `CodeShards`; their keys need not differ, and a part that is given twice counts twice.
        speakers: the speaker table; a crop's speaker is an index of it.
        crop: maximum length in symbols.
        balance: each speaker's share is the length of their speech to this power: 1 is as recorded, 0 is equal.
        mixed: number of shards that are sampled from at a time, drawn at random; 0: all.
        step: crops begin at a multiple of this.
    """

    def __init__(
        self, parts: Sequence[MulawShards | CodeShards], speakers: list[str], crop: int, seed: int,
        balance: float = 1.0, mixed: int = 0, step: int = 1,
    ) -> None:  # fmt: skip
        self.parts, self.crop, self.seed, self.mixed, self.step = parts, crop, seed, mixed, step
        index = {speaker: number for number, speaker in enumerate(speakers)}
        tables = [part.rows for part in parts]
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
        """A crop, its speaker, and a random generator for its augmentation."""
        crop, (_, _, speaker), _, rng = self.at(number)
        return crop, speaker, rng

    def at(self, number: int) -> tuple[NDArray, tuple[int, int, int], int, np.random.Generator]:
        """A crop with its origin (part, utterance, speaker), its offset and a random generator."""
        epoch, place = divmod(number, len(self))
        part, at, speaker = map(int, self._where[self._order(epoch)[place]])
        rng = np.random.default_rng([self.seed, 1, number])
        symbols = self.parts[part][at]
        offset = int(rng.integers(max(0, len(symbols) - self.crop) // self.step + 1)) * self.step
        return symbols[offset : offset + self.crop], (part, at, speaker), offset, rng

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """The utterances of an epoch in order; the last epoch is cached."""
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
        spoken: length in samples of the decoder's segment of each crop, at a random place; 0: the whole crop.
        drift_db, noise: corruption of the decoder's input in half of the crops, see `corrupt_history`.
        targets: phone posteriors of each part; crops then begin at whole frames.
    """

    def __init__(
        self, packed: list[MulawShards], speakers: list[str], crop: int, hop: int, seed: int,
        drift_db: float = 0.0, noise: float = 0.0, balance: float = 1.0, mixed: int = 0, spoken: int = 0,
        targets: Sequence[PhoneTargets | None] = (),
    ) -> None:  # fmt: skip
        step = hop if any(targets) else 1
        self.schedule, self.crop, self.hop = CropSampler(packed, speakers, crop, seed, balance, mixed, step), crop, hop
        self.targets = list(targets) if any(targets) else []
        self.drift_db, self.noise, self.spoken = drift_db, noise, spoken or crop

    def __len__(self) -> int:
        """Crops in an epoch."""
        return len(self.schedule)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, int, int, Tensor, Tensor]:
        crop, origin, offset, rng = self.schedule.at(number)
        crop = mulaw.as_classes(crop)
        frames, spoken = len(crop) // self.hop, self.spoken // self.hop
        crop = np.pad(crop, (0, self.crop - len(crop)), constant_values=mulaw.SILENCE)
        uniforms = rng.random(self.crop // self.hop, dtype=np.float32)
        corrupted = (self.drift_db or self.noise) and rng.random() < 0.5  # the other half is teacher-forced
        start = int(rng.integers(frames - spoken + 1)) if frames > spoken else 0
        past = crop[start * self.hop :][: self.spoken]
        past = corrupt_history(past, rng, self.drift_db, self.noise) if corrupted else past
        phones = self._phones(origin, offset) if self.targets else torch.zeros(0, len(PHONES))
        return torch.from_numpy(crop), torch.from_numpy(past), start, origin[2], torch.from_numpy(uniforms), phones

    def _phones(self, origin: tuple[int, int, int], offset: int) -> Tensor:
        """The posteriors of a crop, (frames, phones)."""
        targets, row = self.targets[origin[0]], self.schedule.parts[origin[0]].rows[origin[1]]
        phones = np.zeros((self.crop // self.hop, len(PHONES)), np.float32)
        if targets is not None and row.key in targets:
            rows = targets[row.key][offset // self.hop :][: len(phones)]
            phones[: len(rows)] = rows
        return torch.from_numpy(phones)


class CodeCrops(Dataset):
    """Crops of codes by a `CropSampler`; what is shorter than a crop is followed by UNKNOWN.

    Args:
        codes, speakers, crop, seed, balance: as in `CropSampler`.
        alphabet: codes in each codebook.
        noise: share of the input codes that are replaced by random ones, a regulariser.
    """

    def __init__(
        self, codes: list[CodeShards], speakers: list[str], crop: int, seed: int, alphabet: int, noise: float,
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
    posteriors = torch.stack(phones) if len(phones[0]) else None
    return Batch(torch.stack(classes), torch.stack(past), *indices, torch.stack(uniforms), posteriors)


def collate_codes(crops: list[tuple[Tensor, Tensor, int]]) -> CodeBatch:
    """Crops of codes, stacked."""
    codes, past, speakers = zip(*crops, strict=True)
    return CodeBatch(torch.stack(codes), torch.stack(past), torch.tensor(speakers))


def corrupt_history(
    classes: NDArray[np.uint8], rng: np.random.Generator, drift_db: float, noise: float
) -> NDArray[np.uint8]:
    """Corrupt the input of a decoder: a drifting gain and noise on the classes.

    A decoder that is always teacher-forced learns loudness from its input instead of its conditioning, and drifts when
    it runs by itself (exposure bias).  With a corrupted input it must learn loudness from the codes.

    Args:
        classes: (time,).
        drift_db: standard deviation of the gain, which is drawn every DRIFT_SAMPLES and between them interpolated.
        noise: standard deviation in classes, of the noisiest crops; each has its own between none and this.

    Source: the noise is that of LPCNet (Valin and Skoglund, 2019), section 3.5; the drift is ours.
    """
    knots = np.arange(0, len(classes) + DRIFT_SAMPLES, DRIFT_SAMPLES)
    gain_db = np.interp(np.arange(len(classes)), knots, rng.normal(0, drift_db, len(knots)))
    wave = np.clip(mulaw.LEVELS[classes] * 10 ** (gain_db / 20), -1, 1)
    error = rng.normal(0, noise * rng.random(), len(classes))
    return np.clip(np.rint(mulaw.formula(wave) + error), 0, mulaw.MU).astype(np.uint8)


def utterance_batch(classes: NDArray[np.uint8], speaker: int, hop: int) -> Batch:
    """One utterance as a batch, padded with silence to a whole frame."""
    padded = np.pad(classes, (0, -len(classes) % hop), constant_values=mulaw.SILENCE)
    batch = torch.from_numpy(padded)[None]
    start = torch.zeros(1, dtype=torch.long)
    return Batch(batch, batch, start, torch.tensor([speaker]), torch.zeros(1, len(padded) // hop))
