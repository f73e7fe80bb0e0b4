"""Find the number of components that keeps a fraction of the variance of rows held out.

PCA's own answer costs nothing, and is an upper bound for a network that is never worse. Below it, a
few trainings narrow the number down. Where the number is between two that are known, the logarithm
of what is lost is close to a linear function of the logarithm of the number.
"""

import warnings
from collections.abc import Callable

import numpy as np

from skae._data.rows import Rows
from skae._fitting.candidates import Candidate, Split
from skae._fitting.principal import PrincipalAxes, principal_axes
from skae._fitting.training import fraction_held_out
from skae._fitting.trials import choose_output
from skae._fitting.turns import Ahead
from skae._framework import load_framework
from skae._network.inference import reconstruct
from skae._threads import one_thread

# Fewer rows held out say little of a fraction, so a second part of the rows is held out too.
ENOUGH_HELD_OUT = 300
FIRST_AXES = 32
# More trainings than this narrow the number down by less than other rows would change it.
MOST_TRIALS = 6


@one_thread()
def resolve_components(candidate: Candidate, rows: Split) -> Candidate:
    """Return the candidate with as many components as PCA needs, if no number is given."""
    given, seed = candidate.settings.n_components, candidate.settings.seed
    if given is None:
        training = rows.training
        training.pca = principal_axes(training, min(len(training), training.n_features), seed)
        return candidate.with_spec(n_components=max(1, len(training.pca.axes)))
    if not isinstance(given, float):
        return candidate
    number, kept = _fewest_axes(held_out(candidate, rows), given, seed)
    if kept < given:
        _warn(given, number, kept)
        candidate = candidate.with_settings(n_components=number)  # there is nothing to search
    return candidate.with_spec(n_components=number)


def held_out(candidate: Candidate, rows: Split) -> list[Split]:
    """Return splits into rows to train on and rows that say how much of the variance is kept."""
    if rows.validation is not None:
        return [rows]
    fraction = fraction_held_out(candidate, len(rows.training))
    rng = np.random.default_rng([candidate.settings.seed, 1])
    n_splits = 1 if fraction * len(rows.training) >= ENOUGH_HELD_OUT else 2
    found = rows.training.splits(fraction, n_splits, rng)
    return [Split(*split) for split in found] or [Split(rows.training, rows.training)]


def _fewest_axes(splits, fraction, seed):
    """Return the number of principal axes that keep a fraction, or of all, and what they keep."""
    most = min(min(len(split.training), split.training.n_features) for split in splits)
    n_axes = FIRST_AXES
    while True:
        found = [principal_axes(split.training, n_axes, seed) for split in splits]
        length = min(len(pca.axes) for pca in found)
        pairs = zip(found, splits, strict=True)
        curves = [_kept_by_axes(pca, split.validation)[:length] for pca, split in pairs]
        kept = np.mean(curves, axis=0) if length else np.ones(1)
        enough = np.flatnonzero(kept >= fraction)
        if len(enough):
            return int(enough[0]) + 1, kept[enough[0]]
        if n_axes >= most or length < n_axes:
            return length, kept[-1]
        n_axes *= 2


def _kept_by_axes(pca: PrincipalAxes, rows: Rows) -> np.ndarray:
    """Return the fraction of the variance of rows that each number of axes keeps."""
    explained, mean = np.zeros(len(pca.axes)), pca.mean
    for block, weights in rows.blocks():
        shares = np.ones(len(block)) if weights is None else weights.astype(np.float64)
        explained += shares @ np.square((block - mean) @ pca.axes.T)
    explained /= rows.total_weight() * rows.n_features
    errors = _mean_square(rows, lambda X: pca.mean) - np.cumsum(explained)
    return _kept_part(errors, rows)


def _mean_square(rows: Rows, reconstructed: Callable) -> float:
    """Return the mean squared difference between rows and what a function makes of them."""
    parts = [np.square(X - reconstructed(X)).mean(axis=1) for X, _ in rows.blocks()]
    errors = np.concatenate(parts).astype(np.float64) + (0 if rows.left is None else rows.left)
    return float(np.average(errors, weights=rows.weights))


def _kept_part(errors, rows):
    mean = rows.mean()
    total = _mean_square(rows, lambda X: mean)
    return 1 - errors / total if total > 0 else np.ones_like(errors)


def fewest_components(given: Candidate, rows: Split) -> Candidate:
    """Return the candidate with the fewest components that keep the fraction that is asked for.

    The candidate has as many as PCA needs, which are enough if PCA may be kept.
    """
    fraction = given.settings.n_components
    assert isinstance(fraction, float)
    # Before threads begin, beside which the lines that TensorFlow writes can't be kept back.
    load_framework(replay=given.settings.progress.verbose > 1)
    splits = held_out(given, rows)
    candidate, plain = choose_output(given, rows.training, splits[0])
    if candidate.is_annealed and plain is not None:
        candidate = candidate._replace(keeps_last=True)
    low, high = 0, candidate.spec.n_components
    known: dict[int, float] = {}
    if plain is None:
        low, high = _enough(candidate, splits, known)
    for _ in range(MOST_TRIALS):
        if high - low <= 1 or candidate.settings.progress.stopped:
            break
        number = _between(low, high, known, fraction)
        known[number] = _kept(candidate, splits, number)
        low, high = (low, number) if known[number] >= fraction else (number, high)
    return given.with_spec(n_components=high)


def _enough(candidate, splits, known):
    """Return a number of components that keeps too little, or 0, and one that keeps enough.

    The second is the number of columns if no number keeps enough.
    """
    low, high, fraction = 0, candidate.spec.n_components, candidate.settings.n_components
    while high not in known:
        known[high] = _kept(candidate, splits, high)
        if known[high] < fraction:
            low, high = high, min(2 * high, candidate.spec.n_features)
    if known[high] < fraction:
        _warn(fraction, high, known[high])
        return high, high
    return low, high


def _between(low, high, known, fraction):
    """Return the number to try next: in the middle, or where the two known ends say."""
    number = (low + high) // 2
    if low in known and high in known and known[low] < known[high] < 1:
        lost = np.log([1 - known[low], 1 - known[high], 1 - fraction])
        part = (lost[2] - lost[0]) / (lost[1] - lost[0])
        number = round(float(np.exp(np.log(low) + part * np.log(high / low))))
    return min(max(number, low + 1), high - 1)


def _kept(candidate, splits, number):
    """Return the fraction of the variance that a network of so many components keeps."""
    tried, ahead = candidate.with_spec(n_components=number), Ahead(candidate, splits[0].training)
    names = [
        f"search with n_components={number}, {i + 1} of {len(splits)}" for i in range(len(splits))
    ]
    for name, split in zip(names, splits, strict=True):
        ahead.add(tried._replace(name=name), split)
    return float(np.mean([_kept_by(ahead.get(name)) for name in names]))


@one_thread()
def _kept_by(trial):
    spec, weights, rows = trial.candidate.spec, trial.run.weights, trial.split.validation
    return _kept_part(_mean_square(rows, lambda X: reconstruct(spec, weights, X)), rows)


def _warn(fraction, number, kept):
    warnings.warn(
        f"n_components={fraction} can't be reached: rows held out keep only {kept:.3g} of their "
        f"variance with {number} components, which are used. Use more rows, a smaller fraction, or "
        "an int.",
        UserWarning,
        stacklevel=2,
    )
