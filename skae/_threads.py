"""Threads of BLAS, where more than one do harm."""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_inside: set[object] = set()  # uses of `one_thread` that have not ended, in all threads
_lift: Callable[[], None] | None = None  # what ends the limit, where there is one


@functools.cache
def _controller():
    return ThreadpoolController()  # which takes milliseconds to look for libraries


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run BLAS in one thread, until the last of those who want it has left.

    NumPy and SciPy have libraries of their own, whose idle threads spin for a tenth of a second:
    those of one slow down the next call of the other, and either slows down what TensorFlow trains
    or compiles. And sums come in an order that does not depend on the machine. Where the caller
    has set a limit by threadpoolctl, theirs stays. An OpenBLAS whose threads are OpenMP's has a
    limit for each thread that calls it, and is left alone.
    """
    global _lift
    use = object()
    try:
        with _lock:
            _inside.add(use)
            _lift = _lift or _limit()
        yield
    finally:
        with _lock:
            _inside.discard(use)
            if _lift and not _inside:
                lift, _lift = _lift, None
                lift()


def _limit():
    """Limit BLAS to one thread; return what lifts the limit again.

    Either is done by a thread kept for it: since its release 3.8 threadpoolctl lets no other than
    the first one change what all threads share, and the last to leave may be another.
    """
    limited, done = threading.Event(), threading.Event()

    def keep():
        try:
            with _controller().limit(limits=1, user_api="blas"):
                limited.set()
                done.wait()
        finally:
            limited.set()

    def lift():
        done.set()
        keeper.join()

    keeper = threading.Thread(target=keep, daemon=True)
    try:
        keeper.start()
        limited.wait()
        return lift
    except BaseException:
        done.set()  # an interrupt would leave the limit on for good
        raise
