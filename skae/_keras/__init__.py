"""The Keras half of skae, which builds networks and trains them.

It takes plain values and arrays and returns arrays. Importing this package imports TensorFlow, so
no module outside it may import it at module level.
"""

import contextlib
import contextvars
import functools
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import joblib

from skae._threads import Task

PATIENCE = 10  # seconds to wait for a computation that takes milliseconds


@contextlib.contextmanager
def _threads_of_a_worker():
    """Give TensorFlow as many threads as joblib allows this process.

    joblib passes the number to its workers in `OMP_NUM_THREADS`, which TensorFlow does not read.
    TensorFlow reads variables of its own, once, when it first looks for devices.
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


def _runs() -> bool:
    """Return whether TensorFlow still computes in this process.

    If the user started TensorFlow and then forked, the child has none of its threads, and work
    given to them is never done. Nothing reports this. Most operations need no thread, but a
    function does.
    """
    with tf.device("CPU:0"):
        function = tf.function(lambda x: x + 1, autograph=False)
        compute = function.get_concrete_function(tf.TensorSpec(()))
    # Not an executor: Python would wait for its thread at exit.
    thread = threading.Thread(target=lambda: compute(tf.constant(0.0)), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return not thread.is_alive()


_started_here = "tensorflow" not in sys.modules
with _threads_of_a_worker():
    import tensorflow as tf

    if _started_here:
        # Otherwise TensorFlow takes all memory of a GPU, and a second process finds none. Where the
        # user has imported TensorFlow, the settings are the user's.
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.list_logical_devices()

import keras  # noqa: E402  (after TensorFlow, which the block above has to start)
from tensorflow.python.eager import context  # noqa: E402  (likewise)

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        "skae needs the TensorFlow backend of Keras. Got the backend "
        f"{keras.backend.backend()!r} instead. Set KERAS_BACKEND=tensorflow before the first "
        "import of keras. Fitted networks of dense layers transform and decode with any backend."
    )

# The id of the process in which TensorFlow works, or None. A child forked from it has another id.
_pid = os.getpid() if _started_here or _runs() else None


_n_cores = functools.cache(joblib.cpu_count)


def spare_core() -> bool:
    """Return whether a second busy thread would take no core from other processes.

    It would in joblib's workers, where `OMP_NUM_THREADS` is 1.
    """
    return _n_cores() > 1 and os.environ.get("OMP_NUM_THREADS") != "1"


def on_chosen_device(task: Callable, *arguments: Any) -> Callable[[], Any]:
    """Return a task to run in another thread on the device that this thread has chosen."""
    return functools.partial(_on, chosen_device(), task, *arguments)


def apart(function: Callable) -> Callable:
    """Make a function run in a thread of its own, and wait for its result.

    TensorFlow applies the tapes, graphs, devices, strategies and numeric checks that the caller
    has set up to the caller's thread alone. Of these, only the device is meant for what skae
    computes.
    """

    @functools.wraps(function)
    def run(*arguments):
        if getattr(_thread, "apart", False):
            return function(*arguments)
        return _in_threads([functools.partial(function, *arguments)])[0]

    return run


def together(tasks: list[Callable]) -> list:
    """Run functions at the same time, each in a thread of its own, and return their results."""
    return _in_threads(tasks) if len(tasks) > 1 else [task() for task in tasks]


def _in_threads(tasks):
    policy, stopped, device = keras.config.dtype_policy(), threading.Event(), chosen_device()
    threads = []
    for task in tasks:
        run = functools.partial(contextvars.copy_context().run, _at_once, device, task)
        threads.append(Task(functools.partial(_apart, policy, stopped, run)))
    with contextlib.ExitStack() as ends:
        for thread in threads:
            ends.callback(thread.end)
        try:
            for thread in threads:
                thread.start()
            return [thread.result() for thread in threads]
        except BaseException:
            stopped.set()
            raise


def stop_if_interrupted() -> None:
    """Raise if the caller no longer waits for the function that runs apart."""
    if _thread.stopped.is_set():
        raise RuntimeError("The caller was interrupted.")


_thread = threading.local()


def _apart(policy, stopped, run):
    _thread.apart, _thread.stopped = True, stopped
    keras.config.set_dtype_policy(policy)  # which custom networks follow
    return run()


def _at_once(device, task):
    refuse_graphs()
    return _on(device, task)


def chosen_device() -> str | None:
    """Return the device that this thread has chosen with `tf.device`, or None for the default."""
    # The device of a new tensor would say the same. But a signal in the main thread while
    # TensorFlow makes a tensor can end the process with a segmentation fault.
    chosen = context.context().device_name
    default, *others = _devices()
    there = not chosen.endswith(default) and chosen.endswith(tuple(others))
    return chosen if there and tf.executing_eagerly() else None


@functools.cache
def _devices():
    """Return the names of all devices, first the one that TensorFlow uses by default."""
    kinds = "GPU", "CPU", None
    return tuple(device.name for kind in kinds for device in tf.config.list_logical_devices(kind))


def _on(device, task, *arguments):
    with tf.device(device):
        return task(*arguments)


def refuse_graphs() -> None:
    """Raise if TensorFlow would add operations to a graph instead of executing them."""
    if not tf.executing_eagerly():
        raise RuntimeError(
            "skae needs eager execution, but TensorFlow is building a graph here. Call this "
            "outside of tf.function and tf.Graph().as_default(), and without "
            "tf.compat.v1.disable_eager_execution()."
        )


def refuse_fork() -> None:
    """Raise in a child that was forked after TensorFlow had started, where it would hang."""
    if os.getpid() != _pid:
        raise RuntimeError(
            "This process was forked from one in which TensorFlow had started, and TensorFlow "
            "hangs in such a child. Do this in the parent process, or start the child with "
            "multiprocessing's 'spawn' or 'forkserver' method, or with joblib's 'loky' backend. "
            "Fitted networks of dense layers need no TensorFlow: their transform and "
            "inverse_transform work here too."
        )
