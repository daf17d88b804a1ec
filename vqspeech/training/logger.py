"""Logger of a run: `log.jsonl` and TensorBoard."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class RunLogger:
    """Appends numbers and recordings to a run directory; `writes=False` makes it mute.

    TensorBoard is used where it is installed (`pip install 'vqspeech[recipe]'`), the JSON lines always.
    """

    def __init__(self, directory: Path, writes: bool = True) -> None:
        self._file = self._board = None
        if not writes:
            return
        self._file = (directory / "log.jsonl").open("a", encoding="utf-8")
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._board = SummaryWriter(str(directory / "tensorboard"))

    def log_scalars(self, step: int, log_scalars: Mapping[str, float]) -> None:
        """Numbers, each with its unit in its name, as they stood after `step`."""
        if self._file is None:
            return
        row = {"step": step, **{name: round(float(value), 6) for name, value in log_scalars.items()}}
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in log_scalars.items():
                self._board.add_scalar(name, value, step)

    def log_audio(self, step: int, waves: Mapping[str, NDArray[np.float32]], sample_rate: int) -> None:
        """Waves to listen to, (time,) each."""
        if self._board is not None:
            for name, wave in waves.items():
                self._board.add_audio(name, wave[None], step, sample_rate)

    def close(self) -> None:
        """Flushes and closes both."""
        for writer in (self._file, self._board):
            if writer is not None:
                writer.close()
