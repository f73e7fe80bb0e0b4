"""Trials: candidates trained on a part of the rows and compared on the others.

Training is kept only if it reduces the validation loss of PCA by more than noise: by 1 % and by
four standard errors of the reduction. That many standard errors are required because the weights
that are compared are the best of many checks. On 13 small tables with six splits each, requiring 2,
3 and 4 of them let 5, 3 and 1 of 78 fits end more than 2 % worse than PCA.
"""

import functools

import numpy as np

from skae._data.rows import Rows
from skae._fitting.candidates import Candidate, Split, candidates, fallback
from skae._fitting.start import start
from skae._fitting.training import recipe, train
from skae._fitting.validation import Run, all_losses, constant_losses
from skae._threads import one_thread

# Training steps after which the two candidates for output_activation="auto" are compared.
PILOT_STEPS = 300
# Once this many rows were held out, no further turn is taken if the gain over PCA is clear.
ENOUGH_TO_TELL = 100
# Training is kept if it reduces PCA's validation loss by this fraction, and by this many standard
# errors of the reduction.
WORTHWHILE = 0.01
STANDARD_ERRORS = 4.0


class Trial:
    """A candidate trained on the rows of a split, or left as it starts on them."""

    def __init__(
        self, candidate: Candidate, split: Split, previous: list[np.ndarray] | None = None
    ) -> None:
        self.candidate = candidate
        self.split = split
        # A candidate with a given number of steps is judged by its last weights.
        watched = split if candidate.n_steps is None else Split(split.training, None)
        if candidate.n_steps == 0:
            weights, units = start(candidate, split.training)
            self.run = Run(units.fold(candidate.spec, weights), [], [], 1, None)
        else:
            self.run = train(candidate, watched, previous)

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
    return candidate._replace(n_steps=max(1, n_steps))


@one_thread()
def take_turns(
    candidate: Candidate, plain: Candidate | None, splits: list[Split]
) -> tuple[list[Trial], float]:
    """Train on one split after another until the gain over the plain start is clear.

    Return the trials and that gain, which is 0 if it never became clear.
    """
    trials: list[Trial] = []
    comparisons, gain = [], 0.0
    for split in splits:
        trials.append(Trial(candidate, split))
        if plain is not None:
            comparisons.append(_compare(Trial(plain, split), trials[-1]))
            last = len(trials) == len(splits)
            labelled = bool(candidate.spec.label_kind)
            gain = _clear_gain(comparisons, last=last, labelled=labelled)
        if gain:
            break
    return trials, gain


def _compare(plain, trial):
    """Compare a trained network with the plain start on each held-out row.

    Return the gain of the network over the start, the loss of the start, the loss of the mean of
    the columns, and the weight of the row.
    """
    with np.errstate(invalid="ignore"):  # both may overflow
        gain = plain.losses - trial.losses
    mean, given = trial.split.training.mean(), trial.judges.weights
    constant = constant_losses(trial.candidate, mean, trial.judges)
    weights = np.ones(len(gain)) if given is None else given.astype(np.float64)
    return gain, plain.losses, constant, weights


def _clear_gain(comparisons, *, last, labelled=False):
    """Return the mean gain of all turns so far if it is clear, else 0.

    `last` says that no turn is left. Differences are taken row by row, so that it does not count
    when a row is hard for both. A start that is worse than the mean of the columns is not PCA, and
    need not be beaten clearly. If there are labels, whoever asked for them wants the code to differ
    from PCA's, so any gain of the sum is taken.
    """
    gain, loss, constant, weight = map(np.concatenate, zip(*comparisons, strict=True))
    if not (gain > -np.inf).all():
        return 0  # the trained network overflows, or both do
    if np.isinf(gain).any():
        return np.inf  # only the start overflows
    mean = np.average(gain, weights=weight)
    if labelled and last:
        return mean
    if np.average(loss, weights=weight) > np.average(constant, weights=weight):
        return max(mean, 0)
    # A weight of 2 counts as two rows here too. Two rows alone say nothing.
    freedom = weight.sum() - 1
    if freedom < (2 if last else ENOUGH_TO_TELL):
        return 0
    error = np.sqrt(np.average((gain - mean) ** 2, weights=weight) / freedom)
    worthwhile = WORTHWHILE * abs(np.average(loss, weights=weight)) if mean > 0 else 0
    return mean if abs(mean) > max(worthwhile, STANDARD_ERRORS * error) else 0


def pooled(curves, splits):
    """Return the mean of the validation losses over the splits, check by check."""
    length = min(map(len, curves))
    weights = [split.validation.total_weight() for split in splits]
    return np.average([curve[:length] for curve in curves], axis=0, weights=weights).tolist()
