"""Shuffle rows and fill shards of a fixed shape with them, beside the training."""

import itertools
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from skae._keras import beside, finish, stop_if_interrupted

SHARD_BYTES = 32 * 2**20
SHARD_STEPS = 64


def aligned_zeros(shape, dtype):
    """Return an array of zeros that TensorFlow takes as a tensor without a copy.

    Such an array begins at a multiple of 64 bytes.
    """
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.zeros(n_bytes + 64, np.uint8)
    begin = -buffer.ctypes.data % 64
    return buffer[begin : begin + n_bytes].view(dtype).reshape(shape)


class Shard(NamedTuple):
    """Room for some batches, each filled up with copies of its rows that have a share of 0."""

    X: np.ndarray  # (n_steps, batch_size, n_features)
    clean: np.ndarray  # the same before corruption; of width 0 without corruption
    draws: np.ndarray  # (n_steps, batch_size, n_draws), standard normal
    labels: np.ndarray  # (n_steps, batch_size, n_targets)
    # Weights divided by their sum, not by the number of rows as Keras does by default: a weight of
    # 2 then equals two copies, and padding weighs nothing.
    shares: np.ndarray  # (n_steps, batch_size)
    rates: np.ndarray  # (n_steps,)


class Feed:
    """Shuffled rows, cut into shards of a fixed shape and run through a program.

    A thread gathers the rows of a shard while the program runs on the shard before, since XLA's
    products of matrices this narrow leave a core idle. With only one core, the two take turns.
    """

    def __init__(self, rows, program, recipe):
        self._rows = rows
        self._program = program
        self._corrupt = recipe.corrupt
        self._rng = np.random.default_rng(recipe.seed)
        self._weights = np.ones(len(rows)) if rows.weights is None else rows.weights
        self._steps_per_epoch = -(-len(rows) // program.batch_size)
        planned = -(-recipe.n_steps // self._steps_per_epoch)
        n_epochs = planned if recipe.n_epochs is None else min(recipe.n_epochs, planned)
        self._n_steps = min(recipe.n_steps, n_epochs * self._steps_per_epoch)
        self._steps_per_check = recipe.check_every * self._steps_per_epoch
        self._rates = recipe.rates
        self._batches = self._shuffled(n_epochs)
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        finish(self._thread)

    def train(self):
        """Run the program; at each check, yield the mean loss of every epoch since the last one."""
        losses, totals, done = [], [], 0
        for shard, batch_weights in self._filled():
            stop_if_interrupted()
            losses.append(self._program.run(shard, len(batch_weights)))
            totals.append(batch_weights)
            done += len(batch_weights)
            if done % self._steps_per_check and done < self._n_steps:
                continue
            means, weights = np.concatenate(losses), np.concatenate(totals)
            begins = range(0, len(means), self._steps_per_epoch)  # the last epoch may be short
            yield np.add.reduceat(means * weights, begins) / np.add.reduceat(weights, begins)
            losses, totals = [], []

    def _parts(self) -> Iterator[np.ndarray]:
        """Yield the rates of all steps, one shard at a time; a shard ends where a check is due."""
        size = self._program.n_steps
        for first in range(0, self._n_steps, self._steps_per_check):
            last = min(first + self._steps_per_check, self._n_steps)
            begins = [*range(first, last, size)]
            # Nothing runs while the first shard is filled, so it is small, unless all shards are.
            if first == 0 and size < SHARD_STEPS:
                begins = [0, *(n for n in (size // 8, size // 2) if 0 < n < last), *begins[1:]]
            for begin, end in itertools.pairwise([*begins, last]):
                yield self._rates(np.arange(begin, end))

    def _shuffled(self, n_epochs):
        n_rows, size = len(self._rows), self._program.batch_size
        for _ in range(n_epochs):
            order = self._rng.permutation(n_rows)
            for begin in range(0, n_rows, size):
                yield order[begin : begin + size]

    def _filled(self):
        """Yield each shard with the weights of its batches, and fill the next one meanwhile."""
        parts = self._parts()
        shard = self._program.empty_shard()
        drawn = self._corrupt is not None or shard.draws.size > 0
        # If every batch holds all rows as they are, they are put there once.
        if self._steps_per_epoch == 1 and not drawn:
            everything = np.arange(len(self._rows))
            weights = [self._put(shard, i, everything) for i in range(self._program.n_steps)]
            for part in parts:
                shard.rates[: len(part)] = part
                yield shard, weights[: len(part)]
            return
        other = self._program.empty_shard()
        first = next(parts, None)
        if first is None:
            return
        ahead = beside(self._thread, self._fill, shard, first)
        for following in itertools.chain(parts, [None]):
            batch_weights = ahead.result()
            if following is not None:
                ahead = beside(self._thread, self._fill, other, following)
            yield shard, batch_weights
            shard, other = other, shard

    def _fill(self, shard, rates):
        shard.rates[: len(rates)] = rates
        return [self._put(shard, i, next(self._batches)) for i in range(len(rates))]

    def _put(self, shard, i, indices):
        """Put rows into batch `i` of a shard and return their total weight."""
        n = len(indices)
        X = shard.X[i, :n]
        self._rows.gather(X, indices)
        if self._corrupt is not None:
            shard.clean[i, :n] = X
            X[:] = self._corrupt(X, self._rng)
            self._rows.to_units(shard.clean[i, :n])
        self._rows.to_units(X)
        self._rng.standard_normal(out=shard.draws[i], dtype=shard.draws.dtype)
        if shard.labels.size:
            shard.labels[i, :n] = self._rows.labels[indices]
        weights = self._weights[indices]
        total = weights.sum(dtype=np.float64)
        shard.shares[i, :n] = weights / total
        shard.shares[i, n:] = 0
        # Copies fill up the batch, not zeros: the user's layers may look at the whole batch, and a
        # loss that is nan for zeros stays nan with a share of 0.
        if n < self._program.batch_size:
            again = np.arange(n, self._program.batch_size) % n
            shard.X[i, n:] = X[again]
            shard.clean[i, n:] = shard.clean[i, again]
            shard.labels[i, n:] = shard.labels[i, again]
        return total
