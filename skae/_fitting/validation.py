"""Judge training: compute the losses of rows, and follow them in the course of a run."""

import json
import math
from typing import NamedTuple

import numpy as np

from skae._data.rows import Rows
from skae._fitting.candidates import Candidate, Fitted
from skae._network.inference import decode, encode
from skae._network.labels import losses as label_losses
from skae._network.losses import describe, known_alone

LESS_DIVERGENT = (
    "Use a smaller learning_rate, or scale X, with sklearn.preprocessing.StandardScaler or "
    "MinMaxScaler for example."
)


class Run(NamedTuple):
    """What a training run leaves."""

    weights: list[np.ndarray]  # the last, or the best on the validation rows
    losses: list[float]
    checks: list[float]  # validation losses: of the start, then of every check
    checked_epochs: list[int]  # the numbers of epochs after which these were taken
    kept: int | None  # the check that the weights are from, if they are not the last

    def followed_by(self, later: "Run") -> "Run":
        """Return the record of both runs, of which the other went on where this one ended."""
        done = len(self.losses)
        return Run(
            later.weights,
            self.losses + later.losses,
            self.checks + later.checks[1:],
            self.checked_epochs + [done + epoch for epoch in later.checked_epochs[1:]],
            None,
        )


def all_losses(candidate: Candidate, weights: list[np.ndarray], rows: Rows) -> np.ndarray:
    """Return what training minimizes, for each row, in float64; infinite where numbers overflow.

    The noise is the same at every call.
    """
    rng = np.random.default_rng([candidate.settings.seed, 4])
    with np.errstate(over="ignore", invalid="ignore"):
        blocks = [_row_losses(candidate, weights, X, labels, rng) for X, labels in rows.targets()]
    losses = _whole(rows, blocks)
    return np.where(np.isfinite(losses), losses, np.inf)


def check_overflow(candidate: Candidate, weights: list[np.ndarray], rows: Rows) -> None:
    """Raise an error if a network overflows on the rows it was fitted to.

    The losses of training do not show what its last step does.
    """
    spec, settings = candidate.spec, candidate.settings
    hidden = [spec.activation] if spec.hidden_layer_sizes else []
    exponential = "exponential" in (*hidden, spec.code_activation, spec.output_activation)
    finite = all(np.isfinite(array).all() for array in weights)
    low, high = map(float, rows.extremes)
    if finite and (exponential or _may_overflow(weights, max(-low, high))):
        with np.errstate(over="ignore", invalid="ignore"):
            finite = all(_passes(spec, weights, X) for X, _ in rows.blocks())
    if finite:
        return
    if exponential:
        raise ValueError(
            "The reconstruction of X overflows: exponential activations suit values of about one. "
            f"Got values from {low:.6g} to {high:.6g}. Scale X, by its largest value for example, "
            "use a smaller learning_rate, or use another activation, such as 'softplus'."
        )
    raise ValueError(
        "The reconstruction of X overflows: training diverged in its last step. Got "
        f"learning_rate={settings.learning_rate!r} and optimizer={settings.optimizer!r}. "
        + LESS_DIVERGENT
    )


def _passes(spec, weights, X):
    codes = encode(spec, weights, X)
    return np.isfinite(codes).all() and np.isfinite(decode(spec, weights, codes)).all()


def _may_overflow(weights, largest):
    """Return whether sums could come near the largest number of float32 in the worst case.

    To look at all rows instead takes a twentieth of the time of a fit.
    """
    sums = [math.prod(array.shape[:-1]) * np.abs(array).max(initial=0) for array in weights]
    return np.log10(1 + np.array([largest, *sums], np.float64)).sum() > 30


def _row_losses(candidate, weights, clean, labels, rng):
    spec, settings = candidate.spec, candidate.settings
    X = clean if settings.corrupt is None else settings.corrupt(clean, rng)
    if spec.penalised or spec.network is not None:
        # Imported only here, since this module imports TensorFlow.
        from skae._keras.losses import row_objectives

        loss = json.dumps(settings.loss)
        return row_objectives(loss, spec, settings.penalties, weights, X, clean, labels, rng)
    codes = encode(spec, weights, X)
    losses = compare(candidate.settings.loss, clean, decode(spec, weights, codes))
    if spec.label_kind:
        outputs = codes @ weights[-2] + weights[-1]
        losses = losses + settings.penalties.labels * label_losses(spec.label_kind, outputs, labels)
    return losses


def compare(loss: str | dict, X: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """Return the loss of each row of a block, without penalties; NaN in X counts as no error."""
    if np.isnan(X.min()):
        X, reconstruction = known_alone(X, reconstruction)
    if describe(loss).power == 2:
        # Computed here, so that a fit without training does not need Keras either.
        return np.square(X - reconstruction).mean(axis=1)
    from skae._keras.losses import row_losses

    return row_losses(json.dumps(loss), X, reconstruction)


def constant_losses(candidate: Candidate, mean: np.ndarray, rows: Rows) -> np.ndarray:
    """Return the loss of each row if all rows are reconstructed as `mean`."""
    with np.errstate(over="ignore"):
        blocks = [
            compare(candidate.settings.loss, X, np.broadcast_to(mean.astype(X.dtype), X.shape))
            for X, _ in rows.targets()
        ]
    return _whole(rows, blocks)


def _whole(rows, blocks):
    """Return the losses of all blocks, with what scores leave of them."""
    losses = np.concatenate(blocks).astype(np.float64)
    return losses if rows.left is None else losses + rows.left


def perfect_losses(candidate: Candidate, rows: Rows) -> np.ndarray:
    """Return the loss of each row if it is reconstructed as it is."""
    return np.concatenate(
        [compare(candidate.settings.loss, X, X) for X, _ in rows.targets()]
    ).astype(np.float64)


class Monitor:
    """Watch a run: record its losses, keep the best weights and say when to stop."""

    def __init__(self, candidate, split, units):
        self._candidate = candidate
        self._settings = candidate.settings
        self._validation = split.validation
        self._n_rows = len(split.training)
        self._units = units
        offset = units.loss_offset(candidate.loss, split.training)
        self._offset = offset + split.training.mean_left()
        self.patience = np.inf  # checks without an improvement after which to stop
        self.follow = lambda losses, checks, fitted: False
        self.advance = candidate.settings.progress.advance
        self._losses = []
        self._checks = []
        self._checked_epochs = []
        self._best = None
        self._lowest = np.inf
        self._best_check = 0

    def __call__(self, losses, get_weights):
        if not np.all(np.isfinite(losses)):
            raise ValueError(self._diverged())
        unit = self._units.scale ** (self._candidate.loss.power or 0)
        self._losses.extend(float(loss) * unit + self._offset for loss in losses)
        self.look(get_weights() if self._validation is not None else None)
        stop = self.follow(self._losses, self._checks, lambda: self._so_far(get_weights()))
        return stop or len(self._checks) - 1 - self._best_check >= self.patience

    def _so_far(self, weights):
        weights = self._units.fold(self._candidate.spec, weights)
        epochs = self._checked_epochs[1:]
        return Fitted(self._candidate, weights, self._losses[:], self._checks[1:], epochs)

    def look(self, weights):
        """Validate weights that are in the units of training."""
        if self._validation is None:
            return
        weights = self._units.fold(self._candidate.spec, weights)
        losses = all_losses(self._candidate, weights, self._validation)
        loss = float(np.average(losses, weights=self._validation.weights))
        self._checks.append(loss)
        self._checked_epochs.append(len(self._losses))
        lowest = self._lowest
        required = self._settings.tol * abs(lowest) if np.isfinite(lowest) else 0.0
        if loss < lowest - required:
            self._best_check = len(self._checks) - 1
        if loss < lowest:
            self._lowest = loss
            self._best = weights

    def result(self, last):
        kept = None
        # In the middle of a cycle, the last weights are not the best.
        last_is_best = self._candidate.keeps_last and not self._settings.progress.stopped
        chosen = self._settings.early_stopping and not last_is_best
        if chosen and self._best is not None:
            last, kept = self._best, int(np.argmin(self._checks))
        return Run(last, self._losses, self._checks, self._checked_epochs, kept)

    def seen(self, recipe):
        """Return a line that says how many rows were seen, some of them more than once."""
        n_rows = min(recipe.n_steps * recipe.batch_size, len(self._losses) * self._n_rows)
        run = self._candidate.name or "training"
        return f"{run}: trained on {n_rows:,} rows, with those seen again"

    def _diverged(self):
        return (
            f"The loss became nan or infinite in epoch {len(self._losses) + 1}: training "
            f"diverged. Got learning_rate={self._settings.learning_rate!r} and "
            f"optimizer={self._settings.optimizer!r}. " + LESS_DIVERGENT
        )
