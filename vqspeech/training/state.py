"""Resumable training state: weights, optimiser moments and step, in a run directory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vqspeech.errors import InputError
from vqspeech.models.checkpoint import FORMAT, WEIGHTS, digest_of, read_tensors, write_tensors

STATES = "state"


def save_state(
    directory: Path, step: int, minutes: float, learner: nn.Module, averaged: nn.Module, adam: Optimizer, keep: int
) -> None:
    """Writes all that training needs to go on after `step`, then removes all but the newest `keep`."""
    tensors = {f"learner.{name}": tensor for name, tensor in learner.state_dict().items()}
    tensors |= {f"averaged.{name}": tensor for name, tensor in averaged.state_dict().items()}
    for index, moments in adam.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": tensor for name, tensor in moments.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    states = directory / STATES
    states.mkdir(exist_ok=True)
    metadata = {"format": FORMAT, "step": str(step), "minutes": repr(minutes), WEIGHTS: digest_of(tensors)}
    write_tensors(states / f"{step:08d}.safetensors", tensors, metadata)
    for path in states_of(directory)[:-keep]:
        path.unlink(missing_ok=True)


def resume_(directory: Path, learner: nn.Module, averaged: nn.Module, adam: Optimizer) -> tuple[int, float]:
    """Puts the newest state into the three of them; returns its step and minutes, zeros in a new run.

    Raises:
        InputError: the state cannot be read, has a changed byte or does not fit; the one before it is still there.
    """
    states = states_of(directory)
    if not states:
        return 0, 0.0
    tensors, metadata = read_tensors(states[-1])
    if metadata.get(WEIGHTS) != digest_of(tensors):
        raise InputError(f"{states[-1]}: was changed after it was written; delete it to go on from the one before")
    parts: dict[str, dict[str, Tensor]] = {"learner": {}, "averaged": {}, "adam": {}}
    for name, tensor in tensors.items():
        part, _, tensor_name = name.partition(".")
        parts.setdefault(part, {})[tensor_name] = tensor
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts["adam"].items():
        index, _, moment = name.partition(".")
        moments.setdefault(int(index), {})[moment] = tensor
    try:
        learner.load_state_dict(parts["learner"])
        averaged.load_state_dict(parts["averaged"])
        adam.load_state_dict({"state": moments, "param_groups": adam.state_dict()["param_groups"]})
        return int(metadata["step"]), float(metadata["minutes"])
    except (RuntimeError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{states[-1]}: does not fit this config ({reason}); delete it or take another folder"
        ) from None


def states_of(directory: Path) -> list[Path]:
    """The files of all states that are kept, the oldest first."""
    return sorted((directory / STATES).glob("[0-9]*.safetensors"))


def drawn(make: Callable[[], Any], seed: int) -> Any:
    """A model whose first weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()
