"""Types of numpy arrays; those of tensors are in `nn/shapes.py`."""

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]
"""A wave, (time,), in [-1, 1]."""
Codes = NDArray[np.integer]
"""Codes, (frames, codebooks), the first codebook first."""
