"""Rows in storage, read in blocks of bounded memory."""

import copy
import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from sklearn.utils import check_array

# Rows that take no more than this are read at once: they then cost no more than what is kept of
# larger ones.
SMALL_BYTES = 64 * 2**20
# Blocks of this size are shuffled together in windows of this size, of which one is kept.
BLOCK_BYTES = 2**20
WINDOW_BYTES = 32 * 2**20


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
        n_bytes = max(1, source.n_features * self.dtype.itemsize)
        size = max(1, BLOCK_BYTES // n_bytes)
        self.block_rows = -(-size // source.multiple) * source.multiple
        self.window_blocks = max(1, WINDOW_BYTES // (self.block_rows * n_bytes))
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.RLock()

    def __len__(self):
        return self.shape[0]

    @property
    def nbytes(self):
        return len(self) * self.shape[1] * self.dtype.itemsize

    def __getitem__(self, positions):
        """Return the rows of a slice or at ascending positions, with their holes filled."""
        rows = self.as_read(positions)
        return rows if self._filling is None else self._filling.fill(rows)

    def as_read(self, positions):
        """Return the same rows with NaN in their holes."""
        if isinstance(positions, slice):
            begin, end, _ = positions.indices(len(self))
            return self._read(begin, max(begin, end))
        if len(positions) == 0:
            return np.empty((0, self.shape[1]), self.dtype)
        first, last = int(positions[0]), int(positions[-1])
        if last - first < 2 * len(positions):
            return self._read(first, last + 1)[positions - first]
        rows = np.empty((len(positions), self.shape[1]), self.dtype)
        self.gather(rows, positions)
        return rows

    def gather(self, out, positions):
        """Write rows at any positions into an array, with NaN in their holes.

        The positions of one call, and of the next few, should be of few blocks.
        """
        numbers = positions // self.block_rows
        order = np.argsort(numbers, kind="stable")
        ends = np.flatnonzero(np.diff(numbers[order])) + 1
        groups = {int(numbers[chosen[0]]): chosen for chosen in np.split(order, ends)}
        # Those of the window that ends here come first, so that the next one may replace them.
        for number in sorted(groups, key=lambda number: number not in self._kept):
            chosen = groups[number]
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
        with self._lock:
            block = self._kept.pop(number, None)
            if block is None:
                begin = number * self.block_rows
                block = self._read(begin, min(begin + self.block_rows, len(self)))
                if not block.flags.owndata:
                    block = block.copy()  # once, in order, rather than row by row from the disk
            self._kept[number] = block
            while len(self._kept) > self.window_blocks:
                self._kept.popitem(last=False)
            return block

    def _read(self, begin, end):
        with self._lock:
            rows = self.source.read(begin, end)
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


class Scan:
    """What one pass over all rows finds: extremes, rows and columns without any value."""

    def __init__(self, rows: Stored):
        self.low, self.high = np.inf, -np.inf
        self.incomplete = False
        known, empty = np.zeros(rows.shape[1], bool), []
        size = max(1, 8 * BLOCK_BYTES // max(1, rows.shape[1] * rows.dtype.itemsize))
        for begin in range(0, len(rows), size):
            block = rows.as_read(slice(begin, begin + size))
            low, high = block.min(), block.max()
            if np.isnan(low):
                self.incomplete, present = True, ~np.isnan(block)
                known |= present.any(axis=0)
                empty.append(begin + np.flatnonzero(~present.any(axis=1)))
                if not present.any():
                    continue
                low, high = np.nanmin(block), np.nanmax(block)
            else:
                known[:] = True
            self.low, self.high = min(self.low, low), max(self.high, high)
        self.empty = np.concatenate([np.zeros(0, np.intp), *empty])
        self.unknown = np.flatnonzero(~known)


class Holes:
    """Where entries of stored rows are missing."""

    def __init__(self, rows):
        self._rows = rows
        self.shape = rows.shape

    def __getitem__(self, positions):
        return np.isnan(self._rows.as_read(positions))


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


def n_below(positions: Any, limit: np.ndarray) -> np.ndarray:
    """Return how many of some ascending positions are below each limit."""
    if isinstance(positions, AllBut):
        return limit - np.searchsorted(positions.without, limit)
    return np.searchsorted(positions, limit)


def in_blocks(source: Any, finite: bool | str, name: str = "X", dtype: Any = None) -> Any:
    """Return the rows of a source as `Stored`, or as an array if they are few.

    They have the dtype to compute in, or a larger one that is given.
    """
    rows = Stored(source, finite, name, dtype)
    return rows[:] if rows.nbytes <= SMALL_BYTES else rows
