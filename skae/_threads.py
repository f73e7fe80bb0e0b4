"""Limit BLAS to one thread, where more than one would do harm."""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_inside: set[object] = set()  # uses of `one_thread` that have not ended, in all threads
_lift: Callable[[], None] | None = None  # ends the limit, if there is one


@functools.cache
def _controller():
    return ThreadpoolController()  # takes milliseconds to look for libraries


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run BLAS in one thread until the last of the concurrent uses of this context ends.

    NumPy and SciPy have BLAS libraries of their own, whose idle threads spin for a tenth of a
    second. The threads of one slow down the next call of the other, and both slow down TensorFlow
    while it trains or compiles. With one thread, the order of sums does not depend on the machine
    either. A limit that the caller has set with threadpoolctl stays. An OpenBLAS with OpenMP
    threads has a limit for each thread that calls it, and is left alone.
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
    """Limit BLAS to one thread, and return a function that lifts the limit.

    A thread is kept to do both. Since release 3.8, threadpoolctl lets only the first thread that
    sets a limit change what all threads share, and the last use may end in another thread.
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
        done.set()  # otherwise an interrupt would leave the limit on for good
        raise
