"""What the methods of an estimator return for an array or frame of Dask: a lazy result."""

import copy
import functools
from typing import Any

import dask
import numpy as np


def lazily(estimator: Any, method: str, X: Any, **options: Any) -> Any:
    """Return what a method returns for X, as an array or frame of Dask that computes it later.

    The chunks of the rows are those of X, also where their sizes are unknown, and there is one
    chunk of columns. The result is a frame if X is one and the method returns frames of pandas for
    such frames, as after ``set_output(transform="pandas")``, and else an array. The method is
    called on a made-up row to see this, and on the rows of X when they are computed.
    """
    like = _without_rows(estimator, method, X, options)
    call = functools.partial(_call, method, options, like)
    shipped = copy.copy(estimator)
    shipped.__dict__.pop("_stream", None)  # the state of training, larger than the weights
    # A node of its own in the graph, so that it travels once and not with each chunk.
    shipped = dask.delayed(shipped, pure=False)
    if not hasattr(X, "chunks"):
        return X.map_partitions(call, shipped, meta=like)
    chunks = (X.chunks[0], *((n,) for n in like.shape[1:]))
    less = {} if like.ndim == 2 else {"drop_axis": 1}
    whole = X.rechunk({1: -1})
    return whole.map_blocks(call, shipped, dtype=like.dtype, chunks=chunks, meta=like, **less)


def _without_rows(estimator, method, X, options):
    """Return an empty result, which says what kind of object the method returns."""
    if hasattr(X, "chunks"):
        row = np.zeros((1, *X.shape[1:]), X.dtype)
    else:
        from dask.dataframe.utils import meta_nonempty

        row = meta_nonempty(X._meta)
    with np.errstate(all="ignore"):  # the row may be outside of what the loss is defined for
        result = getattr(estimator, method)(row, **options)
    if hasattr(result, "iloc") and not hasattr(X, "chunks"):
        return result.iloc[:0]
    return np.asarray(result)[:0]


def _call(method, options, like, rows, estimator):
    """Return the result of a method for the rows of one chunk, of the kind that `like` is."""
    if rows.shape[0] == 0:
        return like
    values = np.asarray(getattr(estimator, method)(rows, **options))
    if isinstance(like, np.ndarray):
        return values
    return type(like)(values, index=rows.index, columns=like.columns)
