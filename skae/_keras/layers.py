"""Layers of our own, for training only.

What the variants add to a network has a loss of its own, one number per row, so that rows of zero
weight in a batch that is filled up add nothing.
"""

from typing import Any

import keras
import tensorflow as tf
from keras import ops


def is_narrow(shape: tuple[int, ...]) -> bool:
    """Whether this is the shape of a kernel with more inputs than outputs."""
    return len(shape) == 2 and shape[0] > shape[1]


class NarrowDense(keras.layers.Dense):
    """Keras' layer, with a gradient that XLA computes faster where a kernel has more inputs than
    outputs and is held by columns."""

    def call(self, inputs):
        product = _narrow_product if is_narrow(self.kernel.shape) else ops.matmul
        outputs = product(inputs, self.kernel)
        if self.use_bias:
            outputs = ops.add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)


def _narrow_product(X, kernel):
    return _with_gradient_by_columns(X, ops.convert_to_tensor(kernel))


@tf.custom_gradient
def _with_gradient_by_columns(X, kernel):
    """X @ kernel. The gradient of the kernel is made transposed: a product of a long matrix whose
    left factor is read by columns, as by default, takes XLA half as long again."""

    def gradient(upstream):
        # A mere transpose would become part of the product, so that of all its rows are gathered,
        # through which XLA does not see.
        columns = tf.gather(tf.transpose(upstream), tf.range(upstream.shape[1]))
        return tf.matmul(upstream, kernel, transpose_b=True), tf.transpose(columns @ X)

    return tf.matmul(X, kernel), gradient


class PenalisedCode(keras.layers.Layer):
    """A code with a loss of its own.

    Its `weight` is set before each use: as a part of the layer it would be compiled into the
    training, and each candidate of a search would be compiled anew.
    """

    weight: Any = 1.0

    def penalise(self, penalty):
        """Add a penalty, one number for each row."""
        self.add_loss(ops.cast(self.weight, penalty.dtype) * penalty)


class SparseCode(PenalisedCode):
    """L1 penalty on the code (Ng, "Sparse autoencoder", 2011)."""

    def call(self, code):
        self.penalise(ops.sum(ops.abs(code), axis=1))
        return code


class SampledCode(PenalisedCode):
    """The code drawn from a normal distribution by a reparametrisation, and the divergence of that
    from the standard normal distribution (Kingma & Welling, "Auto-encoding variational Bayes",
    ICLR 2014). The draws are an input, since XLA is slow at them."""

    def call(self, inputs):
        mean, log_variance, draws = inputs
        variance = ops.exp(log_variance)
        self.penalise(0.5 * ops.sum(ops.square(mean) + variance - 1 - log_variance, axis=1))
        return mean + ops.sqrt(variance) * draws
