"""From rows and settings to fitted weights: where to start, when to stop, what to keep."""

import dataclasses
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from skae._activations import SLOPE_ABOVE_ZERO
from skae._baselines import constant_losses, warn_if_beaten, warn_of_dead_units
from skae._decoder import DECODED_ROWS, fit_decoder
from skae._framework import load_framework
from skae._losses import describe
from skae._parameters import moments
from skae._rows import Rows
from skae._schedule import budget, optimizer_config, patience, schedule, starts_near
from skae._spec import NetworkSpec, Penalties
from skae._start import glorot_start, pca_start, principal_axes
from skae._threads import one_thread
from skae._units import in_units, may_centre, order_code, rectify, units_for
from skae._validation import Monitor, Run, all_losses, check_overflow, mean_loss

# Training steps after which the two candidates for output_activation="auto" are compared.
PILOT_STEPS = 300
# Few rows held out say little: until this many have been, another fraction is held out in turn.
ENOUGH_HELD_OUT = 300
# With so many, further turns are spared where the gain over PCA is clear already.
ENOUGH_TO_TELL = 100
MAX_SPLITS = 5  # one where a training run takes long: for convolutions and custom networks
# More rows than this say nothing new, and are missed in training.
MAX_HELD_OUT = 2_000
# Where no value is larger, a sigmoid is an exponential, and its gradients overflow in the end.
LEAST_FOR_SIGMOID = 1e-6
# With at least this many rows, those held out are too few to be worth training again.
REFIT_BELOW = 10_000
# Rows of which statistics are taken, where those of all would be no better.
START_ROWS = 10_000
# The same for the order of the components.
ORDER_ROWS = 2_500
# The least noise of a variational code's rows, as a fraction of the mean variance of a column.
LEAST_NOISE = 1e-3
# Training has to reduce the validation loss of PCA by this fraction to be kept, and by this many
# standard errors of the reduction: less is noise. They are many since the weights compared are the
# best of many checks. On 13 small tables with six splits each, 2, 3 and 4 of them ended more
# than 2 % worse than PCA in 5, 3 and 1 of 78 fits.
WORTHWHILE = 0.01
STANDARD_ERRORS = 4.0


class Settings(NamedTuple):
    """The parameters of the estimator that concern training, as they were given."""

    loss: str | dict
    optimizer: str | dict
    learning_rate: str | float
    init: str | list[np.ndarray]  # or the weights that a custom network comes with
    epochs: str | int
    batch_size: str | int
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    tol: float
    verbose: int
    noise: Callable | None  # as `_noise.corruption` makes it
    penalties: Penalties = Penalties()  # in the unit of the loss

    @property
    def squared_error(self):
        return describe(self.loss).power == 2


class Split(NamedTuple):
    """Rows to train on, and rows to validate on or None."""

    training: Rows
    validation: Rows | None
    missed: bool = False  # if rows of many copies are held out


class Fitted(NamedTuple):
    """A network and what its training recorded."""

    spec: NetworkSpec
    weights: list[np.ndarray]
    losses: list[float]  # of each epoch behind the weights
    validation_losses: list[float]  # of each check
    # What the rows held out say: whether training helped, and whether it is better than PCA.
    gained: bool = True
    beats_pca: bool = False


def fit(
    spec: NetworkSpec,
    settings: Settings,
    rows: Rows,
    X_val: Rows | None,
    previous: list[np.ndarray] | None,
    seed: int,
) -> Fitted:
    """Train the network that `spec` describes; its output activation may still be "auto".

    `X_val` are rows to validate on, or None; `previous` are weights to go on from, or None.
    """
    code = spec.code_activation
    plain_code = spec.dense and not spec.penalised
    raised = plain_code and settings.init == "pca" and code in SLOPE_ABOVE_ZERO
    if raised and previous is None:
        spec = dataclasses.replace(spec, code_activation="linear")
    if spec.network is not None and previous is None:
        settings = settings._replace(init=_as_they_come(spec))
    with ThreadPoolExecutor(1) as thread:
        _compile_ahead(thread, spec, settings, rows, X_val)
        settings = settings._replace(penalties=_penalties(spec, settings, rows, seed))
        splits = [Split(rows, X_val)]
        if settings.early_stopping and X_val is None:
            splits = _held_out(rows, settings, seed, 1 if not spec.dense else MAX_SPLITS) or splits
        if previous is None:
            fitted = _fit_fresh(spec, settings, rows, splits, seed)
        else:
            fitted = _as_run(spec, _run(spec, settings, splits[0], seed, previous=previous))
    check_overflow(fitted.spec, settings, fitted.weights, rows)
    _warn(fitted, settings, rows, seed)
    if fitted.losses and plain_code and fitted.spec.code_activation == "linear":
        sample = rows.sample(ORDER_ROWS, seed)
        fitted = fitted._replace(weights=order_code(fitted.spec, fitted.weights, rows, sample))
    if not raised or previous is not None:
        return fitted
    return fitted._replace(
        spec=dataclasses.replace(fitted.spec, code_activation=code),
        weights=rectify(fitted.spec, fitted.weights, rows, code),
    )


def _as_run(spec, run, gained=True):
    """What a run leaves, with the losses of the epochs that led to the weights it kept."""
    n_epochs = None if run.kept is None else run.kept * run.check_every
    return Fitted(spec, run.weights, run.losses[:n_epochs], run.checks[1:], gained)


@one_thread()
def _warn(fitted, settings, rows, seed):
    """Say what the fitted network does not do."""
    spec = fitted.spec
    if _pca_is_optimum(spec, settings) and not fitted.losses:
        return
    compared = settings.init == "pca" and not spec.penalised and spec.network is None
    pca = _pca(rows, spec, seed) if compared and not fitted.beats_pca else None
    warn_if_beaten(fitted, settings, rows, pca, seed)
    if spec.kl_weight:
        warn_of_dead_units(spec, fitted.weights, rows, seed)


@one_thread()
def _penalties(spec, settings, rows, seed):
    """Weights of the code's losses beside the loss of a row.

    The divergence is weighed so that with `kl_weight` 1 the sum is an evidence lower bound: of
    cross-entropy and Poisson's loss as they are, of squared and absolute error with the noise that
    PCA leaves (Tipping & Bishop, 1999; the idea of fitting it is that of Rybkin et al., "Simple
    and effective VAE training with calibrated decoders", ICML 2021), of a normal distribution or
    of Laplace's. `_start` has to know of the latter.
    """
    price = 1.0
    loss = describe(settings.loss)
    if spec.kl_weight and loss.shifts:
        sample = rows.sample(START_ROWS, seed)
        total = np.square(moments(sample)[1]).sum()
        kept = _pca(rows, spec, seed).variances
        left = (total - kept.sum()) / max(spec.n_features - len(kept), 1)
        variance = max(left, LEAST_NOISE * total / spec.n_features) or 1.0
        price = 2 * variance if loss.power == 2 else np.sqrt(variance / 2)
    return Penalties(spec.sparsity, spec.kl_weight * float(price) / spec.n_features)


def _compile_ahead(thread, spec, settings, rows, X_val):
    """Have a thread compile a network that will be trained, beside the split and PCA, which take
    half as long. What fails there will fail again where it is needed."""
    if spec.network is not None:
        return  # the user's code may build on what one thread alone may use: a global seed
    validated = settings.early_stopping and (X_val is not None or len(rows) > 1)
    spec = _candidates(spec, settings, rows, validated=validated)[-1]
    if settings.epochs == "auto" and _pca_is_optimum(spec, settings):
        return
    load_framework()
    from skae._keras import beside
    from skae._keras.training import compiled

    spec, n_rows = in_units(spec), len(rows)
    if settings.early_stopping and X_val is None:
        n_rows = max(1, n_rows - round(_fraction_held_out(settings, n_rows) * n_rows))
    beside(thread, compiled, spec, _recipe(spec, settings, n_rows), n_rows)


def _as_they_come(spec):
    """The weights of the network that the user's callable returns. Once for all runs of a fit: if
    it returns the same models each time, the next run would start where the first has ended."""
    load_framework()
    from skae._keras.networks import weights_as_made

    return weights_as_made(spec)


def _recipe(spec, settings, n_rows, *, n_steps=None, watched=True):
    """How to train; `watched` if there is something to look at but the loss."""
    from skae._keras.training import Recipe

    auto = budget(spec, settings, n_rows)
    plan = schedule(settings, auto, n_rows, n_steps)
    if not watched:
        n_planned = plan.n_steps * plan.batch_size // n_rows
        plan = plan._replace(check_every=max(plan.check_every, n_planned // 10))
    loss = json.dumps(settings.loss)
    optimizer = optimizer_config(settings, auto)
    return Recipe(loss, optimizer, *plan, settings.noise, settings.penalties)


def _held_out(rows, settings, seed, most):
    fraction = _fraction_held_out(settings, len(rows))
    n_splits = int(np.clip(-(-ENOUGH_HELD_OUT // (fraction * len(rows))), 1, most))
    pairs = rows.splits(fraction, n_splits, np.random.default_rng([seed, 1]))
    return [Split(*pair) for pair in pairs]


def _fraction_held_out(settings, n_rows):
    return min(settings.validation_fraction, MAX_HELD_OUT / n_rows)


def _fit_fresh(spec, settings, rows, splits, seed):
    """Train from the start, and keep what the validation rows say: PCA, if that is no worse."""
    spec, plain = _choose_output(spec, settings, rows, splits[0], seed)
    if settings.epochs == "auto" and _pca_is_optimum(spec, settings):
        return _untrained(spec, settings, rows, splits, seed)
    if not settings.early_stopping or splits[0].validation is None:
        return _as_run(spec, _run(spec, settings, splits[0], seed))
    runs, gain = _turns(spec, plain, settings, splits, seed)
    splits = splits[: len(runs)]
    checks = _pooled([run.checks for run in runs], splits)
    best = int(np.argmin(checks))
    # An untrained output for counts is PCA's but for how it bends, which is no reason to keep it.
    kept = best == 0 and (spec == plain or spec.output_unit is not None)
    if plain is not None and (gain <= 0 or kept):
        return _untrained(plain, settings, rows, splits, seed)
    final = runs[0]
    missed = splits[0].missed or len(rows) < REFIT_BELOW
    if splits[0].training is not rows and missed:
        n_epochs = best * final.check_every
        final = _run(spec, settings, Split(rows, None), seed, n_epochs=n_epochs)
    at_optimum = plain is not None or (spec.kl_weight and settings.init == "pca")
    fitted = _as_run(spec, final, gained=best > 0 or at_optimum)
    beats_pca = plain is not None and _is_pca(plain)
    return fitted._replace(validation_losses=checks[1:], beats_pca=beats_pca)


def _is_pca(spec):
    """Whether a network that starts from PCA is PCA, but for what has to be positive."""
    positive = spec.output_unit is not None
    return spec.code_activation == "linear" and (positive or spec.output_activation == "linear")


@one_thread()
def _turns(spec, plain, settings, splits, seed):
    """A run for each split, until the gain over the plain start is clear, and that gain, else 0."""
    runs: list[Run] = []
    comparisons, gain = [], 0.0
    for split in splits:
        runs.append(_run(spec, settings, split, seed))
        if plain is not None:
            comparisons.append(_compare(plain, spec, runs[-1].weights, settings, split, seed))
            gain = _clear_gain(comparisons, last=len(runs) == len(splits))
        if gain:
            break
    return runs, gain


def _compare(plain, spec, weights, settings, split, seed):
    """For each row held out: what the trained network gains over the plain start, the loss of
    that, the loss of the mean of the columns, and the row's weight."""
    start, units = _start(plain, settings, split.training, seed)
    start = units.fold(plain, start)
    loss = all_losses(settings, plain, start, split.validation, seed)
    with np.errstate(invalid="ignore"):  # where both overflow
        gain = loss - all_losses(settings, spec, weights, split.validation, seed)
    constant = constant_losses(settings, split.training.mean(), split.validation)
    given = split.validation.weights
    weights = np.ones(len(loss)) if given is None else given.astype(np.float64)
    return gain, loss, constant, weights


def _clear_gain(comparisons, *, last):
    """The mean gain of all turns so far if it is clear, else 0; `last` if no turn is left.

    Differences are taken row by row, so that what makes some rows hard for both does not count.
    A start that is worse than the mean of the columns is not PCA, and need not be beaten clearly.
    """
    gain, loss, constant, weight = map(np.concatenate, zip(*comparisons, strict=True))
    if not (gain > -np.inf).all():
        return 0  # nothing is gained where the trained network overflows, or both do
    if np.isinf(gain).any():
        return np.inf  # the start does
    mean = np.average(gain, weights=weight)
    if np.average(loss, weights=weight) > np.average(constant, weights=weight):
        return max(mean, 0)
    # A weight of 2 counts as two rows here too; two of them say nothing.
    freedom = weight.sum() - 1
    if freedom < (2 if last else ENOUGH_TO_TELL):
        return 0
    error = np.sqrt(np.average((gain - mean) ** 2, weights=weight) / freedom)
    worthwhile = WORTHWHILE * abs(np.average(loss, weights=weight)) if mean > 0 else 0
    return mean if abs(mean) > max(worthwhile, STANDARD_ERRORS * error) else 0


@one_thread()
def _choose_output(spec, settings, rows, split, seed):
    """Resolve output_activation="auto".

    Return the network to train, and the one that is PCA before it is trained, if there is one.
    """
    validated = settings.early_stopping and split.validation is not None
    candidates = _candidates(spec, settings, rows, validated=validated)
    chosen = candidates[0]
    if len(candidates) > 1:
        losses = [_pilot(candidate, settings, split, seed) for candidate in candidates]
        chosen = candidates[losses[1] < losses[0]]
    # A penalty is there to change the code, so PCA, which has none, is nothing to fall back on.
    if settings.init != "pca" or spec.network is not None or spec.penalised:
        return chosen, None
    if spec.output_unit is not None:  # PCA that is cut off below the unit
        return chosen, dataclasses.replace(spec, output_activation="relu")
    if _output(spec, settings) is not None:
        return chosen, chosen
    return chosen, dataclasses.replace(spec, output_activation="linear")


def _candidates(spec, settings, rows, *, validated):
    """The networks among which output_activation="auto" is to be decided by their loss.

    Range alone can't tell whether data in [0, 1] suit a sigmoid: at 8 components its error was
    0.8 times that of a linear output on handwritten digits, and 1.5 times on the diabetes table.
    """
    output = _output(spec, settings)
    if output is not None:
        return [dataclasses.replace(spec, output_activation=output)]
    linear = dataclasses.replace(spec, output_activation="linear")
    sigmoid = dataclasses.replace(spec, output_activation="sigmoid")
    if not rows.within(0, 1) or rows.extremes[1] < LEAST_FOR_SIGMOID:
        return [linear]
    from_pca = settings.init == "pca" and spec.network is None
    # PCA costs nothing to compare with, once the other is trained.
    compared = validated and not spec.penalised and _pca_is_optimum(linear, settings)
    if not from_pca or not spec.dense or compared:
        return [sigmoid]
    return [linear, sigmoid]


def _output(spec, settings):
    """The output activation, or None where it takes the data to choose it."""
    given = spec.output_activation
    return describe(settings.loss).output if given == "auto" else given


def _pilot(spec, settings, split, seed):
    """Loss after a short training."""
    if _pca_is_optimum(spec, settings):
        weights, units = _start(spec, settings, split.training, seed)
        weights = units.fold(spec, weights)
    else:
        settings = settings._replace(early_stopping=False)
        planned = _recipe(spec, settings, len(split.training)).n_steps
        # Both pilots together take no more steps than the training that they are for.
        n_steps = max(1, min(PILOT_STEPS, planned // 2))
        run = _run(spec, settings, Split(split.training, None), seed, n_steps=n_steps)
        weights = run.weights
    return mean_loss(settings, spec, weights, split.validation or split.training, seed)


def _pca_is_optimum(spec, settings):
    """Whether training this network could at best end where it starts."""
    return (
        settings.init == "pca"
        and spec.dense
        and not spec.penalised
        and settings.noise is None
        and settings.squared_error
        and not spec.hidden_layer_sizes
        and (spec.code_activation, spec.output_activation) == ("linear", "linear")
    )


def _untrained(spec, settings, rows, splits, seed):
    """The network as it is before training, from all rows."""
    weights, units = _start(spec, settings, rows, seed, all_rows=True)
    loss = _loss_of_start(spec, settings, splits, seed)
    return Fitted(spec, units.fold(spec, weights), [], [] if loss is None else [loss])


def _loss_of_start(spec, settings, splits, seed):
    """Validation loss of what training starts from, or None without rows to validate on."""
    if splits[0].validation is None:
        return None
    losses = []
    for split in splits:
        weights, units = _start(spec, settings, split.training, seed)
        weights = units.fold(spec, weights)
        losses.append([mean_loss(settings, spec, weights, split.validation, seed)])
    return _pooled(losses, splits)[0]


def _pooled(curves, splits):
    """Mean of validation losses over the splits, check by check."""
    length = min(map(len, curves))
    weights = [split.validation.total_weight() for split in splits]
    return np.average([curve[:length] for curve in curves], axis=0, weights=weights).tolist()


def _start(spec, settings, rows, seed, *, all_rows=False):
    """Weights to train from, and the units of rows and codes that they are for.

    To train from, PCA of ten thousand rows is as good as that of all; to end with, it is not.
    """
    rng = np.random.default_rng([seed, 2])
    loss = describe(settings.loss)
    if spec.network is not None or settings.init != "pca":
        units = units_for(spec, loss, rows)
        if spec.network is not None:
            return settings.init, units
        # Without a bias a rectified code of zeros is decoded to zeros.
        mean = rows.mean() if loss.directional else None
        return glorot_start(in_units(spec), rng, mean), units
    pca = _pca(rows, spec, seed, all_rows=all_rows)
    units = units_for(spec, loss, rows, pca)
    price = settings.penalties.divergence * spec.n_features / units.scale ** (loss.power or 0)
    noise = 2 * price**2 if loss.shifts and loss.power == 1 else price / 2
    start = pca_start(in_units(spec), units.axes(pca), rng, noise)
    if starts_near(spec, settings):
        start = fit_decoder(spec, start, rows.sample(DECODED_ROWS, seed))
    return start, units


def _pca(rows, spec, seed, *, all_rows=False):
    """PCA of the rows, or of ten thousand of them, kept with the rows."""
    if rows.pca is None or (all_rows and len(rows) > START_ROWS):
        sample = rows if all_rows else rows.sample(START_ROWS, seed)
        rows.pca = principal_axes(sample, spec.n_components, seed)
    return rows.pca


@one_thread()
def _run(spec, settings, split, seed, *, previous=None, n_steps=None, n_epochs=None):
    """Train on a split; `n_steps` overrides the budget, `n_epochs` cuts it short."""
    load_framework()
    from skae._keras.training import compiled, train

    watched = split.validation is not None or settings.verbose
    n_rows = len(split.training)
    loss = describe(settings.loss)
    if previous is None:
        start, units = _start(spec, settings, split.training, seed)
    else:
        from_pca = settings.init == "pca" and may_centre(spec, loss)
        pca = _pca(split.training, spec, seed) if from_pca else None
        units = units_for(spec, loss, split.training, pca)
        start = units.unfold(spec, previous)
    recipe = _recipe(spec, settings, n_rows, n_steps=n_steps, watched=watched)
    recipe = recipe._replace(penalties=units.penalties(spec, loss, settings.penalties))
    limits = recipe.check_every, patience(settings, budget(spec, settings, n_rows))
    monitor = Monitor(spec, settings, split, units, *limits, seed)
    monitor.look(start)
    program = compiled(in_units(spec), recipe, n_rows)
    weights = train(program, units.rows(split.training), start, recipe, seed, monitor, n_epochs)
    return monitor.result(units.fold(spec, weights))
