"""The dtype to compute in, for rows in any container."""

from typing import Any

import numpy as np

# Names that other libraries use for the dtypes whose values float32 holds exactly.
OTHER_NAMES = {
    "bool": "bool",
    "boolean": "bool",
    "float": "float32",  # the name in pyarrow, which calls float64 "double"
    "float16": "float16",
    "float32": "float32",
    "halffloat": "float16",
    "int8": "int8",
    "int16": "int16",
    "uint8": "uint8",
    "uint16": "uint16",
}


def precision(X: Any) -> type[np.float32] | type[np.float64]:
    """Return float32 if it holds every value of the dtypes of X exactly, else float64.

    The result is float64 for data without a dtype, such as lists.
    """
    dtypes = [_in_numpy(dtype) for dtype in _dtypes(X)]
    exact = dtypes and all(np.can_cast(dtype, np.float32) for dtype in dtypes)
    return np.float32 if exact else np.float64


def _dtypes(X):
    """Return the dtype of an array, or the distinct dtypes of the columns of a frame or table."""
    if hasattr(X, "columns") and hasattr(X, "dtypes"):  # pandas or polars
        return set(X.dtypes)
    if hasattr(X, "schema"):  # pyarrow
        return set(X.schema.types)
    return {X.dtype} if hasattr(X, "dtype") else set()


def _in_numpy(dtype):
    """Return the NumPy dtype with the same values, or object if there is none."""
    # These attributes exist in pandas (nullable and arrow; sparse) and in TensorFlow.
    for name in ("numpy_dtype", "subtype", "as_numpy_dtype"):
        dtype = getattr(dtype, name, dtype)
    try:
        return np.dtype(dtype)
    except TypeError:
        name = str(dtype).rpartition(".")[2].lower()  # from "torch.float32" or "Int8"
        return np.dtype(OTHER_NAMES.get(name, "object"))
