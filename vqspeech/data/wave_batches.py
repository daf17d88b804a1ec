"""Random crops of packed speech as waves, for a vocoder."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vqspeech.audio import mulaw
from vqspeech.data.archives import MulawShards
from vqspeech.data.batches import CropSampler


class WaveBatch(NamedTuple):
    """Crops of speech for a vocoder.

    `waves`: (batch, time) in [-1, 1]; `errors`: (batch, spoken time), int8, what is added to the symbols of the past;
    `starts`: (batch,) acoustic frames at which the spoken part begins; `predicted`: (batch, frames, mels + 1) log-mel
    spectra and F0 that replace the recording's own as conditioning, NaN where they do not; or None.
    """

    waves: Tensor
    errors: Tensor
    starts: Tensor
    predicted: Tensor | None = None


class WaveCrops(Dataset):
    """Segments of packed speech as waves, by a `CropSampler`; silence follows a short utterance.

    Args:
        packed, speakers, crop, seed, balance: as in `CropSampler`.
        spoken: samples of each crop, at random, that the vocoder predicts; a multiple of `step`, as is the crop.
        step: samples an acoustic frame.
        noise: standard deviation, in classes, of the errors in the past of the noisiest crops; each noisy crop has its
            own between none and this.
        noisy: share of the crops whose past has errors.
        gain_db: of a crop, evenly distributed between minus and plus this.
        predicted: of each part, for each of its utterances, log-mel spectra and F0 that an acoustic model predicts,
            (frames, mels + 1); none at all by default.
        predicted_share: of the crops, whose conditioning is predicted instead of the recording's own.

    Source: the errors are those of LPCNet (Valin and Skoglund, 2019), section 3.5.
    """

    def __init__(
        self, packed: list[MulawShards], speakers: list[str], crop: int, spoken: int, step: int, seed: int,
        noise: float = 0.0, noisy: float = 0.7, gain_db: float = 0.0, balance: float = 1.0,
        predicted: Sequence[Sequence[NDArray]] = (), predicted_share: float = 0.0,
    ) -> None:  # fmt: skip
        self.schedule = CropSampler(packed, speakers, crop, seed, balance, step=step if predicted else 1)
        self.predicted, self.predicted_share = predicted, predicted_share
        self.crop, self.spoken, self.step, self.noise = crop, spoken, step, noise
        self.noisy, self.gain_db = noisy, gain_db

    def __len__(self) -> int:
        """Crops in an epoch."""
        return len(self.schedule)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, int, Tensor]:
        crop, origin, offset, rng = self.schedule.at(number)
        wave = mulaw.as_wave(crop)
        gain = 10 ** (rng.uniform(-self.gain_db, self.gain_db) / 20)
        gain = min(gain, 1 / max(1e-6, float(np.abs(wave).max(initial=0.0))))
        frames, spoken = len(wave) // self.step, self.spoken // self.step
        start = int(rng.integers(frames - spoken + 1)) if frames > spoken else 0
        spread = self.noise * rng.random() if rng.random() < self.noisy else 0.0
        errors = np.rint(rng.normal(0, spread, self.spoken)).clip(-127, 127).astype(np.int8)
        wave = np.pad((wave * gain).astype(np.float32), (0, self.crop - len(wave)))
        predicted = self._predicted(origin, offset, gain, rng) if self.predicted else np.zeros((0, 0), np.float32)
        return torch.from_numpy(wave), torch.from_numpy(errors), start, torch.from_numpy(predicted)

    def _predicted(
        self, origin: tuple[int, int, int], offset: int, gain: float, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Predicted features of a crop, at its gain; NaN where the recording's own are used."""
        features = self.predicted[origin[0]][origin[1]]
        rows = np.full((self.crop // self.step, features.shape[1]), np.nan, np.float32)
        if rng.random() < self.predicted_share:
            predicted_rows = features[offset // self.step :][: len(rows)].astype(np.float32)
            predicted_rows[:, :-1] += np.float32(np.log10(gain))
            rows[: len(predicted_rows)] = predicted_rows
        return rows


def collate_waves(crops: list[tuple[Tensor, Tensor, int, Tensor]]) -> WaveBatch:
    """Crops of waves, stacked."""
    waves, errors, starts, predicted = zip(*crops, strict=True)
    features = torch.stack(predicted) if len(predicted[0]) else None
    return WaveBatch(torch.stack(waves), torch.stack(errors), torch.tensor(starts), features)
