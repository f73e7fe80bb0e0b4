"""What a fitted network is measured against: the mean of the columns, and PCA."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skae._inference import encode, reconstruct
from skae._losses import describe
from skae._validation import compare

# Rows to measure on first. Where the network is that much better on them, others are spared.
SAMPLE_ROWS = 10_000
CLEARLY = 0.9
# By how much PCA may be better before anyone is told: training from PCA may jitter about it.
AS_GOOD = 1e-3
# Where a loss is not defined below some value, PCA is taken no nearer to it than this fraction of
# the mean's distance.
NEAREST = 0.05
# Units of a variational code whose means vary less carry nothing (Burda et al., "Importance
# Weighted Autoencoders", ICLR 2016).
DEAD = 0.01
NOT_GAINED = (
    "Training did not reduce the validation loss, so the weights it started from are kept. Use "
    "init='pca', a smaller learning_rate or more epochs, or scale X."
)


def constant_losses(settings, mean, rows):
    """Loss of each row if all are reconstructed as `mean`."""
    blocks = [
        compare(settings, X, np.broadcast_to(mean.astype(X.dtype), X.shape))
        for X, _ in rows.blocks()
    ]
    return np.concatenate(blocks).astype(np.float64)


def warn_if_beaten(fitted, settings, rows, pca, seed):
    """Warn of a network that the mean of the columns, or PCA if it is given, beats on the rows it
    was fitted to, or that training did not improve."""
    sample = rows.sample(SAMPLE_ROWS, seed)
    losses = _losses(fitted, settings, sample, pca, seed)
    if sample is not rows and not losses[0] < CLEARLY * np.nanmin(losses[1:]):
        losses = _losses(fitted, settings, rows, pca, seed)
    ours, mean, by_pca = losses
    rounding = 30 * float(np.finfo(rows.dtype).eps) * float(np.abs(rows.extremes).max())
    rounding **= describe(settings.loss).power or 1
    found = "" if fitted.gained else NOT_GAINED
    if not ours <= mean * (1 + np.sign(mean) * 1e-6) + rounding:
        found += (
            " The mean of the columns describes X better than the fitted network: "
            f"{_pair(mean, ours)} Scale X, with sklearn.preprocessing.StandardScaler for example, "
            "use init='pca', a smaller learning_rate, more epochs or another output_activation."
        )
    elif ours > by_pca * (1 + np.sign(by_pca) * AS_GOOD) + rounding:
        found += (
            " PCA with as many components describes X better than the fitted network: "
            f"{_pair(by_pca, ours)} Use more epochs, a smaller learning_rate, "
            "early_stopping=True or output_activation='auto', or sklearn.decomposition.PCA."
        )
    if found:
        warnings.warn(found.lstrip(), ConvergenceWarning, stacklevel=2)


def warn_of_dead_units(spec, weights, rows, seed):
    """Warn of units of a variational code that are the same for all rows."""
    sample = rows.sample(SAMPLE_ROWS, seed)
    codes = np.concatenate([encode(spec, weights, block) for block, _ in sample.blocks()])
    mean = np.average(codes, axis=0, weights=sample.weights)
    variance = np.average(np.square(codes - mean), axis=0, weights=sample.weights)
    dead = int((variance < DEAD).sum())
    if dead:
        warnings.warn(
            f"{dead} of {spec.n_components} units of the variational code carry nothing: their "
            f"means vary by less than {DEAD}, since what they would add is worth less than its "
            f"divergence. Use a smaller kl_weight than {spec.kl_weight:g}, or fewer n_components.",
            UserWarning,
            stacklevel=2,
        )


def _losses(fitted, settings, rows, pca, seed):
    """Mean losses of the network, of the mean of the columns and of PCA, or nan without one.

    Noise is part of what the network and PCA are given, penalties are not part of the loss.
    """
    rng = np.random.default_rng([seed, 4])
    mean = rows.mean()
    nearest = _nearest(settings, mean)
    sums, total = np.zeros(3), 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for X, row_weights in rows.blocks():
            given = X if settings.noise is None else settings.noise(X, rng)
            made = [
                reconstruct(fitted.spec, fitted.weights, given),
                np.broadcast_to(mean.astype(X.dtype), X.shape),
                None if pca is None else np.clip(_by_pca(pca, given), *nearest),
            ]
            shares = np.ones(len(X)) if row_weights is None else row_weights.astype(np.float64)
            sums += [
                np.nan if Y is None else shares @ compare(settings, X, Y).astype(np.float64)
                for Y in made
            ]
            total += shares.sum()
    return sums / total


def _by_pca(pca, X):
    axes, mean = pca.axes.astype(X.dtype), pca.mean.astype(X.dtype)
    return (X - mean) @ axes.T @ axes + mean


def _nearest(settings, mean):
    """The range in which PCA's reconstruction is compared."""
    low, high = describe(settings.loss)[:2]
    middle = mean.mean()
    return [end if np.isinf(end) else end + NEAREST * (middle - end) for end in (low, high)]


def _pair(loss, ours):
    return f"its loss on the training rows is {loss:.4g}, and the network's {ours:.4g}."
