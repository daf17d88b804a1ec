"""Functions compiled by numba, which is imported when the first of them is needed."""

from collections.abc import Callable
from typing import Any


def compiled(function: Callable) -> Any:
    """The function compiled, with fused multiply-adds, and kept on disk where there is a place for it."""
    import numba

    options = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder that can be written
        return numba.njit(**options)(function)
