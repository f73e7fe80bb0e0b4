"""What has to be known of a loss outside Keras, which computes it."""

from typing import NamedTuple


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


NAMES = {
    "mse": Loss(power=2, shifts=True),
    "mean_squared_error": Loss(power=2, shifts=True),
    "mae": Loss(power=1, shifts=True),
    "mean_absolute_error": Loss(power=1, shifts=True),
    "huber": Loss(),
    "binary_crossentropy": Loss(0.0, 1.0, "sigmoid"),
    # In another unit it differs by what no reconstruction changes.
    "poisson": Loss(0.0, output="squareplus", power=1),
}
CLASSES = {
    "BinaryCrossentropy": NAMES["binary_crossentropy"],
    "Poisson": NAMES["poisson"],
    "CosineSimilarity": Loss(directional=True),
}


def describe(loss: str | dict) -> Loss:
    """Properties of a loss given by name or configuration."""
    return CLASSES.get(loss["class_name"], Loss()) if isinstance(loss, dict) else NAMES[loss]
