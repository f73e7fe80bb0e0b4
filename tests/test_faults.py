"""A fit that fails, is interrupted or shares its machine leaves things as they were."""

import _weakrefset
import copy
import gc
import itertools
import linecache
import os
import signal
import sys
import threading
import time
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from interrupts import interrupting
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits

import skae
from skae import AutoencoderTransformer, _threads
from skae._data.rows import Rows
from skae._fitting import fit, validation
from skae._fitting import training as fitting_training
from skae._keras import inference, training

X = (load_digits().data[:120] / 16).astype(np.float32)
SOURCES = os.path.dirname(skae.__file__) + os.sep
FRAMEWORK = tuple(os.path.dirname(module.__file__) + os.sep for module in (keras, tf))


# Python swallows exceptions in callbacks of weak references. Where the start of a thread is
# interrupted, the thread may never run; test_threads.py interrupts it there.
UNSAFE = weakref.__file__, _weakrefset.__file__, threading.__file__


def masked(batch, rng):
    return batch * (rng.random(batch.shape) < 0.8)


PLAIN = {"epochs": 2, "batch_size": 40, "output_activation": "linear", "random_state": 0}
CASES = {
    "shallow": {"output_activation": "auto", "early_stopping": False},
    "deep": {"hidden_layer_sizes": (8,), "noise": masked, "early_stopping": False},
    "held out": {"validation_fraction": 0.4, "learning_rate": 1e-3},
    "variational": {"kl_weight": 0.5, "early_stopping": False},
    "convolutional": {"image_shape": (8, 8), "hidden_layer_sizes": (2,)},
}


ARRAYS = {"weights_", "feature_errors_", "_explained_variance_ratio"}


def state(estimator):
    """Return everything that an estimator holds, with arrays by value."""
    return {
        name: [array.tobytes() for array in value]
        if name in ARRAYS and value is not None
        else value
        for name, value in vars(estimator).items()
    }


class Intact:
    """Check that an estimator is the same after a failed call as before it."""

    def __init__(self, estimator):
        self.estimator = estimator
        self.before = state(estimator)
        self.fitted = "weights_" in self.before
        self.codes = estimator.transform(X) if self.fitted else None
        self.threads = set(threading.enumerate())
        # A fit after a fault has to give the same bits as this fit, which nothing disturbs.
        self.expected = state(copy.copy(estimator).fit(X))

    def started(self):
        """Return the threads that have been started and still run."""
        return {thread for thread in threading.enumerate() if thread.is_alive()} - self.threads

    def check(self):
        deadline = time.monotonic() + 60
        while alive := self.started():
            assert time.monotonic() < deadline, alive
            # A traceback may be a cycle, which keeps the executor of an idle thread.
            gc.collect()
            time.sleep(1e-3)
        locks = [inference._networks._lock, training._programs._lock]
        locks += [entry.lock for entry in inference._networks.values()]
        locks += [program.lock for program in training._programs.values()]
        assert not any(lock.locked() for lock in locks)
        assert state(self.estimator) == self.before
        if self.fitted:
            assert_array_equal(self.estimator.transform(X), self.codes)
        assert state(copy.copy(self.estimator).fit(X)) == self.expected


def candidates(parameters):
    """Return an unfitted estimator, and one that goes on from an earlier fit."""
    estimator = AutoencoderTransformer(4, **{**PLAIN, **parameters})
    return estimator, clone(estimator).set_params(warm_start=True).fit(X)


def interrupted_fit(estimator, at):
    """Fit with a KeyboardInterrupt at a line of Python, and return how many lines had run.

    In the calling thread all lines count, except those of TensorFlow, which would be most of them.
    In other threads the lines of skae count, except those of `skae._threads`: nobody waits for the
    thread that keeps a limit of BLAS, and a signal never reaches it. The last line is the one in
    which `fit` takes over the result, since nothing is left to undo after it. Lines that start with
    `with` do not count. They also run when their block is left, where a tracer interrupts before
    the lock is released and a signal does not. Nor does a signal interrupt at a `try:`. The lines
    of `UNSAFE` do not count either.
    """
    lines = itertools.count()
    caller = threading.get_ident()

    def trace(frame, event, _):
        path = frame.f_code.co_filename
        if path.startswith((*FRAMEWORK, *UNSAFE)) or (
            threading.get_ident() != caller
            and (not path.startswith(SOURCES) or path == _threads.__file__)
        ):
            return None
        line = linecache.getline(path, frame.f_lineno).lstrip() if event == "line" else "with "
        last = line.startswith("self.__dict__ = after")
        if not line.startswith(("with ", "try:")) and (next(lines) == at or last):
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace(), threading.gettrace()

    def traced_fit():
        threading.settrace(trace)
        sys.settrace(trace)
        try:
            estimator.fit(X)
        finally:
            sys.settrace(before[0])
            threading.settrace(before[1])

    with pytest.raises(KeyboardInterrupt) as interrupt:
        traced_fit()
    assert at >= 0 or interrupt.traceback[-2].name == "fit"  # it came to the last line
    return next(lines) - 1


@pytest.mark.parametrize("name", CASES)
def test_interrupts_anywhere_leave_the_estimator_as_it_was(name):
    """The interrupts are spread over the whole of a first fit and of a warm start."""
    for estimator in candidates(CASES[name]):
        intact = Intact(estimator)
        n_lines = interrupted_fit(estimator, -1)
        intact.check()
        for at in np.linspace(0, n_lines, 8, dtype=int):
            interrupted_fit(estimator, at)
            intact.check()


def test_interrupts_while_networks_are_compiled_leave_the_estimator_as_it_was():
    """The next fit compiles again what was left unfinished."""
    estimator = candidates(CASES["convolutional"])[0]
    intact = Intact(estimator)
    for at in (-1, 500, 1000, 2000):
        training._programs.clear()
        inference._networks.clear()
        interrupted_fit(estimator, at)
        intact.check()


def fit_with_alarm(estimator, delay):
    signal.setitimer(signal.ITIMER_REAL, delay)
    estimator.fit(X)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers")
def test_signals_leave_the_estimator_as_it_was():
    """These are real signals, which also come while NumPy, SciPy or TensorFlow compute."""
    for estimator in candidates(CASES["deep"]):
        intact = Intact(estimator)
        for delay in np.geomspace(1e-3, 0.2, 7):
            estimator.set_params(epochs=10_000_000)
            with interrupting(signal.SIGALRM), pytest.raises(KeyboardInterrupt):
                fit_with_alarm(estimator, delay)
            estimator.set_params(epochs=PLAIN["epochs"])
            intact.check()


def test_a_fit_makes_no_tensor_in_the_thread_of_the_caller(monkeypatch):
    """A signal in the main thread while TensorFlow makes one can end the process."""
    threads, constant = set(), tf.constant

    def watched(*args, **options):
        threads.add(threading.get_ident())
        return constant(*args, **options)

    monkeypatch.setattr(tf, "constant", watched)
    AutoencoderTransformer(4, hidden_layer_sizes=(8,), epochs=2, random_state=0).fit(X)
    assert threads
    assert threading.get_ident() not in threads


def fail(error):
    raise error


class Corruption:
    """Mask rows, but have an accident instead in the call for which `left` reaches zero."""

    def __init__(self, accident):
        self.accident = accident
        self.left = 0

    def __call__(self, batch, rng):
        self.left -= 1
        return self.accident(batch) if self.left == 0 else masked(batch, rng)


ACCIDENTS = {
    "exception": (lambda _: fail(KeyError("sensor")), KeyError, "sensor"),
    "out of memory": (lambda _: fail(MemoryError("no room")), MemoryError, "no room"),
    "divergence": (lambda batch: batch + np.float32(1e38), ValueError, "epoch 3: training diver"),
    "nan": (lambda batch: batch * np.nan, ValueError, "must return a finite array"),
    "shape": (lambda batch: batch[1:], ValueError, "Got an array of shape"),
}


@pytest.mark.parametrize(("accident", "error", "message"), ACCIDENTS.values(), ids=ACCIDENTS)
def test_noise_that_fails_leaves_the_estimator_as_it_was(accident, error, message):
    """It fails in the middle of training, and the user gets what the callable raises."""
    settings = {**CASES["deep"], "noise": Corruption(accident), "epochs": 4}
    for estimator in candidates(settings):
        intact = Intact(estimator)
        estimator.noise.left = 7
        with pytest.raises(error, match=message):
            estimator.fit(X)
        intact.check()


MEMORY = {
    "a batch": (Rows, "gather", MemoryError("no room")),
    "a program": (training._Program, "run", tf.errors.ResourceExhaustedError(None, None, "room")),
    "validation": (validation, "decode", MemoryError("no room")),
}


@pytest.mark.parametrize(("owner", "name", "error"), MEMORY.values(), ids=MEMORY)
def test_memory_that_runs_out_leaves_the_estimator_as_it_was(owner, name, error, monkeypatch):
    function = getattr(owner, name)
    for estimator in candidates({**CASES["held out"], "hidden_layer_sizes": (8,)}):
        intact = Intact(estimator)
        calls = itertools.count(1)

        def short_of_memory(*args, calls=calls):
            return fail(error) if next(calls) == 2 else function(*args)

        monkeypatch.setattr(owner, name, short_of_memory)
        with pytest.raises(type(error), match="room") as caught:
            estimator.fit(X)
        assert caught.value is error
        monkeypatch.undo()
        intact.check()


def test_a_fit_that_failed_lets_other_threads_train():
    """The lock of a compiled loop is released when its training ends, however it ends."""
    estimator = AutoencoderTransformer(4, epochs=2, early_stopping=False, learning_rate=1e-3)
    with pytest.raises(ValueError, match="diverged"):
        estimator.set_params(learning_rate=1e30).fit(X)
    thread = threading.Thread(target=estimator.set_params(learning_rate=1e-3).fit, args=(X,))
    thread.start()
    thread.join(timeout=60)
    assert not thread.is_alive()


@pytest.fixture
def busy(monkeypatch):
    """Return when each part of a fit was at work, as (name, begin, end)."""
    spans = []

    def watch(owner, name):
        function = getattr(owner, name)

        def watched(*args, **options):
            begin = time.perf_counter()
            result = function(*args, **options)
            spans.append((name, begin, time.perf_counter()))
            return result

        monkeypatch.setattr(owner, name, watched)

    watch(training.Feed, "_fill")
    watch(training._Program, "run")
    watch(training, "compiled")
    watch(fitting_training, "start")
    watch(fit, "_splits")
    return spans


@pytest.mark.parametrize("threads", ["1", "2"])
def test_one_thread_at_a_time_is_busy_where_there_is_one_core(threads, busy, monkeypatch):
    """Parts of a fit run at the same time only if a second thread is allowed.

    Then rows are gathered during training, and rows are held out and PCA is computed during
    compilation. The bits are the same either way.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    training._programs.clear()
    rows = np.tile(X, (50, 1))
    settings = {**PLAIN, **CASES["deep"], "early_stopping": True}
    estimator = AutoencoderTransformer(4, **settings).fit(rows)

    def beside(one, other):
        pairs = itertools.product(*([s for s in busy if s[0] == name] for name in (one, other)))
        return any(a[1] < b[2] and b[1] < a[2] for a, b in pairs)

    pairs = ("_fill", "run"), ("compiled", "_splits"), ("compiled", "start")
    assert [beside(*pair) for pair in pairs] == [threads == "2"] * 3
    monkeypatch.setenv("OMP_NUM_THREADS", {"1": "2", "2": "1"}[threads])
    assert state(clone(estimator).fit(rows)) == {**state(estimator), "noise": masked}
