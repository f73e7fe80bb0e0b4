"""What may be trained: networks, where they start and how they are trained; PCA among them."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from skae._data.rows import Rows
from skae._network.losses import Loss, describe
from skae._network.spec import NetworkSpec, Penalties

# Where no value is larger, a sigmoid is an exponential, and its gradients overflow in the end.
LEAST_FOR_SIGMOID = 1e-6


class Settings(NamedTuple):
    """The parameters of the estimator that concern training, as they were given."""

    loss: str | dict
    optimizer: str | dict
    learning_rate: str | float
    init: str | list[np.ndarray]  # or the weights that a custom network comes with
    epochs: str | int
    batch_size: str | int
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    tol: float
    verbose: int
    noise: Callable | None  # as `noise.corruption` makes it
    penalties: Penalties = Penalties()  # in the unit of the loss
    seed: int = 0


class Split(NamedTuple):
    """Rows to train on, and rows to validate on or None."""

    training: Rows
    validation: Rows | None
    missed: bool = False  # if rows of many copies are held out


class Candidate(NamedTuple):
    """A network, and how it is trained."""

    spec: NetworkSpec
    settings: Settings
    n_steps: int | None = None  # None for as many as the settings say, 0 for none
    n_epochs: int | None = None  # after which training is cut short

    @property
    def loss(self) -> Loss:
        return describe(self.settings.loss)

    @property
    def starts_from_pca(self) -> bool:
        return self.settings.init == "pca" and self.spec.network is None

    @property
    def is_pca_at_first(self) -> bool:
        """Whether a network that starts from PCA is PCA, but for what has to be positive."""
        spec = self.spec
        positive = spec.output_unit is not None
        return spec.code_activation == "linear" and (positive or spec.output_activation == "linear")

    @property
    def pca_is_optimum(self) -> bool:
        """Whether training this network could at best end where it starts."""
        spec, settings = self.spec, self.settings
        return (
            settings.init == "pca"
            and spec.dense
            and not spec.penalised
            and settings.noise is None
            and self.loss.power == 2
            and not spec.hidden_layer_sizes
            and (spec.code_activation, spec.output_activation) == ("linear", "linear")
        )

    def with_spec(self, **changes: Any) -> "Candidate":
        """The same with changes to the description of the network."""
        return self._replace(spec=dataclasses.replace(self.spec, **changes))

    def with_settings(self, **changes: Any) -> "Candidate":
        """The same with changes to the settings."""
        return self._replace(settings=self.settings._replace(**changes))


class Fitted(NamedTuple):
    """A network and what its training recorded."""

    candidate: Candidate
    weights: list[np.ndarray]
    losses: list[float]  # of each epoch behind the weights
    validation_losses: list[float]  # of each check
    # What the rows held out say: whether training helped, and whether it is better than PCA.
    gained: bool = True
    beats_pca: bool = False


def candidates(given: Candidate, rows: Rows, *, validated: bool) -> list[Candidate]:
    """The networks among which output_activation="auto" is to be decided by their loss.

    Range alone can't tell whether data in [0, 1] suit a sigmoid: at 8 components its error was
    0.8 times that of a linear output on handwritten digits, and 1.5 times on the diabetes table.
    """
    output = _output(given)
    if output is not None:
        return [given.with_spec(output_activation=output)]
    linear = given.with_spec(output_activation="linear")
    sigmoid = given.with_spec(output_activation="sigmoid")
    if not rows.within(0, 1) or rows.extremes[1] < LEAST_FOR_SIGMOID:
        return [linear]
    # PCA costs nothing to compare with, once the other is trained.
    compared = validated and not given.spec.penalised and linear.pca_is_optimum
    if not given.starts_from_pca or not given.spec.dense or compared:
        return [sigmoid]
    return [linear, sigmoid]


def fallback(given: Candidate, chosen: Candidate) -> Candidate | None:
    """The network that is PCA as long as it is not trained, if there is one."""
    # A penalty is there to change the code, so PCA, which has none, is nothing to fall back on.
    if not given.starts_from_pca or given.spec.penalised:
        return None
    if given.spec.output_unit is not None:  # PCA that is cut off below the unit
        plain = given.with_spec(output_activation="relu")
    elif _output(given) is not None:
        plain = chosen
    else:
        plain = given.with_spec(output_activation="linear")
    return plain._replace(n_steps=0)


def _output(candidate):
    """The output activation, or None where it takes the data to choose it."""
    given = candidate.spec.output_activation
    return candidate.loss.output if given == "auto" else given
