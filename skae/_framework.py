"""The import of TensorFlow and Keras, which takes seconds and must not be interrupted."""

import importlib
import sys
from concurrent.futures import ThreadPoolExecutor

NOT_INSTALLED = (
    "skae needs TensorFlow and Keras to train, to make Keras models, and to run convolutional and "
    "custom networks. There is no module named {!r}. Install both with: "
    'pip install "tensorflow>=2.19" "keras>=3.15.1". Fitted networks of dense layers load, '
    "transform and decode without them."
)


def load_framework() -> None:
    """Import the Keras half at the first call, and raise if it is not installed or can't work.

    The import runs in a thread of its own, since Ctrl-C interrupts the main thread. If the import
    of TensorFlow stops half-way, the process can't import it any more.
    """
    if "skae._keras.training" not in sys.modules:
        try:
            with ThreadPoolExecutor(1) as thread:
                thread.submit(importlib.import_module, "skae._keras.training").result()
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing not in ("tensorflow", "keras"):
                raise
            raise ImportError(NOT_INSTALLED.format(missing), name=missing) from error
    from skae._keras import refuse_fork

    refuse_fork()
