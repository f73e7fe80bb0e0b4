"""The training loop: one, compiled once per shape of problem.

`Model.fit` costs most of a second and several megabytes, never given back, each time it is called
on a new model, and it draws its shuffle from TensorFlow's global generator. Here a network, its
optimizer and the compiled loop are made once per description and used again by every fit: weights
and optimizer state are assigned, never rebuilt. The whole loop over the batches of a shard is one
XLA program, since compiling the steps alone leaves a launch per step to pay for.
"""

import collections
import json
import os
import threading
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from skae._keras.networks import assign, build
from skae._spec import NetworkSpec

SHARD_BYTES = 16 * 2**20
SHARD_STEPS = 64
# A program that is dropped is not given back by TensorFlow (about 5 MB), so the bound is generous.
MAX_PROGRAMS = 32

_pid = os.getpid()
_programs: collections.OrderedDict = collections.OrderedDict()
_programs_lock = threading.Lock()


class Recipe(NamedTuple):
    """How to train: scalars and strings only."""

    loss: str  # JSON of Keras' name or config
    optimizer: str  # likewise
    rates: np.ndarray  # learning rate of every step
    batch_size: int
    check_every: int  # epochs between two calls of the monitor


def train(spec: NetworkSpec, rows, weights, recipe: Recipe, seed: int, monitor, n_epochs=None):
    """Train from `weights`, a list of arrays, and return the arrays where training ended.

    `rows` has `len()`, `weights` (an array or None) and `fill(out, indices)`. `monitor(losses,
    get_weights)` is called every `check_every` epochs with the mean training loss of each of them;
    training ends when it returns True.
    """
    if os.getpid() != _pid:
        raise RuntimeError(
            "This process was forked from one in which TensorFlow had started, and TensorFlow "
            "hangs when it trains in such a child. Train in the parent, or start the child with "
            "multiprocessing's 'spawn' or 'forkserver' method, or with joblib's 'loky' backend. "
            "transform and inverse_transform of a fitted estimator work here."
        )
    program = _program(spec, recipe.loss, recipe.optimizer, _padded(recipe.batch_size, len(rows)))
    with program.lock:
        program.reset(weights)
        feed = _Feed(rows, program, np.random.default_rng(seed))
        planned = len(recipe.rates) // feed.steps_per_epoch
        n_epochs = planned if n_epochs is None else min(n_epochs, planned)
        for first in range(0, n_epochs, recipe.check_every):
            last = min(first + recipe.check_every, n_epochs)
            if monitor(feed.run(recipe.rates, first, last), program.weights):
                break
        return program.weights()


def row_losses(loss: str, X, reconstruction) -> np.ndarray:
    """Loss of each row, as Keras computes it."""
    return np.asarray(_loss(loss)(X, reconstruction))


def _loss(identifier):
    loss = _made_by_keras("loss", "losses", json.loads(identifier))
    if isinstance(loss, keras.losses.Loss):
        loss.reduction = "none"
    return loss


def _made_by_keras(kind, module, identifier):
    try:
        return getattr(keras, module).get(identifier)
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split("\n\n")[0].split())
        raise ValueError(
            f"The {kind!r} parameter must be a name or a configuration of which Keras can make an "
            f"object of keras.{module}. Got {identifier!r} instead. Keras says: {reason}"
        ) from error


def _padded(batch_size, n_rows):
    """Rows that a batch has room for: the number of rows must not be part of what is compiled, or
    every fold of a search is; and a batch far larger than the data must not be computed."""
    return min(batch_size, max(256, 1 << (n_rows - 1).bit_length()))


def _program(*key):
    with _programs_lock:
        if key not in _programs:
            _programs[key] = _Program(*key)
            if len(_programs) > MAX_PROGRAMS:
                _programs.popitem(last=False)
        _programs.move_to_end(key)
        return _programs[key]


class _Program:
    """A network, its optimizer and the compiled loop over a shard of batches."""

    def __init__(self, spec, loss, optimizer, batch_size):
        self.lock = threading.Lock()
        self.batch_size = batch_size
        self.dtype = spec.dtype
        self.n_features = spec.n_features
        batch_bytes = batch_size * spec.n_features * np.dtype(spec.dtype).itemsize
        self.n_steps = int(np.clip(SHARD_BYTES // batch_bytes, 1, SHARD_STEPS))
        self._network = build(spec)
        self._loss = _loss(loss)
        self._rate = None
        self._optimizer = self._build_optimizer(json.loads(optimizer))
        self._optimizer_start = [variable.numpy() for variable in self._optimizer.variables]
        shard = (self.n_steps, batch_size)
        self._compiled = tf.function(
            self._run,
            jit_compile=True,
            autograph=False,
            input_signature=[
                tf.TensorSpec((*shard, spec.n_features), spec.dtype),
                tf.TensorSpec(shard, spec.dtype),
                tf.TensorSpec((self.n_steps,), spec.dtype),
                tf.TensorSpec((), tf.int32),
            ],
        ).get_concrete_function()  # called directly: looking it up takes as long as 20 steps

    def reset(self, weights):
        assign(self._network.variables, weights)
        assign(self._optimizer.variables, self._optimizer_start)

    def weights(self):
        return [variable.numpy() for variable in self._network.variables]

    def run(self, X, sample_weight, rates, n_steps):
        """Train on the first `n_steps` batches of a shard; return the loss of each."""
        shard = (X, sample_weight, rates, np.int32(n_steps))
        return self._compiled(*map(tf.constant, shard)).numpy()[:n_steps]

    def _build_optimizer(self, identifier):
        # The rate of each step reaches the optimizer as a tensor, through the callable that Keras
        # accepts as a learning rate. A variable would take the dtype of the user's `floatx`.
        optimizer = _made_by_keras("optimizer", "optimizers", identifier)
        config = {**optimizer.get_config(), "learning_rate": lambda: self._rate}
        optimizer = type(optimizer).from_config(config)
        optimizer.build(self._network.variables)
        return optimizer

    def _run(self, X, sample_weight, rates, n_steps):
        def body(i, losses):
            loss = self._step(X[i], sample_weight[i], rates[i])
            return i + 1, tf.tensor_scatter_nd_update(losses, [[i]], [loss])

        start = (tf.constant(0), tf.zeros(self.n_steps, self.dtype))
        return tf.while_loop(lambda i, _: i < n_steps, body, start)[1]

    def _step(self, X, sample_weight, rate):
        self._rate = rate
        variables = self._network.variables
        with tf.GradientTape() as tape:
            row_loss = self._loss(X, self._network.autoencoder(X, training=True))
            # Divided by the sum of weights, not by the number of rows as Keras does by default:
            # a weight of 2 is then the same as two copies, and padding weighs nothing.
            loss = tf.reduce_sum(row_loss * sample_weight) / tf.reduce_sum(sample_weight)
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        self._optimizer.apply(gradients, variables)
        return loss


class _Feed:
    """Shuffled rows, cut into shards of a fixed shape and run through a program."""

    def __init__(self, rows, program, rng):
        self._rows = rows
        self._program = program
        self._rng = rng
        self._full_batch = len(rows) <= program.batch_size
        self._weights = np.ones(len(rows)) if rows.weights is None else rows.weights
        shard = (program.n_steps, program.batch_size)
        self._X = np.zeros((*shard, program.n_features), program.dtype)
        self._sample_weight = np.zeros(shard, program.dtype)
        self.steps_per_epoch = -(-len(rows) // program.batch_size)
        if self._full_batch:
            for i in range(program.n_steps):
                self._fill(i, np.arange(len(rows)))

    def run(self, rates, first, last):
        """Run epochs `first` to `last` - 1; return the mean loss of each."""
        losses = []
        totals = []
        n_steps = self.steps_per_epoch
        batches = self._batches(last - first)
        rates = rates[first * n_steps : last * n_steps]
        for begin in range(0, len(rates), self._program.n_steps):
            shard_rates = rates[begin : begin + self._program.n_steps]
            totals += [self._fill(i, next(batches)) for i in range(len(shard_rates))]
            padded = np.zeros(self._program.n_steps, self._program.dtype)
            padded[: len(shard_rates)] = shard_rates
            losses.append(self._program.run(self._X, self._sample_weight, padded, len(shard_rates)))
        shape = (last - first, n_steps)
        return np.average(
            np.concatenate(losses).reshape(shape), axis=1, weights=np.reshape(totals, shape)
        )

    def _batches(self, n_epochs):
        n_rows, size = len(self._rows), self._program.batch_size
        for _ in range(n_epochs):
            if self._full_batch:
                yield None
                continue
            order = self._rng.permutation(n_rows)
            for begin in range(0, n_rows, size):
                yield order[begin : begin + size]

    def _fill(self, i, indices):
        """Put rows into batch `i` of the shard, zero weights behind them; return the weight."""
        if indices is not None:  # else every batch is all rows, and already there
            self._rows.fill(self._X[i, : len(indices)], indices)
            self._sample_weight[i, : len(indices)] = self._weights[indices]
            self._sample_weight[i, len(indices) :] = 0
        return self._sample_weight[i].sum()
