"""Learn from incomplete rows what their holes hold: factor analysis of the entries that are known.

The expectation-maximisation is that of Rubin and Thayer, "EM algorithms for ML factor analysis",
Psychometrika 47, 1982. It uses known entries alone, and loadings are shrunk against overfitting,
both as in Ilin and Raiko, "Practical approaches to principal component analysis in the presence of
missing values", JMLR 11, 2010.
"""

from collections.abc import Callable

import numpy as np
from sklearn.utils import gen_batches

from skae._data.filling import FEATURES, Filling
from skae._data.rows import Rows
from skae._fitting.principal import principal_axes
from skae._threads import one_thread

# On digits with 30 % missing, 20, 24 and 32 factors have errors of 0.49, 0.48 and 0.45. A network
# given what they fill has 0.387, 0.386 and 0.380, after 1.6, 2.1 and 2.8 s.
MOST_FACTORS = 20
# The factors are found from no more rows than this.
FACTOR_ROWS = 2_500
# Further steps overfit: on the same digits, 32 factors had 0.45 after 10 and 0.48 after 20.
N_STEPS = 10
# What is added to the sum of squares of each factor, in rows.
RIDGE = 10.0
# The least variance of the noise of a feature, as a part of its variance.
LEAST_NOISE = 0.01


def without_holes(rows: Rows, filling: Filling | None = None) -> tuple[Rows, Filling | None]:
    """Return the rows with their holes filled and what fills them, or the rows as they are.

    What fills them is found from the rows unless it is given.
    """
    if rows.holes is None:
        return rows, None
    with one_thread():
        filling = fit_filling(rows) if filling is None else filling
        return rows.filled(filling), filling


def fit_filling(rows: Rows) -> Filling:
    """Return what to fill the holes of rows with; every feature has a value that is known."""
    mean, scale = _standard(rows)
    sample = rows.sample(FACTOR_ROWS, 0).held()
    copies = np.ones(len(sample)) if sample.weights is None else sample.weights.astype(np.float64)
    known = ~sample.holes
    Z = np.where(known, (sample.X - mean) / scale, 0)
    filling, shares = _start(Z, copies), copies[:, np.newaxis] * known
    for _ in range(N_STEPS):
        filling = _step(filling, Z, known, shares)
    return Filling(mean + scale * filling.mean, scale * filling.loadings, scale**2 * filling.noise)


def _standard(rows):
    """Return the mean and standard deviation of each feature, or 1 for a constant one."""
    mean = mean_of_known(rows)
    scale = np.sqrt(mean_of_known(rows, lambda X: np.square(X - mean)))
    constant = scale <= 10 * np.finfo(np.float64).eps * np.abs(mean)
    return mean, np.where(constant, 1.0, scale)


def mean_of_known(rows: Rows, function: Callable = np.asarray) -> np.ndarray:
    """Return the weighted mean of a function of what is known of each feature, or 0 if nothing."""
    total, weight = np.zeros(rows.n_features), np.zeros(rows.n_features)
    for (_, weights), (block, _) in zip(rows.blocks(), rows.targets(), strict=True):
        known = ~np.isnan(block)
        shares = np.ones(len(block)) if weights is None else weights.astype(np.float64)
        total += shares @ np.where(known, function(block.astype(np.float64)), 0)
        weight += shares @ known
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)


def _start(Z, copies):
    """Return the filling that PCA gives where means of zero stand for what is not known."""
    n_rows, n_features = Z.shape
    n_factors = max(1, min(MOST_FACTORS, n_features - 1, n_rows - 1))
    pca = principal_axes(Rows(Z, copies), n_factors, 0)
    left = pca.spread.sum() - pca.variances.sum()
    rest = max(left / max(1, n_features - len(pca.axes)), LEAST_NOISE)
    loadings = np.zeros((max(1, len(pca.axes)), n_features))
    sizes = np.sqrt(np.maximum(pca.variances - rest, LEAST_NOISE))
    loadings[: len(pca.axes)] = sizes[:, np.newaxis] * pca.axes
    noise = np.maximum(1 - np.square(loadings).sum(axis=0), rest)
    return Filling(np.zeros(n_features), loadings, noise)


def _step(filling, Z, known, shares):
    """Return the filling after a step of expectation and one of maximisation.

    Each feature has a ridge regression of its own on the factors, over the rows that know it.
    """
    factors, seconds = _moments_of_factors(filling, Z, known)
    n_features, n_factors = Z.shape[1], factors.shape[1]
    loadings, noise = np.empty((n_features, n_factors)), np.empty(n_features)
    penalty = np.diag([RIDGE] * (n_factors - 1) + [np.finfo(np.float64).tiny])
    for chosen in gen_batches(n_features, FEATURES):
        part = shares[:, chosen]
        squares = (part.T @ seconds).reshape(-1, n_factors, n_factors)
        products = (part * Z[:, chosen]).T @ factors
        found = np.linalg.solve(squares + penalty, products[..., np.newaxis])[..., 0]
        left = (part * np.square(Z[:, chosen])).sum(axis=0) - 2 * (found * products).sum(axis=1)
        left += np.einsum("ji,jik,jk->j", found, squares, found)
        # The sample may know nothing of a feature that few rows have.
        noise[chosen] = left / np.maximum(part.sum(axis=0), np.finfo(np.float64).tiny)
        loadings[chosen] = found
    return Filling(loadings[:, -1], loadings[:, :-1].T, np.maximum(noise, LEAST_NOISE))


def _moments_of_factors(filling, Z, known):
    """Return what to expect of the factors of each row, and of their products as a flat matrix.

    A last factor, which is always one, stands for the mean.
    """
    n_factors = len(filling.loadings) + 1
    factors, seconds = np.ones((len(Z), n_factors)), np.empty((len(Z), n_factors**2))
    for chosen in filling.blocks(len(Z)):
        precisions, weighted = filling.posterior(Z[chosen], known[chosen])
        covariances = np.linalg.inv(precisions)
        factors[chosen, :-1] = np.einsum("nij,nj->ni", covariances, weighted)
        products = factors[chosen, :, np.newaxis] * factors[chosen, np.newaxis]
        products[:, :-1, :-1] += covariances
        seconds[chosen] = products.reshape(-1, n_factors**2)
    return factors, seconds
