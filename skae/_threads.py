"""Limit BLAS to one thread, where more than one would do harm."""

import contextlib
import functools
import threading
from collections.abc import Iterator

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_inside: set[object] = set()  # the uses of `one_thread` in all threads that have not ended
_limit: "_Limit | None" = None  # the limit in force, if there is one


@functools.cache
def _controller():
    return ThreadpoolController()  # cached, since looking for libraries takes milliseconds


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run BLAS in one thread until the last of the concurrent uses of this context ends.

    NumPy and SciPy have BLAS libraries of their own, whose idle threads spin for a tenth of a
    second. The threads of one slow down the next call of the other, and both slow down TensorFlow
    while it trains or compiles. With one thread, the order of sums does not depend on the machine
    either. A limit that the caller has set with threadpoolctl stays. An OpenBLAS with OpenMP
    threads has a limit for each thread that calls it, and is left alone.
    """
    use = object()
    try:
        with _lock:
            _enter(use)
        yield
    finally:
        try:
            _leave(use)
        except BaseException:
            _leave(use)  # an interrupt would leave the limit in force for good
            raise


def _enter(use):
    global _limit
    _inside.add(use)
    if _limit is None:
        # Known before it is in force, so that an interrupt in between does not lose it.
        _limit = _Limit()
        _limit.start()


def _leave(use):
    """Lift the limit if no other use is left. Calling this again does no harm."""
    global _limit
    with _lock:
        _inside.discard(use)
        if _limit is not None and not _inside:
            _limit.lift()
            _limit = None


class _Limit:
    """A limit of one thread for BLAS.

    A thread of its own sets and lifts it. Since release 3.8, threadpoolctl lets only the thread
    that changed what all threads share change it again, and the last use may end in another one.
    """

    def __init__(self):
        self._in_force, self._done = threading.Event(), threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def start(self):
        self._keeper.start()
        self._in_force.wait()

    def lift(self):
        self._done.set()
        if self._keeper.is_alive():
            self._keeper.join()

    def _keep(self):
        try:
            with _controller().limit(limits=1, user_api="blas"):
                self._in_force.set()
                self._done.wait()
        finally:
            self._in_force.set()
