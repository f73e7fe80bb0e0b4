"""What has to be known of a loss outside Keras, which computes it."""

from typing import Any, NamedTuple


class Loss(NamedTuple):
    """Properties of a loss."""

    low: float = -float("inf")  # the range of X that it is defined for
    high: float = float("inf")
    output: str | None = None  # the output activation that suits it, if one does
    # The power of the unit of X that it has; None where it has a scale of its own.
    power: int | None = None
    # Whether it has no gradient where a reconstruction is zero.
    directional: bool = False
    shifts: bool = False  # whether it stays the same when X and its reconstruction move together


PROBABILITY = Loss(0.0, 1.0, "sigmoid")
# By the names that skae uses, with the names of Keras' classes.
LOSSES = {
    "mse": ("MeanSquaredError", Loss(power=2, shifts=True)),
    "mae": ("MeanAbsoluteError", Loss(power=1, shifts=True)),
    "mape": ("MeanAbsolutePercentageError", Loss()),
    "msle": ("MeanSquaredLogarithmicError", Loss(0.0, output="softplus")),
    "huber": ("Huber", Loss()),
    "log_cosh": ("LogCosh", Loss()),
    "cosine_similarity": ("CosineSimilarity", Loss(directional=True)),
    "binary_crossentropy": ("BinaryCrossentropy", PROBABILITY),
    "binary_focal_crossentropy": ("BinaryFocalCrossentropy", PROBABILITY),
    "categorical_crossentropy": ("CategoricalCrossentropy", PROBABILITY),
    "kl_divergence": ("KLDivergence", PROBABILITY),
    # In another unit it differs by what no reconstruction changes.
    "poisson": ("Poisson", Loss(0.0, output="squareplus", power=1)),
}
# Options that change nothing of a row's loss, which is all that skae asks a loss for.
INERT = {"name", "reduction", "dtype"}


def _key(name):
    return name.lower().replace("_", "")


# Keras has its names in lower case, in upper case, short, in full, and as classes.
SPELLINGS = {_key(name): name for name in LOSSES}
SPELLINGS |= {_key(class_name): name for name, (class_name, _) in LOSSES.items()}
SPELLINGS |= {"bce": "binary_crossentropy", "kld": "kl_divergence"}


def canonical(loss: str | dict) -> str | dict:
    """The one spelling of a loss that the rest of skae knows: the name, where there are no options
    that change it."""
    if isinstance(loss, str):
        return SPELLINGS.get(_key(loss), loss)
    options = loss.get("config", {})
    if isinstance(options, str):  # as Keras writes functions
        return canonical(options)
    name = SPELLINGS.get(_key(loss["class_name"]))
    if name is None:
        return loss
    return {**loss, "class_name": LOSSES[name][0]} if options.keys() - INERT else name


def describe(loss: str | dict) -> Loss:
    """Properties of a loss given by name or configuration."""
    loss = canonical(loss)
    name = canonical(loss["class_name"]) if isinstance(loss, dict) else loss
    return LOSSES[name][1] if name in LOSSES else Loss()


def needs_positive(loss: Any) -> bool:
    """Whether a loss is not defined below zero. Of what is no loss, `fit` says so."""
    try:
        return describe(loss).low >= 0
    except (AttributeError, KeyError, TypeError):
        return False


def from_logits(loss: str | dict) -> bool:
    """Whether the loss puts a sigmoid, or a softmax, behind the output itself."""
    loss = canonical(loss)
    return isinstance(loss, dict) and bool(loss.get("config", {}).get("from_logits"))


def of_probabilities(loss: dict) -> dict:
    """The configuration of the same loss without a sigmoid of its own."""
    return {**loss, "config": {**loss["config"], "from_logits": False}}
