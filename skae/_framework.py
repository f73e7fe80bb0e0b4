"""The import of TensorFlow and Keras, which takes seconds and must not be interrupted."""

import contextlib
import functools
import importlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator

from skae._threads import Task

NOT_INSTALLED = (
    "skae needs TensorFlow and Keras to train, to make Keras models, and to run convolutional and "
    "custom networks. There is no module named {!r}. Install both with: "
    'pip install "tensorflow>=2.19" "keras>=3.15.1". Fitted networks of dense layers load, '
    "transform and decode without them."
)
# What TensorFlow writes to stderr as it starts: which instructions the processor has, which devices
# there are, and that it is not ready to log yet.
_START_UP = re.compile(
    rb"\d{4}-\d\d-\d\d [\d:.]+: [IWE] |[IWE]0000 \d\d:\d\d:"
    rb"|WARNING: All log messages before absl|To enable the following instructions"
)


def load_framework(*, replay: bool = False) -> None:
    """Import the Keras half at the first call, and raise if it is not installed or can't work.

    The import runs in a thread of its own, since Ctrl-C interrupts the main thread. If the import
    of TensorFlow stops half-way, the process can't import it any more. What TensorFlow writes as it
    starts is left out, unless `replay` asks for it or the import fails.
    """
    if "skae._keras.training" not in sys.modules:
        try:
            new = "tensorflow" not in sys.modules
            shown = contextlib.nullcontext() if not new else without_start_up_lines(replay)
            with shown, Task(functools.partial(_import, new)) as task:
                task.result()
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing not in ("tensorflow", "keras"):
                raise
            raise ImportError(NOT_INSTALLED.format(missing), name=missing) from error
    from skae._keras import refuse_fork

    refuse_fork()


def _import(new):
    """Import the Keras half, and let TensorFlow start if it is new in this process."""
    training = importlib.import_module("skae._keras.training")
    if new:
        training.start_up()


@contextlib.contextmanager
def without_start_up_lines(replay: bool = False) -> Iterator[None]:
    """Keep what is written to the file descriptor of stderr; then write it, but for those lines.

    TensorFlow writes there from C++. The descriptor belongs to the whole process, so it is left
    alone where other threads run.
    """
    try:
        stderr = os.dup(2) if threading.active_count() == 1 else None
    except OSError:  # it is closed
        stderr = None
    if stderr is None:
        yield
        return
    with tempfile.TemporaryFile() as caught, os.fdopen(stderr, "wb") as output:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        except BaseException:
            replay = True
            raise
        finally:
            os.dup2(output.fileno(), 2)
            caught.seek(0)
            lines = caught.readlines()
            output.writelines(line for line in lines if replay or not _START_UP.match(line))
