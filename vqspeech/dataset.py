"""Packed mu-law shards, and the seeded crops that training sees."""

import csv
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vqspeech import mulaw
from vqspeech.errors import InputError

FORMAT = 1
DRIFT_SAMPLES = 320


class Batch(NamedTuple):
    """Crops of speech.

    `classes`: (batch, time) mu-law, uint8; `past`: the same as the decoder is told them when it predicts the next
    ones; `speakers`: (batch,) indices into the speaker table; `uniforms`: (batch, frames) draws in [0, 1), for
    whatever in the model is random.
    """

    classes: Tensor
    past: Tensor
    speakers: Tensor
    uniforms: Tensor


class Row(NamedTuple):
    """Where one packed utterance lies: samples from `offset` on, `length` of them, in `shard`."""

    key: str
    speaker: str
    shard: int
    offset: int
    length: int


class Packed:
    """The packed utterances of a data directory, mapped into memory, never read whole.

    Args:
        directory: a `packed` folder as `vqspeech data pack` writes it: `packed.json`, and
            `shard-NNNNN.u8` with `shard-NNNNN.tsv` (key, speaker, offset, length).

    Raises:
        InputError: the folder is missing, of another format, lacks a shard, or has one shorter than its
            table says.
    """

    def __init__(self, directory: str | Path) -> None:
        directory = Path(directory)
        try:
            about = json.loads((directory / "packed.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise InputError(f"{directory}: holds no packed speech; run `vqspeech data pack` on its folder") from None
        if about.get("format") != FORMAT:
            raise InputError(f"{directory}: format {about.get('format')}, this version reads {FORMAT}; pack again")
        self.sample_rate: int = about["sample_rate"]
        self.rows: list[Row] = []
        self._shards: list[Path] = sorted(directory.glob("shard-*.u8"))
        if len(self._shards) != about.get("shards"):
            raise InputError(f"{directory}: {len(self._shards)} of {about.get('shards')} shards are there; pack again")
        for number, shard in enumerate(self._shards):
            rows, size = read_rows(shard.with_suffix(".tsv"), number), shard.stat().st_size
            end = max((row.offset + row.length for row in rows), default=0)
            if end > size:
                raise InputError(f"{shard}: {size} bytes, its table speaks of {end}; delete it and pack again")
            self.rows += rows
        if not self.rows:
            raise InputError(f"{directory}: holds no utterance; pack again and look at skipped.tsv")
        self.speakers: list[str] = sorted({row.speaker for row in self.rows})

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """The mu-law classes of one utterance, (time,)."""
        row = self.rows[index]
        return self._map(row.shard)[row.offset : row.offset + row.length]

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "_maps"}

    def _map(self, shard: int) -> NDArray[np.uint8]:
        maps = self.__dict__.setdefault("_maps", {})
        if shard not in maps:
            maps[shard] = np.memmap(self._shards[shard], dtype=np.uint8, mode="r")
        return maps[shard]


class Crops(Dataset):
    """Endless crops of packed speech: crop n is a function of (seed, n) and of nothing else.

    So a run that is resumed, or spread over more processes, sees the very same crops in the same order.
    An epoch visits each utterance as often as its length has crops, in random order, at random offsets;
    what is shorter than a crop is followed by silence.

    Args:
        packed: one or several packed folders; their keys need not differ.
        speakers: the speaker table; crop speakers are indices into it.
        crop: samples in a crop, a multiple of the hop.
        hop: samples per code.
        drift_db, noise: of the past that the decoder is told in half of the crops, see `misheard`.
    """

    def __init__(
        self, packed: list[Packed], speakers: list[str], crop: int, hop: int, seed: int,
        drift_db: float = 0.0, noise: float = 0.0,
    ) -> None:  # fmt: skip
        self.packed, self.crop, self.hop, self.seed = packed, crop, hop, seed
        self.drift_db, self.noise = drift_db, noise
        index = {speaker: number for number, speaker in enumerate(speakers)}
        rows = [(part, at, row) for part, one in enumerate(packed) for at, row in enumerate(one.rows)]
        self._where = np.array([(part, at, index[row.speaker]) for part, at, row in rows], dtype=np.int64)
        visits = [max(1, round(row.length / crop)) for _, _, row in rows]
        self._visits = np.repeat(np.arange(len(rows)), visits)
        self._shuffled = (-1, self._visits)

    def __len__(self) -> int:
        """Crops in an epoch."""
        return len(self._visits)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, int, Tensor]:
        epoch, place = divmod(number, len(self))
        part, at, speaker = self._where[self._order(epoch)[place]]
        rng = np.random.default_rng([self.seed, 1, number])
        classes = self.packed[part][at]
        offset = rng.integers(max(1, len(classes) - self.crop + 1))
        crop = classes[offset : offset + self.crop]
        crop = np.pad(crop, (0, self.crop - len(crop)), constant_values=mulaw.SILENCE)
        uniforms = rng.random(self.crop // self.hop, dtype=np.float32)
        unsure = (self.drift_db or self.noise) and rng.random() < 0.5  # the other half is told the truth
        past = misheard(crop, rng, self.drift_db, self.noise) if unsure else crop
        return torch.from_numpy(crop), torch.from_numpy(past), int(speaker), torch.from_numpy(uniforms)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """The visits of an epoch in their order; the last epoch asked for is remembered."""
        if self._shuffled[0] != epoch:
            self._shuffled = epoch, np.random.default_rng([self.seed, 0, epoch]).permutation(self._visits)
        return self._shuffled[1]


def collate(crops: list[tuple[Tensor, Tensor, int, Tensor]]) -> Batch:
    """Crops, stacked."""
    classes, past, speakers, uniforms = zip(*crops, strict=True)
    return Batch(torch.stack(classes), torch.stack(past), torch.tensor(speakers), torch.stack(uniforms))


def misheard(classes: NDArray[np.uint8], rng: np.random.Generator, drift_db: float, noise: float) -> NDArray[np.uint8]:
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


def whole(classes: NDArray[np.uint8], speaker: int, hop: int) -> Batch:
    """One utterance as a batch, with silence behind it up to a whole frame; for measuring."""
    padded = np.pad(classes, (0, -len(classes) % hop), constant_values=mulaw.SILENCE)
    classes_ = torch.from_numpy(padded)[None]
    return Batch(classes_, classes_, torch.tensor([speaker]), torch.zeros(1, len(padded) // hop))


def read_rows(table: Path, shard: int) -> list[Row]:
    """The rows of a shard's table."""
    try:
        with table.open(encoding="utf-8", newline="") as file:
            return [
                Row(row["key"], row["speaker"], shard, int(row["offset"]), int(row["length"]))
                for row in csv.DictReader(file, delimiter="\t")
            ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{table}: is no table of a shard ({error}); delete the shard and pack again") from None
