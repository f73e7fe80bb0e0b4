"""What each parameter of the estimator may be: a table for one at a time, code for pairs."""

import contextlib
import json
import math
import warnings
from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np

from skae import _activations, _losses
from skae._activations import ACTIVATIONS
from skae._losses import LOSSES, describe
from skae._rows import Rows
from skae._scikit_learn import Interval, StrOptions

OPTIMIZERS = {
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "ftrl",
    "lion",
    "muon",
    "nadam",
    "rmsprop",
    "sgd",
}

# Ratios of scales within a table from which on a fit cannot go well.
SWAMPING = 1e5  # of a column's standard deviation to the median
FAR_FROM_ZERO = 1e4  # of a mean to the largest standard deviation, in float32
# The largest magnitude: as many squares of it as any data has entries can be summed in float64.
LARGEST = 1e150


class Names(StrOptions):
    """Some names, each in any of its spellings, or what else is of a type."""

    def __init__(self, names: Any, canonical: Callable[[str], Any], hint: str, *types: type):
        super().__init__(set(names))
        self._canonical = canonical
        self._hint = hint
        self._types = types

    def is_satisfied_by(self, val):
        if isinstance(val, str):
            return self._canonical(val) in self.options
        return isinstance(val, self._types)

    def __str__(self):
        return f"{super().__str__()}, {self._hint}"


ACTIVATION = "the name of an activation and not a function or a layer"
CONFIGURATION = (
    "or a dict such as {{'class_name': {!r}, 'config': {{}}}}, as keras.{}.serialize makes"
)
NAME_OF_LOSS = Names(
    LOSSES, _losses.canonical, CONFIGURATION.format("Huber", "losses") + " of a loss", dict
)
NAME_OF_OPTIMIZER = Names(
    OPTIMIZERS,
    str.lower,
    CONFIGURATION.format("AdamW", "optimizers") + " of an optimizer",
    dict,
)

CONSTRAINTS = {
    "n_components": [Interval(Integral, 1, None, closed="left")],
    "hidden_layer_sizes": [Interval(Integral, 1, None, closed="left"), "array-like"],
    "activation": [Names(ACTIVATIONS, _activations.canonical, ACTIVATION)],
    "code_activation": [Names({"auto", *ACTIVATIONS}, _activations.canonical, ACTIVATION)],
    "output_activation": [Names({"auto", *ACTIVATIONS}, _activations.canonical, ACTIVATION)],
    "noise": "no_validation",  # but by check_noise, whose message says what pairs there are
    "sparsity": [Interval(Real, 0, None, closed="left")],
    "kl_weight": [Interval(Real, 0, None, closed="left")],
    "image_shape": [None, "array-like"],
    "network": [None, callable],
    "loss": [NAME_OF_LOSS],
    "optimizer": [NAME_OF_OPTIMIZER],
    "learning_rate": [StrOptions({"one_cycle"}), Interval(Real, 0, None, closed="neither")],
    "init": [StrOptions({"pca", "glorot_uniform"})],
    "epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "warm_start": ["boolean"],
    "verbose": ["verbose"],
    "random_state": ["random_state"],
}


def widths(hidden_layer_sizes: Any) -> tuple[int, ...]:
    """Hidden layer sizes as a tuple of positive integers."""
    if isinstance(hidden_layer_sizes, Integral):
        return (int(hidden_layer_sizes),)
    sizes = tuple(hidden_layer_sizes)
    if not all(isinstance(size, Integral) and int(size) > 0 for size in sizes):
        raise ValueError(
            "The 'hidden_layer_sizes' parameter of AutoencoderTransformer must hold ints in the "
            f"range [1, inf). Got {hidden_layer_sizes!r} instead. The encoder's widths are enough: "
            "the decoder mirrors them."
        )
    return tuple(int(size) for size in sizes)


def check_config(name: str, value: Any) -> None:
    """Refuse a configuration that is none of Keras' kind before Keras meets it."""
    if not isinstance(value, dict):
        return
    try:
        json.dumps(value)
    except TypeError as error:
        raise ValueError(
            f"The {name!r} parameter of AutoencoderTransformer must hold plain numbers, strings, "
            f"lists and dicts if it is a dict. Got {value!r} instead ({error})."
        ) from None
    options = value.get("config", {})
    function = name == "loss" and value.get("class_name") == "function" and isinstance(options, str)
    if function and _losses.canonical(value) in LOSSES:
        return  # as keras.losses.serialize writes the functions of those names
    if not (isinstance(value.get("class_name"), str) and isinstance(options, dict)):
        example = {"optimizer": "AdamW", "loss": "Huber"}[name]
        raise ValueError(
            f"The {name!r} parameter of AutoencoderTransformer must name a class if it is a dict, "
            f"as in {{'class_name': {example!r}, 'config': {{}}}}. Got {value!r} instead."
        )
    rate = options.get("learning_rate", 0.1)
    number = isinstance(rate, Real) and not isinstance(rate, bool)
    if name == "optimizer" and not (number and 0 < rate < math.inf):
        raise ValueError(
            "The learning rate in the 'optimizer' parameter of AutoencoderTransformer must be a "
            f"number: the peak of the one-cycle rate, in the range (0, inf). Got {rate!r} instead. "
            "Keras' schedules can't be used. Set learning_rate='one_cycle', or a constant float."
        )


@contextlib.contextmanager
def explained(X: Any, name: str, image_shape: Any) -> Iterator[None]:
    """Say in words of ours why scikit-learn can't read some rows: images with all of their
    dimensions, and arrays that NumPy may not look into."""
    sized = isinstance(X, list | tuple) and len(X) > 0
    n_dimensions = 1 + np.ndim(X[0]) if sized else len(getattr(X, "shape", ()))
    if image_shape is not None and n_dimensions > 2:
        raise ValueError(
            f"{name} must have two dimensions, a row for each image, flattened in C order. Got "
            f"{n_dimensions} dimensions with image_shape={image_shape!r}. Pass "
            f"{name}.reshape(len({name}), -1), of an array."
        )
    try:
        yield
    except (TypeError, RuntimeError) as error:
        if _is_array(X):
            raise
        raise TypeError(
            f"{name} must be an array that NumPy can read. Got {type(X).__name__}: {error} Pass "
            f"{name}.detach().cpu().numpy() of a tensor of PyTorch, {name}.numpy() of one of "
            f"TensorFlow outside of tf.function, or np.asarray({name}) of what else has its data "
            "in the memory of this process."
        ) from error


def _is_array(X):
    """Whether NumPy reads it, and sees more in it than one object."""
    try:
        return np.asarray(X).ndim > 0  # np.ndim would believe what X says
    except (TypeError, RuntimeError):
        return False


def check_range(loss: str | dict, X: Rows, name: str = "X") -> None:
    """Refuse data that the loss is not defined for."""
    low, high = describe(loss)[:2]
    if not X.within(low, high):
        # scikit-learn's words, which its checks look for.
        start = "Negative values in data: " if low == 0 and X.extremes[0] < 0 else ""
        raise ValueError(
            f"{start}loss={loss!r} needs {name} in the range [{low:g}, {high:g}]. Got values from "
            f"{X.extremes[0]:.6g} to {X.extremes[1]:.6g} instead. Scale {name}, with "
            "sklearn.preprocessing.MinMaxScaler for example, or use loss='mse'."
        )


def check_squares(X: Rows, name: str = "X") -> None:
    """Refuse numbers whose squares float64 can't sum: PCA and the loss are made of them."""
    largest = float(np.abs(X.extremes).max())
    if largest > LARGEST:
        raise ValueError(
            f"{name} has values as large as {largest:.3g}, and the sum of their squares would "
            f"overflow. Their magnitude must be at most {LARGEST:g}. Scale {name}, with "
            "sklearn.preprocessing.MaxAbsScaler for example."
        )


def warn_of_scales(X: Rows) -> None:
    """Warn of columns whose variance, or whose distance from zero, leaves the others no chance."""
    mean, deviation = moments(X)
    # What varies by rounding alone counts as constant here: there may be many such columns.
    noise = 4 * np.finfo(X.dtype).eps * np.abs(mean)
    spread = np.where(deviation > noise, deviation, 0)
    median = np.median(spread[spread > 0]) if spread.any() else np.inf
    wide = np.flatnonzero(spread >= SWAMPING * median)
    if len(wide):
        wide = wide[np.argsort(-spread[wide], kind="stable")]
        named = ", ".join(f"{i} ({deviation[i]:.3g})" for i in wide[:3])
        more = f" and {len(wide) - 3} more" if len(wide) > 3 else ""
        warnings.warn(
            "Some columns of X vary so much that the others will not be encoded: they make up "
            f"nearly all of the squared error. Columns (standard deviations): {named}{more}, "
            f"against a median of {median:.3g}. Scale X with sklearn.preprocessing.StandardScaler "
            "or RobustScaler, or take the logarithm of these columns.",
            UserWarning,
            stacklevel=2,
        )
    offset = np.abs(mean[deviation > 0]).max(initial=0)
    if X.dtype == np.float32 and offset > FAR_FROM_ZERO * deviation.max():
        warnings.warn(
            f"X is far from zero for float32: the largest mean of a column is {offset:.3g}, the "
            f"largest standard deviation {deviation.max():.3g}. Rounding will spoil the "
            "reconstruction. Subtract the mean first, with sklearn.preprocessing.StandardScaler "
            "for example, or pass X as float64.",
            UserWarning,
            stacklevel=2,
        )


def moments(X):
    """Mean and standard deviation of each column, of as many rows as tell.

    In one pass: deviations are from the first row, so those of a constant column are exactly zero.
    They are also where squares overflow, since nothing can be said of those.
    """
    rows = X.sample(min(10_000, max(100, 2_000_000 // X.n_features)), 0)
    first, weight = np.zeros(0), 0.0
    sums, squares = np.zeros(rows.n_features), np.zeros(rows.n_features)
    with np.errstate(over="ignore", invalid="ignore"):
        for block, weights in rows.blocks():
            block = block.astype(np.float64)
            first = first if first.size else block[0].copy()
            block -= first
            shares = np.ones(len(block)) if weights is None else weights.astype(np.float64)
            sums += shares @ block
            squares += shares @ np.square(block, out=block)
            weight += shares.sum()
        mean = first + sums / weight
        deviation = np.sqrt(np.maximum(squares / weight - (sums / weight) ** 2, 0))
    return mean, np.where(np.isfinite(deviation), deviation, 0)
