"""Vocoder interface: requests in, waves out."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vqspeech.inference.sampling_config import SamplingConfig
from vqspeech.shapes import Codes, Wave


class Request(NamedTuple):
    """Codes to decode.

    `pieces`: arrays (frames, codebooks) of any length, one sequence in order; `speaker`: a name of the speaker table.
    """

    pieces: Iterable[Codes]
    speaker: str
    sampling: SamplingConfig = SamplingConfig()


class IndexedRequest(NamedTuple):
    """A request whose codes are within their codebooks and whose speaker is an index, (1,), on the model's device."""

    pieces: Iterable[NDArray[np.int64]]
    speaker: Tensor
    sampling: SamplingConfig


class Vocoder(Protocol):
    """Turns codes into a wave; two implementations: `SourceFilterVocoder` and `AutoregressiveVocoder`."""

    @property
    def lookahead(self) -> int:
        """Number of samples before the end of the codes so far whose wave depends on later codes."""
        ...

    def stream(self, request: IndexedRequest) -> Iterator[Wave]:
        """The wave of a request: of each piece of codes as much as is complete; for live use."""
        ...

    def decode(self, requests: Iterable[IndexedRequest], progress: Callable[[int], None]) -> Iterator[tuple[int, Wave]]:
        """Waves of several requests: pairs of a request's number and the next part of its wave, in order.

        Args:
            requests: are taken only when they are needed.
            progress: is called with the number of samples that were generated since the last call.
        """
        ...
