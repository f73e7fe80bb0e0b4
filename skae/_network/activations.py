"""Element-wise activations in NumPy, equal to Keras' activations of the same names.

Each takes a float array, which it may overwrite, and returns the result.
"""

import numpy as np
from scipy import special

# The constants of Klambauer et al., "Self-Normalizing Neural Networks" (2017).
SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772


def _relu(x):
    return np.maximum(x, 0, out=x)


def _leaky_relu(x, negative_slope=0.2):
    return np.where(x >= 0, x, x * x.dtype.type(negative_slope))


def _relu6(x):
    return np.clip(x, 0, 6, out=x)


def _elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def _selu(x):
    scale, alpha = x.dtype.type(SELU_SCALE), x.dtype.type(SELU_ALPHA)
    return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _gelu(x):
    # The exact form. Keras' result in float64 differs from it by 5e-9.
    return x * special.ndtr(x)


def _silu(x):
    return x * special.expit(x)


def _softplus(x):
    return np.logaddexp(x, 0, out=x)


def _mish(x):
    return x * np.tanh(np.logaddexp(x, 0))


def _squareplus(x):
    # Not Keras' (x + root) / 2, which loses all digits for a large negative x.
    root = np.sqrt(np.square(x) + 4)
    return np.where(x > 0, (x + root) / 2, 2 / (root + np.abs(x)))


def _softsign(x):
    return x / (1 + np.abs(x))


def _hard_sigmoid(x):
    return np.clip(x / 6 + x.dtype.type(0.5), 0, 1)


def _sigmoid(x):
    # NumPy's exponential is vectorized, so this is five times faster than scipy.special.expit.
    with np.errstate(over="ignore"):  # an infinite exponential gives a sigmoid of zero
        np.exp(np.negative(x, out=x), out=x)
    x += 1
    return np.reciprocal(x, out=x)


def _identity(x):
    return x


ACTIVATIONS = {
    "elu": _elu,
    "exponential": lambda x: np.exp(x, out=x),
    "gelu": _gelu,
    "hard_sigmoid": _hard_sigmoid,
    "leaky_relu": _leaky_relu,
    "linear": _identity,
    "mish": _mish,
    "relu": _relu,
    "relu6": _relu6,
    "selu": _selu,
    "sigmoid": _sigmoid,
    "silu": _silu,
    "softplus": _softplus,
    "softsign": _softsign,
    "squareplus": _squareplus,
    "tanh": lambda x: np.tanh(x, out=x),
}

SPELLINGS = {name.replace("_", ""): name for name in ACTIVATIONS} | {"swish": "silu"}


def canonical(name: str) -> str:
    """Return the name that the rest of skae uses.

    The given name may be in any case, and may be one of Keras' other names.
    """
    return SPELLINGS.get(name.lower().replace("_", ""), name)


# Activations f with f(a * x) = a * f(x) for every positive a.
HOMOGENEOUS = {"leaky_relu", "linear", "relu"}
# Activations that are linear above zero, and their slopes there.
SLOPE_ABOVE_ZERO = {"elu": 1.0, "leaky_relu": 1.0, "relu": 1.0, "selu": SELU_SCALE}
