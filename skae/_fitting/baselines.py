"""Baselines that a fitted network should beat: the mean of the columns, and PCA."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skae._data.rows import Rows
from skae._fitting.candidates import Candidate, Fitted
from skae._fitting.principal import PrincipalAxes
from skae._fitting.validation import compare
from skae._network.inference import encode, reconstruct
from skae._network.spec import NetworkSpec

# Losses are measured on this many rows first, and on all rows only if the network's loss is not
# below this fraction of the baselines' losses.
SAMPLE_ROWS = 10_000
CLEARLY = 0.9
# PCA may be better by this fraction without a warning, since training from PCA may jitter.
AS_GOOD = 1e-3
# The same for a code that serves labels too.
WITH_LABELS = 0.1
# If the network's loss is more than this times PCA's, PCA leaves rounding errors only.
PERFECT = 1e6
# Where the range of a loss is bounded, PCA's reconstruction is kept away from a bound by this
# fraction of the distance between the bound and the mean.
NEAREST = 0.05
# Components of a variational code whose means have a smaller variance carry no information (Burda
# et al., "Importance Weighted Autoencoders", ICLR 2016).
DEAD = 0.01
NOT_GAINED = (
    "Training did not reduce the validation loss, so the weights it started from are kept. Use "
    "init='pca', a smaller learning_rate or more epochs, or scale X."
)


def warn_if_beaten(fitted: Fitted, rows: Rows, pca: PrincipalAxes | None) -> None:
    """Warn if training did not improve the network, or if a baseline beats it on the training rows.

    The baselines are the mean of the columns and, if it is given, PCA.
    """
    sample = rows.sample(SAMPLE_ROWS, fitted.candidate.settings.seed)
    losses = _losses(fitted, sample, pca)
    if sample is not rows and not losses[0] < CLEARLY * np.nanmin(losses[1:]):
        losses = _losses(fitted, rows, pca)
    ours, mean, by_pca = losses
    rounding = 30 * float(np.finfo(rows.dtype).eps) * float(np.abs(rows.extremes).max())
    rounding **= fitted.candidate.loss.power or 1
    found = "" if fitted.gained else NOT_GAINED
    if not ours <= mean * (1 + np.sign(mean) * 1e-6) + rounding:
        found += (
            " The mean of the columns describes X better than the fitted network: "
            f"{_pair(mean, ours)} Scale X, with sklearn.preprocessing.StandardScaler for example, "
            "use init='pca', a smaller learning_rate, more epochs or another output_activation."
        )
    elif ours > by_pca * (1 + np.sign(by_pca) * _allowed(fitted)) + rounding:
        way_out = (
            "Use more epochs, a smaller learning_rate, early_stopping=True or "
            "output_activation='auto', or sklearn.decomposition.PCA."
        )
        if fitted.candidate.spec.label_kind:
            weight = fitted.candidate.settings.label_weight
            way_out = (
                "That is the price of the labels. If it is too high, use a label_weight below "
                f"{weight:g}, more n_components or hidden_layer_sizes."
            )
        found += (
            " PCA with as many components describes X better than the fitted network: "
            f"{_pair(by_pca, ours)} {way_out}"
        )
    if found:
        warnings.warn(found.lstrip(), ConvergenceWarning, stacklevel=2)


def _allowed(fitted):
    return WITH_LABELS if fitted.candidate.spec.label_kind else AS_GOOD


def warn_of_rank(spec: NetworkSpec, most: int, *, reduced: bool) -> None:
    """Warn of more components than a linear code of the rows can use."""
    if spec.n_components <= most or spec.network is not None:
        return
    if reduced:
        found = f"the number of dimensions of the rows, so the code has {most}."
    else:
        found = (
            f"min(n_samples, n_features)={most}, which is all that a linear code can use. The "
            "components beyond that are kept."
        )
    warnings.warn(
        f"n_components={spec.n_components} is more than {found} Set n_components={most} or less "
        "to avoid this warning.",
        UserWarning,
        stacklevel=2,
    )


def warn_of_pca(candidate: Candidate, gain: float) -> None:
    """Warn that PCA is kept, though hidden layers were asked for, and had this relative gain."""
    spec = candidate.spec
    if candidate.may_be_linear or not spec.hidden_layer_sizes or 1 - gain > PERFECT:
        return
    warnings.warn(
        f"PCA is kept, since training with hidden_layer_sizes={spec.hidden_layer_sizes} does not "
        f"clearly describe rows held out better: its loss is {1 - gain:.3g} times PCA's"
        f"{', which may be chance' if gain > 0 else ''}. "
        "Use more rows, another n_components, or hidden_layer_sizes=() for PCA without this "
        "warning.",
        UserWarning,
        stacklevel=2,
    )


def warn_of_dead_units(fitted: Fitted, rows: Rows) -> None:
    """Warn of components of a variational code that are the same for all rows."""
    spec, settings = fitted.candidate.spec, fitted.candidate.settings
    sample = rows.sample(SAMPLE_ROWS, settings.seed)
    codes = np.concatenate([encode(spec, fitted.weights, block) for block, _ in sample.blocks()])
    mean = np.average(codes, axis=0, weights=sample.weights)
    variance = np.average(np.square(codes - mean), axis=0, weights=sample.weights)
    dead = int((variance < DEAD).sum())
    if dead:
        warnings.warn(
            f"{dead} of {spec.n_components} components of the variational code carry no "
            f"information: their means have a variance below {DEAD}, since they would reduce the "
            "loss of the rows by less than their divergence adds to it. Use a kl_weight below "
            f"{spec.kl_weight:g}, or a smaller n_components.",
            UserWarning,
            stacklevel=2,
        )


def _losses(fitted, rows, pca):
    """Return the mean losses of the network, of the mean of the columns and of PCA.

    The last is nan if no PCA is given. The network and PCA get the rows with noise. Penalties are
    not part of the loss.
    """
    candidate, corrupt = fitted.candidate, fitted.candidate.settings.corrupt
    rng = np.random.default_rng([candidate.settings.seed, 4])
    mean = rows.mean()
    nearest = _nearest(candidate, mean)
    sums, total = np.zeros(3), 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for (_, row_weights), (X, _) in zip(rows.blocks(), rows.targets(), strict=True):
            given = X if corrupt is None else corrupt(X, rng)
            made = [
                reconstruct(candidate.spec, fitted.weights, given),
                np.broadcast_to(mean.astype(X.dtype), X.shape),
                None if pca is None else np.clip(_by_pca(pca, given), *nearest),
            ]
            shares = np.ones(len(X)) if row_weights is None else row_weights.astype(np.float64)
            for i, Y in enumerate(made):
                loss = (
                    None if Y is None else compare(candidate.settings.loss, X, Y).astype(np.float64)
                )
                sums[i] += np.nan if loss is None else shares @ loss
            total += shares.sum()
    return sums / total + rows.mean_left()


def _by_pca(pca, X):
    axes, mean = pca.axes.astype(X.dtype), pca.mean.astype(X.dtype)
    return (X - mean) @ axes.T @ axes + mean


def _nearest(candidate, mean):
    """Return the range that PCA's reconstruction is clipped to before it is compared."""
    low, high = candidate.loss[:2]
    middle = mean.mean()
    return [end if np.isinf(end) else end + NEAREST * (middle - end) for end in (low, high)]


def _pair(loss, ours):
    return f"its loss on the training rows is {loss:.4g}, and the network's is {ours:.4g}."
