"""The training loop: one, compiled once per shape of problem.

`Model.fit` costs most of a second and several megabytes, never given back, each time it is called
on a new model, and it draws its shuffle from TensorFlow's global generator. Here a network, its
optimizer and the compiled loop are made once per description and used again by every fit: weights
and optimizer state are assigned, never rebuilt. The whole loop over the batches of a shard is one
XLA program, since compiling the steps alone leaves a launch per step to pay for.
"""

import functools
import itertools
import json
import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from skae._keras import apart, beside, finish, stop_if_interrupted
from skae._keras.cache import Cache
from skae._keras.inference import objective
from skae._keras.layers import NarrowDense
from skae._keras.networks import assign, build
from skae._keras.variables import elementwise, trained_variables, with_room
from skae._spec import NetworkSpec, Penalties

SHARD_BYTES = 32 * 2**20
SHARD_STEPS = 64
# Up to so many numbers to train on (rows times features times epochs), compiling takes longer than
# training, and sharing a program less than compiling another.
QUICK = 100_000_000
# A program that is dropped is not given back by TensorFlow (about 5 MB), so the bound is generous.
_programs = Cache(32)


class Recipe(NamedTuple):
    """How to train."""

    loss: str  # JSON of Keras' name or config
    optimizer: str  # likewise
    n_steps: int
    rates: Callable  # from numbers of steps to their learning rates
    batch_size: int
    check_every: int  # epochs between two calls of the monitor
    corrupt: Callable | None  # (batch, rng) -> batch, what rows have to be restored from
    penalties: Penalties


def compiled(spec: NetworkSpec, recipe: Recipe, n_rows: int) -> "_Program":
    """The program for such rows, compiled now if no earlier fit has."""
    size = _padded(recipe.batch_size, n_rows)
    spec = spec.without_weights()
    optimizer, _ = _shared_optimizer(recipe.optimizer)
    if spec.dense and recipe.n_steps * recipe.batch_size * spec.n_features <= QUICK:
        spec = _roomy(spec, optimizer)
    key = spec, recipe.loss, optimizer, size, recipe.corrupt is not None
    try:
        return _programs.get(key, apart(lambda: _Program(*key)))
    except TypeError as error:
        if spec.dtype != "float64" or "does not match type" not in str(error):
            raise
        raise ValueError(
            f"Keras can't train in float64 with optimizer={recipe.optimizer} and loss="
            f"{recipe.loss}: part of it is float32 ({error}). Pass X as float32, or use another "
            "optimizer."
        ) from error


@apart
def train(
    program: "_Program",
    rows: Any,
    weights: list[np.ndarray],
    recipe: Recipe,
    seed: int,
    monitor: Callable,
    n_epochs: int | None = None,
) -> list[np.ndarray]:
    """Train from `weights`, a list of arrays, and return the arrays where training ended.

    `rows` has `len()`, `weights` (an array or None), `gather(out, indices)` and `to_units(out)`.
    `monitor(losses, get_weights)` is called every `check_every` epochs with the mean training loss
    of each of them; training ends when it returns True.
    """
    with program.lock, _Feed(rows, program, recipe, seed, n_epochs) as feed:
        program.reset(weights, recipe)
        for losses in feed.train():
            if monitor(losses, program.weights):
                break
        return program.weights()


@apart
def row_losses(loss: str, X: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """Loss of each row, as Keras computes it."""
    return np.asarray(_loss(loss, X.shape[1])(X, reconstruction))


@apart
def row_objectives(loss: str, spec: NetworkSpec, *arguments: Any) -> np.ndarray:
    """The same with the losses that layers have of their own; see `inference.objective`."""
    return objective(_loss(loss, spec.n_features), spec, *arguments)


@functools.lru_cache
def _loss(identifier, n_features):
    loss = _made_by_keras("loss", "losses", identifier)
    if not isinstance(loss, keras.losses.Loss):
        return loss  # one of the names that skae knows
    _check_loss(loss, identifier, n_features)
    # Not the object itself, which computes in the precision of `floatx`, whatever the rows have.
    return loss.call


def _check_loss(loss, identifier, n_features):
    """Refuse a loss that is no number for each row: Keras has some of whole batches, of labels."""
    rows = np.ones((2, n_features), np.float32)
    shape = None
    try:
        shape = tuple(loss.call(rows, rows).shape)
        found = f"Of 2 rows it makes an array of shape {shape}."
    except Exception as error:  # whatever a loss may raise
        found = f"Keras says: {_first_lines(error)}"
    if shape != (2,):
        raise ValueError(
            "The 'loss' parameter must be a loss that compares rows of numbers and has a value "
            f"for each. Got {json.loads(identifier)!r} instead. {found} Use loss='mse', or "
            "{'class_name': 'Huber', 'config': {}} for example."
        )


def _made_by_keras(kind, module, identifier):
    try:
        # Loaded here, since Keras takes configurations apart.
        return getattr(keras, module).get(json.loads(identifier))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"The {kind!r} parameter must be a name or a configuration of which Keras can make an "
            f"object of keras.{module}. Got {json.loads(identifier)!r} instead. Keras says: "
            f"{_first_lines(error)}"
        ) from error


def _first_lines(error):
    return " ".join(str(error).split("\n\n")[0].split())


def _padded(batch_size, n_rows):
    """Rows that a batch has room for: the number of rows must not be part of what is compiled, or
    every fold of a search is; and a batch far larger than the data must not be computed."""
    return min(batch_size, max(256, 1 << (n_rows - 1).bit_length()))


@functools.lru_cache
@apart
def _roomy(spec, optimizer):
    return with_room(spec, _optimizer(optimizer))


def _optimizer(identifier):
    return _made_by_keras("optimizer", "optimizers", identifier)


@functools.lru_cache
@apart
def _shared_optimizer(identifier):
    """The optimizer without what each training sets anew, and its weight decay.

    A decay is 1 there, if there is one: what multiplies it is an input of the program.
    """
    optimizer = _optimizer(identifier)
    given = json.loads(identifier)
    given = given if isinstance(given, dict) else {"class_name": given}
    config = dict(given.get("config", {}))
    decay = optimizer.get_config().get("weight_decay")
    for name in ("learning_rate", "name"):
        config.pop(name, None)
    if decay is not None:
        config["weight_decay"] = 1.0
    return json.dumps({**given, "config": config}, sort_keys=True), float(decay or 0)


class _Program:
    """A network, its optimizer and the compiled loop over a shard of batches."""

    def __init__(self, spec, loss, optimizer, batch_size, corrupted):
        self.lock = threading.Lock()
        self.batch_size = batch_size
        self.dtype = spec.dtype
        self._rate = None
        self._strengths = np.zeros(3, spec.dtype)
        self._optimizer = self._make_optimizer(optimizer)
        # With hidden layers, other products take most of the time, and nothing is gained; and one
        # variable has to hold all weights.
        narrow = spec.dense and not spec.hidden_layer_sizes and elementwise(self._optimizer)
        self._network = build(spec, dense=NarrowDense if narrow else keras.layers.Dense)
        # Of what a shard holds for each row: as it goes in, as it is to come out, draws.
        self._widths = (spec.n_features, spec.n_features * corrupted, self._network.n_draws)
        batch_bytes = batch_size * sum(self._widths) * np.dtype(spec.dtype).itemsize
        self.n_steps = int(np.clip(SHARD_BYTES // batch_bytes, 1, SHARD_STEPS))
        self._loss = _loss(loss, spec.n_features)
        self._trained = trained_variables(self._network, self._optimizer, narrow)
        self._optimizer.build(self._trained.variables)
        self._optimizer_start = [tf.constant(v.numpy()) for v in self._optimizer.variables]
        shard = self.empty_shard()
        self._compiled = self._traced(shard)
        # XLA compiles at the first call. The first step in a process takes 30 ms too, so it is made
        # here, where something runs beside it: of empty rows, and undone before training. Not so
        # with a network of the user's, whose layers may be in use elsewhere.
        self.run(shard, int(spec.dense))

    def _traced(self, shard):
        function = tf.function(
            self._run,
            jit_compile=self._network.jit_compile,
            autograph=False,
            input_signature=[
                *(tf.TensorSpec(array.shape, self.dtype) for array in shard),
                tf.TensorSpec((), tf.int32),
                tf.TensorSpec((3,), self.dtype),
            ],
        )
        # To be called directly: looking it up takes as long as 20 steps.
        return function.get_concrete_function()

    def empty_shard(self):
        shape = (self.n_steps, self.batch_size)
        shapes = [(*shape, width) for width in self._widths]
        return _Shard(*(_aligned_zeros(s, self.dtype) for s in (*shapes, shape, shape[:1])))

    def reset(self, weights, recipe):
        self._trained.assign(weights)
        assign(self._optimizer.variables, self._optimizer_start)
        decay = _shared_optimizer(recipe.optimizer)[1]
        self._strengths = np.array([*recipe.penalties, decay], self.dtype)

    def weights(self):
        """The arrays where training is, or their averages if the optimizer keeps some."""
        inner = getattr(self._optimizer, "inner_optimizer", self._optimizer)
        if not inner.use_ema or not int(inner.iterations):
            return self._trained.arrays()
        variables = self._trained.variables
        last = [variable.numpy().copy() for variable in variables]
        self._optimizer.finalize_variable_values(variables)
        averages = self._trained.arrays()
        assign(variables, last)
        return averages

    def run(self, shard, n_steps):
        """Train on the first `n_steps` batches of a shard; return the loss of each."""
        # Not tf.constant, which copies: a copy of the rows takes a tenth of the time of training.
        tensors = [tf.experimental.dlpack.from_dlpack(array.__dlpack__()) for array in shard]
        scalars = tf.constant(np.int32(n_steps)), tf.constant(self._strengths)
        losses = self._compiled(*tensors, *scalars).numpy()
        return losses[:n_steps].sum(axis=1)

    def _make_optimizer(self, identifier):
        # The rate of each step reaches the optimizer as a tensor, through the callable that Keras
        # accepts as a learning rate. A variable would take the dtype of the user's `floatx`.
        optimizer = _optimizer(identifier)
        config = {**optimizer.get_config(), "learning_rate": lambda: self._rate}
        self._decays = config.get("weight_decay") is not None
        return type(optimizer).from_config(config)

    def _run(self, X, clean, draws, shares, rates, n_steps, strengths):
        # Inputs, as the rate is: a search over them compiles once.
        *penalties, decay = tf.unstack(strengths)
        self._network.weigh(Penalties(*penalties))
        if self._decays:
            self._optimizer.weight_decay = decay

        def body(i, shares):
            batch = tf.gather(X, i)
            inputs = [batch, tf.gather(draws, i)] if draws.shape[-1] else batch
            target = tf.gather(clean, i) if clean.shape[-1] else batch
            losses = self._step(inputs, target, tf.gather(shares, i), tf.gather(rates, i))
            return i + 1, tf.tensor_scatter_nd_update(shares, [[i]], [losses])

        # The losses of a batch take the place of its shares: every array less is one kernel less to
        # compile, and so is every sum.
        return tf.while_loop(lambda i, _: i < n_steps, body, (tf.constant(0), shares))[1]

    def _step(self, inputs, target, share, rate):
        self._rate = rate
        variables = self._trained.variables
        with tf.GradientTape() as tape:
            reconstruction, penalties = self._trained.forward(inputs)
            row_loss = self._loss(target, reconstruction) + sum(penalties)
            # Layers of a custom network may compute in another precision than the rows have.
            row_loss = tf.cast(row_loss, share.dtype)
            loss = row_loss * share
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        self._optimizer.apply(gradients, variables)
        return loss


def _aligned_zeros(shape, dtype):
    """An array that TensorFlow takes as a tensor as it is: where a multiple of 64 bytes begins."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.zeros(n_bytes + 64, np.uint8)
    begin = -buffer.ctypes.data % 64
    return buffer[begin : begin + n_bytes].view(dtype).reshape(shape)


class _Shard(NamedTuple):
    """Room for some batches, each filled up with copies of no share."""

    X: np.ndarray  # (n_steps, batch_size, n_features)
    clean: np.ndarray  # the same before corruption; of no width where there is none
    draws: np.ndarray  # (n_steps, batch_size, n_draws), standard normal
    # Weights over their sum, not over the number of rows as Keras does by default: a weight of 2 is
    # then the same as two copies, and padding weighs nothing.
    shares: np.ndarray  # (n_steps, batch_size)
    rates: np.ndarray  # (n_steps,)


class _Feed:
    """Shuffled rows, cut into shards of a fixed shape and run through a program.

    A thread gathers the rows of a shard while the program runs on the one before: XLA's products
    of matrices this narrow leave a core idle. Where there is only one core to use, the two take
    turns.
    """

    def __init__(self, rows, program, recipe, seed, n_epochs):
        self._rows = rows
        self._program = program
        self._corrupt = recipe.corrupt
        self._rng = np.random.default_rng(seed)
        self._weights = np.ones(len(rows)) if rows.weights is None else rows.weights
        self._steps_per_epoch = -(-len(rows) // program.batch_size)
        planned = -(-recipe.n_steps // self._steps_per_epoch)
        n_epochs = planned if n_epochs is None else min(n_epochs, planned)
        self._n_steps = min(recipe.n_steps, n_epochs * self._steps_per_epoch)
        self._steps_per_check = recipe.check_every * self._steps_per_epoch
        self._rates = recipe.rates
        self._batches = self._shuffled(n_epochs)
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        finish(self._thread)

    def train(self):
        """Run the program; yield at every check the mean loss of each epoch since the last."""
        losses, totals, done = [], [], 0
        for shard, batch_weights in self._filled():
            stop_if_interrupted()
            losses.append(self._program.run(shard, len(batch_weights)))
            totals.append(batch_weights)
            done += len(batch_weights)
            if done % self._steps_per_check and done < self._n_steps:
                continue
            means, weights = np.concatenate(losses), np.concatenate(totals)
            begins = range(0, len(means), self._steps_per_epoch)  # the last may be cut short
            yield np.add.reduceat(means * weights, begins) / np.add.reduceat(weights, begins)
            losses, totals = [], []

    def _parts(self) -> Iterator[np.ndarray]:
        """The rates of all steps, a shard at a time; a shard ends where a check is due."""
        size = self._program.n_steps
        for first in range(0, self._n_steps, self._steps_per_check):
            last = min(first + self._steps_per_check, self._n_steps)
            begins = [*range(first, last, size)]
            # Nothing runs beside the filling of the first shard, so that one is small, unless all
            # are.
            if first == 0 and size < SHARD_STEPS:
                begins = [0, *(n for n in (size // 8, size // 2) if 0 < n < last), *begins[1:]]
            for begin, end in itertools.pairwise([*begins, last]):
                yield self._rates(np.arange(begin, end))

    def _shuffled(self, n_epochs):
        n_rows, size = len(self._rows), self._program.batch_size
        for _ in range(n_epochs):
            order = self._rng.permutation(n_rows)
            for begin in range(0, n_rows, size):
                yield order[begin : begin + size]

    def _filled(self):
        """Yield shards with the weight of each batch in them, the next one filled meanwhile."""
        parts = self._parts()
        shard = self._program.empty_shard()
        drawn = self._corrupt is not None or shard.draws.size > 0
        if self._steps_per_epoch == 1 and not drawn:  # every batch is all rows, put there once
            everything = np.arange(len(self._rows))
            weights = [self._put(shard, i, everything) for i in range(self._program.n_steps)]
            for part in parts:
                shard.rates[: len(part)] = part
                yield shard, weights[: len(part)]
            return
        other = self._program.empty_shard()
        first = next(parts, None)
        if first is None:
            return
        ahead = beside(self._thread, self._fill, shard, first)
        for following in itertools.chain(parts, [None]):
            batch_weights = ahead.result()
            if following is not None:
                ahead = beside(self._thread, self._fill, other, following)
            yield shard, batch_weights
            shard, other = other, shard

    def _fill(self, shard, rates):
        shard.rates[: len(rates)] = rates
        return [self._put(shard, i, next(self._batches)) for i in range(len(rates))]

    def _put(self, shard, i, indices):
        """Put rows into batch `i` of a shard; return their total weight."""
        n = len(indices)
        X = shard.X[i, :n]
        self._rows.gather(X, indices)
        if self._corrupt is not None:
            shard.clean[i, :n] = X
            X[:] = self._corrupt(X, self._rng)
            self._rows.to_units(shard.clean[i, :n])
        self._rows.to_units(X)
        self._rng.standard_normal(out=shard.draws[i], dtype=shard.draws.dtype)
        weights = self._weights[indices]
        total = weights.sum(dtype=np.float64)
        shard.shares[i, :n] = weights / total
        shard.shares[i, n:] = 0
        # Filled up with copies: layers of the user's may look at the whole batch, and where a loss
        # of zeros is nan, it stays nan with no share.
        if n < self._program.batch_size:
            again = np.arange(n, self._program.batch_size) % n
            shard.X[i, n:] = X[again]
            shard.clean[i, n:] = shard.clean[i, again]
        return total
