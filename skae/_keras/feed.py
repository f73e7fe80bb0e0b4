"""Put rows in order and fill shards of a fixed shape with them, beside the training."""

import itertools
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import NamedTuple

import numpy as np

from skae._keras import on_chosen_device, spare_core, stop_if_interrupted

SHARD_BYTES = 24 * 2**20
SHARD_STEPS = 256
# Smaller shards are filled between two runs. Waiting for a second thread would take longer.
SMALL_SHARD = 2 * 2**20


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
    """Rows in the order to train in, cut into shards of a fixed shape and run through a program.

    Unless shards are small, a thread gathers the rows of one while the program runs on the one
    before, since XLA's products of matrices this narrow leave a core idle. With only one core, the
    two take turns.
    """

    def __init__(self, rows, program, recipe):
        self._rows = rows
        self._program = program
        self._corrupt = recipe.corrupt
        self._rng = np.random.default_rng(recipe.seed)
        self._shuffle = recipe.shuffle
        self._steps_per_epoch = self._n_batches()
        planned = -(-recipe.n_steps // self._steps_per_epoch)
        n_epochs = planned if recipe.n_epochs is None else min(recipe.n_epochs, planned)
        self._n_steps = min(recipe.n_steps, n_epochs * self._steps_per_epoch)
        self._steps_per_check = recipe.check_every * self._steps_per_epoch
        self._rates = recipe.rates
        self._batches = self._indices(n_epochs)
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._thread.shutdown(cancel_futures=True)

    def train(self, advance):
        """Run the program; at each check, yield the mean loss of every epoch since the last one.

        `advance` is called after each shard with the number of epochs that are done.
        """
        losses, totals, done = [], [], 0
        for shard, batch_weights in self._filled():
            stop_if_interrupted()
            losses.append(self._program.run(shard, len(batch_weights)))
            totals.append(batch_weights)
            done += len(batch_weights)
            advance(done / self._steps_per_epoch)
            if done % self._steps_per_check and done < self._n_steps:
                continue
            yield self._means(np.concatenate(losses), np.concatenate(totals))
            losses, totals = [], []

    def _n_batches(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-len(self._rows) // self._program.batch_size)

    def _means(self, losses, weights):
        """Return the mean loss of each epoch, from the losses and weights of its batches."""
        begins = range(0, len(losses), self._steps_per_epoch)  # the last epoch may be short
        return np.add.reduceat(losses * weights, begins) / np.add.reduceat(weights, begins)

    def _share(self, weights, totals, out):
        """Write what the loss of each row is multiplied by."""
        np.divide(weights, totals[:, None], out=out, casting="same_kind")

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

    def _indices(self, n_epochs):
        """Yield the indices of the rows of each batch."""
        size = self._program.batch_size
        for _ in range(n_epochs):
            waiting = np.zeros(0, np.intp)
            for some in self._rows.order(self._rng, shuffle=self._shuffle):
                waiting = np.concatenate([waiting, some]) if len(waiting) else some
                end = len(waiting) // size * size
                for begin in range(0, end, size):
                    yield waiting[begin : begin + size]
                waiting = waiting[end:]
            if len(waiting):
                yield waiting

    def _filled(self):
        """Yield each shard with the weights of its batches, and fill the next one meanwhile."""
        parts = self._parts()
        shard = self._program.empty_shard()
        drawn = self._corrupt is not None or shard.draws.size > 0
        # If every batch holds all rows as they are, they are put there once.
        if self._steps_per_epoch == 1 and not drawn:
            everything = np.arange(len(self._rows))
            weights = self._put(shard, [everything] * self._program.n_steps)
            for part in parts:
                shard.rates[: len(part)] = part
                yield shard, weights[: len(part)]
            return
        first = next(parts, None)
        if first is None:
            return
        if shard.X.nbytes < SMALL_SHARD:
            for part in itertools.chain([first], parts):
                yield shard, self._fill(shard, part)
            return
        other = self._program.empty_shard()
        ahead = self._filled_ahead(shard, first)
        for following in itertools.chain(parts, [None]):
            batch_weights = ahead.result()
            if following is not None:
                ahead = self._filled_ahead(other, following)
            yield shard, batch_weights
            shard, other = other, shard

    def _filled_ahead(self, shard, rates):
        """Fill a shard beside the caller if there is a core to spare, else at once."""
        future = self._thread.submit(on_chosen_device(self._fill, shard, rates))
        if not spare_core():
            wait([future])
        return future

    def _fill(self, shard, rates):
        shard.rates[: len(rates)] = rates
        return self._put(shard, [*itertools.islice(self._batches, len(rates))])

    def _put(self, shard, batches):
        """Put the rows with the given indices into a shard and return the weight of each batch.

        Copies fill up a batch, not zeros: the user's layers may look at the whole batch, and a loss
        that is nan for zeros stays nan with a share of 0.
        """
        n, size = len(batches), self._program.batch_size
        sizes = np.array([len(batch) for batch in batches])
        indices = np.array(
            [batch if len(batch) == size else np.resize(batch, size) for batch in batches]
        )
        self._put_columns(shard, indices, sizes)
        if shard.labels.size:
            shard.labels[:n] = self._rows.labels[indices]
        weights = np.ones(indices.shape)
        if self._rows.weights is not None:
            weights = self._rows.weights[indices]
        weights[np.arange(size) >= sizes[:, None]] = 0
        totals = weights.sum(axis=1, dtype=np.float64)
        self._share(weights, totals, shard.shares[:n])
        return totals

    def _put_columns(self, shard, indices, sizes):
        """Put the columns of some rows into a shard, corrupted ones and draws beside them."""
        n, width = len(indices), self._program.n_features
        X, clean = (_without_room(array[:n], width) for array in (shard.X, shard.clean))
        self._rows.gather(X.reshape(-1, width), indices.ravel())
        if self._corrupt is not None:
            clean[:] = X
            self._rows.to_units(clean)
            self._corrupt_rows(X, sizes)
        if shard.draws.size:
            self._rng.standard_normal(out=shard.draws[:n], dtype=shard.draws.dtype)
        self._rows.to_units(X)
        if X.shape != shard.X[:n].shape:
            shard.X[:n, :, :width] = X
            shard.clean[:n, :, :width] = clean

    def _corrupt_rows(self, X, sizes):
        """Corrupt batches in place, all together where rows do not depend on their batch.

        That takes less time.
        """
        hide, noise = self._corrupt  # functions (rows, rng) -> rows, or None
        if hide is not None:
            X[:] = hide(X.reshape(-1, X.shape[-1]), self._rng).reshape(X.shape)
        if noise is not None:
            for batch, n_rows in zip(X, sizes, strict=True):
                batch[:] = np.resize(noise(batch[: max(1, n_rows)], self._rng), batch.shape)


def _without_room(array, width):
    """Return the array, or one without its last columns where it has more than `width`."""
    return array if array.shape[-1] <= width else np.empty((*array.shape[:-1], width), array.dtype)
