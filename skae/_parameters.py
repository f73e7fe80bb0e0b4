"""What each parameter of the estimator may be: a table for one at a time, code for pairs."""

import json
from numbers import Integral, Real

from skae._activations import ACTIVATIONS
from skae._losses import NAMES, describe
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
    "lamb",
    "lion",
    "muon",
    "nadam",
    "rmsprop",
    "sgd",
}

CONSTRAINTS = {
    "n_components": [Interval(Integral, 1, None, closed="left")],
    "hidden_layer_sizes": [Interval(Integral, 1, None, closed="left"), "array-like"],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "code_activation": [StrOptions({"auto", *ACTIVATIONS})],
    "output_activation": [StrOptions({"auto", *ACTIVATIONS})],
    "noise": [None, Interval(Real, 0, 1, closed="both"), "array-like", callable],
    "sparsity": [Interval(Real, 0, None, closed="left")],
    "kl_weight": [Interval(Real, 0, None, closed="left")],
    "image_shape": [None, "array-like"],
    "network": [None, callable],
    "loss": [StrOptions(set(NAMES)), dict],
    "optimizer": [StrOptions(OPTIMIZERS), dict],
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


def widths(hidden_layer_sizes) -> tuple[int, ...]:
    """Hidden layer sizes as a tuple of positive integers."""
    if isinstance(hidden_layer_sizes, Integral):
        return (int(hidden_layer_sizes),)
    sizes = tuple(hidden_layer_sizes)
    if not all(isinstance(size, Integral) and size > 0 for size in sizes):
        raise ValueError(
            "The 'hidden_layer_sizes' parameter of AutoencoderTransformer must hold ints in the "
            f"range [1, inf). Got {hidden_layer_sizes!r} instead. The encoder's widths are enough: "
            "the decoder mirrors them."
        )
    return tuple(int(size) for size in sizes)


def check_config(name, value) -> None:
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
    if not isinstance(value.get("class_name"), str):
        example = {"optimizer": "AdamW", "loss": "Huber"}[name]
        raise ValueError(
            f"The {name!r} parameter of AutoencoderTransformer must name a class if it is a dict, "
            f"as in {{'class_name': {example!r}, 'config': {{}}}}. Got {value!r} instead."
        )


def check_range(loss, X: Rows, name="X") -> None:
    """Refuse data that the loss is not defined for."""
    low, high = describe(loss)[:2]
    if not X.within(low, high):
        raise ValueError(
            f"loss={loss!r} needs {name} in the range [{low:g}, {high:g}]. Got values from "
            f"{X.X.min():.6g} to {X.X.max():.6g} instead. Scale {name}, with "
            "sklearn.preprocessing.MinMaxScaler for example, or use loss='mse'."
        )
