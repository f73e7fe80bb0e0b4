"""Rows in storage, read in blocks of bounded memory."""

import copy
from collections import OrderedDict
from typing import Any

import numpy as np
from sklearn.utils import check_array

from skae._data.memory import empty

# Rows that take no more than this are read at once: they then cost no more than what is kept of
# larger ones.
SMALL_BYTES = 64 * 2**20
# Blocks of this size are shuffled together in windows of this size, of which one is kept.
BLOCK_BYTES = 2**19
WINDOW_BYTES = 16 * 2**20
# A sample of up to this size may be asked for twice.
KEPT_BYTES = 8 * 2**20
# A pass over all rows reads so much at a time.
PASS_BYTES = 8 * 2**20


class Stored:
    """Rows of a source as an array of one dtype, which slices and positions read from storage.

    Rows are checked as they are read. `finite` says what may be among them, in scikit-learn's
    words: True for no NaN, "allow-nan", or False once they are known.
    """

    ndim = 2

    def __init__(self, source, finite, name="X", dtype=None):
        if source.n_rows is None:
            source.count()
        self.shape = source.n_rows, source.n_features
        self.dtype = np.result_type(source.dtype, dtype or source.dtype)
        self.source = source
        self.finite = finite
        self.refuse_holes = lambda: None  # raises an error that tells more than scikit-learn's
        self._name = name
        self._filling = None
        self._seen = Seen()
        n_bytes = max(1, source.n_features * self.dtype.itemsize)
        size = max(1, BLOCK_BYTES // n_bytes)
        self.block_rows = -(-size // source.multiple) * source.multiple
        self.window_blocks = max(1, WINDOW_BYTES // (self.block_rows * n_bytes))
        self._kept: OrderedDict[int, int] = OrderedDict()  # where blocks are in the window
        self._window: np.ndarray | None = None

    def __len__(self):
        return self.shape[0]

    @property
    def nbytes(self):
        return len(self) * self.shape[1] * self.dtype.itemsize

    def __getitem__(self, positions):
        """Return the rows of a slice or at ascending positions, with their holes filled."""
        return self.fill(self.as_read(positions))

    def as_read(self, positions):
        """Return the same rows with NaN in their holes."""
        self._kept.clear()
        self._window = None
        if isinstance(positions, slice):
            begin, end, _ = positions.indices(len(self))
            if end - begin <= self.block_rows or self.source.multiple == 1:
                return self._read(begin, max(begin, end))
            positions = np.arange(begin, end)
        rows = self._seen.take(positions)
        if rows is not None:
            return rows
        rows = empty((len(positions), self.shape[1]), self.dtype)
        together = self._seen.with_expected(positions)
        # Chunk by chunk, since libraries take memory for each that they read at the same time.
        for _, chosen in _by_block(together, self.block_rows):
            first, last = int(together[chosen[0]]), int(together[chosen[-1]])
            block = self._read(first, last + 1)
            begin, end = np.searchsorted(positions, (first, last + 1))
            rows[begin:end] = block[positions[begin:end] - first]
        return rows

    def expect(self, positions):
        """Keep rows at ascending positions when they are next read, until they are asked for.

        So a sample needs no pass of its own. Only the one that was expected last is kept.
        """
        self._seen.expect(positions, (len(positions), self.shape[1]), self.dtype)

    def fill(self, rows):
        """Return rows as read with their holes filled."""
        return rows if self._filling is None else self._filling.fill(rows)

    def gather(self, out, positions):
        """Write rows at any positions into an array, with NaN in their holes.

        The positions of one call, and of the next few, should be of few blocks.
        """
        groups = [*_by_block(positions, self.block_rows)]
        # Those of the window that ends here come first, so that the next one may replace them.
        for number, chosen in sorted(groups, key=lambda group: group[0] not in self._kept):
            out[chosen] = self._block(number)[positions[chosen] - number * self.block_rows]

    def filled(self, filling):
        """Return the same rows with what a `Filling` puts into their holes."""
        rows = copy.copy(self)
        rows._filling = filling
        return rows

    def min(self):
        return self.scan().low

    def max(self):
        return self.scan().high

    def scan(self) -> "Scan":
        """Read all rows once, and return what was found, which is kept."""
        if self.finite is not False:
            self._scan = Scan(self)
            self.finite = False
        return self._scan

    def _block(self, number):
        """Return a block from the window, which it enters in the place of the oldest one."""
        if self._window is None:
            self._window = empty((self.window_blocks, self.block_rows, self.shape[1]), self.dtype)
        place = self._kept.pop(number, None)
        if place is None:
            begin = number * self.block_rows
            rows = self._read(begin, min(begin + self.block_rows, len(self)))
            place = len(self._kept)
            if place == self.window_blocks:
                _, place = self._kept.popitem(last=False)
            self._window[place, : len(rows)] = rows
        self._kept[number] = place
        return self._window[place]

    def _read(self, begin, end):
        if self._seen.last_at(begin, end) is None:
            self._seen.add(begin, end, self._checked(self.source.read(begin, end)))
        return self._seen.last_at(begin, end)

    def _checked(self, rows):
        known = self.finite is False and type(rows) in (np.ndarray, np.memmap)
        if known and rows.ndim == 2 and rows.dtype == self.dtype:
            return np.asarray(rows)  # to check nothing would take as long as to read a block
        try:
            return check_array(
                rows,
                dtype=self.dtype,
                ensure_all_finite=self.finite,
                ensure_min_samples=0,
                ensure_min_features=0,
                input_name=self._name,
            )
        except ValueError as error:
            if "contains NaN" in str(error):
                self.refuse_holes()
            raise


class Seen:
    """Rows that were read and will be asked for again: the last ones, and those of a sample."""

    def __init__(self):
        self._begin, self._end, self._last = 0, 0, None
        self._sample = np.zeros(0, np.intp)  # the positions that are expected
        self._rows: Any = None
        self._done = 0  # so many of these have been seen

    def add(self, begin, end, rows):
        self._begin, self._end, self._last = begin, end, rows
        first, stop = np.searchsorted(self._sample, (begin, end))
        if first <= self._done < stop:
            chosen = slice(self._done, stop)
            self._rows[chosen] = rows[self._sample[chosen] - begin]
            self._done = stop

    def last_at(self, begin, end):
        return self._last if (begin, end) == (self._begin, self._end) else None

    def expect(self, positions, shape, dtype):
        self._sample, self._rows, self._done = positions, empty(shape, dtype), 0

    def with_expected(self, positions):
        return np.union1d(positions, self._sample[self._done :])

    def take(self, positions):
        """Return rows that were expected and seen, or None; a large sample is forgotten."""
        if len(positions) == 0 or not np.array_equal(positions, self._sample):
            return None
        rows = self._rows if self._done == len(positions) else None
        if rows is None or rows.nbytes > KEPT_BYTES:
            self._sample, self._rows, self._done = self._sample[:0], None, 0
        return rows


class Scan:
    """What one pass over all rows finds: extremes, and rows without any value."""

    def __init__(self, rows: Stored):
        self.low, self.high = np.inf, -np.inf
        self.incomplete = False
        empty = []
        size = max(1, PASS_BYTES // max(1, rows.shape[1] * rows.dtype.itemsize))
        for begin in range(0, len(rows), size):
            block = rows.as_read(slice(begin, begin + size))
            low, high = block.min(), block.max()
            if np.isnan(low):
                self.incomplete, missing = True, np.isnan(block)
                empty.append(begin + np.flatnonzero(missing.all(axis=1)))
                if missing.all():
                    continue
                low, high = np.nanmin(block), np.nanmax(block)
            self.low, self.high = min(self.low, low), max(self.high, high)
        self.empty = np.concatenate([np.zeros(0, np.intp), *empty])

    def restrict(self, blocks):
        """Let the extremes be those of some rows, in blocks, each of which has a value."""
        ends = [(np.nanmin(block), np.nanmax(block)) for block in blocks]
        self.low, self.high = min(low for low, _ in ends), max(high for _, high in ends)


class Holes:
    """Where entries of stored rows are missing."""

    def __init__(self, rows):
        self._rows = rows
        self.shape = rows.shape

    def __getitem__(self, positions):
        return np.isnan(self._rows.as_read(positions))


def holes_of(X: Any) -> Any:
    """Return which entries of dense or stored rows are missing."""
    return Holes(X) if isinstance(X, Stored) else np.isnan(X)


def empty_rows(X: Any, holes: Any) -> np.ndarray:
    """Return the positions of rows without any value."""
    return X.scan().empty if isinstance(X, Stored) else np.flatnonzero(holes.all(axis=1))


class AllBut:
    """All numbers below a limit but a few, as an array that takes no memory for the others."""

    def __init__(self, without, limit):
        self.without = without  # ascending
        self._before = without - np.arange(len(without))
        self._length = limit - len(without)

    def __len__(self):
        return self._length

    def __getitem__(self, indices):
        if isinstance(indices, slice):
            indices = np.arange(*indices.indices(self._length))
        return indices + np.searchsorted(self._before, indices, side="right")


def _by_block(positions, block_rows):
    """Yield the number of each block with some positions, and which of them are in it."""
    if len(positions):
        numbers = positions // block_rows
        order = np.argsort(numbers, kind="stable")
        for chosen in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
            yield int(numbers[chosen[0]]), chosen


def n_below(positions: Any, limit: np.ndarray) -> np.ndarray:
    """Return how many of some ascending positions are below each limit."""
    if isinstance(positions, AllBut):
        return limit - np.searchsorted(positions.without, limit)
    return np.searchsorted(positions, limit)


def in_blocks(source: Any, finite: bool | str, name: str = "X", dtype: Any = None) -> Any:
    """Return the rows of a source as `Stored`, or as an array if they are few and on no cluster.

    They have the dtype to compute in, or a larger one that is given.
    """
    rows = Stored(source, finite, name, dtype)
    return rows[:] if rows.nbytes <= SMALL_BYTES and source.client is None else rows
