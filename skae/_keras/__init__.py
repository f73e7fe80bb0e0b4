"""The Keras half: networks and their training, from plain values and arrays to arrays.

Importing this package imports TensorFlow, so nothing outside it may do so at module level.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from typing import Any


@contextlib.contextmanager
def _threads_of_a_worker():
    """Give TensorFlow as many threads as joblib allows this process.

    joblib tells its workers through `OMP_NUM_THREADS`, which TensorFlow does not read; it reads
    variables of its own, once, when it first looks for devices.
    """
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    before = {name: os.environ.get(name) for name in names}
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit():
        for name in names:
            os.environ.setdefault(name, threads)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


if "tensorflow" not in sys.modules:
    with _threads_of_a_worker():
        import tensorflow as tf

        tf.config.list_logical_devices()

import keras  # noqa: E402  (after TensorFlow, which the block above has to start)

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        "skae trains with the TensorFlow backend of Keras. Got the backend "
        f"{keras.backend.backend()!r} instead. Set KERAS_BACKEND=tensorflow before the first "
        "import of keras; transform and inverse_transform of fitted estimators work without it."
    )

_pid = os.getpid()


def beside(thread: Executor, task: Callable, *arguments: Any) -> Future:
    """Have a thread do something meanwhile; or at once, where a second busy thread would take a
    core from others, as in joblib's workers."""
    future = thread.submit(task, *arguments)
    if os.environ.get("OMP_NUM_THREADS") == "1":
        wait([future])
    return future


def refuse_fork() -> None:
    """Raise in a child that was forked after TensorFlow had started: it would hang there."""
    if os.getpid() != _pid:
        raise RuntimeError(
            "This process was forked from one in which TensorFlow had started, and TensorFlow "
            "hangs in such a child. Do this in the parent, or start the child with "
            "multiprocessing's 'spawn' or 'forkserver' method, or with joblib's 'loky' backend. "
            "transform and inverse_transform work here for networks of dense layers, which need "
            "no TensorFlow."
        )
