"""Train on the principal scores of wide rows, and fold the axes into the network afterwards.

Rows that are fewer than their columns lie in the span of as many axes. There the squared error of a
linear output is the same in the coordinates of the axes, and columns that vary together need not be
multiplied one by one. With many rows of many columns, the leading scores are enough: on 9,000
documents with 8,721 words, 256 of them ended at 0.90 times the error of PCA with 32 components, and
all words at 0.94 in twenty times as long. What such scores leave of a row is a constant of its
loss.

Other losses and outputs, and noise on entries, are not the same in these coordinates.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from skae._data.rows import SAMPLE_BYTES, Rows
from skae._fitting.candidates import Candidate, Fitted, candidates, is_pca
from skae._fitting.principal import MAX_EXACT, PrincipalAxes, principal_axes
from skae._fitting.units import Units, halves
from skae._threads import one_thread

# The number of leading scores, which is at least so many times the number of components.
LEADING = 256
PER_COMPONENT = 8


class Basis(NamedTuple):
    """The principal axes of some rows, and what their scores are multiplied by.

    With this scale, the mean of squares over the scores is the mean over the columns.
    """

    pca: PrincipalAxes
    scale: float

    def rows(self, rows: Rows) -> Rows:
        """Return the scores of rows, and what the scores leave of each row's loss."""
        mean, axes = self.pca.mean, self.pca.axes
        scores, left = [], []
        for X in _parts(rows):
            projected = X @ axes.T - mean @ axes.T
            squares = X.multiply(X).sum(axis=1) if sparse.issparse(X) else np.square(X).sum(axis=1)
            total = np.ravel(squares) - 2 * (X @ mean) + mean @ mean
            left.append(np.maximum(total - np.square(projected).sum(axis=1), 0))
            scores.append((projected * self.scale).astype(rows.dtype))
        reduced = Rows(np.concatenate(scores), rows.weights, labels=rows.labels)
        reduced.source = rows
        reduced.left = np.concatenate(left) / rows.n_features
        return reduced

    def narrow(self, candidate: Candidate) -> Candidate:
        """Return the candidate for the scores of rows."""
        return candidate.with_spec(n_features=len(self.pca.axes), output_activation="linear")

    def widen(self, fitted: Fitted) -> Fitted:
        """Return the network for rows, from a network for their scores."""
        mean, axes = self.pca.mean, self.pca.axes
        candidate = fitted.candidate.with_spec(n_features=len(mean))
        weights = Units(np.zeros(len(axes)), 1 / self.scale).fold(
            fitted.candidate.spec, fitted.weights
        )
        arrays = [np.asarray(array, np.float64) for array in weights]
        encoder, decoder = halves(fitted.candidate.spec)
        for kernel, bias in encoder.inputs:
            arrays[kernel] = axes.T @ arrays[kernel]
            arrays[bias] = arrays[bias] - mean @ arrays[kernel]
        for i in decoder.outputs:
            arrays[i] = arrays[i] @ axes
        bias = decoder.outputs[1]
        arrays[bias] = arrays[bias] + mean
        weights = [np.asarray(array, candidate.spec.dtype, order="C") for array in arrays]
        return fitted._replace(candidate=candidate, weights=weights)


def _parts(rows):
    """Yield the rows in float64, sparse ones as they are."""
    if sparse.issparse(rows.X):
        yield rows.X.astype(np.float64)
        return
    for block, _ in rows.blocks():
        yield block.astype(np.float64)


@one_thread()
def basis_of(candidate: Candidate, rows: Rows) -> Basis | None:
    """Return the basis to train in, or None if training in one would not be the same or no use."""
    n_rows, n_features = len(rows), rows.n_features
    if n_rows > n_features and n_features <= MAX_EXACT:
        return None
    if not _invariant(candidate, rows):
        return None
    seed, n_components = candidate.settings.seed, candidate.spec.n_components
    exact = n_rows <= MAX_EXACT and not rows.sparse
    n_axes = n_rows if exact else min(n_rows, max(LEADING, PER_COMPONENT * n_components))
    if n_axes >= n_features:
        return None
    if rows.stored and n_rows * n_axes * rows.dtype.itemsize > SAMPLE_BYTES:
        return None  # the scores would be in memory
    pca = principal_axes(rows, n_axes, seed)
    if not len(pca.axes):
        return None
    return Basis(pca, float(np.sqrt(len(pca.axes) / n_features)))


def _invariant(candidate, rows):
    """Return whether training on scores lowers the same loss as training on rows."""
    spec, settings, loss = candidate.spec, candidate.settings, candidate.loss
    if not spec.dense or spec.penalised or settings.corrupt is not None:
        return False
    if not loss.shifts or loss.power != 2:
        return False
    possible = candidates(candidate, rows, validated=settings.early_stopping)
    outputs = {one.spec.output_activation for one in possible}
    return outputs == {"linear"} and not is_pca(candidate, rows)
