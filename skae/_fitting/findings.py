"""What a fit finds of its network for the questions that follow: shares of variance, usual errors.

A regression of the reconstruction on an ordered code explains a part of its variance with each
component. The components are uncorrelated, so these parts add up. They are scaled so that their sum
is the score of the network. Decoding with one component after another at its mean was tried
instead: some shares were negative, and their sum was above the score.
"""

from typing import NamedTuple

import numpy as np

from skae._data.rows import Rows
from skae._fitting.candidates import Fitted
from skae._fitting.incomplete import mean_of_known
from skae._fitting.start import principal
from skae._network.inference import reconstruct
from skae._threads import one_thread

# Reconstructions are compared with no more rows than this, unless PCA is kept.
FOUND_ROWS = 2_500


class Findings(NamedTuple):
    """What a fit finds of its network."""

    explained_variance_ratio: np.ndarray | None  # (n_components,), None if the code has no order
    feature_errors: np.ndarray  # (n_features,), mean squared errors


@one_thread()
def find(fitted: Fitted, rows: Rows) -> Findings:
    """Look at the reconstruction of training rows."""
    linear = fitted.candidate.spec.output_activation == "linear"
    if fitted.keeps_pca and linear and rows.holes is None:
        return _of_pca(fitted, rows)
    sample = rows.sample(FOUND_ROWS, fitted.candidate.settings.seed)
    errors, spread, total = _means(fitted, sample)
    errors = np.maximum(errors, _rounding(rows))
    if fitted.explained is None:
        return Findings(None, errors)
    # A feature counts in the score as often as it is known.
    part = total / np.max(total)
    # Columns that are constant have no variance to explain, and `score` ignores them too.
    score = 1 - _ratio((part * errors)[spread > 0].sum(), (part * spread).sum())
    return Findings(score * _ratio(_filled(fitted), fitted.explained.sum()), errors)


def _means(fitted, rows):
    """Return the mean squared error, the variance and the weight of each feature, where known."""
    spec, weights = fitted.candidate.spec, fitted.weights
    mean = rows.mean() if rows.holes is None else mean_of_known(rows)
    errors, spread, total = np.zeros(spec.n_features), np.zeros(spec.n_features), np.zeros(1)
    for (block, given), (target, _) in zip(rows.blocks(), rows.targets(), strict=True):
        shares = np.ones(len(block)) if given is None else given.astype(np.float64)
        left = np.square(reconstruct(spec, weights, block) - target, dtype=np.float64)
        away = np.square(target - mean)
        if rows.holes is None:
            total = total + shares.sum()
        else:
            known = ~np.isnan(target)
            left, away = np.where(known, left, 0), np.where(known, away, 0)
            total = total + shares @ known
        errors += shares @ left
        spread += shares @ away
    total = np.maximum(total, np.finfo(np.float64).tiny)
    return errors / total, spread / total, total


def _of_pca(fitted: Fitted, rows: Rows) -> Findings:
    """Return what is known of PCA without another pass over the rows."""
    pca = principal(fitted.candidate, rows, all_rows=True)
    errors = np.maximum(pca.spread - pca.variances @ np.square(pca.axes), _rounding(rows))
    if fitted.explained is None:
        return Findings(None, errors)
    exact = fitted._replace(explained=pca.variances)
    return Findings(_ratio(_filled(exact), pca.spread.sum()), errors)


def _rounding(rows):
    """Return the squared error that rounding alone can make."""
    return (float(np.finfo(rows.dtype).eps) * float(np.abs(rows.extremes).max())) ** 2


def _filled(fitted):
    """Return what the components explain, with zeros for those beyond the rank of the rows."""
    shares = np.zeros(fitted.candidate.spec.n_components)
    shares[: len(fitted.explained)] = fitted.explained
    return shares


def _ratio(part, whole):
    return part / whole if whole > 0 else np.zeros_like(part)
