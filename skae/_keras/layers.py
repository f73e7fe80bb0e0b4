"""What the variants add to a network: layers with a loss of their own, one number per row, so that
rows of zero weight in a batch that is filled up add nothing."""

import keras
from keras import ops


class SparseCode(keras.layers.Layer):
    """L1 penalty on the code (Ng, "Sparse autoencoder", 2011)."""

    def __init__(self, sparsity, **options):
        super().__init__(**options)
        self.sparsity = sparsity

    def call(self, code):
        self.add_loss(self.sparsity * ops.sum(ops.abs(code), axis=1))
        return code


class SampledCode(keras.layers.Layer):
    """The code drawn from a normal distribution by a reparametrisation, and the divergence of that
    from the standard normal distribution (Kingma & Welling, "Auto-encoding variational Bayes",
    ICLR 2014). The draws are an input, since XLA is slow at them."""

    def __init__(self, weight, **options):
        super().__init__(**options)
        self.weight = weight

    def call(self, inputs):
        mean, log_variance, draws = inputs
        variance = ops.exp(log_variance)
        divergence = 0.5 * ops.sum(ops.square(mean) + variance - 1 - log_variance, axis=1)
        self.add_loss(self.weight * divergence)
        return mean + ops.sqrt(variance) * draws
