"""The Keras half: networks and their training, from plain values and arrays to arrays.

Importing this package imports TensorFlow, so nothing outside it may do so at module level.
"""

import contextlib
import contextvars
import functools
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import Any

PATIENCE = 10  # seconds to wait for what takes milliseconds


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


def _runs() -> bool:
    """Whether TensorFlow still computes in this process.

    Where the user started it and then forked, nothing tells so, but its threads are gone, and what
    they are given to do is never done. Most operations need none of them, a function does.
    """
    with tf.device("CPU:0"):
        function = tf.function(lambda x: x + 1, autograph=False)
        compute = function.get_concrete_function(tf.TensorSpec(()))
    # No executor, whose thread Python would wait for at its end.
    thread = threading.Thread(target=lambda: compute(tf.constant(0.0)), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return not thread.is_alive()


_started_here = "tensorflow" not in sys.modules
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

# The process in which TensorFlow works; nothing but its own is known to a child forked from it.
_pid = os.getpid() if _started_here or _runs() else None


def beside(thread: Executor, task: Callable, *arguments: Any) -> Future:
    """Have a thread do something meanwhile; or at once, where a second busy thread would take a
    core from others, as in joblib's workers."""
    future = thread.submit(task, *arguments)
    if os.environ.get("OMP_NUM_THREADS") == "1":
        wait([future])
    return future


def apart(function: Callable) -> Callable:
    """Have a thread of its own run a function, and wait for it.

    Tapes, graphs, devices, strategies and checks of numbers that the caller has TensorFlow use are
    in force in the caller's thread alone. None of them is meant for what happens in here.
    """

    @functools.wraps(function)
    def run(*arguments):
        if getattr(_thread, "apart", False):
            return function(*arguments)
        context, policy = contextvars.copy_context(), keras.config.dtype_policy()
        stopped = threading.Event()
        thread = ThreadPoolExecutor(1)
        try:
            entered = thread.submit(_enter, policy, stopped)
            done = thread.submit(context.run, _at_once, function, *arguments)
            entered.result()
            return done.result()
        except BaseException:
            stopped.set()
            raise
        finally:
            finish(thread)

    return run


def stop_if_interrupted() -> None:
    """Raise where the caller of what runs apart does not wait for it any more."""
    if _thread.stopped.is_set():
        raise RuntimeError("The caller was interrupted.")


def finish(thread: Executor) -> None:
    """Wait for what a thread does to end, also if that is interrupted: what comes next may use the
    same variables."""
    try:
        thread.shutdown(cancel_futures=True)
    except BaseException:
        thread.shutdown(cancel_futures=True)
        raise


_thread = threading.local()


def _enter(policy, stopped):
    _thread.apart, _thread.stopped = True, stopped
    keras.config.set_dtype_policy(policy)  # which a network of the user's goes by


def _at_once(function, *arguments):
    refuse_graphs()
    return function(*arguments)


def refuse_graphs() -> None:
    """Raise where TensorFlow would write operations into a graph instead of doing them."""
    if not tf.executing_eagerly():
        raise RuntimeError(
            "skae computes with TensorFlow at once, and here TensorFlow makes a graph. Call this "
            "outside of tf.function and tf.Graph().as_default(), and without "
            "tf.compat.v1.disable_eager_execution()."
        )


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
