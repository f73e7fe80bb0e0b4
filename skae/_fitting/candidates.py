"""Candidates for training, PCA included: networks, where they start, how to train them."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from skae._data.filling import Filling, Hiding
from skae._data.noise import Corruption
from skae._data.rows import Rows
from skae._network.losses import Loss, describe
from skae._network.spec import NetworkSpec, Penalties

# If no value is larger, a sigmoid acts as an exponential, whose gradients overflow in the end.
LEAST_FOR_SIGMOID = 1e-6
# Sparse rows with more columns than this get no sigmoid. Training one for each word takes long, and
# on 3,000 words, as TF-IDF or as zeros and ones, PCA was kept with 8 components and with 32.
MOST_FOR_SIGMOID = 1024


class Settings(NamedTuple):
    """The parameters of the estimator that concern training, as they were given."""

    n_components: int | float | None
    hidden_layer_sizes: Any
    loss: str | dict
    optimizer: str | dict
    learning_rate: str | float
    init: str | list[np.ndarray]  # or the weights that a custom network comes with
    epochs: str | int
    batch_size: str | int
    shuffle: bool
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    tol: float
    noise: Callable | None  # as returned by `noise.noise_of`
    label_weight: float
    penalties: Penalties = Penalties()  # in the unit of the loss
    seed: int = 0
    progress: Any = None  # a `Progress`, which the fit reports to
    filling: Filling | None = None  # of the holes, if the rows have any
    trainer: Any = None  # what trains on the cluster that the rows are on, if they are on one

    @property
    def corrupt(self) -> Corruption | None:
        """What makes of rows what the network is given in training, or None for nothing."""
        if self.filling is None and self.noise is None:
            return None
        return Corruption(None if self.filling is None else Hiding(self.filling), self.noise)


class Split(NamedTuple):
    """Rows to train on, and rows to validate on or None."""

    training: Rows
    validation: Rows | None
    missed: bool = False  # whether rows with many copies are held out


class Candidate(NamedTuple):
    """A network and how to train it."""

    spec: NetworkSpec
    settings: Settings
    n_steps: int | None = None  # None for as many as the settings say, 0 for none
    n_epochs: int | None = None  # training is cut short after this many
    keeps_last: bool = False  # whether the last weights are kept, not the best of all checks
    cycle: int = 0  # of the learning rate; each takes twice as many steps as the one before
    name: str = ""  # of the run, for those who follow the fit

    @property
    def loss(self) -> Loss:
        return describe(self.settings.loss)

    @property
    def starts_from_pca(self) -> bool:
        return self.settings.init == "pca" and self.spec.network is None

    @property
    def is_pca_at_first(self) -> bool:
        """Whether a network that starts from PCA is PCA, except where outputs must be positive."""
        spec = self.spec
        positive = spec.output_unit is not None
        return spec.code_activation == "linear" and (positive or spec.output_activation == "linear")

    @property
    def pca_is_optimum(self) -> bool:
        """Whether PCA is the optimum, so that training could at best end where it starts."""
        spec, settings = self.spec, self.settings
        return (
            settings.init == "pca"
            and spec.dense
            and not spec.penalised
            and settings.noise is None
            and not spec.label_kind
            and self.loss.power == 2
            and not spec.hidden_layer_sizes
            and (spec.code_activation, spec.output_activation) == ("linear", "linear")
        )

    @property
    def may_be_linear(self) -> bool:
        """Whether the user leaves it to the fit to add hidden layers, and it has added some."""
        return isinstance(self.settings.hidden_layer_sizes, str) and bool(
            self.spec.hidden_layer_sizes
        )

    @property
    def is_annealed(self) -> bool:
        """Whether the last weights of a run are its best, as far as rows held out can tell.

        So it is at the end of a cycle of learning rates with a restrained number of epochs, but
        not for labels, which are learned by heart sooner.
        """
        spec, settings = self.spec, self.settings
        automatic = settings.epochs == "auto" and settings.learning_rate == "one_cycle"
        return automatic and spec.dense and bool(spec.hidden_layer_sizes) and not spec.label_kind

    def with_spec(self, **changes: Any) -> "Candidate":
        """Return the same candidate with changes to the description of its network."""
        return self._replace(spec=dataclasses.replace(self.spec, **changes))

    def with_settings(self, **changes: Any) -> "Candidate":
        """Return the same candidate with changes to its settings."""
        return self._replace(settings=self.settings._replace(**changes))


class Fitted(NamedTuple):
    """A network and what its training recorded."""

    candidate: Candidate
    weights: list[np.ndarray]
    losses: list[float]  # of each epoch that led to the weights
    validation_losses: list[float]  # of each check
    checked_epochs: list[int]  # the epochs after which these were taken
    # Judged by the held-out rows: whether training helped, and whether it beats PCA.
    gained: bool = True
    beats_pca: bool = False
    # The gain over PCA on them, as a part of PCA's loss; None if the two were not compared.
    gain: float | None = None
    keeps_pca: bool = False
    # The variance of the reconstruction that each component of an ordered code explains.
    explained: np.ndarray | None = None


def candidates(given: Candidate, rows: Rows, *, validated: bool) -> list[Candidate]:
    """Return the networks among which the loss decides if output_activation="auto".

    The range alone can't tell whether a sigmoid suits data in [0, 1]. With 8 components, its error
    was 0.8 times the error of a linear output on handwritten digits, and 1.5 times on the diabetes
    table.
    """
    output = _output(given)
    if output is not None:
        return [given.with_spec(output_activation=output)]
    linear = given.with_spec(output_activation="linear")
    sigmoid = given.with_spec(output_activation="sigmoid")
    words = rows.sparse and rows.n_features > MOST_FOR_SIGMOID
    if words or not rows.within(0, 1) or rows.extremes[1] < LEAST_FOR_SIGMOID:
        return [linear]
    # A linear output that is PCA needs no pilot: the trained sigmoid is compared with it anyway.
    compared = validated and not given.spec.penalised and linear.pca_is_optimum
    if not given.starts_from_pca or not given.spec.dense or compared:
        return [sigmoid]
    return [linear, sigmoid]


def is_pca(given: Candidate, rows: Rows) -> bool:
    """Return whether nothing will be trained, since PCA is the optimum."""
    possible = candidates(given, rows, validated=given.settings.early_stopping)
    return given.settings.epochs == "auto" and all(one.pca_is_optimum for one in possible)


def fallback(given: Candidate, chosen: Candidate) -> Candidate | None:
    """Return the network that is PCA as long as it is not trained, or None if there is none."""
    # A penalty is meant to change the code, so PCA, which has no penalty, can't replace it.
    if not given.starts_from_pca or given.spec.penalised:
        return None
    if given.spec.output_unit is not None:  # PCA, cut off below the unit
        plain = given.with_spec(output_activation="relu")
    elif _output(given) is not None:
        plain = chosen
    else:
        plain = given.with_spec(output_activation="linear")
    return plain._replace(n_steps=0)


def _output(candidate):
    """Return the output activation, or None if the data have to decide."""
    given = candidate.spec.output_activation
    return candidate.loss.output if given == "auto" else given
