"""The dtype to compute in, whatever container the rows come in."""

from typing import Any

import numpy as np

# What other libraries call the dtypes that float32 holds.
OTHER_NAMES = {
    "bool": "bool",
    "boolean": "bool",
    "float": "float32",  # of pyarrow, whose "double" is float64
    "float16": "float16",
    "float32": "float32",
    "halffloat": "float16",
    "int8": "int8",
    "int16": "int16",
    "uint8": "uint8",
    "uint16": "uint16",
}


def precision(X: Any) -> type[np.float32] | type[np.float64]:
    """float32 if it holds every value of the dtypes of X exactly, else float64, as for what has no
    dtypes, like lists."""
    dtypes = [_in_numpy(dtype) for dtype in _dtypes(X)]
    exact = dtypes and all(np.can_cast(dtype, np.float32) for dtype in dtypes)
    return np.float32 if exact else np.float64


def _dtypes(X):
    """The dtypes of an array, or those of the columns of a frame or table, each once."""
    if hasattr(X, "columns") and hasattr(X, "dtypes"):  # of pandas or polars
        return set(X.dtypes)
    if hasattr(X, "schema"):  # of pyarrow
        return set(X.schema.types)
    return {X.dtype} if hasattr(X, "dtype") else set()


def _in_numpy(dtype):
    """The dtype of NumPy that has the same values; object if there is none."""
    # Of pandas, nullable or arrow, and sparse; and of TensorFlow.
    for name in ("numpy_dtype", "subtype", "as_numpy_dtype"):
        dtype = getattr(dtype, name, dtype)
    try:
        return np.dtype(dtype)
    except TypeError:
        name = str(dtype).rpartition(".")[2].lower()  # of "torch.float32" or "Int8"
        return np.dtype(OTHER_NAMES.get(name, "object"))
