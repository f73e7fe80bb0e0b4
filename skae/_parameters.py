"""The allowed values of the estimator's parameters: a table for each, code for pairs."""

import json
import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np

from skae._data.noise import KINDS
from skae._network import activations, losses
from skae._network.activations import ACTIVATIONS
from skae._network.losses import LOSSES
from skae._scikit_learn import Interval, RealNotInt, StrOptions

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


class Names(StrOptions):
    """Some names, each in any of its spellings, or any value of the given types."""

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
    "or a dict such as {{'class_name': {!r}, 'config': {{}}}}, as keras.{}.serialize returns"
)
NAME_OF_LOSS = Names(
    LOSSES, losses.canonical, CONFIGURATION.format("Huber", "losses") + " for a loss", dict
)
NAME_OF_OPTIMIZER = Names(
    OPTIMIZERS,
    str.lower,
    CONFIGURATION.format("AdamW", "optimizers") + " for an optimizer",
    dict,
)

CONSTRAINTS = {
    "n_components": [
        Interval(Integral, 1, None, closed="left"),
        Interval(RealNotInt, 0, 1, closed="neither"),
        None,
    ],
    "hidden_layer_sizes": [
        StrOptions({"auto"}),
        Interval(Integral, 1, None, closed="left"),
        "array-like",
    ],
    "activation": [Names(ACTIVATIONS, activations.canonical, ACTIVATION)],
    "code_activation": [Names({"auto", *ACTIVATIONS}, activations.canonical, ACTIVATION)],
    "output_activation": [Names({"auto", *ACTIVATIONS}, activations.canonical, ACTIVATION)],
    "noise": "no_validation",  # see _check_noise, whose message lists the pairs
    "sparsity": [Interval(Real, 0, None, closed="left")],
    "kl_weight": [Interval(Real, 0, None, closed="left")],
    "label_weight": [Interval(Real, 0, None, closed="left")],
    "missing_label": "no_validation",
    "image_shape": [None, "array-like"],
    "network": [None, callable],
    "loss": [NAME_OF_LOSS],
    "optimizer": [NAME_OF_OPTIMIZER],
    "learning_rate": [StrOptions({"one_cycle"}), Interval(Real, 0, None, closed="neither")],
    "init": [StrOptions({"pca", "glorot_uniform"})],
    "epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "warm_start": ["boolean"],
    "verbose": ["verbose"],
    "random_state": ["random_state"],
}


def generates(estimator: Any) -> bool:
    """Whether an estimator generates rows; raise where it does not, for `available_if`."""
    fitted = getattr(estimator, "network_", {})
    if fitted.get("kl_weight", estimator.kl_weight) > 0:
        return True
    raise AttributeError(
        "sample needs a variational code, whose distribution is known. Got kl_weight="
        f"{estimator.kl_weight!r}. Set kl_weight=1.0 for example, and fit."
    )


def widths(hidden_layer_sizes: Any) -> tuple[int, ...]:
    """Return the hidden layer sizes as a tuple of positive integers, which is empty for "auto"."""
    if isinstance(hidden_layer_sizes, str):
        return ()
    if isinstance(hidden_layer_sizes, Integral):
        return (int(hidden_layer_sizes),)
    sizes = tuple(hidden_layer_sizes)
    if not all(isinstance(size, Integral) and int(size) > 0 for size in sizes):
        raise ValueError(
            "The 'hidden_layer_sizes' parameter of AutoencoderTransformer must hold ints in the "
            f"range [1, inf). Got {hidden_layer_sizes!r} instead. Give only the widths of the "
            "encoder: the decoder mirrors them."
        )
    return tuple(int(size) for size in sizes)


def _check_config(name, value):
    """Raise an error for a dict that is not a configuration of Keras, before Keras sees it."""
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
    if function and losses.canonical(value) in LOSSES:
        return  # as keras.losses.serialize writes these functions
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
            "Keras' schedules can't be used. Set learning_rate='one_cycle' or a constant float."
        )


def check_parameters(parameters: Any, n_features: int) -> tuple:
    """Check what the table of constraints can't; return the hidden widths and the image shape.

    `parameters` has the parameters as attributes, as an estimator does.
    """
    for name in ("loss", "optimizer"):
        _check_config(name, getattr(parameters, name))
    _check_noise(parameters.noise)
    image_shape = _image_shape(parameters, n_features)
    _check_variants(parameters)
    return widths(parameters.hidden_layer_sizes), image_shape


def _check_noise(noise):
    """Raise an error if `noise` is not a valid value."""
    if noise is None or callable(noise):
        return
    pair = noise if isinstance(noise, tuple | list) else ("masking", noise)
    kind, amount = pair if len(pair) == 2 else (None, np.nan)
    most = float("inf") if kind == "gaussian" else 1.0
    number = isinstance(amount, Real) and not isinstance(amount, bool)
    if kind not in KINDS or not number or not 0 <= amount <= most:
        raise ValueError(
            "The 'noise' parameter of AutoencoderTransformer must be the fraction of entries to "
            "mask, in [0, 1], a pair ('masking', fraction), ('gaussian', standard deviation), "
            "('salt_and_pepper', fraction) or ('swap', fraction), a callable (batch, rng) -> "
            f"batch, or None. Got {noise!r} instead."
        )


def _image_shape(parameters, n_features):
    """Return height, width and channels, checked against the data, or None."""
    if parameters.image_shape is None:
        return None
    shape = tuple(parameters.image_shape)
    if not (len(shape) in (2, 3) and all(isinstance(n, Integral) and int(n) > 0 for n in shape)):
        raise ValueError(
            "The 'image_shape' parameter of AutoencoderTransformer must be (height, width) or "
            f"(height, width, channels) with ints in the range [1, inf). Got {shape!r} instead."
        )
    if math.prod(shape) != n_features:
        raise ValueError(
            f"image_shape={shape!r} has {math.prod(shape)} entries, but X has {n_features} "
            "features. Each row of X must be one image, flattened in C order."
        )
    if not widths(parameters.hidden_layer_sizes):
        raise ValueError(
            "image_shape needs hidden_layer_sizes, the numbers of filters of its convolutions. Got "
            f"hidden_layer_sizes={parameters.hidden_layer_sizes!r} instead. Give, for "
            "example, hidden_layer_sizes=(16, 32)."
        )
    height, width, *channels = (int(n) for n in shape)
    return (height, width, *(channels or [1]))


def _check_variants(parameters):
    """Raise an error for parameters that can't be combined."""
    try:
        hash(parameters.network)
    except TypeError as error:
        raise ValueError(
            "The callable given as 'network' must be hashable, so that what was compiled for it "
            f"can be found again. Got {type(parameters.network).__name__} ({error}) instead. Give "
            "a function, or if it is a dataclass, make it frozen."
        ) from error
    if parameters.network is not None and not isinstance(parameters.n_components, Integral):
        raise ValueError(
            "A custom network needs the number of components as an int, since its weights are made "
            f"once. Got network and n_components={parameters.n_components!r} together. Give an int."
        )
    if parameters.network is not None and parameters.kl_weight:
        raise ValueError(
            "kl_weight needs a network that skae builds, because its encoder must output a "
            "variance besides the mean. Got kl_weight and network together. Set kl_weight=0, and "
            "let a layer of the encoder add the divergence with add_loss."
        )
    if parameters.network is not None and parameters.image_shape is not None:
        raise ValueError(
            "Got image_shape and network together, but network defines the layers itself. Set "
            "image_shape=None, and let the encoder begin with keras.layers.Reshape."
        )
    output = activations.canonical(parameters.output_activation)
    logits = losses.from_logits(parameters.loss) and parameters.network is None
    if logits and output not in ("auto", "sigmoid", "linear"):
        raise ValueError(
            "A loss with from_logits=True applies a sigmoid to the output itself. Got loss="
            f"{parameters.loss!r} and output_activation={parameters.output_activation!r}. Set "
            "output_activation='auto' to reconstruct probabilities, or 'linear' for logits."
        )
    code = activations.canonical(parameters.code_activation)
    if parameters.kl_weight and code not in ("auto", "linear"):
        raise ValueError(
            "A variational code is the mean of a normal distribution, so it has to be linear. Got "
            f"kl_weight={parameters.kl_weight!r} and code_activation="
            f"{parameters.code_activation!r}. Set code_activation='auto', or kl_weight=0."
        )
