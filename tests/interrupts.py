"""Signals that interrupt, as Ctrl-C does, and are not lost."""

import contextlib
import signal
import sys


@contextlib.contextmanager
def interrupting(number):
    """Let a signal raise a KeyboardInterrupt in this block, and again later if it is ignored.

    Python reports and ignores what is raised in finalizers, callbacks of weak references and
    callbacks of the garbage collector. Libraries may ignore it as well.
    """

    def interrupt(*_):
        signal.setitimer(signal.ITIMER_REAL, 20)
        raise KeyboardInterrupt

    def see(ignored):
        if ignored.exc_type is KeyboardInterrupt:
            signal.setitimer(signal.ITIMER_REAL, 0.01)
        else:
            report(ignored)

    report, sys.unraisablehook = sys.unraisablehook, see
    handlers = {n: signal.signal(n, interrupt) for n in {number, signal.SIGALRM}}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for n, handler in handlers.items():
            signal.signal(n, handler)
        sys.unraisablehook = report
