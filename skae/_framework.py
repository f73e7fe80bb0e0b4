"""The import of TensorFlow and Keras, which takes seconds and must not be interrupted."""

import importlib
import sys
from concurrent.futures import ThreadPoolExecutor


def load_framework() -> None:
    """Import the Keras half, at the first call.

    In a thread of its own, since it is the main thread that Ctrl-C interrupts: a process in which
    the import of TensorFlow has stopped half-way can't import it any more.
    """
    if "skae._keras.training" not in sys.modules:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(importlib.import_module, "skae._keras.training").result()
