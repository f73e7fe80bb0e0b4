"""Threads that an interrupt leaves in order, and a limit of one thread for BLAS.

An interrupt, such as Ctrl-C, comes between any two instructions of the main thread. The futures and
events of the standard library take their locks in Python: an interrupt may come when a lock is
taken and nobody knows it yet, and all who wait for it then wait forever. So the main thread waits
for a `Task`, whose locks are taken in C.
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

from threadpoolctl import ThreadpoolController

GLANCE = 0.1  # seconds after which a wait looks for signals again
_lock = threading.Lock()
_inside: set[object] = set()  # the uses of `one_thread` in all threads that have not ended
_limit: "_Limit | None" = None  # the limit in force, if there is one


class Task:
    """A function that runs in a thread of its own, until the end of a block if this is a context.

    Outside of a `with` statement, `end` has to be called after `start`, even if that fails.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._claim = threading.Lock()  # whoever takes it decides whether the function is called
        # Not `Thread.join`: if that is interrupted, Python takes the thread for ended.
        self._has_ended, self._until_end = False, threading.Lock()
        self._until_end.acquire()
        self._cancelled = False
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Task":
        try:
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self) -> None:
        try:
            self._thread.start()
        except RuntimeError as error:
            # Python waits for the thread, and an interrupt of that wait may come out as this.
            if isinstance(error.__context__, KeyboardInterrupt):
                raise error.__context__ from None
            raise

    def _run(self):
        if self._claim.acquire(blocking=False):
            try:
                self._result = self._function()
            except BaseException as error:
                self._error = error
            finally:
                self._has_ended = True
                self._until_end.release()

    def result(self) -> Any:
        """Wait for the function to end, and return what it returns or raise what it raises."""
        self._wait()
        error, self._error = self._error, None
        if error is None:
            return self._result
        try:
            raise error
        finally:
            del error  # which refers to this frame

    def end(self) -> None:
        """Wait for the function to end, even if the wait is interrupted, or let it not begin."""
        # An interrupted start may have left a thread that never calls the function.
        self._cancelled = self._cancelled or self._claim.acquire(blocking=False)
        if self._cancelled:
            return
        try:
            self._wait()
        except BaseException:
            self._wait()
            raise

    def _wait(self):
        # A signal that comes as a wait begins is seen when the wait ends, so none is long.
        while not self._has_ended:
            self._until_end.acquire(timeout=GLANCE)


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
        # Each is held until something has happened.
        self._in_force, self._unneeded = threading.Lock(), threading.Lock()
        self._in_force.acquire()
        self._unneeded.acquire()
        self._keeper = Task(self._keep)

    def start(self):
        self._keeper.start()
        with self._in_force:
            pass

    def lift(self):
        """Lift the limit. Calling this again does no harm."""
        if self._unneeded.locked():
            self._unneeded.release()
        self._keeper.end()

    def _keep(self):
        try:
            with _controller().limit(limits=1, user_api="blas"):
                self._in_force.release()
                self._unneeded.acquire()
        finally:
            if self._in_force.locked():  # there is no limit, and nothing to wait for
                self._in_force.release()
