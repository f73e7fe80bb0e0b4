"""One training run with Keras: a candidate on the rows of a split."""

import contextlib
import json
from typing import TYPE_CHECKING

import numpy as np

from skae._fitting import cluster
from skae._fitting.candidates import Candidate, Split, candidates
from skae._fitting.schedule import budget, optimizer_config, patience, schedule
from skae._fitting.start import start, unfolded
from skae._fitting.units import in_units
from skae._fitting.validation import Monitor, Run
from skae._framework import load_framework
from skae._threads import Task, one_thread

if TYPE_CHECKING:
    from skae._keras.training import Recipe

# Holding out more rows than this says nothing new, and training would lack them.
MAX_HELD_OUT = 2_000


def compiling_ahead(candidate: Candidate, rows: Split) -> contextlib.AbstractContextManager:
    """Return a context beside which a network that will be trained is compiled.

    To split the rows and to run PCA takes half as long as compiling. If compiling fails here, it
    fails again where its result is needed.
    """
    nothing = contextlib.nullcontext()
    if candidate.spec.network is not None or cluster.client_of(rows.training) is not None:
        return nothing  # a custom network may rely on state of one thread, such as a global seed
    settings, n_rows = candidate.settings, len(rows.training)
    held_out = settings.early_stopping and rows.validation is None
    validated = settings.early_stopping and (rows.validation is not None or n_rows > 1)
    likely = candidates(candidate, rows.training, validated=validated)[-1]
    if settings.epochs == "auto" and likely.pca_is_optimum:
        return nothing
    load_framework(replay=settings.progress.verbose > 1)
    from skae._keras import on_chosen_device, spare_core
    from skae._keras.training import compiled

    if not spare_core():
        return nothing
    if held_out:
        n_rows = max(1, n_rows - round(fraction_held_out(candidate, n_rows) * n_rows))
    how = recipe(likely, n_rows)
    return Task(on_chosen_device(compiled, in_units(likely.spec), how, n_rows))


def fraction_held_out(candidate: Candidate, n_rows: int) -> float:
    return min(candidate.settings.validation_fraction, MAX_HELD_OUT / n_rows)


def weights_as_made(candidate: Candidate) -> list[np.ndarray]:
    """Return the weights of the network that the user's callable returns.

    They are read once for all runs of a fit. A callable may return the same models each time, and
    the next run would then start where the previous one ended.
    """
    load_framework()
    from skae._keras.networks import weights_as_made

    return weights_as_made(candidate.spec)


def recipe(candidate: Candidate, n_rows: int, *, watched: bool = True) -> "Recipe":
    """Return how to train; `watched` says whether more than the training loss is looked at."""
    from skae._keras.training import Recipe

    settings = candidate.settings
    auto = budget(candidate, n_rows)
    plan = schedule(candidate, auto, n_rows)
    if not watched:
        n_planned = plan.n_steps * plan.batch_size // n_rows
        plan = plan._replace(check_every=max(plan.check_every, n_planned // 10))
    return Recipe(
        json.dumps(settings.loss),
        optimizer_config(settings, auto),
        *plan,
        settings.corrupt,
        settings.filling is not None,
        settings.penalties,
        [settings.seed, 6, candidate.cycle] if candidate.cycle else settings.seed,
        candidate.n_epochs,
        settings.shuffle,
    )


@one_thread()
def train(candidate: Candidate, split: Split, previous: list[np.ndarray] | None = None) -> Run:
    """Train on a split, from the start of the candidate or from previous weights."""
    load_framework()
    spec, settings, rows = candidate.spec, candidate.settings, split.training
    if previous is None:
        begin, units = start(candidate, rows)
    else:
        begin, units = unfolded(candidate, rows, previous)
    # Random numbers are drawn between two checks, so there these must not depend on who looks.
    draws = settings.corrupt is not None or bool(spec.kl_weight)
    watched = split.validation is not None or settings.progress.follows or draws
    how = recipe(candidate, len(rows), watched=watched)
    how = how._replace(penalties=units.penalties(spec, candidate.loss, settings.penalties))
    monitor = Monitor(candidate, split, units)
    monitor.patience = patience(candidate, budget(candidate, len(rows)))
    monitor.look(begin)
    n_epochs = -(-how.n_steps // -(-len(rows) // how.batch_size))
    n_epochs = min(n_epochs, how.n_epochs or n_epochs)
    checks = -(-n_epochs // how.check_every)
    with settings.progress.run(candidate.name, n_epochs, checks) as monitor.follow:
        weights = _run(candidate, units.rows(rows), begin, how, monitor)
    if settings.progress.verbose:
        settings.progress.say(monitor.seen(how))
    return monitor.result(units.fold(spec, weights))


def _run(candidate, rows, begin, how, monitor):
    """Train here, or on the cluster that the rows are on, if it is for more than a few steps."""
    spec = in_units(candidate.spec)
    trainer = candidate.settings.trainer
    if trainer is not None and candidate.n_steps is None:
        return cluster.train(trainer, spec, rows, begin, how, monitor)
    from skae._keras.training import compiled, train

    return train(compiled(spec, how, len(rows)), rows, begin, how, monitor)
