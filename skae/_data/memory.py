"""Arrays whose memory goes back to the system as soon as they are no longer used."""

import math
import mmap
from typing import Any

import numpy as np

SMALL = 2**20


def empty(shape: tuple, dtype: Any) -> np.ndarray:
    """Return an array with any values, in a map of its own if it is large.

    After the first large array that is freed, glibc's `malloc` puts others of this size among
    small ones, and can't give them back to the system.
    """
    dtype = np.dtype(dtype)
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes < SMALL or not hasattr(mmap, "MAP_PRIVATE"):  # Windows has neither
        return np.empty(shape, dtype)
    private = mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(private, dtype).reshape(shape)
