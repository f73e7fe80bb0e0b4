"""What has to be known of a loss outside Keras, which computes it."""

from typing import NamedTuple


class Loss(NamedTuple):
    """Properties of a loss."""

    low: float = -float("inf")  # the range of X that it is defined for
    high: float = float("inf")
    output: str | None = None  # the output activation that suits it, if one does
    # The power of the unit of X that it has; None where it has a scale of its own.
    power: int | None = None


NAMES = {
    "mse": Loss(power=2),
    "mean_squared_error": Loss(power=2),
    "mae": Loss(power=1),
    "mean_absolute_error": Loss(power=1),
    "huber": Loss(),
    "binary_crossentropy": Loss(0.0, 1.0, "sigmoid"),
    "poisson": Loss(0.0, output="exponential"),
}
CLASSES = {
    "BinaryCrossentropy": NAMES["binary_crossentropy"],
    "Poisson": NAMES["poisson"],
}


def describe(loss: str | dict) -> Loss:
    """Properties of a loss given by name or configuration."""
    return CLASSES.get(loss["class_name"], Loss()) if isinstance(loss, dict) else NAMES[loss]
