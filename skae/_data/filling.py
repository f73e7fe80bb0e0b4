"""Fill the holes of rows with what the known entries beside them let one expect.

A row is taken for a sum of a few common factors and of noise, each feature with noise of its own.
Known entries tell the factors, and these tell what a hole holds: its conditional mean under a
normal distribution. `skae._fitting.incomplete` finds this distribution.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

# The fraction of known entries that are hidden from the network in training, so that it learns to
# restore them. They count in the loss.
HIDDEN = 0.2
# The numbers that a block of rows takes while its factors are computed, and the features whose
# products are held at a time.
BLOCK_SIZE = 2**20
FEATURES = 1024


class Filling(NamedTuple):
    """What holes are filled with, in the unit of the rows and in float64.

    A row is `mean + factors @ loadings` plus noise, with standard normal factors.
    """

    mean: np.ndarray  # (n_features,)
    loadings: np.ndarray  # (n_factors, n_features)
    noise: np.ndarray  # (n_features,), variances

    def fill(self, X: np.ndarray, dtype: Any = np.float64) -> np.ndarray:
        """Return a copy of dense rows without NaN; entries that are known stay as they are.

        The factors are computed in the given dtype.
        """
        result, incomplete = X.copy(), np.flatnonzero(np.isnan(X).any(axis=1))
        for chosen in self.blocks(len(incomplete)):
            rows = X[incomplete[chosen]]
            known = ~np.isnan(rows)
            precisions, weighted = self.posterior(rows, known, dtype)
            factors = np.linalg.solve(precisions, weighted[..., np.newaxis])[..., 0]
            expected = self.mean + factors @ self.loadings
            result[incomplete[chosen]] = np.where(known, rows, expected)
        return result

    def blocks(self, n_rows: int) -> list[slice]:
        """Return the blocks of rows to compute the factors of at a time."""
        size = max(1, BLOCK_SIZE // (len(self.loadings) ** 2 + len(self.mean)))
        return [slice(begin, begin + size) for begin in range(0, n_rows, size)]

    def posterior(
        self, rows: np.ndarray, known: np.ndarray, dtype: Any = np.float64
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what is known of the factors of each row: the precision, and it times the mean."""
        n_factors, n_features = self.loadings.shape
        deviations = np.sqrt(self.noise)
        weights = (self.loadings / deviations).astype(dtype)
        precisions = np.zeros((len(rows), n_factors**2), dtype)
        precisions[:, :: n_factors + 1] = 1
        for begin in range(0, n_features, FEATURES):
            part = weights[:, begin : begin + FEATURES]
            pairs = (part[:, np.newaxis] * part).reshape(n_factors**2, -1)
            precisions += known[:, begin : begin + FEATURES].astype(dtype) @ pairs.T
        standardised = np.where(known, (rows - self.mean) / deviations, 0).astype(dtype)
        return precisions.reshape(-1, n_factors, n_factors), standardised @ weights.T


@dataclasses.dataclass(frozen=True)
class Hiding:
    """Make of rows what a network is given in training: hide some entries, and fill all holes."""

    filling: Filling

    def __call__(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        hidden = rng.random(rows.shape, dtype=rows.dtype) < HIDDEN
        # float32 is enough for training, which would spend most of its time here in float64.
        return self.filling.fill(np.where(hidden, rows.dtype.type(np.nan), rows), np.float32)


def filling_of(estimator: Any) -> Filling | None:
    """Return what an estimator fills holes with, or None if it was fitted to rows without any."""
    arrays = getattr(estimator, "_filling", None)
    return None if arrays is None else Filling(*arrays)


def filled(estimator: Any, X: Any) -> Any:
    """Return the rows that `read` returns for an estimator, with their holes filled.

    Those in storage are filled as they are read.
    """
    filling = filling_of(estimator)
    if filling is None or sparse.issparse(X):
        return X
    return filling.fill(X) if isinstance(X, np.ndarray) else X.filled(filling)
