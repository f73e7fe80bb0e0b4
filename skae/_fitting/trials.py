"""Trials: candidates trained on a part of the rows and compared on the others.

Training is kept only if it reduces the validation loss of PCA by more than noise: by 1 % and by
some standard errors of the reduction. Four of them are required where the weights that are compared
are the best of many checks: on 13 small tables with six splits each, requiring 2, 3 and 4 of them
let 5, 3 and 1 of 78 fits end more than 2 % worse than PCA. The last weights of a whole cycle are
not selected, so a turn is clear after three of them, and two are enough when no turn is left.

Few rows with large losses may hide a gain that all others have. So three standard errors of the
mean of the *relative* reductions will do too, which are between -1 and 1. With one error at the
last turn, on 45 tables with two splits and two numbers of components, PCA was kept in 18 % of the
fits, 1 of 176 ended more than 1 % worse than PCA, and the geometric mean of the errors was 1 %
above that of the best choices.
"""

import functools
from typing import NamedTuple

import numpy as np

from skae._data.rows import Rows
from skae._fitting.candidates import Candidate, Split, candidates, fallback
from skae._fitting.start import start
from skae._fitting.training import recipe, train
from skae._fitting.validation import Run, all_losses, constant_losses
from skae._threads import one_thread

# Training steps after which the two candidates for output_activation="auto" are compared.
PILOT_STEPS = 300
# Training is kept if it reduces PCA's validation loss by this fraction.
WORTHWHILE = 0.01


class Rule(NamedTuple):
    """When a gain over PCA is clear."""

    rows: int  # that must be held out before a turn can be the last but for want of others
    errors: float  # standard errors of the gain that make it clear
    errors_at_last: float  # the same when no turn is left
    relative: bool  # whether the mean of relative gains can make it clear too


RULE = Rule(rows=100, errors=4.0, errors_at_last=4.0, relative=False)
RULE_WITHOUT_SELECTION = Rule(rows=20, errors=3.0, errors_at_last=2.0, relative=True)


class Trial:
    """A candidate trained on the rows of a split, or left as it starts on them."""

    run: Run

    def __init__(
        self, candidate: Candidate, split: Split, previous: list[np.ndarray] | None = None
    ) -> None:
        self.candidate = candidate
        self.split = split
        # A candidate with a given number of steps is judged by its last weights.
        watched = split if candidate.n_steps is None else Split(split.training, None)
        if candidate.n_steps == 0:
            weights, units = start(candidate, split.training)
            self.run = Run(units.fold(candidate.spec, weights), [], [], [], None)
        else:
            self.run = train(candidate, watched, previous)

    def longer(self) -> "Trial":
        """Return the same trial after one more cycle of training."""
        cycle = self.candidate.cycle + 1
        candidate = self.candidate._replace(cycle=cycle, name=f"cycle {cycle + 1}")
        later = Trial(candidate, self.split, self.run.weights)
        later.run = self.run.followed_by(later.run)
        return later

    @property
    def judges(self) -> Rows:
        """The held-out rows, or the training rows if none are held out."""
        return self.split.validation or self.split.training

    @functools.cached_property
    def losses(self) -> np.ndarray:
        """The loss of each of these rows."""
        return all_losses(self.candidate, self.run.weights, self.judges)

    @property
    def loss(self) -> float:
        """The weighted mean of these losses."""
        return float(np.average(self.losses, weights=self.judges.weights))


@one_thread()
def choose_output(given: Candidate, rows: Rows, split: Split) -> tuple[Candidate, Candidate | None]:
    """Resolve output_activation="auto".

    Return the network to train, and the network that is PCA before training, or None if there is
    no such network.
    """
    validated = given.settings.early_stopping and split.validation is not None
    either = candidates(given, rows, validated=validated)
    chosen = either[0]
    if len(either) > 1:
        losses = [Trial(_pilot(one, len(split.training)), split).loss for one in either]
        chosen = either[losses[1] < losses[0]]
    return chosen, fallback(given, chosen)


def _pilot(candidate, n_rows):
    """Return the same candidate, to be trained for only a few steps."""
    if candidate.pca_is_optimum:
        return candidate._replace(n_steps=0)
    # Together, the two pilots take no more steps than the training that follows.
    n_steps = min(PILOT_STEPS, recipe(candidate, n_rows).n_steps // 2)
    name = f"pilot with output_activation={candidate.spec.output_activation!r}"
    return candidate._replace(n_steps=max(1, n_steps), name=name)


def compared(plain: Trial, trial: Trial) -> tuple[np.ndarray, ...]:
    """Compare a trained network with the plain start on each held-out row.

    Return the gain of the network over the start, the loss of the start, the loss of the mean of
    the columns, and the weight of the row.
    """
    with np.errstate(invalid="ignore"):  # both may overflow
        gain = plain.losses - trial.losses
    rows, given = trial.split.training, trial.judges.weights
    mean = rows.mean() if rows.pca is None else rows.pca.mean  # this may be of a sample
    constant = constant_losses(trial.candidate, mean, trial.judges)
    weights = np.ones(len(gain)) if given is None else given.astype(np.float64)
    return gain, plain.losses, constant, weights


def clear_gain(
    comparisons: list, *, last: bool, rule: Rule = RULE, labelled: bool = False
) -> float:
    """Return the mean gain of all turns so far if it is clear, else 0.

    `last` says that no turn is left. Differences are taken row by row, so that it does not count
    when a row is hard for both. A start that is worse than the mean of the columns is not PCA, and
    need not be beaten clearly. If there are labels, whoever asked for them wants the code to differ
    from PCA's, so any gain of the sum is taken.
    """
    gain, loss, constant, weight = map(np.concatenate, zip(*comparisons, strict=True))
    if not (gain > -np.inf).all():
        return 0.0  # the trained network overflows, or both do
    if np.isinf(gain).any():
        return np.inf  # only the start overflows
    mean = np.average(gain, weights=weight)
    if labelled and last:
        return mean
    if np.average(loss, weights=weight) > np.average(constant, weights=weight):
        return max(mean, 0.0)
    # A weight of 2 counts as two rows here too. Two rows alone say nothing.
    if weight.sum() - 1 < (2 if last else rule.rows):
        return 0.0
    if mean > 0 and mean <= WORTHWHILE * abs(np.average(loss, weights=weight)):
        return 0.0
    errors = _standard_errors(gain, weight)
    if last and errors > rule.errors_at_last:
        return mean
    if rule.relative and mean > 0:
        both = np.abs(loss) + np.abs(loss - gain)
        relative = np.divide(gain, both, out=np.zeros_like(gain), where=both > 0)
        errors = max(errors, _standard_errors(relative, weight))
    return mean if abs(errors) > rule.errors else 0.0


def relative_gain(comparisons: list) -> float:
    """Return the mean gain of all turns as a part of the loss of the start."""
    gain, loss, _, weight = map(np.concatenate, zip(*comparisons, strict=True))
    loss = abs(np.average(loss, weights=weight))
    if not 0 < loss < np.inf:
        return float(loss > 0)  # nothing to gain, or the start overflows
    return float(np.average(gain, weights=weight) / loss)


def _standard_errors(values, weights):
    """Return the weighted mean of values in units of its standard error."""
    mean = np.average(values, weights=weights)
    error = np.sqrt(np.average((values - mean) ** 2, weights=weights) / (weights.sum() - 1))
    return mean / error if error else np.copysign(np.inf, mean) if mean else 0.0
