"""Train on rows that come in parts, when nobody knows how many more there will be.

A part is trained on once, at a constant learning rate, since a cycle needs to know its end. In the
place of a falling rate, the weights that are kept are an average over the last steps (Polyak &
Juditsky, "Acceleration of stochastic approximation by averaging", SIAM Journal on Control and
Optimization, 1992). Start and units are those of the first part.
"""

import functools
import json
from typing import NamedTuple

import numpy as np

from skae._data.rows import Rows
from skae._fitting.baselines import warn_of_rank
from skae._fitting.candidates import Candidate, Fitted, Split
from skae._fitting.penalties import penalties_of
from skae._fitting.start import start, unfolded
from skae._fitting.training import weights_as_made
from skae._fitting.trials import choose_output
from skae._fitting.units import Units, in_units
from skae._fitting.validation import Monitor, check_overflow
from skae._framework import load_framework
from skae._network.spec import Penalties
from skae._threads import one_thread

# One pass over MNIST in parts of 1,000 ends at a test error of 0.0065, with a hidden layer of 128.
# It is 0.0068 with batches of 96, 0.0072 without the average too, and 0.0068 at a rate of 1e-3.
RATE = 3e-3
WARM_UP = 60  # steps
BATCH_SIZE = 32
AVERAGED = 0.98
# A tenth of the first part tells which output suits the rows.
HELD_OUT = 0.1


class Stream(NamedTuple):
    """Where training stands between two parts."""

    mean: np.ndarray  # of the units of training
    scale: float
    penalties: Penalties  # in the unit of the rows
    n_steps: int
    n_rows: int
    optimizer: str  # JSON
    arrays: list[np.ndarray]  # the last weights, as the optimizer has them, and its own variables

    @property
    def units(self) -> Units:
        return Units(self.mean, self.scale)


@one_thread()
def go_on(
    candidate: Candidate, rows: Rows, previous: list[np.ndarray] | None, stream: Stream | None
) -> tuple[Fitted, Stream]:
    """Train once on a part, from where an earlier one ended.

    `previous` holds the weights to continue from, or None for a new network, and `stream` where
    training stands, or None if these weights are those of a whole fit.
    """
    load_framework(replay=candidate.settings.progress.verbose > 1)
    from skae._keras.training import compiled, train_on

    if stream is None:
        candidate, begin, stream = _begin(candidate, rows, previous)
    else:
        assert previous is not None
        candidate = candidate.with_settings(penalties=stream.penalties)
        begin = stream.units.unfold(candidate.spec, previous)
    units, spec, how = stream.units, candidate.spec, _recipe(candidate, len(rows), stream)
    # Parts of all sizes share a program, or their optimizers would differ in shape.
    program = compiled(in_units(spec), how._replace(n_steps=1), how.batch_size, shared=False)
    monitor = Monitor(candidate, Split(rows, None), units)
    weights, arrays = train_on(
        program, units.rows(rows), begin, how, monitor, stream.arrays or None
    )
    folded = units.fold(spec, weights)
    check_overflow(candidate, folded, rows)
    stream = stream._replace(
        n_steps=stream.n_steps + how.n_steps, n_rows=stream.n_rows + len(rows), arrays=arrays
    )
    return Fitted(candidate, folded, monitor.result(folded).losses, [], []), stream


def _begin(candidate, rows, previous):
    """Return the candidate, its weights in the units of training, and the start of a stream."""
    if previous is None:
        candidate = _new_network(candidate, rows)
    candidate = candidate.with_settings(penalties=penalties_of(candidate, rows))
    if previous is None and candidate.spec.network is None:
        candidate = _with_output(candidate, rows)
    if previous is None:
        begin, units = start(candidate, rows)
    else:
        given = [array.astype(candidate.spec.dtype) for array in previous]
        begin, units = unfolded(candidate, rows, given)
    mean = np.asarray(units.mean, np.float64)
    penalties = candidate.settings.penalties
    return candidate, begin, Stream(mean, units.scale, penalties, 0, 0, _optimizer(candidate), [])


def _new_network(candidate, rows):
    """Resolve what depends on the number of columns alone, or on the user's network."""
    spec = candidate.spec
    plain = spec.dense and not spec.penalised and candidate.settings.noise is None
    if candidate.starts_from_pca and plain and spec.n_components > spec.n_features:
        warn_of_rank(spec, spec.n_features, reduced=True)
        candidate = candidate.with_spec(n_components=spec.n_features)
    if spec.network is not None:
        candidate = candidate.with_settings(init=weights_as_made(candidate))
    return candidate


def _with_output(candidate, rows):
    """Resolve output_activation="auto" by a part of the first rows."""
    rng = np.random.default_rng([candidate.settings.seed, 1])
    split = next(iter(rows.splits(HELD_OUT, 1, rng)), (rows, None))
    return choose_output(candidate, rows, Split(*split[:2]))[0]


def _recipe(candidate, n_rows, stream):
    from skae._keras.training import Recipe

    settings = candidate.settings
    optimizer = _optimizer(candidate)
    if optimizer != stream.optimizer:
        raise ValueError(
            "partial_fit continues with the optimizer of the first call, whose state it keeps. Got "
            f"optimizer={settings.optimizer!r}, which differs. Set it back, or call fit or "
            "sklearn.base.clone to start anew."
        )
    batch_size = BATCH_SIZE if settings.batch_size == "auto" else int(settings.batch_size)
    rate = RATE if settings.learning_rate == "one_cycle" else settings.learning_rate
    return Recipe(
        json.dumps(settings.loss),
        optimizer,
        -(-n_rows // batch_size),
        functools.partial(_rates, rate, stream.n_steps),
        batch_size,
        1,
        settings.corrupt,
        settings.filling is not None,
        stream.units.penalties(candidate.spec, candidate.loss, settings.penalties),
        [settings.seed, 8, stream.n_steps],
        None,
        settings.shuffle,
    )


def _optimizer(candidate):
    """Return the optimizer as JSON, which averages the weights unless it is configured."""
    given = candidate.settings.optimizer
    if isinstance(given, str):
        given = {"class_name": given, "config": {"use_ema": True, "ema_momentum": AVERAGED}}
    return json.dumps(given, sort_keys=True)


def _rates(rate, begin, step):
    return rate * np.minimum((begin + step + 1) / WARM_UP, 1)
