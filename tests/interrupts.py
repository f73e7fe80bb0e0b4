"""Signals that interrupt, as Ctrl-C does, and are not lost."""

import contextlib
import os
import signal
import sys
import threading


@contextlib.contextmanager
def interrupting(number):
    """Let a signal raise a KeyboardInterrupt, and send it again if that came to nothing.

    Python reports and ignores what is raised in finalizers, callbacks of weak references and
    callbacks of the garbage collector.
    """
    report = sys.unraisablehook

    def send_again(ignored):
        if ignored.exc_type is KeyboardInterrupt:
            threading.Timer(0.01, os.kill, (os.getpid(), number)).start()
        else:
            report(ignored)

    handler = signal.signal(number, signal.default_int_handler)
    sys.unraisablehook = send_again
    try:
        yield
    finally:
        sys.unraisablehook = report
        signal.signal(number, handler)
