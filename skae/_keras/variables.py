"""The variables that a program trains: those of a network, or one that holds them all.

XLA compiles the update of an optimizer for each variable. An optimizer that updates every number by
itself can update one variable that holds them all. Its update is then compiled once, which takes a
third off the time of compiling a program.
"""

import copy
import dataclasses
import itertools
import json
import math
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from skae._keras.layers import is_narrow
from skae._keras.networks import Network, assign
from skae._network.activations import ACTIVATIONS
from skae._network.spec import NetworkSpec

_NAMES = "Adadelta Adagrad Adam AdamW Adamax Ftrl Lion Nadam RMSprop SGD"
ELEMENTWISE = {getattr(keras.optimizers, name) for name in _NAMES.split()}

# Networks can share a program if their columns and components round up to the same multiples.
MULTIPLE = 16
# XLA divides a concatenation of more than twice this between cores (it counts both the bytes read
# and the bytes written), and its code for that is slow; see `_split`.
CONCATENATED_BYTES = 2**18


def trained_variables(
    network: Network, optimizer: keras.Optimizer, by_columns: bool = False
) -> "Separate | Joined":
    """Return the variables to train, joined if that changes nothing but the time to compile.

    With `by_columns`, joined variables hold narrow kernels by columns.
    """
    # The layers of a custom network may compute and keep anything. Without XLA there is little to
    # compile, and joining costs copies.
    if network.jit_compile and elementwise(optimizer):
        return Joined(network, by_columns)
    return Separate(network)


def with_room(
    spec: NetworkSpec, loss: str, optimizer: keras.Optimizer, *, columns: bool
) -> NetworkSpec:
    """Return the network with more components and columns, if what is added stays zero.

    All added weights start at zero and stay there: a column or code of zeros gives no gradient.
    """
    if not spec.dense or not elementwise(optimizer):
        return spec
    # Ftrl divides by what it has accumulated; others add an epsilon first, which may be zero.
    if isinstance(optimizer, keras.optimizers.Ftrl) or getattr(optimizer, "epsilon", 1) < 1e-20:
        return spec
    widths = {}
    if not spec.kl_weight and not ACTIVATIONS[spec.code_activation](np.zeros(1)).any():
        widths["n_components"] = _rounded_up(spec.n_components)
    # The squared error is a mean over columns, which a factor corrects.
    squared = json.loads(loss) == "mse"
    if columns and squared and spec.output_activation == "linear" and not spec.output_unit:
        widths["n_features"] = _rounded_up(spec.n_features)
    return dataclasses.replace(spec, **widths)


def _rounded_up(width):
    return -(-width // MULTIPLE) * MULTIPLE


def elementwise(optimizer: keras.Optimizer) -> bool:
    """Return whether an optimizer updates every number by itself."""
    return type(optimizer) in ELEMENTWISE and not optimizer.clipnorm


class Separate:
    """The variables of the network as they are."""

    def __init__(self, network):
        self._network = network
        self.variables = network.training.trainable_variables

    def assign(self, arrays):
        assign(self._network.variables, arrays)

    def arrays(self):
        return [variable.numpy() for variable in self._network.variables]

    def forward(self, inputs):
        """Return the outputs of the network for a batch, and the losses of its layers."""
        model = self._network.training
        return model(inputs, training=True), model.losses


class Joined:
    """One variable, whose slices are the variables of the network.

    Arrays that are smaller than those of the network are filled up with zeros. With `by_columns`,
    kernels with more inputs than outputs are held by columns, since XLA multiplies by them faster.
    """

    def __init__(self, network, by_columns):
        self._model = network.training
        self._shapes = [tuple(variable.shape) for variable in network.variables]
        # The slices are in the order of the description; the model has an order of its own.
        position = {id(variable): i for i, variable in enumerate(network.variables)}
        self._positions = [position[id(variable)] for variable in self._model.trainable_variables]
        self._sizes = [math.prod(shape) for shape in self._shapes]
        self._orders: list[Literal["C", "F"]] = [
            "F" if by_columns and is_narrow(shape) else "C" for shape in self._shapes
        ]
        self.variables = [self._zeros(network.variables[0].dtype)]

    def _zeros(self, dtype):
        return keras.Variable(np.zeros(sum(self._sizes), dtype), dtype=dtype)

    def twin(self) -> "Joined":
        """Return another variable for the same network."""
        twin = copy.copy(self)
        twin.variables = [self._zeros(self.variables[0].dtype)]
        return twin

    def assign(self, arrays):
        self._filled = [tuple(slice(n) for n in array.shape) for array in arrays]
        parts = [np.zeros(shape, arrays[0].dtype) for shape in self._shapes]
        for part, filled, array in zip(parts, self._filled, arrays, strict=True):
            part[filled] = array
        flat = [part.ravel(order) for part, order in zip(parts, self._orders, strict=True)]
        assign(self.variables, [np.concatenate(flat)])

    def arrays(self):
        parts = np.split(self.variables[0].numpy(), np.cumsum(self._sizes)[:-1])
        shaped = zip(parts, self._shapes, self._orders, self._filled, strict=True)
        return [
            part.reshape(shape, order=order)[filled].copy() for part, shape, order, filled in shaped
        ]

    def forward(self, inputs):
        joined = self.variables[0].value
        large = joined.shape[0] * joined.dtype.size > CONCATENATED_BYTES
        parts = (_split if large else tf.split)(joined, self._sizes)
        outputs, _, losses = self._model.stateless_call(
            [self._shaped(parts[i], i) for i in self._positions],
            [],
            inputs,
            training=True,
            return_losses=True,
        )
        return outputs, losses

    def _shaped(self, part, i):
        shape = self._shapes[i]
        if self._orders[i] == "F":
            return tf.transpose(tf.reshape(part, shape[::-1]))
        return tf.reshape(part, shape)


def _split(joined, sizes):
    """Split as tf.split does, with a gradient that is written part by part into one array.

    The gradient of tf.split is a concatenation. When XLA divides it between cores, it reads every
    part, behind a mask, up to the length of the longest part. If that goes beyond the memory of the
    process, a step takes 2 to 5 times as long.
    """
    ends = list(itertools.accumulate(sizes))

    @tf.custom_gradient
    def split(joined):
        def gradient(*parts):
            # Not zeros to begin with: XLA would turn them into a concatenation again.
            whole = joined
            for part, size, end in zip(parts, sizes, ends, strict=True):
                whole = tf.raw_ops.TensorStridedSliceUpdate(
                    input=whole, begin=[end - size], end=[end], strides=[1], value=part
                )
            return whole

        return tf.split(joined, sizes), gradient

    return split(joined)
