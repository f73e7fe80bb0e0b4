"""From rows to a fitted network: what to train, what to keep of it, what to say of it."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from skae._data.rows import moments
from skae._fitting.baselines import warn_if_beaten, warn_of_dead_units
from skae._fitting.candidates import Candidate, Fitted, Split
from skae._fitting.start import START_ROWS, principal, start
from skae._fitting.training import compile_ahead, fraction_held_out, weights_as_made
from skae._fitting.trials import Trial, choose_output, pooled, take_turns
from skae._fitting.units import order_code, rectify
from skae._fitting.validation import check_overflow
from skae._network.activations import SLOPE_ABOVE_ZERO
from skae._network.spec import Penalties
from skae._threads import one_thread

# Few rows held out say little: until this many have been, another fraction is held out in turn.
ENOUGH_HELD_OUT = 300
MAX_SPLITS = 5  # one where a training run takes long: for convolutions and custom networks
# With at least this many rows, those held out are too few to be worth training again.
REFIT_BELOW = 10_000
# The same for the order of the components.
ORDER_ROWS = 2_500
# The least noise of a variational code's rows, as a fraction of the mean variance of a column.
LEAST_NOISE = 1e-3


def fit(candidate: Candidate, rows: Split, previous: list[np.ndarray] | None, seed: int) -> Fitted:
    """Train a network, of which the output activation may still be "auto".

    `rows` are those to train on, and to validate on if they are given; `previous` are weights to
    go on from, or None.
    """
    candidate = candidate.with_settings(seed=seed)
    # The weights of a custom network are as the user made them, seeds of layers among them.
    if previous is not None and candidate.spec.network is None:
        previous = [array.astype(candidate.spec.dtype) for array in previous]
    code = candidate.spec.code_activation
    raised = (
        candidate.settings.init == "pca" and previous is None and code in SLOPE_ABOVE_ZERO
    ) and _plain_code(candidate)
    if raised:
        candidate = candidate.with_spec(code_activation="linear")
    if candidate.spec.network is not None and previous is None:
        candidate = candidate.with_settings(init=weights_as_made(candidate))
    with ThreadPoolExecutor(1) as thread:
        compile_ahead(thread, candidate, rows)
        candidate = candidate.with_settings(penalties=_penalties(candidate, rows.training))
        splits = _splits(candidate, rows)
        if previous is None:
            fitted = _from_start(candidate, rows.training, splits)
        else:
            fitted = _as_trained(Trial(candidate, splits[0], previous))
    check_overflow(fitted.candidate, fitted.weights, rows.training)
    _warn(fitted, rows.training)
    return _with_code(fitted, rows.training, code if raised else None)


def _plain_code(candidate):
    """Whether the code has no other meaning than to be decoded."""
    return candidate.spec.dense and not candidate.spec.penalised


@one_thread()
def _penalties(candidate, rows):
    """Weights of the code's losses beside the loss of a row.

    The divergence is weighed so that with `kl_weight` 1 the sum is an evidence lower bound: of
    cross-entropy and Poisson's loss as they are, of squared and absolute error with the noise that
    PCA leaves (Tipping & Bishop, 1999; the idea of fitting it is that of Rybkin et al., "Simple
    and effective VAE training with calibrated decoders", ICML 2021), of a normal distribution or
    of Laplace's. `start` has to know of the latter.
    """
    spec, loss, price = candidate.spec, candidate.loss, 1.0
    if spec.kl_weight and loss.shifts:
        sample = rows.sample(START_ROWS, candidate.settings.seed)
        total = np.square(moments(sample)[1]).sum()
        kept = principal(candidate, rows).variances
        left = (total - kept.sum()) / max(spec.n_features - len(kept), 1)
        variance = max(left, LEAST_NOISE * total / spec.n_features) or 1.0
        price = 2 * variance if loss.power == 2 else np.sqrt(variance / 2)
    return Penalties(spec.sparsity, spec.kl_weight * float(price) / spec.n_features)


def _splits(candidate, rows):
    """The rows to train and to validate on, as given or held out in turns."""
    settings, most = candidate.settings, MAX_SPLITS if candidate.spec.dense else 1
    if not settings.early_stopping or rows.validation is not None:
        return [rows]
    n_rows = len(rows.training)
    fraction = fraction_held_out(candidate, n_rows)
    n_splits = int(np.clip(-(-ENOUGH_HELD_OUT // (fraction * n_rows)), 1, most))
    held_out = rows.training.splits(fraction, n_splits, np.random.default_rng([settings.seed, 1]))
    return [Split(*split) for split in held_out] or [rows]


def _from_start(candidate, rows, splits):
    """Train from the start, and keep what the validation rows say: PCA, if that is no worse."""
    candidate, plain = choose_output(candidate, rows, splits[0])
    spec, settings = candidate.spec, candidate.settings
    if settings.epochs == "auto" and candidate.pca_is_optimum:
        return _untrained(candidate._replace(n_steps=0), rows, splits)
    if not settings.early_stopping or splits[0].validation is None:
        return _as_trained(Trial(candidate, splits[0]))
    trials, gain = take_turns(candidate, plain, splits)
    splits = splits[: len(trials)]
    checks = pooled([trial.run.checks for trial in trials], splits)
    best = int(np.argmin(checks))
    if plain is not None:
        # An untrained output for counts is PCA's but for how it bends: no reason to keep it.
        same = spec == plain.spec or spec.output_unit is not None
        if gain <= 0 or (best == 0 and same):
            return _untrained(plain, rows, splits)
    final = trials[0]
    missed = splits[0].missed or len(rows) < REFIT_BELOW
    if splits[0].training is not rows and missed:
        n_epochs = best * final.run.check_every
        final = Trial(candidate._replace(n_epochs=n_epochs), Split(rows, None))
    at_optimum = plain is not None or (spec.kl_weight and settings.init == "pca")
    fitted = _as_trained(final, gained=best > 0 or at_optimum)
    beats_pca = plain is not None and plain.is_pca_at_first
    return fitted._replace(validation_losses=checks[1:], beats_pca=beats_pca)


def _as_trained(trial, gained=True):
    """What a trial leaves, with the losses of the epochs that led to the weights it kept."""
    run = trial.run
    n_epochs = None if run.kept is None else run.kept * run.check_every
    return Fitted(trial.candidate, run.weights, run.losses[:n_epochs], run.checks[1:], gained)


def _untrained(plain, rows, splits):
    """The network as it is before training, from all rows."""
    weights, units = start(plain, rows, all_rows=True)
    losses = []
    if splits[0].validation is not None:
        losses = pooled([[Trial(plain, split).loss] for split in splits], splits)
    return Fitted(plain, units.fold(plain.spec, weights), [], losses)


@one_thread()
def _warn(fitted, rows):
    """Say what the fitted network does not do."""
    candidate = fitted.candidate
    if candidate.pca_is_optimum and not fitted.losses:
        return
    compared = candidate.starts_from_pca and not candidate.spec.penalised
    pca = principal(candidate, rows) if compared and not fitted.beats_pca else None
    warn_if_beaten(fitted, rows, pca)
    if candidate.spec.kl_weight:
        warn_of_dead_units(fitted, rows)


def _with_code(fitted, rows, rectified):
    """The same network with a linear code in order, and with a rectified one if that is wanted."""
    spec, weights = fitted.candidate.spec, fitted.weights
    if fitted.losses and _plain_code(fitted.candidate) and spec.code_activation == "linear":
        sample = rows.sample(ORDER_ROWS, fitted.candidate.settings.seed)
        weights = order_code(spec, weights, rows, sample)
    candidate = fitted.candidate
    if rectified is not None:
        weights = rectify(spec, weights, rows, rectified)
        candidate = candidate.with_spec(code_activation=rectified)
    # Some of SciPy's come in Fortran order, and from a copy in the other the last bits differ.
    weights = [np.asarray(array, order="C") for array in weights]
    return fitted._replace(candidate=candidate, weights=weights)
