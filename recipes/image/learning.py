"""What the recipes of pictures and video train with: endless shuffled examples, and `fit` for a few minutes."""

import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks import Batch
from pictures import Pictures
from priors import CodeBatch
from safetensors.torch import load_file, save_file

from vqspeech import config
from vqspeech.evaluation.likelihood import EvalResult
from vqspeech.training import loop


class Drawn(torch.utils.data.Dataset):
    """Endless random pictures: example n depends on seed and n alone."""

    def __init__(self, pictures: Pictures, seed: int, flip: bool = True) -> None:
        self.pictures, self.seed, self.flip = pictures, seed, flip

    def __len__(self) -> int:
        return len(self.pictures.levels)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        index = shuffled(number, len(self), self.seed)
        picture = self.pictures.levels[index]
        mirrored = self.flip and np.random.default_rng([self.seed, 1, number]).random() < 0.5
        return torch.from_numpy(picture[:, :, ::-1].copy() if mirrored else picture), number


def shuffled(number: int, size: int, seed: int) -> int:
    """The example that comes at a place of an endless shuffled sequence; each epoch has its own order."""
    return int(_order(number // size, size, seed)[number % size])


@lru_cache(maxsize=4)
def _order(epoch: int, size: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(size)


def batch_of(examples: list[tuple[torch.Tensor, int]]) -> Batch:
    """Examples, stacked; the draws of a batch depend on its first example's number."""
    pictures, numbers = zip(*examples, strict=True)
    return Batch(torch.stack(pictures), numbers[0])


class DrawnCodes(torch.utils.data.Dataset):
    """Endless random pictures of codes, (codes, class): example n depends on seed and n alone."""

    def __init__(self, codes: torch.Tensor, kinds: np.ndarray, seed: int) -> None:
        self.codes, self.kinds, self.seed = codes, kinds, seed

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        index = shuffled(number, len(self), self.seed)
        return self.codes[index], int(self.kinds[index]) if len(self.kinds) else -1


def codes_of(examples: list[tuple[torch.Tensor, int]]) -> CodeBatch:
    """Examples, stacked."""
    codes, kinds = zip(*examples, strict=True)
    return CodeBatch(torch.stack(codes), None if kinds[0] < 0 else torch.tensor(kinds))


def train(model: Any, data: torch.utils.data.Dataset, collate: Any, held_out: Any, out: Path, **settings: Any) -> Any:
    """Trains a learner; what is evaluated, by `held_out`, and kept in `out` is the average of its weights.

    Args:
        settings: of `config.Training`, on top of those of the paper's section 4.1.
    """
    defaults = {"learning_rate": 2e-4, "batch_size": 128, "max_steps": 250_000, "ema_decay": 0.999}
    defaults |= {"warmup_steps": 50, "evaluate_every": 1000, "save_every": 1000, "keep_checkpoints": 1}
    out.mkdir(parents=True, exist_ok=True)

    def report(progress: loop.Progress) -> None:
        numbers = " ".join(f"{name} {value:.3f}" for name, value in progress.numbers.items() if "bits_per" in name)
        print(f"\r{out.name} {100 * progress.fraction:.0f} % step {progress.step} {numbers} ", end="", file=sys.stderr)

    loop.fit(
        model, data, collate, config.Training(**defaults | settings), out,
        save=lambda learner: save_file(dict(learner.state_dict()), out / "model.safetensors"),
        evaluate=lambda learner: EvalResult(held_out(learner.eval()), {}, 0), report=report,
    )  # fmt: skip
    print(file=sys.stderr)
    model.load_state_dict(load_file(out / "model.safetensors"))
    return model.eval()
