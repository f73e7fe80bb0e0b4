"""The properties of losses that skae needs outside Keras, which computes them."""

from typing import Any, NamedTuple

import numpy as np


class Loss(NamedTuple):
    """Properties of a loss."""

    low: float = -float("inf")  # the range of X that it is defined for
    high: float = float("inf")
    output: str | None = None  # the output activation that suits it, if one does
    # The loss scales with this power of the unit of X; None if it has a scale of its own.
    power: int | None = None
    # Whether the loss has no gradient where a reconstruction is zero.
    directional: bool = False
    shifts: bool = False  # whether it stays the same when X and its reconstruction move together
    summed: bool = False  # whether it is a sum over the features, and not a mean


PROBABILITY = Loss(0.0, 1.0, "sigmoid")
# Losses by the names that skae uses, each with the name of its class in Keras.
LOSSES = {
    "mse": ("MeanSquaredError", Loss(power=2, shifts=True)),
    "mae": ("MeanAbsoluteError", Loss(power=1, shifts=True)),
    "mape": ("MeanAbsolutePercentageError", Loss()),
    "msle": ("MeanSquaredLogarithmicError", Loss(0.0, output="softplus")),
    "huber": ("Huber", Loss()),
    "log_cosh": ("LogCosh", Loss()),
    "cosine_similarity": ("CosineSimilarity", Loss(directional=True, summed=True)),
    "binary_crossentropy": ("BinaryCrossentropy", PROBABILITY),
    "binary_focal_crossentropy": ("BinaryFocalCrossentropy", PROBABILITY),
    "categorical_crossentropy": ("CategoricalCrossentropy", PROBABILITY._replace(summed=True)),
    "kl_divergence": ("KLDivergence", PROBABILITY._replace(summed=True)),
    # A change of unit also adds a term that does not depend on the reconstruction.
    "poisson": ("Poisson", Loss(0.0, output="squareplus", power=1)),
}
# Options that do not change the loss of a row, which is all that skae asks of a loss.
INERT = {"name", "reduction", "dtype"}


def _key(name):
    return name.lower().replace("_", "")


# Keras takes names in lower case, in upper case, short or in full, and the names of its classes.
SPELLINGS = {_key(name): name for name in LOSSES}
SPELLINGS |= {_key(class_name): name for name, (class_name, _) in LOSSES.items()}
SPELLINGS |= {"bce": "binary_crossentropy", "kld": "kl_divergence"}


def canonical(loss: str | dict) -> str | dict:
    """Return the one spelling of a loss that the rest of skae knows.

    It is the name of the loss, unless options change its values.
    """
    if isinstance(loss, str):
        return SPELLINGS.get(_key(loss), loss)
    options = loss.get("config", {})
    if isinstance(options, str):  # how Keras serializes functions
        return canonical(options)
    name = SPELLINGS.get(_key(loss["class_name"]))
    if name is None:
        return loss
    return {**loss, "class_name": LOSSES[name][0]} if options.keys() - INERT else name


def describe(loss: str | dict) -> Loss:
    """Return the properties of a loss given by name or configuration."""
    loss = canonical(loss)
    name = canonical(loss["class_name"]) if isinstance(loss, dict) else loss
    return LOSSES[name][1] if name in LOSSES else Loss()


def known_alone(X: np.ndarray, reconstruction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and their reconstructions with zeros in both where X is NaN.

    Every loss is zero, or what its guards against zeros make of it, where both are zero.
    """
    known = ~np.isnan(X)
    return np.where(known, X, 0), np.where(known, reconstruction, 0)


def needs_positive(loss: Any) -> bool:
    """Whether a loss is not defined below zero. Of what is no loss, `fit` says so."""
    try:
        return describe(loss).low >= 0
    except (AttributeError, KeyError, TypeError):
        return False


def from_logits(loss: str | dict) -> bool:
    """Return whether the loss itself applies a sigmoid or a softmax to the output."""
    loss = canonical(loss)
    return isinstance(loss, dict) and bool(loss.get("config", {}).get("from_logits"))


def of_probabilities(loss: dict) -> dict:
    """Return the configuration of the same loss without a sigmoid of its own."""
    return {**loss, "config": {**loss["config"], "from_logits": False}}
