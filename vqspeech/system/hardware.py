"""Hardware: bfloat16 support, memory allocator, and graceful interruption."""

import contextlib
import ctypes
import os
import signal
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


class GracefulInterrupt:
    """Remembers SIGINT and SIGTERM instead of dying of them in the middle of a step."""

    signal = 0
    _impatient = False

    def __enter__(self) -> "GracefulInterrupt":
        self._before = {one: signal.signal(one, self._remember) for one in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)

    def run_unless_signalled(self, work: Callable[[], T]) -> T | None:
        """What `work` returns; none if a signal came before or comes while it works, which then ends at once."""
        try:
            self._impatient = True
            return None if self.signal else work()
        except _InterruptedError:
            return None
        finally:
            self._impatient = False

    def _remember(self, number: int, _: object) -> None:
        self.signal = number
        if self._impatient:
            self._impatient = False
            raise _InterruptedError


class _InterruptedError(KeyboardInterrupt):
    pass


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_freed_memory() -> None:
    """Tells glibc to reuse what a step frees instead of giving it back to the kernel, which zeroes it anew.

    The activations of a training step are blocks of some 50 MB; a step, or encoding, takes half the time with this.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library: nothing to tune
        libc, trim_threshold, mmap_threshold = ctypes.CDLL("libc.so.6"), -1, -3
        for threshold in (trim_threshold, mmap_threshold):
            libc.mallopt(threshold, 2**31 - 1)


def in_bfloat16(precision: str) -> bool:
    """Whether products are computed in bfloat16; "auto" means where the processor does so itself."""
    if precision != "auto":
        return precision == "bfloat16"
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported()
