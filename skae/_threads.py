"""Threads of BLAS, where more than one do harm."""

import contextlib
import functools
import threading
from collections.abc import Iterator

from threadpoolctl import ThreadpoolController

_lock = threading.RLock()


@functools.cache
def _controller():
    return ThreadpoolController()  # which takes milliseconds to look for libraries


@contextlib.contextmanager
def one_thread(wanted: bool) -> Iterator[None]:
    """Run BLAS in one thread, if that is wanted: to change their number takes two milliseconds.

    NumPy and SciPy have libraries of their own, whose idle threads spin for a while: those of one
    slow down the next call of the other, and either slows down what another thread compiles.
    """
    if not wanted:
        yield
        return
    # One at a time, or the last to leave might restore what the first had set.
    with _lock, _controller().limit(limits=1, user_api="blas"):
        yield
