"""The one training loop, compiled once per shape of problem.

`Model.fit` costs most of a second and several megabytes that are never given back, each time it is
called on a new model, and it draws its shuffle from TensorFlow's global generator. Here a network,
its optimizer and the compiled loop are made once per description, and every fit uses them again:
weights and optimizer state are assigned, never rebuilt. The whole loop over the batches of a shard
is one XLA program, since a program for single steps would have to be launched for each of them.

XLA compiles at the first call, and the first step in a process takes 30 ms besides. So a new
program makes one step at once, while other work runs beside it. The step uses empty rows, and
`reset` undoes it before training. A custom network makes no such step, since its layers may be in
use elsewhere.
"""

import contextlib
import copy
import functools
import json
import math
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from skae._keras import apart, chosen_device
from skae._keras.cache import Cache
from skae._keras.feed import SHARD_BYTES, SHARD_STEPS, Feed, Shard, aligned_zeros
from skae._keras.layers import NarrowDense
from skae._keras.losses import known_alone, loss_of, made_by_keras
from skae._keras.networks import assign, build
from skae._keras.variables import Separate, elementwise, trained_variables, with_room
from skae._network.spec import NetworkSpec, Penalties

# Up to this many numbers to train on (rows times features times epochs), compiling takes longer
# than training, and sharing a larger program takes less time than compiling another one.
QUICK = 100_000_000
# TensorFlow does not free a program that is dropped (about 5 MB), so the bound is generous.
_programs = Cache(32)


def start_up() -> None:
    """Run a small program, at which TensorFlow starts what it needs to compile."""
    program = tf.function(lambda x: tf.tanh(x @ x) + x, jit_compile=True, autograph=False)
    program(tf.zeros((64, 64)))


class Recipe(NamedTuple):
    """How to train."""

    loss: str  # JSON of Keras' name or config
    optimizer: str  # likewise
    n_steps: int
    rates: Callable  # maps the numbers of steps to their learning rates
    batch_size: int
    check_every: int  # epochs between two calls of the monitor
    corrupt: tuple | None  # the functions (rows, rng) -> rows that `Feed` calls; None for none
    holes: bool  # whether batches have NaN, which no loss counts and `corrupt` fills
    penalties: Penalties
    seed: int | list[int]
    n_epochs: int | None  # training ends after these, if not None
    shuffle: bool  # whether the rows are in another order in each epoch


def compiled(spec: NetworkSpec, recipe: Recipe, n_rows: int, *, shared: bool = True) -> "_Program":
    """Return the program for such rows, compiled now if no earlier fit has compiled it.

    If `shared`, it may have room for more columns, and so has the state of its optimizer.
    """
    size = _padded(recipe.batch_size, n_rows)
    spec = spec.without_weights()
    optimizer, _ = _shared_optimizer(recipe.optimizer)
    if spec.dense and recipe.n_steps * recipe.batch_size * spec.n_features <= QUICK:
        spec = _roomy(spec, recipe.loss, optimizer, shared)
    key = spec, recipe.loss, optimizer, size, recipe.corrupt is not None, recipe.holes
    try:
        return _programs.get((*key, chosen_device()), apart(lambda: _Program(*key)))
    except TypeError as error:
        if spec.dtype != "float64" or "does not match type" not in str(error):
            raise
        raise ValueError(
            f"Keras can't train in float64 with optimizer={recipe.optimizer} and loss="
            f"{recipe.loss}: part of the computation is in float32 ({error}). Pass X as float32, "
            "or use another optimizer or loss."
        ) from error


@apart
def train(
    program: "_Program",
    rows: Any,
    weights: list[np.ndarray],
    recipe: Recipe,
    monitor: Any,
) -> list[np.ndarray]:
    """Train from `weights`, a list of arrays, and return the arrays at the end of training.

    `rows` has `len()`, `weights` (an array or None), `order(rng, shuffle=...)`, `gather(out,
    indices)` and `to_units(out)`.
    `monitor(losses, get_weights)` is called every `check_every` epochs with the mean training loss
    of each of these epochs. Training ends when it returns True. `monitor.advance(n_epochs)` is told
    of each shard.
    """
    with program.free() as free, Feed(rows, free, recipe) as feed:
        free.reset(weights, recipe)
        for losses in feed.train(monitor.advance):
            if monitor(losses, free.weights):
                break
        return free.weights()


@apart
def train_on(
    program: "_Program",
    rows: Any,
    weights: list[np.ndarray],
    recipe: Recipe,
    monitor: Any,
    state: list[np.ndarray] | None,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Train as `train` does, with the optimizer where it stood; return the weights and the state.

    `state` is what an earlier call has returned, or None at the first.
    """
    with program.free() as free, Feed(rows, free, recipe) as feed:
        free.reset(weights, recipe)
        if state is not None:
            free.resume(state)
        for losses in feed.train(monitor.advance):
            monitor(losses, free.weights)
        return free.weights(), free.state()


def _padded(batch_size, n_rows):
    """Return the number of rows that a batch has room for.

    It does not depend on the exact number of rows, or every fold of a search would be compiled. It
    is not far larger than the data, or most of each batch would be padding.
    """
    return min(batch_size, max(256, 1 << (n_rows - 1).bit_length()))


@functools.lru_cache
@apart
def _roomy(spec, loss, optimizer, shared):
    return with_room(spec, loss, _optimizer(optimizer), columns=shared)


def _averaging(optimizer):
    """Return the optimizer that averages weights, if there is any that does."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _optimizer(identifier):
    return made_by_keras("optimizer", "optimizers", identifier)


@functools.lru_cache
@apart
def _shared_optimizer(identifier):
    """Return the optimizer without the settings that each training sets anew, and its weight decay.

    A weight decay becomes 1 in the optimizer, since its value is an input of the program.
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

    whole = True  # whether XLA may compile the loop as a whole

    def __init__(self, spec, loss, optimizer, batch_size, corrupted, holes):
        self.lock = threading.Lock()
        self.batch_size = batch_size
        self.dtype = spec.dtype
        self._rate = None
        self._strengths = np.zeros(len(Penalties._fields) + 2, spec.dtype)
        self._dense = spec.dense
        self._room = spec.n_features
        self.n_features = spec.n_features  # of the rows of a run, which may leave columns free
        self._optimizer = self._make_optimizer(optimizer)
        # With hidden layers, other products take most of the time, and nothing is gained. Holding
        # kernels by columns also needs one variable for all weights.
        narrow = spec.dense and not spec.hidden_layer_sizes and elementwise(self._optimizer)
        self._network = build(spec, dense=NarrowDense if narrow else keras.layers.Dense)
        # What a shard holds for each row: the input, the target if it differs, draws and labels.
        network = self._network
        self._widths = (
            spec.n_features,
            spec.n_features * corrupted,
            network.n_draws,
            network.n_targets,
        )
        batch_bytes = batch_size * sum(self._widths) * np.dtype(spec.dtype).itemsize
        self.n_steps = int(np.clip(SHARD_BYTES // batch_bytes, 1, SHARD_STEPS))
        self._loss = loss_of(loss, spec.n_features)
        self._holes = holes
        self._trained = trained_variables(self._network, self._optimizer, narrow)
        self._optimizer.build(self._trained.variables)
        self._optimizer_variables = list(self._optimizer.variables)
        self._optimizer_start = [tf.constant(v.numpy()) for v in self._optimizer_variables]
        self._twins: list[_Program] = []
        shard = self.empty_shard()
        self._compiled = self._traced(shard)
        # This call compiles the loop and makes the first step; see the module's docstring.
        self.run(shard, int(spec.dense))

    def _traced(self, shard):
        function = tf.function(
            self._run,
            jit_compile=self._network.jit_compile and self.whole,
            autograph=False,
            input_signature=[
                *(tf.TensorSpec(array.shape, self.dtype) for array in shard),
                tf.TensorSpec((), tf.int32),
                tf.TensorSpec(self._strengths.shape, self.dtype),
            ],
        )
        # The concrete function is called directly, since looking it up takes as long as 20 steps.
        return function.get_concrete_function()

    def empty_shard(self):
        shape = (self.n_steps, self.batch_size)
        shapes = [(*shape, width) for width in self._widths]
        return Shard(*(aligned_zeros(s, self.dtype) for s in (*shapes, shape, shape[:1])))

    @contextlib.contextmanager
    def free(self):
        """Yield this program, or one like it if another thread uses this one."""
        for program in [self, *self._twins]:
            if program.lock.acquire(blocking=False):
                break
        else:
            program = self._twin() or self
            program.lock.acquire()
        try:
            yield program
        finally:
            program.lock.release()

    def _twin(self):
        """Return a program with the same compiled loop and other variables, or None.

        There is one if all that a run changes are the variables of the optimizer and another.
        """
        if isinstance(self._trained, Separate) or _averaging(self._optimizer).use_ema:
            return None
        twin = copy.copy(self)
        twin.lock = threading.Lock()
        twin._trained = self._trained.twin()
        twin._optimizer_variables = [
            keras.Variable(variable.numpy(), dtype=variable.dtype)
            for variable in self._optimizer_variables
        ]
        theirs = [*twin._trained.variables, *twin._optimizer_variables]
        ours = [*self._trained.variables, *self._optimizer_variables]
        handles = {
            id(variable.value.handle): other.value.handle
            for variable, other in zip(ours, theirs, strict=True)
        }
        twin._compiled = copy.copy(self._compiled)
        captured = self._compiled.captured_inputs
        twin._compiled.set_external_captures([handles.get(id(one), one) for one in captured])
        self._twins.append(twin)
        return twin

    def reset(self, weights, recipe):
        self._trained.assign(weights)
        assign(self._optimizer_variables, self._optimizer_start)
        decay = _shared_optimizer(recipe.optimizer)[1]
        if self._dense:
            self.n_features = len(weights[0])
        factor = self._room / self.n_features  # a free column lowers the mean over columns
        self._strengths = np.array([*recipe.penalties, decay, factor], self.dtype)

    def state(self):
        """Return the variables that training changes, the optimizer's among them."""
        variables = [*self._trained.variables, *self._optimizer_variables]
        return [np.array(variable.numpy()) for variable in variables]

    def resume(self, state):
        """Assign what `state` has returned."""
        variables = [*self._trained.variables, *self._optimizer_variables]
        shapes = [tuple(variable.shape) for variable in variables]
        # A file holds a single number as an array of one.
        if [array.size for array in state] != [math.prod(shape) for shape in shapes]:
            raise ValueError(
                "The state of the optimizer does not fit this network and optimizer, as after a "
                "change of their versions. Call fit or sklearn.base.clone to start anew."
            )
        given = zip(state, shapes, variables, strict=True)
        assign(variables, [a.reshape(shape).astype(v.dtype) for a, shape, v in given])

    def weights(self):
        """Return the current arrays, or their averages if the optimizer keeps some."""
        inner = _averaging(self._optimizer)
        if not inner.use_ema or not int(inner.iterations):
            return self._trained.arrays()
        variables = self._trained.variables
        last = [variable.numpy().copy() for variable in variables]
        self._optimizer.finalize_variable_values(variables)
        averages = self._trained.arrays()
        assign(variables, last)
        return averages

    def run(self, shard, n_steps):
        """Train on the first `n_steps` batches of a shard and return the loss of each."""
        # Not tf.constant, which copies: copying the rows takes a tenth of the time of training.
        tensors = [tf.experimental.dlpack.from_dlpack(array.__dlpack__()) for array in shard]
        if not self._network.jit_compile:
            # On a GPU, TensorFlow would copy the whole shard in every step otherwise.
            tensors = [tf.identity(tensor) for tensor in tensors]
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

    def _run(self, X, clean, draws, labels, shares, rates, n_steps, strengths):
        # These are inputs, like the rates, so a search over them compiles once.
        *penalties, decay, self._factor = tf.unstack(strengths)
        self._network.weigh(Penalties(*penalties))
        if self._decays:
            self._optimizer.weight_decay = decay

        def body(i, shares):
            batch = tf.gather(X, i)
            given = [batch, *(tf.gather(a, i) for a in (draws, labels) if a.shape[-1])]
            inputs = given if len(given) > 1 else batch
            target = tf.gather(clean, i) if clean.shape[-1] else batch
            losses = self._step(inputs, target, tf.gather(shares, i), tf.gather(rates, i))
            return i + 1, tf.tensor_scatter_nd_update(shares, [[i]], [losses])

        # The losses of a batch replace its shares and are not summed here: another array or a sum
        # would each be one more kernel to compile.
        return tf.while_loop(lambda i, _: i < n_steps, body, (tf.constant(0), shares))[1]

    def _step(self, inputs, target, share, rate):
        self._rate = rate
        loss, gradients = self._gradients(inputs, target, share)
        self._optimizer.apply(gradients, self._trained.variables)
        return loss

    def _gradients(self, inputs, target, share):
        """Return the loss of each row, and the gradients of their sum."""
        variables = self._trained.variables
        with tf.GradientTape() as tape:
            reconstruction, penalties = self._trained.forward(inputs)
            if self._holes:
                target, reconstruction = known_alone(target, reconstruction)
            row_loss = self._loss(target, reconstruction)
            if self._dense:  # others have no free columns, and may compute in another precision
                row_loss *= self._factor
            row_loss += sum(penalties)
            row_loss = tf.cast(row_loss, share.dtype)
            loss = row_loss * share
        return loss, tape.gradient(loss, [variable.value for variable in variables])
