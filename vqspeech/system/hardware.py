"""Hardware: bfloat16 support, memory allocator, and graceful interruption."""

import contextlib
import ctypes
import os
import signal
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")
"""Result of a function."""


class GracefulInterrupt:
    """Graceful interruption: records SIGINT and SIGTERM, so that a training step can complete.

    `signal` is the number of the signal, 0 before one arrives.
    """

    signal = 0
    _raises = False

    def __enter__(self) -> "GracefulInterrupt":
        self._handlers = {number: signal.signal(number, self._record) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def run_unless_signalled(self, work: Callable[[], T]) -> T | None:
        """Result of `work`; None if a signal arrived before, or arrives meanwhile, which interrupts `work` at once."""
        try:
            self._raises = True
            return None if self.signal else work()
        except _InterruptedError:
            return None
        finally:
            self._raises = False

    def _record(self, number: int, _: object) -> None:
        self.signal = number
        if self._raises:
            self._raises = False
            raise _InterruptedError


class _InterruptedError(KeyboardInterrupt):
    """Signal during `run_unless_signalled`."""


def cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_freed_memory() -> None:
    """Makes glibc reuse freed memory instead of returning it to the kernel, which would zero it again.

    The activations of a training step are blocks of about 50 MB; this halves the time of a step and of encoding.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc, trim_threshold, mmap_threshold = ctypes.CDLL("libc.so.6"), -1, -3
        for threshold in (trim_threshold, mmap_threshold):
            libc.mallopt(threshold, 2**31 - 1)


def in_bfloat16(precision: str) -> bool:
    """Whether products are computed in bfloat16; "auto": if the hardware supports it."""
    if precision != "auto":
        return precision == "bfloat16"
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported()
