"""The single source of rows, dense or sparse, weighted or not; it makes them dense in blocks."""

import copy
import functools

import numpy as np
from scipy import sparse

from skae._data.stored import AllBut, Stored, n_below

BLOCK_BYTES = 8 * 2**20
# The copies of one row may make up this share of what is held out, if enough rows are so rare.
RARE = 0.01
# If they make up more than this share of it, a network not trained on the row has missed it.
MISSED = 0.1
# Of more rows than this, no more are looked at to find those to hold out than so many times as many
# as are needed, unless they have fewer distinct hashes than this.
MANY_ROWS = 1_000_000
TO_CHOOSE_FROM = 8
ENOUGH_TO_CHOOSE_FROM = 100
# A sample of stored rows that takes more than this is read as often as it is needed.
SAMPLE_BYTES = 64 * 2**20
# Without shuffling, so many rows at a time are put in order.
ORDERED_ROWS = 2**16


class Rows:
    """Validated rows of a dense, stored or CSR matrix, with optional weights and labels.

    Rows of weight zero are dropped, since they would count in batches, in splits and in the rank
    of the data. `chosen` are positions in a dense X, for when only some of its rows are meant:
    the rows to train on are most of X, and a copy would take its memory again. `to_units` turns
    rows into (X - origin) / scale. Labels are arrays of targets as `skae._network.labels` describes
    them, one for each row. `holes` says of each entry of a dense X whether it is missing; what X
    has there was filled in, and no loss counts it.
    """

    def __init__(self, X, weights=None, chosen=None, labels=None, holes=None):
        if weights is not None and not np.all(weights):
            there = np.flatnonzero(weights)
            weights = weights[there]
            labels = None if labels is None else labels[there]
            if isinstance(X, Stored):
                chosen = there
            else:
                X = X[there]
                holes = None if holes is None else holes[there]
        self.X = X
        self.weights = weights
        self.chosen = chosen
        self.labels = labels
        self.holes = holes
        self.origin = 0.0
        self.scale = 1.0
        self.pca = None  # computed once, by the first fit that starts from it
        self._mean = None  # which takes a pass over the rows
        # If these are scores of other rows: those rows, whose content decides the splits, and what
        # the scores leave of the loss of each row.
        self.source = None
        self.left = None

    def __len__(self):
        return self.X.shape[0] if self.chosen is None else len(self.chosen)

    @property
    def n_features(self):
        return self.X.shape[1]

    @property
    def n_bytes(self):
        """The memory that dense rows take."""
        return len(self) * self.n_features * self.dtype.itemsize

    @property
    def sparse(self):
        return sparse.issparse(self.X)

    @property
    def stored(self):
        return isinstance(self.X, Stored)

    @property
    def dtype(self):
        return self.X.dtype

    @functools.cached_property
    def extremes(self):
        """The smallest and the largest entry of X, of those that are known."""
        if self.holes is None or self.stored:
            return self.X.min(), self.X.max()
        known = self.X[~self.holes]
        return known.min(), known.max()

    def total_weight(self):
        return len(self) if self.weights is None else self.weights.sum(dtype=np.float64)

    def filled(self, filling):
        """Return the same rows with what a `Filling` puts into their holes."""
        rows = copy.copy(self)
        rows.X = self.X.filled(filling) if self.stored else filling.fill(self.X)
        rows._mean = None
        return rows

    def in_units(self, origin, scale):
        """Return the same rows with another origin and scale for `to_units`."""
        rows = copy.copy(self)
        rows.origin, rows.scale = origin, scale
        return rows

    def take(self, indices):
        """Return a copy of some of the rows."""
        positions, holes = self._positions(indices), None
        if self.stored:
            rows = self.X.as_read(positions)
            self.X.source.close()
            holes = None if self.holes is None else np.isnan(rows)
            return self._with(self.X.fill(rows), holes, None, indices)
        if self.holes is not None:
            holes = self.holes[positions]
        return self._with(self.X[positions], holes, None, indices)

    def sample(self, n_rows, seed):
        """Return at most `n_rows` of the rows, drawn without replacement."""
        if len(self) <= n_rows:
            return self.held() if self.n_bytes <= SAMPLE_BYTES else self
        chosen = self._drawn(n_rows, seed)
        return self.take(chosen) if self._holds(n_rows) else self._view(chosen)

    def expect(self, n_rows, seed):
        """Let the next pass over all stored rows keep what `sample` will be asked for."""
        if self.stored and len(self) > n_rows and self._holds(n_rows):
            self.X.expect(self._positions(self._drawn(n_rows, seed)))

    def _drawn(self, n_rows, seed):
        rng = np.random.default_rng(seed)
        return np.sort(rng.choice(len(self), n_rows, replace=False, shuffle=False))

    def _holds(self, n_rows):
        """Return whether so many of the rows may be held in memory."""
        return not self.stored or self.n_bytes * n_rows <= SAMPLE_BYTES * len(self)

    def held(self):
        """Return the rows in memory."""
        return self.take(np.arange(len(self))) if self.stored else self

    def order(self, rng, *, shuffle=True):
        """Yield the indices of all rows in the order to train in, some at a time.

        Rows in memory are shuffled together. Stored rows are shuffled in windows of blocks, which
        are drawn at random where that takes no longer than reading them in order.
        """
        if shuffle and not self.stored:
            yield rng.permutation(len(self))
            return
        if not shuffle:
            for begin in range(0, len(self), ORDERED_ROWS):
                yield np.arange(begin, min(begin + ORDERED_ROWS, len(self)))
            return
        edges = np.arange(0, len(self.X) + self.X.block_rows, self.X.block_rows)
        if self.chosen is not None:
            edges = n_below(self.chosen, edges)
        edges = np.minimum(edges, len(self))
        blocks = np.arange(len(edges) - 1)
        if self.X.source.seeks:
            rng.shuffle(blocks)
        for begin in range(0, len(blocks), self.X.window_blocks):
            window = blocks[begin : begin + self.X.window_blocks]
            yield rng.permutation(
                np.concatenate([np.arange(edges[k], edges[k + 1]) for k in window])
            )

    def gather(self, out, indices):
        """Write some of the rows into a dense array, with NaN in the holes."""
        if sparse.issparse(self.X):
            self.X[indices].toarray(out=out)
            return
        positions = self._positions(indices)
        if self.stored:
            self.X.gather(out, positions)
            return
        # "clip" lets NumPy write to `out` without a buffer; the indices are in range.
        np.take(self.X, positions, axis=0, out=out, mode="clip")
        if self.holes is not None:
            out[self.holes[positions]] = np.nan

    def to_units(self, out):
        """Convert dense rows to the units of training, in place."""
        if self.scale != 1 or np.any(self.origin):
            np.subtract(out, self.origin, out=out, casting="same_kind")
            out /= self.scale

    def blocks(self):
        """Yield the rows in dense blocks of bounded size, with their weights."""
        size = max(1, BLOCK_BYTES // (self.n_features * self.dtype.itemsize))
        for begin in range(0, len(self), size):
            block = self.X[self._positions(slice(begin, begin + size))]
            if sparse.issparse(block):
                block = block.toarray()
            weights = None if self.weights is None else self.weights[begin : begin + size]
            yield block, weights

    def targets(self):
        """Yield the same blocks as losses compare them, with NaN in the holes, and their labels."""
        begin = 0
        for block, _ in self.blocks():
            chosen = slice(begin, begin + len(block))
            begin += len(block)
            if self.holes is not None:
                holes = self.holes[self._positions(chosen)]
                block = np.where(holes, block.dtype.type(np.nan), block)
            yield block, None if self.labels is None else self.labels[chosen]

    def mean(self):
        """Return the weighted mean of the rows, in float64."""
        if self.sparse:
            copies = np.ones(len(self)) if self.weights is None else self.weights
            return np.ravel(copies.astype(np.float64) @ self.X) / self.total_weight()
        if self._mean is not None:
            return self._mean
        total, weight = np.zeros(self.n_features), 0.0
        for block, weights in self.blocks():
            if weights is None:
                total += block.sum(axis=0, dtype=np.float64)
                weight += len(block)
            else:
                total += weights.astype(np.float64) @ block
                weight += weights.sum(dtype=np.float64)
        self._mean = total / weight
        return self._mean

    def within(self, low, high):
        """Return whether all entries lie in an interval, with a tolerance for rounding.

        In nearly half of all tables, scaling to [0, 1] leaves the interval by rounding. Without a
        tolerance, the folds of one search would get different networks.
        """
        if np.isinf([low, high]).all():
            return True  # without reading all of X
        slack = 8 * np.finfo(self.dtype).eps
        return bool(self.extremes[0] >= low - slack and self.extremes[1] <= high + slack)

    def splits(self, fraction, n_splits, rng, sample=None):
        """Hold out disjoint fractions of the rows, by weight, in at most `n_splits` splits.

        Return a list with the rest, the rows held out, and whether rows with many copies had to
        be held out, for each split. It is empty for fewer than two distinct rows. `sample` are the
        arguments of `sample` that the first rest will be asked for.

        A hash of a row's content decides its side, so all copies of a row are on one side. Nothing
        leaks between the sides, and a weight of 2 is the same as two copies.
        """
        source = self if self.source is None else self.source
        hashed, hashes = source._smallest_hashes(n_splits * fraction, rng)
        hashes, positions = np.unique(hashes, return_inverse=True)
        if len(hashes) < 2:
            return []
        copies = np.bincount(positions, None if self.weights is None else self.weights[hashed])
        share = max(1, round(fraction * self.total_weight()))
        share = min(share, copies.sum() - copies.min())
        # In order of their hashes.
        candidates = np.flatnonzero(copies <= _most_copies(copies, share))
        ends = np.cumsum(copies[candidates])
        splits: list[tuple] = []
        begin, before = 0, 0.0
        while len(splits) < n_splits and (not splits or before + share <= ends[-1]):
            end = max(begin + 1, np.searchsorted(ends, before + share, side="right"))
            chosen = candidates[begin:end]
            begin, before = end, ends[end - 1]
            held = np.arange(len(self))[hashed][np.isin(positions, chosen)]
            missed = bool(copies[chosen].max() > max(1, MISSED * share))
            rest = self._view(AllBut(held, len(self)))
            if sample is not None and not splits:
                rest.expect(*sample)
            splits.append((rest, self.take(held), missed))
        return splits

    def _view(self, indices):
        """Return some of the rows, without copying dense ones."""
        # As an array, unless that would take memory for each row in storage.
        if not self.stored or any(a is not None for a in (self.weights, self.labels, self.chosen)):
            indices = indices[:]
        if sparse.issparse(self.X):
            return self.take(indices)
        return self._with(self.X, self.holes, self._positions(indices), indices)

    def _with(self, X, holes, chosen, indices):
        """Return rows with the weights and labels of some of these."""
        parts = [None if a is None else a[indices] for a in (self.weights, self.labels, self.left)]
        rows = Rows(X, parts[0], chosen, parts[1], holes)
        rows.left = parts[2]
        return rows

    def mean_left(self):
        """Return the weighted mean of what scores leave of the loss of a row."""
        return 0.0 if self.left is None else float(np.average(self.left, weights=self.weights))

    def _positions(self, indices):
        """Return the positions in X of some of the rows."""
        return indices if self.chosen is None else self.chosen[indices]

    def _smallest_hashes(self, fraction, rng):
        """Return which rows may be held out, if it is this fraction of them, and their hashes.

        It is all rows unless they are many, of which these have the smallest hashes.
        """
        n_words = -(-self.n_features * self.dtype.itemsize // 8)
        factors = rng.integers(2**64, size=n_words, dtype=np.uint64) | np.uint64(1)
        of_zeros = rng.integers(2**64, dtype=np.uint64)  # so that zeros are not always first
        part = 1.0 if len(self) <= MANY_ROWS else min(1.0, TO_CHOOSE_FROM * fraction)
        while True:
            limit = np.uint64(min(int(part * 2**64), 2**64 - 1))
            begin, found, hashes = 0, [], []
            for sums in self._hashes(factors):
                block = sums + of_zeros
                chosen = np.flatnonzero(block <= limit)
                found.append(begin + chosen)
                hashes.append(block[chosen])
                begin += len(block)
            smallest = np.concatenate(hashes)
            if part == 1:
                return slice(None), smallest
            if len(np.unique(smallest)) >= ENOUGH_TO_CHOOSE_FROM:
                return np.concatenate(found), smallest
            part = min(1.0, 32 * part)

    def _hashes(self, factors):
        """Yield 64-bit hashes of rows: their bits times odd numbers, summed mod 2^64."""
        per_word = 8 // self.dtype.itemsize
        if self.sparse:
            yield _sparse_hashes(self.X, factors)
            return
        padded = np.zeros((0, len(factors) * per_word), self.dtype)
        for block, _ in self.targets():
            if len(block) > len(padded):  # only once: later blocks are never larger
                padded = np.zeros((len(block), padded.shape[1]), self.dtype)
            words = padded[: len(block)]
            np.add(block, 0, out=words[:, : self.n_features])  # turns -0.0 into 0.0
            if per_word == 1:
                # The low bits of small integers are zero, and multiplying would leave them so.
                _fold(words.view(np.uint64))
            # Twice as fast as matmul, which NumPy does not pass to BLAS for integers.
            yield np.einsum("ij,j->i", words.view(np.uint64), factors)


def _fold(words):
    words ^= words >> np.uint64(32)


def _sparse_hashes(X, factors):
    """Return the same sums for a CSR matrix, from its entries alone; the hash of zeros is zero."""
    per_word = 8 // X.dtype.itemsize
    bits = (X.data + 0).view(np.uint64 if per_word == 1 else np.uint32).astype(np.uint64)
    if per_word == 2:
        bits <<= (32 * (X.indices % 2)).astype(np.uint64)
    words = X.indices // per_word
    begins = np.zeros(len(words) + 1, bool)
    begins[X.indptr] = True
    begins[1:-1] |= words[1:] != words[:-1]
    first = np.flatnonzero(begins[:-1])
    sums = np.zeros(len(first) + 1, np.uint64)
    if len(first):
        whole = np.add.reduceat(bits, first)
        if per_word == 1:
            _fold(whole)
        np.cumsum(whole * factors[words[first]], out=sums[1:])
    ends = sums[np.searchsorted(first, X.indptr)]
    return ends[1:] - ends[:-1]


def without_duplicates(X):
    """Return X as a CSR matrix with sorted, unique entries; X itself if it is one, or dense.

    SciPy would otherwise sum the duplicates in place when asked for the extremes.
    """
    if not sparse.issparse(X) or X.has_canonical_format:
        return X
    X = X.copy()
    X.sum_duplicates()
    return X


def n_of_moments(X):
    """Return how many rows `moments` looks at."""
    return min(10_000, max(100, 2_000_000 // X.n_features))


def moments(X):
    """Return the mean and standard deviation of each column, from a large enough sample.

    It takes one pass, with deviations from the first row, so a constant column's standard deviation
    is exactly zero. It is zero as well where squares overflow, since nothing is known there.
    """
    rows = X.sample(n_of_moments(X), 0)
    first, weight = np.zeros(0), 0.0
    sums, squares = np.zeros(rows.n_features), np.zeros(rows.n_features)
    with np.errstate(over="ignore", invalid="ignore"):
        for block, weights in rows.blocks():
            block = block.astype(np.float64)
            first = first if first.size else block[0].copy()
            block -= first
            shares = np.ones(len(block)) if weights is None else weights.astype(np.float64)
            sums += shares @ block
            squares += shares @ np.square(block, out=block)
            weight += shares.sum()
        mean = first + sums / weight
        deviation = np.sqrt(np.maximum(squares / weight - (sums / weight) ** 2, 0))
    return mean, np.where(np.isfinite(deviation), deviation, 0)


def _most_copies(copies, share):
    """Return the most copies, or the largest weight, that a distinct row may have to be held out.

    It should be at most a hundredth of the share. Otherwise validation would rest on few rows, and
    training would miss what may be a large part of the data. It is higher where rows with so few
    copies are less than three quarters of the data, but lower than what would fill the share alone.
    """
    ordered = np.sort(copies)
    totals = np.cumsum(ordered)
    enough = max(share, 0.75 * totals[-1])
    for needed in (enough, share):
        most = max(RARE * share, ordered[np.searchsorted(totals, needed)])
        if most < share:
            return most
    lighter = ordered[ordered < share]
    return max(lighter, default=ordered[0])
