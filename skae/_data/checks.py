"""Checks of values and scales in rows: values that no fit can use, scales that spoil a fit."""

import warnings

import numpy as np

from skae._data.rows import Rows, moments
from skae._network.losses import describe

# Ratios of scales in one table. At or above them, a fit cannot go well.
SWAMPING = 1e5  # a column's standard deviation to the median one
FAR_FROM_ZERO = 1e4  # a column's mean to the largest standard deviation, in float32
# The largest magnitude allowed: float64 can sum its squares over as many entries as any data has.
LARGEST = 1e150


def check_rows(loss: str | dict, X: Rows, X_val: Rows | None) -> None:
    """Refuse rows that can't be trained on or validated on with a loss; warn of their scales."""
    for rows, name in ((X, "X"), (X_val, "X_val")):
        if rows is not None:
            check_squares(rows, name)
            check_range(loss, rows, name)
    warn_of_scales(X)


def check_range(loss: str | dict, X: Rows, name: str = "X") -> None:
    """Raise an error if the loss is not defined for the data."""
    low, high = describe(loss)[:2]
    if not X.within(low, high):
        # These are scikit-learn's words, which its checks look for.
        start = "Negative values in data: " if low == 0 and X.extremes[0] < 0 else ""
        end = "inf)" if np.isinf(high) else f"{high:g}]"
        raise ValueError(
            f"{start}loss={loss!r} needs {name} in the range [{low:g}, {end}. Got values from "
            f"{X.extremes[0]:.6g} to {X.extremes[1]:.6g} instead. Scale {name}, for "
            "example with sklearn.preprocessing.MinMaxScaler, or use loss='mse'."
        )


def check_squares(X: Rows, name: str = "X") -> None:
    """Raise an error if the sum of squares, which PCA and the loss need, overflows float64."""
    largest = float(np.abs(X.extremes).max())
    if largest > LARGEST:
        raise ValueError(
            f"{name} has values as large as {largest:.3g}, and the sum of their squares would "
            f"overflow. Their magnitude must be at most {LARGEST:g}. Scale {name}, for "
            "example with sklearn.preprocessing.MaxAbsScaler."
        )


def warn_of_scales(X: Rows) -> None:
    """Warn if some columns swamp the others, or if X is too far from zero for float32."""
    mean, deviation = moments(X)
    # A column that varies only by rounding counts as constant, since there may be many of them.
    noise = 4 * np.finfo(X.dtype).eps * np.abs(mean)
    spread = np.where(deviation > noise, deviation, 0)
    median = np.median(spread[spread > 0]) if spread.any() else np.inf
    wide = np.flatnonzero(spread >= SWAMPING * median)
    if len(wide):
        wide = wide[np.argsort(-spread[wide], kind="stable")]
        named = ", ".join(f"{i} ({deviation[i]:.3g})" for i in wide[:3])
        more = f" and {len(wide) - 3} more" if len(wide) > 3 else ""
        warnings.warn(
            "Some columns of X vary so much that the others will not be encoded: they make up "
            f"nearly all of the squared error. Columns (standard deviations): {named}{more}, "
            f"against a median of {median:.3g}. Scale X with sklearn.preprocessing.StandardScaler "
            "or RobustScaler, or take the logarithm of these columns.",
            UserWarning,
            stacklevel=2,
        )
    offset = np.abs(mean[deviation > 0]).max(initial=0)
    if X.dtype == np.float32 and offset > FAR_FROM_ZERO * deviation.max():
        warnings.warn(
            f"X is too far from zero for float32: the largest mean of a column is {offset:.3g}, "
            f"and the largest standard deviation is {deviation.max():.3g}. Rounding will spoil the "
            "reconstruction. Subtract the mean first, for example with "
            "sklearn.preprocessing.StandardScaler, or pass X as float64.",
            UserWarning,
            stacklevel=2,
        )
