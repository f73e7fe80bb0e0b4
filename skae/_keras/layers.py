"""Layers that skae adds to Keras, used only in training.

The layers of the code have losses of their own, with one number per row, so that the rows of zero
weight that fill up a batch add nothing.
"""

from typing import Any

import keras
import tensorflow as tf
from keras import ops


def is_narrow(shape: tuple[int, ...]) -> bool:
    """Return whether a kernel of this shape has more inputs than outputs."""
    return len(shape) == 2 and shape[0] > shape[1]


class NarrowDense(keras.layers.Dense):
    """Keras' dense layer, with a gradient that XLA computes faster for narrow kernels.

    A narrow kernel has more inputs than outputs and is held by columns.
    """

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
    """Return X @ kernel, and compute the gradient of the kernel as a transposed product.

    The default gradient is a product of long matrices that reads its left factor by columns, which
    takes XLA half as long again.
    """

    def gradient(upstream):
        # XLA would fold a mere transpose into the product. It does not see through a gather, so
        # all rows of the transpose are gathered.
        columns = tf.gather(tf.transpose(upstream), tf.range(upstream.shape[1]))
        return tf.matmul(upstream, kernel, transpose_b=True), tf.transpose(columns @ X)

    return tf.matmul(X, kernel), gradient


class PenalisedCode(keras.layers.Layer):
    """A code with a loss of its own.

    Its `weight` is set before each use. As a constant of the layer it would become part of the
    compiled training, and each candidate of a search would have to be compiled.
    """

    weight: Any = 1.0

    def penalise(self, penalty):
        """Add a penalty, one number for each row."""
        self.add_loss(ops.cast(self.weight, penalty.dtype) * penalty)


class SparseCode(PenalisedCode):
    """A code with an L1 penalty (Ng, "Sparse autoencoder", 2011)."""

    def call(self, code):
        self.penalise(ops.sum(ops.abs(code), axis=1))
        return code


class LabelledCode(PenalisedCode):
    """The loss of labels that a linear layer predicts from the code (Le, Patterson & White,
    "Supervised autoencoders", NeurIPS 2018); see `skae._network.labels`."""

    def __init__(self, kind, n_outputs, **options):
        super().__init__(**options)
        self._kind, self._n_outputs = kind, n_outputs

    def build(self, shapes):
        self.kernel = self.add_weight(shape=(shapes[0][1], self._n_outputs), initializer="zeros")
        self.bias = self.add_weight(shape=(self._n_outputs,), initializer="zeros")

    def call(self, inputs):
        code, labels = inputs
        outputs = ops.add(ops.matmul(code, self.kernel), self.bias)
        targets, known = labels[:, :-1], labels[:, -1]
        if self._kind == "classes":
            chosen = ops.one_hot(
                ops.cast(targets[:, 0], "int32"), self._n_outputs, dtype=code.dtype
            )
            losses = ops.logsumexp(outputs, axis=1) - ops.sum(chosen * outputs, axis=1)
        elif self._kind == "indicators":
            losses = ops.mean(ops.softplus(outputs) - targets * outputs, axis=1)
        else:
            losses = ops.mean(ops.square(outputs - targets), axis=1)
        self.penalise(known * losses)
        return code


class SampledCode(PenalisedCode):
    """A code drawn from a normal distribution whose divergence from the standard one is penalized.

    The draw uses the reparameterization of Kingma & Welling, "Auto-encoding variational Bayes"
    (ICLR 2014). The standard normal draws are an input, since XLA is slow at drawing them.
    """

    def call(self, inputs):
        mean, log_variance, draws = inputs
        variance = ops.exp(log_variance)
        self.penalise(0.5 * ops.sum(ops.square(mean) + variance - 1 - log_variance, axis=1))
        return mean + ops.sqrt(variance) * draws
