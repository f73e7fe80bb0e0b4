"""Cut the parts of X, on the workers, into the pieces that the ranks need."""

from typing import Any

import numpy as np

from skae._dask.shares import Share
from skae._data.sources import dense


def cut(
    part: Any, places: np.ndarray, shares: list[Share], n_features: int, dtype: str, name: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each rank its rows of a part, after their places."""
    rows = np.asarray(dense(part), dtype)
    if rows.ndim != 2 or rows.shape[1] != n_features or len(rows) != len(places):
        raise ValueError(
            f"Each part of X must be an array of {n_features} columns and of as many rows as when "
            f"they were counted. Got the shape {rows.shape} in {name}, which had {len(places)} "
            "rows. Look for a step that makes blocks of different widths, or other rows each time."
        )
    owned = [share.has(places) for share in shares]
    return [(places[own], rows[own]) for own in owned]
