"""Fit a network to rows: decide what to train, what to keep and what to warn of."""

import contextlib

import numpy as np

from skae._data.rows import moments
from skae._fitting.baselines import (
    warn_if_beaten,
    warn_of_dead_units,
    warn_of_pca,
    warn_of_rank,
)
from skae._fitting.basis import basis_of
from skae._fitting.candidates import Candidate, Fitted, Split, is_pca
from skae._fitting.cluster import trainer_for
from skae._fitting.components import fewest_components, resolve_components
from skae._fitting.findings import Findings, find
from skae._fitting.penalties import constant_prediction, penalties_of
from skae._fitting.schedule import most_cycles
from skae._fitting.start import START_ROWS, principal, start
from skae._fitting.training import compiling_ahead, fraction_held_out, weights_as_made
from skae._fitting.trials import Trial, choose_output
from skae._fitting.turns import Ahead, go_on, plan, pooled, take_turns
from skae._fitting.units import linear_decoder, order_code, rectify
from skae._fitting.validation import check_overflow
from skae._network import labels
from skae._network.activations import SLOPE_ABOVE_ZERO
from skae._threads import one_thread

# A few held-out rows say little, so further fractions are held out in turn until they make up
# this many rows. If the last weights are kept, this depends on what the rows say.
ENOUGH_HELD_OUT = 300
MAX_SPLITS = 5  # only one for convolutions and custom networks, whose training takes long
# With at least this many rows, the held-out ones are too few to justify training again on all.
REFIT_BELOW = 10_000
# The linear decoder that orders the components is fitted to this many rows.
ORDER_ROWS = 2_500


def fit(
    candidate: Candidate, rows: Split, previous: list[np.ndarray] | None
) -> tuple[Fitted, Findings]:
    """Train a network, whose output activation may still be "auto", and return what to keep of it.

    `rows` holds the rows to train on and, if given, the rows to validate on. `previous` holds the
    weights to continue from, or is None.
    """
    if previous is None:
        candidate = resolve_components(candidate, rows)
    basis = basis_of(candidate, rows.training) if previous is None else None
    if basis is None:
        fitted = _fit(candidate, rows, previous)
    else:
        held = None if rows.validation is None else basis.rows(rows.validation)
        scores = Split(basis.rows(rows.training), held)
        candidate.settings.progress.translate = basis.widen
        fitted = basis.widen(_fit(basis.narrow(candidate), scores, None))
        rows.training.pca = basis.pca
    return fitted, find(fitted, rows.training)


def _fit(candidate, rows, previous):
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
    # A search trains networks of other widths first.
    searched = previous is None and isinstance(candidate.settings.n_components, float)
    ahead = contextlib.nullcontext() if searched else compiling_ahead(candidate, rows)
    with ahead, trainer_for(rows.training) as trainer:
        candidate = candidate.with_settings(trainer=trainer)
        candidate = candidate.with_settings(penalties=penalties_of(candidate, rows.training))
        splits = _splits(candidate, rows)
        if previous is None:
            candidate = _within_dimensions(candidate, rows.training, splits[0].training)
            fitted = _anew(candidate, rows, splits)
        else:
            fitted = _as_trained(Trial(candidate, splits[0], previous))
        del splits  # which hold the rows to validate on
    check_overflow(fitted.candidate, fitted.weights, rows.training)
    if candidate.settings.progress.verbose:
        candidate.settings.progress.say(_outcome(fitted))
    _warn(fitted, rows.training)
    return _with_code(fitted, rows.training, code if raised else None)


def _anew(candidate, rows, splits):
    """Train with as many components as are needed, and without hidden layers if they gain nothing.

    The candidate has as many components as PCA needs, so it is trained if PCA is kept.
    """
    fewest = candidate
    searched = isinstance(candidate.settings.n_components, float)
    if searched and not is_pca(candidate, rows.training):
        fewest = fewest_components(candidate, rows)
    fitted = _from_start(fewest, rows.training, splits)
    if fitted.keeps_pca and fewest.spec != candidate.spec:
        fitted = _from_start(candidate, rows.training, splits)
    if candidate.may_be_linear and not fitted.losses:
        linear = candidate.with_spec(hidden_layer_sizes=(), shortcut=False)
        fitted = _from_start(linear, rows.training, splits)
    return fitted


@one_thread()
def _within_dimensions(candidate, rows, training):
    """Return the candidate without components that no rows would use.

    A network that is sparse, trained with noise or started from random weights can use them.
    """
    spec, settings = candidate.spec, candidate.settings
    if not (candidate.starts_from_pca and _plain_code(candidate) and settings.noise is None):
        warn_of_rank(spec, min(len(rows), spec.n_features), reduced=False)
        return candidate
    all_rows = is_pca(candidate, rows)
    n_dimensions = len(principal(candidate, training, all_rows=all_rows).axes)
    if n_dimensions < spec.n_components:
        n_dimensions = max(1, len(principal(candidate, rows, all_rows=True).axes))
    warn_of_rank(spec, n_dimensions, reduced=True)
    return candidate.with_spec(n_components=min(spec.n_components, n_dimensions))


def _plain_code(candidate):
    """Return whether the code only serves to be decoded, by dense layers and without penalties."""
    return candidate.spec.dense and not candidate.spec.penalised


def _splits(candidate, rows):
    """Return the splits into rows to train and to validate on, as given or held out in turn."""
    settings, most = candidate.settings, MAX_SPLITS if candidate.spec.dense else 1
    given = rows.validation is not None
    if given or not settings.early_stopping or is_pca(candidate, rows.training):
        return [rows]
    n_rows = len(rows.training)
    fraction = fraction_held_out(candidate, n_rows)
    enough = ENOUGH_HELD_OUT
    if candidate.is_annealed and n_rows < REFIT_BELOW:
        enough = n_rows
    n_splits = int(np.clip(-(-enough // (fraction * n_rows)), 1, most))
    sample = (START_ROWS, settings.seed) if candidate.starts_from_pca else None
    rng = np.random.default_rng([settings.seed, 1])
    held_out = rows.training.splits(fraction, n_splits, rng, sample)
    return [Split(*split) for split in held_out] or [rows]


def _from_start(candidate, rows, splits):
    """Train from the start, and keep PCA instead if it is no worse on the validation rows."""
    candidate, plain = choose_output(candidate, rows, splits[0])
    settings = candidate.settings
    if settings.epochs == "auto" and candidate.pca_is_optimum:
        untrained = _untrained(candidate._replace(n_steps=0), rows, splits)
        return untrained._replace(keeps_pca=True)
    if not settings.early_stopping or splits[0].validation is None:
        return _as_trained(Trial(candidate, splits[0]))
    held_out = splits[0].training is not rows
    if candidate.is_annealed and held_out and plain is not None:
        candidate = candidate._replace(keeps_last=True)
    lasting = not splits[0].missed and most_cycles(candidate, len(splits[0].training)) > 1
    again = held_out and (splits[0].missed or len(rows) < REFIT_BELOW) and not lasting
    whole = Split(rows, None) if again else None
    turns, final = _turns(candidate, plain, splits, whole)
    return _kept(turns, final, plain, rows, splits[: len(turns.trials)])


def _turns(candidate, plain, splits, whole):
    """Train in turns, then for longer or on all rows; return the turns and the trial to keep.

    This trial is None if PCA is to be kept.
    """
    ahead, named = Ahead(candidate, splits[0].training), plan(candidate, splits)
    on_all = candidate._replace(name="all rows")
    ahead.add(named[0], splits[0])
    if whole is not None and candidate.keeps_last:
        ahead.add(on_all, whole)
    for turn, split in zip(named[1:], splits[1:], strict=True):
        ahead.add(turn, split)
    turns = take_turns(named, plain, splits, ahead)
    splits = splits[: len(turns.trials)]
    if plain is not None:
        # An untrained output for counts differs from PCA's only by its bend, so PCA is kept.
        same = candidate.spec == plain.spec or candidate.spec.output_unit is not None
        if turns.gain <= 0 or (same and _best(turns, splits) == 0):
            return turns, None
    if whole is None or candidate.settings.progress.stopped:
        turns = turns if plain is None else go_on(turns, plain)
        return turns, turns.trials[0]
    if candidate.keeps_last:
        final = ahead.get(on_all.name)
        return turns, turns.trials[0] if candidate.settings.progress.stopped else final
    n_epochs = turns.trials[0].run.checked_epochs[_best(turns, splits)]
    return turns, Trial(on_all._replace(n_epochs=n_epochs), whole)


def _best(turns, splits):
    """Return the check to keep the weights of."""
    checks = pooled([trial.run.checks for trial in turns.trials], splits)
    first = turns.trials[0]
    keeps_last = first.candidate.keeps_last and first.run.kept is None
    return len(checks) - 1 if keeps_last else int(np.argmin(checks))


def _kept(turns, final, plain, rows, splits):
    """Return what to keep after all turns."""
    if final is None:
        untrained = _untrained(plain, rows, splits)
        return untrained._replace(gain=turns.relative, keeps_pca=plain.is_pca_at_first)
    best, spec = _best(turns, splits), final.candidate.spec
    at_optimum = plain is not None or (spec.kl_weight and final.candidate.settings.init == "pca")
    fitted = _as_trained(final, gained=best > 0 or at_optimum)
    if len(turns.trials) > 1 or final is not turns.trials[0]:
        fitted = fitted._replace(**_curves(turns.trials, splits, best))
    beats_pca = plain is not None and plain.is_pca_at_first
    return fitted._replace(beats_pca=beats_pca, gain=turns.relative if beats_pca else None)


def _curves(trials, splits, best):
    """Return the mean losses of the turns. Training on all rows has no rows to validate on."""
    epochs = min((trial.run.checked_epochs for trial in trials), key=len)
    losses = np.mean([trial.run.losses[: epochs[best]] for trial in trials], axis=0)
    checks = pooled([trial.run.checks for trial in trials], splits)[1:]
    return {
        "losses": losses.tolist(),
        "validation_losses": checks,
        "checked_epochs": epochs[1:],
    }


def _as_trained(trial, gained=True):
    """Return what a trial leaves, with the losses of the epochs that led to its weights."""
    run = trial.run
    losses = run.losses if run.kept is None else run.losses[: run.checked_epochs[run.kept]]
    epochs = run.checked_epochs[1:]
    return Fitted(trial.candidate, run.weights, losses, run.checks[1:], epochs, gained)


def _untrained(plain, rows, splits):
    """Return the network as it is before training, computed from all rows."""
    weights, units = start(plain, rows, all_rows=True)
    losses = []
    if splits[0].validation is not None:
        losses = pooled([[Trial(plain, split).loss] for split in splits], splits)
    return Fitted(plain, units.fold(plain.spec, weights), [], losses, [0] * len(losses))


def _outcome(fitted):
    """Return what was kept, in words."""
    kept = "PCA" if fitted.keeps_pca else "the network"
    if fitted.losses:
        kept += f" after {len(fitted.losses)} epochs"
    if fitted.gain is None:
        return f"kept {kept}"
    ratio = 1 - fitted.gain
    return f"kept {kept}: on rows held out, the loss of the network is {ratio:.3g} times PCA's"


@one_thread()
def _warn(fitted, rows):
    """Warn if a baseline beats the fitted network, or if components of its code are unused."""
    candidate = fitted.candidate
    if candidate.pca_is_optimum and not fitted.losses:
        return
    compared = candidate.starts_from_pca and not candidate.spec.penalised
    pca = principal(candidate, rows) if compared and not fitted.beats_pca else None
    if fitted.keeps_pca and fitted.gain is not None:
        warn_of_pca(candidate, fitted.gain)
    warn_if_beaten(fitted, rows, pca)
    if candidate.spec.kl_weight:
        warn_of_dead_units(fitted, rows)


def _distances(fitted, rows):
    """Return the linear map of the code whose results say how far two codes are apart.

    These are the reconstruction and, if there are labels, what is predicted of them. The latter has
    the unit in which `label_weight` and the loss of labels, near a constant prediction, count it
    beside squared differences of the rows. So a component that explains much of y and little of X
    has a size that a neighbor in the code can see.
    """
    candidate, weights = fitted.candidate, fitted.weights
    spec, settings = candidate.spec, candidate.settings
    back = linear_decoder(spec, weights, rows.sample(ORDER_ROWS, settings.seed))
    if not spec.label_kind:
        return back
    constant, loss = constant_prediction(spec, rows)
    variance = np.square(moments(rows)[1]).sum()
    unit = np.sqrt(settings.label_weight * variance / loss)
    predicted = np.asarray(weights[-2], np.float64) @ labels.curvature(spec.label_kind, constant)
    return np.hstack([back, unit * predicted])


@one_thread()
def _with_code(fitted, rows, rectified):
    """Return the same network with a linear code in order, rectified if an activation is given."""
    candidate, weights, explained = fitted.candidate, fitted.weights, None
    spec = candidate.spec
    ordered = _plain_code(candidate) and spec.code_activation == "linear"
    if ordered and fitted.keeps_pca:
        explained = principal(candidate, rows).variances
    elif ordered:
        rows.expect(ORDER_ROWS, candidate.settings.seed)
        turned, explained = order_code(spec, weights, rows, lambda: _distances(fitted, rows))
        # What was not trained keeps its bits: it is in order since the fit that trained it.
        if fitted.losses or candidate.settings.init != "pca":
            weights = turned
    if rectified is not None:
        weights, explained = rectify(spec, weights, rows, rectified), None
        candidate = candidate.with_spec(code_activation=rectified)
    # Some of SciPy's come in Fortran order, and from a copy in the other the last bits differ.
    weights = [np.asarray(array, order="C") for array in weights]
    return fitted._replace(candidate=candidate, weights=weights, explained=explained)
