"""How long and how fast to train: what epochs, batch_size and learning_rate come to."""

import json
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from skae._fitting import Settings

# The budget of epochs="auto", in optimizer steps: it is steps that train a network, and 50 epochs
# of a small table are 50 steps. Without hidden layers fewer are enough.
STEPS_SHALLOW = 1000
STEPS_DEEP = 1400
# No table of few rows needed more; and where all rows are one batch, a thousand steps of Adam are
# chaos: they blow rounding up until a weight of 2 and two copies end in different networks.
MAX_AUTO_EPOCHS = 500
AUTO_BATCH = 96
# Validations in a run under epochs="auto".
AUTO_CHECKS = 50
# Peaks of the one-cycle rate: for networks without hidden layers, and with them.
PEAK_SHALLOW = 2e-2
PEAK_DEEP = 3e-3
WARM_UP = 0.1


class Schedule(NamedTuple):
    """The learning rate of every step, and how the steps are cut into batches, epochs, checks."""

    rates: np.ndarray
    batch_size: int
    check_every: int  # epochs


def schedule(
    settings: "Settings", n_rows: int, *, deep: bool, n_steps: int | None = None
) -> Schedule:
    """Resolve what is "auto"; `n_steps` overrides the budget."""
    batch_size = AUTO_BATCH if settings.batch_size == "auto" else int(settings.batch_size)
    steps_per_epoch = -(-n_rows // batch_size)
    if settings.epochs == "auto" or n_steps is not None:
        epochs = round((n_steps or (STEPS_DEEP if deep else STEPS_SHALLOW)) / steps_per_epoch)
        epochs = min(max(1, epochs), MAX_AUTO_EPOCHS)
        check_every = -(-epochs // AUTO_CHECKS)
    else:
        epochs, check_every = int(settings.epochs), 1
    n_steps = epochs * steps_per_epoch
    if settings.learning_rate == "one_cycle":
        rates = _one_cycle(n_steps, _peak(settings.optimizer, deep))
    else:
        rates = np.full(n_steps, settings.learning_rate)
    return Schedule(rates, batch_size, check_every)


def optimizer_config(settings: "Settings") -> str:
    """The optimizer as JSON. Over a one-cycle rate Adam forgets squared gradients ten times
    faster than by default (beta_2 = 0.99), since a run may last only a thousand steps."""
    optimizer = settings.optimizer
    if optimizer == "adam" and settings.learning_rate == "one_cycle":
        optimizer = {"class_name": "Adam", "config": {"beta_2": 0.99}}
    return json.dumps(optimizer, sort_keys=True)


def _peak(optimizer, deep):
    default = PEAK_DEEP if deep else PEAK_SHALLOW
    if isinstance(optimizer, dict):
        return optimizer.get("config", {}).get("learning_rate", default)
    return default


def _one_cycle(n_steps, peak):
    """Linear warm-up, then half a cosine to zero (Smith & Topin, "Super-Convergence", 2018)."""
    n_warm = max(1, int(WARM_UP * n_steps))
    step = np.arange(n_steps)
    progress = np.clip((step - n_warm) / max(1, n_steps - n_warm), 0, 1)
    return peak * np.minimum((step + 1) / n_warm, 0.5 * (1 + np.cos(np.pi * progress)))
