"""Training loop: `fit`, for any model with a loss."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset

from vqspeech import config
from vqspeech.errors import InputError
from vqspeech.evaluation.likelihood import EvalResult
from vqspeech.nn.quantizer import codebook_usage, compile_training
from vqspeech.nn.shapes import Loss
from vqspeech.system import hardware
from vqspeech.training import state
from vqspeech.training.logger import RunLogger
from vqspeech.training.muon import Muon

LOG_STEPS = 20


class Learner(Protocol):
    """Anything that can be trained: an nn.Module with a loss."""

    def loss(self, batch: Any) -> Loss:
        """A total to minimise, and named parts; a part named `..._counts` is a histogram of codes."""
        ...


class Progress(NamedTuple):
    """Where training stands; `fraction` is the part of its steps or minutes that is over."""

    step: int
    fraction: float
    numbers: dict[str, float]


def fit(
    learner: nn.Module,
    data: Dataset,
    batch_of: Callable[[list], Any],
    settings: config.Training,
    directory: Path,
    save: Callable[[nn.Module], None],
    evaluate: Callable[[nn.Module], EvalResult],
    report: Callable[[Progress], None] = lambda _: None,
    begin: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Trains until max_steps or max_minutes, from the newest state in the run directory if there is one.

    Example n of `data` must be a function of n alone: then nothing but step, weights and moments is
    state, and a resumed run on one CPU process equals an undisturbed one bit for bit.  Under `accelerate
    launch` each process takes its share of every batch.  SIGINT and SIGTERM end it after the step at hand,
    without an evaluation.

    Args:
        learner: what is trained, a `Learner`; its averaged copy is evaluated and saved.
        data: examples; its length is an epoch, its index has no end.
        batch_of: makes a batch from a list of examples.
        save: called with the averaged learner when it is to be kept.
        evaluate: measures the averaged learner on held-out data.
        report: called after each step.
        begin: called before the first step, when nothing can be refused any more.

    Returns:
        The newest numbers, by name.
    """
    run = _Setup(learner, data, batch_of, settings, directory)
    accelerator = run.accelerator
    begin()
    logger = RunLogger(directory, accelerator.is_main_process)
    numbers: dict[str, float] = {}
    counts: dict[str, Tensor] = {}
    epoch = run.epoch
    with hardware.GracefulInterrupt() as interruption:
        for batch in run.loader if run.fraction < 1 else ():
            loss = run.backward(batch)
            for name, part in loss.parts.items():
                if name.endswith("_counts"):
                    counts[name] = counts.get(name, 0) + part
            if not accelerator.sync_gradients:
                continue
            stop = run.finish_step(interruption.signal)
            over = stop or run.fraction >= 1
            if run.step % LOG_STEPS == 0 or over:
                scalars = _scalars(accelerator, loss)
                numbers |= scalars
                logger.log_scalars(
                    run.step, {**scalars, "gradient_norm": float(run.gradient_norm), "minutes": run.minutes}
                )
            if (run.step % settings.evaluate_every == 0 or over) and not stop:
                usage = _usage(accelerator, counts)
                result = (
                    interruption.run_unless_signalled(lambda: evaluate(run.averaged.module))
                    if accelerator.is_main_process
                    else None
                )
                if result:
                    numbers |= usage | result.numbers
                    logger.log_scalars(run.step, usage | result.numbers)
                    logger.log_audio(run.step, result.recordings, result.sample_rate)
            if run.epoch != epoch:
                epoch, counts = epoch + 1, {}
            if run.step % settings.save_every == 0 or over:
                if accelerator.is_main_process:
                    run.save_state(directory)
                    save(run.averaged.module)
                accelerator.wait_for_everyone()
            report(Progress(run.step, min(run.fraction, 1.0), numbers))
            if over:
                break
    logger.close()
    if interruption.signal:
        raise InputError(
            f"stopped after step {run.step}; it is kept in {directory}; the same command goes on from there"
        )
    return numbers


class _Setup:
    """Set-up of a training, and its position: `step` and `minutes`, resumed from the newest state of a directory.

    `learner` is trained, `averaged` is the moving average of its weights, `loader` gives the batches that remain;
    `gradient_norm` is that of the newest step, before clipping.
    """

    def __init__(
        self, learner: nn.Module, data: Dataset, batch_of: Callable[[list], Any], settings: config.Training,
        directory: Path,
    ) -> None:  # fmt: skip
        hardware.keep_freed_memory()
        self._settings, self._epoch_length = settings, len(data)  # type: ignore[arg-type]
        bfloat16 = hardware.in_bfloat16(settings.precision)
        self.accelerator = _accelerator(settings, bfloat16)
        self.learner = learner
        self.averaged = AveragedModel(learner, multi_avg_fn=_moving_average(settings.ema_decay), use_buffers=True)
        self._adam = (
            Muon(learner, settings.learning_rate, settings.muon_lr_ratio, torch.bfloat16 if bfloat16 else torch.float32)
            if settings.muon_lr_ratio
            else torch.optim.Adam(learner.parameters(), settings.learning_rate, fused=True)
        )
        self.step, self.minutes = state.resume_(directory, learner, self.averaged, self._adam)
        self._began = time.monotonic() - 60 * self.minutes
        self.gradient_norm: Any = math.nan
        loader = DataLoader(
            data,
            settings.batch_size // settings.grad_accum_steps,
            sampler=range(self.step * settings.batch_size, settings.max_steps * settings.batch_size),  # type: ignore[arg-type]
            collate_fn=batch_of,
            num_workers=4 if torch.cuda.is_available() else 0,
        )
        objective = _Objective(learner)
        self._objective, self._optimiser, self.loader = self.accelerator.prepare(
            compile_training(objective) if settings.compile else objective, self._adam, loader
        )
        self.averaged.to(self.accelerator.device)
        learner.train()

    @property
    def fraction(self) -> float:
        """Fraction of the training that is over, 1 or more at its end."""
        return _fraction(self._settings, self.step, self.minutes)

    @property
    def epoch(self) -> int:
        """Epoch of the next step, from 0 on."""
        return self.step * self._settings.batch_size // self._epoch_length

    def backward(self, batch: Any) -> Loss:
        """Gradients of a batch, or of its part of one; with the last part, the optimiser's step."""
        for group in self._adam.param_groups:
            group["lr"] = _learning_rate(self._settings, self.step, self.minutes)
        with self.accelerator.accumulate(self._objective):
            loss = self._objective(batch)
            self.accelerator.backward(loss.total)
            if self.accelerator.sync_gradients:
                self.gradient_norm = self.accelerator.clip_grad_norm_(
                    self.learner.parameters(), self._settings.max_grad_norm
                )
            self._optimiser.step()
            self._optimiser.zero_grad()
        return loss

    def finish_step(self, signal: int) -> bool:
        """Update the average, count the step, read the clock; whether any process was asked to stop."""
        self.averaged.update_parameters(self.learner)
        self.step += 1
        self.minutes, stop = _agreed(self.accelerator, (time.monotonic() - self._began) / 60, signal)
        return stop

    def save_state(self, directory: Path) -> None:
        """Write all that a resumed training needs."""
        keep = self._settings.keep_checkpoints
        state.save_state(directory, self.step, self.minutes, self.learner, self.averaged, self._adam, keep)


def _accelerator(settings: config.Training, bfloat16: bool) -> Any:
    """Accelerator of this process.

    Raises:
        InputError: a batch cannot be divided among processes and accumulated parts.
    """
    AcceleratorState._reset_state()  # it would keep the precision of an earlier training in this process
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision="bf16" if bfloat16 else "no",
        gradient_accumulation_steps=settings.grad_accum_steps,
        dataloader_config=DataLoaderConfiguration(split_batches=True),
    )
    parts = settings.grad_accum_steps * accelerator.num_processes
    if settings.batch_size % parts:
        raise InputError(
            f"training.batch_size {settings.batch_size} cannot be shared out; make it a multiple of {parts}"
        )
    return accelerator


class _Objective(nn.Module):
    """The learner's loss as a forward pass, which is what DistributedDataParallel can wrap."""

    def __init__(self, learner: nn.Module) -> None:
        super().__init__()
        self.learner: Any = learner

    def forward(self, batch: Any) -> Loss:
        return self.learner.loss(batch)


def _scalars(accelerator: Any, loss: Loss) -> dict[str, float]:
    """Parts of a loss that are no histograms, averaged over the processes."""
    parts = {name: part for name, part in loss.parts.items() if not name.endswith("_counts")}
    return {name: float(accelerator.reduce(part.detach(), "mean")) for name, part in parts.items()}


def _agreed(accelerator: Any, minutes: float, stop: int) -> tuple[float, bool]:
    """The latest clock, and whether any process was asked to stop: the same answer on all."""
    if accelerator.num_processes == 1:
        return minutes, bool(stop)
    gathered = accelerator.gather(torch.tensor([[minutes, stop]], device=accelerator.device)).amax(0)
    return float(gathered[0]), bool(gathered[1])


def _fraction(settings: config.Training, step: int, minutes: float) -> float:
    """How much of the training is over, by steps or by the clock, whichever is further."""
    return max(step / settings.max_steps, minutes / settings.max_minutes if settings.max_minutes else 0.0)


def _learning_rate(settings: config.Training, step: int, minutes: float) -> float:
    """A linear warm-up, then a cosine from learning_rate to final_learning_rate."""
    fraction = step / settings.decay_steps if settings.decay_steps else _fraction(settings, step, minutes)
    low, high = settings.final_learning_rate, settings.learning_rate
    rate = low + (high - low) * (1 + math.cos(math.pi * min(fraction, 1.0))) / 2
    return rate * min(1.0, (step + 1) / max(1, settings.warmup_steps))


def _moving_average(decay: float) -> Any:
    """An average whose decay grows with the steps, so that a short run forgets where it began."""

    @torch.no_grad()
    def update_(averages: list[Tensor], currents: list[Tensor], updates: Tensor) -> None:
        weight = 1 - min(decay, (1 + int(updates)) / (10 + int(updates)))
        torch._foreach_lerp_(averages, currents, weight)

    return update_


def _usage(accelerator: Any, counts: dict[str, Tensor]) -> dict[str, float]:
    """Codes in use and their perplexity, over this epoch so far and all processes."""
    numbers = {}
    for name, histogram in counts.items():
        kind = name.removesuffix("_counts")
        used, perplexity = codebook_usage(accelerator.reduce(histogram, "sum"))
        numbers |= {f"epoch_{kind}s_used": float(used), f"epoch_{kind}_perplexity": perplexity}
    return numbers
