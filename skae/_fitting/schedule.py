"""How long and how fast to train: resolve epochs, batch_size and learning_rate.

Without hidden layers, PCA with a fitted decoder is near the optimum already. From there, half the
steps at a higher rate end at lower errors. From random weights, or with a sparse code, such steps
end at errors a third higher. With a linear output, PCA may be the optimum itself, and such steps
lead away from it.
"""

import functools
import json
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from skae._fitting.candidates import Candidate, Settings

# The labels of a small table are learned by heart sooner than its rows. On twelve cases of digits
# and tables, classifiers gained 0.03 less over PCA after 60 epochs, and no more after 500.
MAX_LABELLED_EPOCHS = 200


class Budget(NamedTuple):
    """What "auto" and "one_cycle" stand for.

    The length of training is given in optimizer steps rather than epochs, since steps train a
    network, and 50 epochs of a small table are only 50 steps.
    """

    steps: int
    epochs: int  # at most
    batch_size: int
    peak: float  # of the learning rate
    warm_up: float  # fraction of the steps
    beta_2: float  # of Adam, which has to forget squared gradients faster than by default (0.999)
    checks: int  # validations in a run
    patience: int  # validations without an improvement after which to stop


# For training that starts near the optimum, as described above. More epochs helped no small table.
# With all rows in one batch, a thousand steps of Adam are chaotic: they amplify rounding until a
# weight of 2 and two copies of a row end in different networks.
NEAR = Budget(
    550, epochs=500, batch_size=128, peak=3e-2, warm_up=0.02, beta_2=0.95, checks=5, patience=3
)
# So many steps overfit a small table. Ten epochs of smaller batches reach a lower error, sooner:
# 0.68 times PCA's on 1,000 digits of MNIST with 32 components.
NEAR_EPOCHS = 10
NEAR_STEPS = 100  # at least
NEAR_BATCH_SIZE = 64  # or a multiple of it, so that tables of similar size share a program
SHALLOW = Budget(
    1000, epochs=500, batch_size=96, peak=2e-2, warm_up=0.1, beta_2=0.99, checks=25, patience=8
)
DEEP = SHALLOW._replace(steps=1400, peak=3e-3)
# A deep network that starts from PCA learns a small table by heart. On 36 tables with two splits,
# the geometric mean of the test errors over PCA's was 0.61 after up to 500 epochs, since PCA was
# often kept, and 0.49 after up to 200. Batches of 32 end at 0.47, in less time.
RESTRAINED = DEEP._replace(epochs=200)
SMALL = DEEP._replace(steps=3000, epochs=100, batch_size=32, checks=10)
MANY_ROWS = 10_000
# Such a network goes on for a second cycle, and for up to four with many rows, as long as each
# reduces the validation loss by this fraction. See Loshchilov & Hutter, "SGDR: Stochastic Gradient
# Descent with Warm Restarts" (ICLR 2017).
CYCLES_FROM = 2_000  # rows
MOST_CYCLES = 4
WORTH_A_CYCLE = 0.02
# All cycles together take no more multiplications of a weight than this, or about five seconds.
MOST_PRODUCTS = 4e10


class Schedule(NamedTuple):
    """The learning rate of each step, and the division into batches, epochs and checks."""

    n_steps: int
    rates: Callable  # from step numbers to rates, since an array of all rates may be too large
    batch_size: int
    check_every: int  # epochs


def starts_near(candidate: Candidate) -> bool:
    """Return whether training starts near the optimum.

    It does so from PCA with a decoder fitted to its codes. With hidden layers, training from such a
    decoder ended at errors up to 2 % higher.
    """
    spec = candidate.spec
    shallow = spec.dense and not spec.hidden_layer_sizes
    from_pca = candidate.settings.init == "pca" and not (spec.penalised or spec.label_kind)
    return shallow and from_pca and spec.output_activation == "sigmoid"


def budget(candidate: Candidate, n_rows: int) -> Budget:
    spec = candidate.spec
    if spec.hidden_layer_sizes or not spec.dense:
        from_pca = candidate.starts_from_pca and not spec.penalised
        if from_pca and spec.dense and not spec.label_kind and n_rows < MANY_ROWS:
            return SMALL._replace(peak=_peak_of_few_rows(n_rows / spec.n_features))
        return RESTRAINED if spec.label_kind or from_pca else DEEP
    if spec.label_kind:
        return SHALLOW._replace(epochs=MAX_LABELLED_EPOCHS)
    if not starts_near(candidate):
        return SHALLOW
    multiple = round(n_rows / 24 / NEAR_BATCH_SIZE)
    batch_size = int(np.clip(multiple * NEAR_BATCH_SIZE, NEAR_BATCH_SIZE, NEAR.batch_size))
    steps = int(np.clip(NEAR_EPOCHS * n_rows // batch_size, NEAR_STEPS, NEAR.steps))
    return NEAR._replace(steps=steps, batch_size=batch_size)


def _peak_of_few_rows(per_column):
    """Return the highest learning rate for a table with so many rows per column.

    With few, a high rate overfits, and with many, a low one does not get far enough. The lowest
    errors were at 1.5e-3 with 10 rows per column, at 3e-3 with 25, and at 1.5e-2 with 230. On the
    cases of `benchmarks/quality.py`, the geometric mean of the test errors over PCA's is 0.69 with
    this rule, and 0.72 with 3e-3 for all.
    """
    return float(np.clip(3e-3 * (per_column / 25) ** 0.7, 1.5e-3, 1.5e-2))


def schedule(candidate: Candidate, budget: Budget, n_rows: int) -> Schedule:
    """Resolve what is "auto". The candidate's own number of steps overrides the budget."""
    settings, n_steps = candidate.settings, candidate.n_steps
    batch_size = budget.batch_size if settings.batch_size == "auto" else int(settings.batch_size)
    steps_per_epoch = -(-n_rows // batch_size)
    if settings.epochs == "auto" or n_steps is not None:
        # The last epoch may be cut short: where one and a half are enough, two take a third longer.
        least, most = steps_per_epoch, budget.epochs * steps_per_epoch
        n_steps = min(n_steps or max(least, budget.steps), most) * 2**candidate.cycle
        check_every = math.ceil(n_steps / steps_per_epoch / budget.checks)
    else:
        n_steps, check_every = int(settings.epochs) * steps_per_epoch, 1
    if settings.learning_rate == "one_cycle":
        peak = _peak(settings.optimizer, budget)
        rates = functools.partial(_one_cycle, n_steps, peak, budget.warm_up)
    else:
        rates = functools.partial(_constant, settings.learning_rate)
    return Schedule(n_steps, rates, batch_size, check_every)


def most_cycles(candidate: Candidate, n_rows: int) -> int:
    """Return how many cycles training may take, each of twice as many steps as the one before."""
    if n_rows < CYCLES_FROM or not candidate.keeps_last:
        return 1
    most = MOST_CYCLES if n_rows >= MANY_ROWS else 2
    plan = schedule(candidate, budget(candidate, n_rows), n_rows)
    n_products = plan.n_steps * plan.batch_size * sum(map(math.prod, candidate.spec.shapes()))
    while most > 1 and (2**most - 1) * n_products > MOST_PRODUCTS:
        most -= 1
    return most


def patience(candidate: Candidate, budget: Budget) -> float:
    """Return the number of checks without an improvement after which to stop."""
    settings = candidate.settings
    if candidate.keeps_last:
        return np.inf
    if settings.early_stopping and settings.learning_rate != "one_cycle":
        return settings.n_iter_no_change
    if settings.early_stopping and settings.epochs == "auto":
        return budget.patience
    return np.inf


def optimizer_config(settings: Settings, budget: Budget) -> str:
    """Return the optimizer as JSON."""
    optimizer = settings.optimizer
    if optimizer == "adam" and settings.learning_rate == "one_cycle":
        optimizer = {"class_name": "Adam", "config": {"beta_2": budget.beta_2}}
    return json.dumps(optimizer, sort_keys=True)


def _peak(optimizer, budget):
    if isinstance(optimizer, dict):
        return optimizer.get("config", {}).get("learning_rate", budget.peak)
    return budget.peak


def _constant(rate, step):
    return np.full(len(step), rate)


def _one_cycle(n_steps, peak, warm_up, step):
    """Return rates that rise linearly and then fall to zero as half a cosine.

    See Smith & Topin, "Super-Convergence" (2018).
    """
    n_warm = max(1, int(warm_up * n_steps))
    progress = np.clip((step - n_warm) / max(1, n_steps - n_warm), 0, 1)
    return peak * np.minimum((step + 1) / n_warm, 0.5 * (1 + np.cos(np.pi * progress)))
