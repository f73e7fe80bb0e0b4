"""The one source of rows: dense or sparse, weighted or not, made dense a block at a time."""

import numpy as np
from scipy import sparse

BLOCK_BYTES = 8 * 2**20


class Rows:
    """Validated rows of a dense or CSR matrix, with optional weights.

    Rows of weight zero are not there: they would otherwise count in a batch, in a split and in
    the rank of the data. `to_units` makes (X - origin) / scale of them.
    """

    def __init__(self, X, weights=None, origin=0.0, scale=1.0):
        if weights is not None and not np.all(weights):
            X, weights = X[np.flatnonzero(weights)], weights[weights != 0]
        self.X = X
        self.weights = weights
        self.origin = origin
        self.scale = scale
        self.pca = None  # computed once, by whoever starts from it

    def __len__(self):
        return self.X.shape[0]

    @property
    def n_features(self):
        return self.X.shape[1]

    @property
    def dtype(self):
        return self.X.dtype

    def total_weight(self):
        return len(self) if self.weights is None else self.weights.sum(dtype=np.float64)

    def take(self, indices):
        return Rows(self.X[indices], None if self.weights is None else self.weights[indices])

    def sample(self, n_rows, seed):
        """At most `n_rows` of the rows, drawn without replacement."""
        if len(self) <= n_rows:
            return self
        rng = np.random.default_rng(seed)
        return self.take(np.sort(rng.choice(len(self), n_rows, replace=False, shuffle=False)))

    def gather(self, out, indices):
        """Write rows into a dense array."""
        if sparse.issparse(self.X):
            out[:] = self.X[indices].toarray()
        else:
            # "clip" lets NumPy write to `out` without a buffer; the indices are in range.
            np.take(self.X, indices, axis=0, out=out, mode="clip")

    def to_units(self, out):
        """Change dense rows to the units of training, in place."""
        if self.scale != 1 or np.any(self.origin):
            np.subtract(out, self.origin, out=out, casting="same_kind")
            out /= self.scale

    def blocks(self):
        """Yield dense blocks of bounded size with their weights."""
        size = max(1, BLOCK_BYTES // (self.n_features * self.dtype.itemsize))
        for begin in range(0, len(self), size):
            block = self.X[begin : begin + size]
            if sparse.issparse(block):
                block = block.toarray()
            weights = None if self.weights is None else self.weights[begin : begin + size]
            yield block, weights

    def mean(self):
        """Weighted mean of the rows, in float64."""
        total, weight = np.zeros(self.n_features), 0.0
        for block, weights in self.blocks():
            if weights is None:
                total += block.sum(axis=0, dtype=np.float64)
                weight += len(block)
            else:
                total += weights.astype(np.float64) @ block
                weight += weights.sum(dtype=np.float64)
        return total / weight

    def within(self, low, high):
        """Whether all entries lie in an interval, but for rounding.

        Scaling to [0, 1] leaves the interval by rounding in nearly half of all tables; without a
        tolerance the folds of one search would get different networks.
        """
        slack = 8 * np.finfo(self.dtype).eps
        return bool(self.X.min() >= low - slack and self.X.max() <= high + slack)

    def splits(self, fraction, n_splits, rng):
        """Hold out disjoint fractions of the distinct rows, `n_splits` at most; return for each
        the rest and what was held out.

        A row goes where a hash of its content says, so copies of a row stay on one side: nothing
        leaks between the sides, and a weight of 2 is the same as two copies. There is no split of
        fewer than two distinct rows.
        """
        hashes = self._hashes(rng)
        distinct = np.unique(hashes)
        if len(distinct) < 2:
            return []
        n_held = min(max(1, round(fraction * len(distinct))), len(distinct) - 1)
        splits = []
        for i in range(min(n_splits, len(distinct) // n_held)):
            first, last = distinct[i * n_held], distinct[(i + 1) * n_held - 1]
            held = (hashes >= first) & (hashes <= last)
            splits.append((self.take(np.flatnonzero(~held)), self.take(np.flatnonzero(held))))
        return splits

    def _hashes(self, rng):
        """A 64-bit hash of each row: its bits times random odd numbers, summed modulo 2^64."""
        words = self.dtype.itemsize // 4
        shape = (self.n_features, words)
        factors = rng.integers(2**64, size=shape, dtype=np.uint64) | np.uint64(1)
        hashes = []
        for block, _ in self.blocks():
            bits = np.ascontiguousarray(block + 0).view(np.uint32)  # + 0 turns -0.0 into 0.0
            hashes.append(bits.astype(np.uint64) @ factors.ravel())
        return np.concatenate(hashes)
