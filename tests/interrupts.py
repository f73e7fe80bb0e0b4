"""Signals that interrupt, as Ctrl-C does, and are not lost."""

import _weakrefset
import contextlib
import os
import signal
import threading
import weakref

# Python swallows what is raised in callbacks of weak references and in finalizers.
SWALLOWING = weakref.__file__, _weakrefset.__file__


def swallowed(frame):
    """Return whether Python swallows an exception in a frame."""
    while frame is not None:
        if frame.f_code.co_filename in SWALLOWING or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


@contextlib.contextmanager
def interrupting(number):
    """Let a signal raise a KeyboardInterrupt, and come again later if Python would swallow it."""

    def interrupt(_, frame):
        if not swallowed(frame):
            raise KeyboardInterrupt
        threading.Timer(0.01, os.kill, (os.getpid(), number)).start()

    before = signal.signal(number, interrupt)
    try:
        yield
    finally:
        signal.signal(number, before)
