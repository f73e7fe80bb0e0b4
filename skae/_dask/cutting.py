"""Cut the parts of X, on the workers, into the pieces that the ranks need."""

from typing import Any

import numpy as np

from skae._dask.shares import Share


def row_parts(X: Any) -> list:
    """Return the parts of the rows of an array or frame of Dask, as delayed objects."""
    return X.to_delayed() if hasattr(X, "iloc") else [*X.rechunk({1: -1}).to_delayed().ravel()]


def cut(
    part: Any, places: np.ndarray, shares: list[Share], n_features: int, dtype: str, name: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each rank its rows of a part, after their places."""
    rows = _dense(part, dtype)
    if rows.ndim != 2 or rows.shape[1] != n_features or len(rows) != len(places):
        raise ValueError(
            f"Each part of X must be an array of {n_features} columns and of as many rows as when "
            f"they were counted. Got the shape {rows.shape} in {name}, which had {len(places)} "
            "rows. Look for a step that makes blocks of different widths, or other rows each time."
        )
    owned = [share.has(places) for share in shares]
    return [(places[own], rows[own]) for own in owned]


def _dense(part, dtype):
    if hasattr(part, "iloc"):
        return part.to_numpy(dtype, na_value=np.nan)
    return np.asarray(part.toarray() if hasattr(part, "toarray") else part, dtype)
