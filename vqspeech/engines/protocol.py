"""Engine interface: step-by-step sampling of a WaveNet."""

from typing import Any, Protocol, TypeVar

from torch import Tensor

from vqspeech.errors import InputError
from vqspeech.nn.wavenet import WaveNet

ENGINES = ("numba", "torch")
"""Names of the engines."""
State = TypeVar("State")
"""State of a generation, a type of each engine."""


class Engine(Protocol[State]):
    """Sampler of WaveNets.  A state comes from the same engine, and no call changes it.

    Implementations: the module `torch_engine` (the reference, any device) and `numba_engine.NumbaEngine` (CPU).
    """

    def generate(
        self, wavenet: WaveNet, cond: Tensor, uniforms: Tensor, temperature: float | Tensor = 1.0,
        state: State | None = None, *, top_p: float = 1.0,
    ) -> tuple[Tensor, State]:  # fmt: skip
        """Symbols sampled one after another; see `torch_engine.generate`."""
        ...

    def logits(
        self, wavenet: WaveNet, classes: Tensor, cond: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Teacher-forced logits; see `torch_engine.logits`."""
        ...

    def step(
        self, wavenet: WaveNet, cond: Tensor, previous: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Logits of the next symbol; see `torch_engine.step`."""
        ...


def load_engine(name: str, precision: str = "float32", threads: int = 1) -> Engine[Any]:
    """Engine by name.

    Args:
        name: one of ENGINES.
        precision: of the numba engine's weights.
        threads: number of threads of the numba engine.

    Raises:
        InputError: an unknown name or precision.
    """
    if name not in ENGINES:
        raise InputError(f"engine {name!r} is unknown; choose from {', '.join(ENGINES)}")
    if name == "torch":
        from vqspeech.engines import torch_engine

        return torch_engine
    from vqspeech.engines import numba_engine

    if precision not in numba_engine.PRECISIONS:
        raise InputError(f"precision {precision!r} is unknown; choose from {', '.join(numba_engine.PRECISIONS)}")
    return numba_engine.NumbaEngine(precision, threads)
