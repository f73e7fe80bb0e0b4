"""Training on the workers of a Dask cluster, for rows that are on it."""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from skae._data.rows import Rows
from skae._data.stored import n_below
from skae._network.spec import NetworkSpec


def client_of(rows: Rows) -> Any:
    """Return the client of the cluster that rows are on, or None if they are on none."""
    return rows.X.source.client if rows.stored else None


@contextlib.contextmanager
def trainer_for(rows: Rows) -> Iterator[Any]:
    """Yield what trains on the cluster that rows are on, or None if they are on none.

    Its processes on the workers start when it trains first, and have ended after the block.
    """
    client = client_of(rows)
    if client is None:
        yield None
        return
    from skae._dask.training import Trainer

    with Trainer(client) as trainer:
        yield trainer


def train(
    trainer: Any,
    spec: NetworkSpec,
    rows: Rows,
    weights: list[np.ndarray],
    recipe: Any,
    monitor: Any,
) -> list[np.ndarray]:
    """Train as `skae._keras.training.train` does, with a process on each worker."""
    from skae._dask.training import Blocks

    blocks = Blocks(
        rows.X.source.pieces,
        _orders(rows),
        rows.dtype.name,
        rows.origin,
        rows.scale,
        rows.weights,
        rows.labels,
    )
    return trainer.train(blocks, spec, weights, recipe, monitor)


def _orders(rows):
    """Return, for each piece, which of the rows each of its rows is, or -1 for those left out."""
    ends = np.cumsum([0, *rows.X.source.lengths])
    orders = []
    for begin, end in itertools.pairwise(ends):
        positions = np.arange(begin, end + 1)
        if rows.chosen is not None:
            before = n_below(rows.chosen, positions)
            orders.append(np.where(np.diff(before) > 0, before[:-1], -1))
        else:
            orders.append(positions[:-1])
    return orders
