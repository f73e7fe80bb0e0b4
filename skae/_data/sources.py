"""Rows that are not in memory: memory maps, HDF5, zarr, Parquet, Dask, iterables of blocks.

A source has `n_rows`, which is None as long as nobody has counted them, `n_features`, `dtype`, the
one to compute in, and `header`, which tells scikit-learn the names of the columns. `read(begin,
end)` returns these rows. `seeks` says whether it takes no longer to read them in any order.

No library is imported here for the objects of another.
"""

import mmap
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from skae._clusters import active_client, is_dask
from skae._data.memory import empty
from skae._data.parquet import array_of, reader_of
from skae._data.precision import precision

# Mapped rows up to this size are used as they are, if their dtype is the one to compute in. They
# take no memory of the process, and any computer can keep them in the cache of its files.
MAPPED_BYTES = 2**30

AGAIN = (
    "Pass an object whose __iter__ begins anew each time, as a class with `def __iter__(self): "
    "yield from blocks()` does, or call partial_fit with one block after another."
)


def source_of(X: Any, name: str = "X") -> "Slices | Parts | None":
    """Return what reads X in blocks, or None if X is in memory, as far as one can tell.

    Raise an error for what can't be read more than once.
    """
    module = type(X).__module__.partition(".")[0]
    if isinstance(X, np.ndarray):
        return Slices(X, name) if _is_large_map(X) else None
    if isinstance(X, list | tuple | dict | set) or sparse.issparse(X) or X is None:
        return None
    if is_dask(X):
        return _of_dask(X, name)
    if module == "pyarrow" or isinstance(X, os.PathLike) or _names_parquet(X):
        return _of_parquet(X, name)
    _refuse_lazy(X, module, name)
    if isinstance(X, str | bytes) or hasattr(X, "__dataframe__") or hasattr(X, "iloc"):
        return None
    if _has_slices(X):
        return Slices(X, name)
    if isinstance(X, Iterable) and not hasattr(X, "__array__") and not hasattr(X, "shape"):
        return _of_iterable(X, name)
    return None


class Slices:
    """An array that is read by slices."""

    seeks = True
    client = None

    def __init__(self, X, name):
        self._name = name
        self.n_rows, self.n_features = map(int, X.shape)
        self.dtype = np.dtype(precision(X))
        self.header = np.empty((0, self.n_features))
        chunks = getattr(X, "chunks", None)
        self.multiple = int(chunks[0]) if chunks else 1  # rows that are best read together
        self._X = X
        self._path, self._needed = None, 0
        if isinstance(X, np.memmap) and X.filename is not None:
            self._path, self._needed = X.filename, _end_in_file(X)

    def read(self, begin, end):
        # Beyond the end of its file, a map would end the process.
        if self._path is not None and _size(self._path) < self._needed:
            raise _changed(self._name, self.n_rows, f"its file {self._path} is too small for them")
        rows = self._X[begin:end]
        if len(rows) != end - begin:
            raise _changed(self._name, self.n_rows, f"only {begin + len(rows)} are left")
        return np.asarray(rows)

    def close(self):
        pass


class Parts:
    """Parts of the rows that come one after another, as often as they are asked for.

    The array of a part may be used again for the next one.
    """

    seeks = False
    multiple = 1

    def __init__(
        self, begin: Callable[[], Iterator], n_rows: int | None, dtype: Any, header: Any, name: str
    ):
        self._begin, self._name = begin, name
        self.n_rows, self.dtype, self.header = n_rows, np.dtype(dtype), header
        self.n_features = int(header.shape[1])
        self._parts: Iterator = iter(())
        self._next = self._end = 0  # the first row of the part at hand, and the one after its last
        self._part: Any = None
        self.lengths: list[int] = []  # of the parts, if they have been counted
        # What computes to the parts of a Dask collection, and the client of its cluster.
        self.pieces: list = []
        self.client: Any = None

    def read(self, begin, end):
        if self._part is None or begin < self._next:
            self._parts, self._part, self._next, self._end = self._begin(), (), 0, 0
        # A copy, so that no part has to stay in memory when the next one comes.
        rows, done = empty((end - begin, self.n_features), self.dtype), 0
        while done < len(rows):
            while self._end <= begin + done:
                self._advance()
            stop = min(end, self._end)
            rows[done : stop - begin] = self._part[begin + done - self._next : stop - self._next]
            done = stop - begin
        if end == self.n_rows:
            self.close()
        return rows

    def close(self):
        """Forget the part at hand; the next read begins anew."""
        self._parts, self._part = iter(()), None

    def count(self) -> None:
        """Read all parts once: find the number of rows and the dtype to compute in."""
        n_rows, dtypes = 0, set()
        for part in self._begin():
            array = self._array(part, n_rows)
            n_rows += len(array)
            self.lengths.append(len(array))
            dtypes.add(np.dtype(precision(part)))
        if self.n_rows is None:
            self.dtype = np.result_type(*dtypes) if dtypes else np.dtype(np.float64)
        self.n_rows = n_rows

    def _advance(self):
        self._part = ()
        part = next(self._parts, None)
        if part is None:
            raise _changed(self._name, self.n_rows, f"only {self._end} are left")
        self._part = self._array(part, self._end)
        self._next, self._end = self._end, self._end + len(self._part)

    def _array(self, part, begin):
        """Return a part as an array of two dimensions."""
        array = part if isinstance(part, np.ndarray) else dense(part)
        if array.dtype.kind not in "biuf":  # NumPy would drop imaginary parts
            array = check_array(array, dtype=self.dtype, ensure_all_finite=False, allow_nd=True)
        if array.ndim != 2 or array.shape[1] != self.n_features:
            raise ValueError(
                f"{self._name} must consist of blocks of rows with {self.n_features} columns, like "
                f"the first one. Got a block of shape {array.shape} after {begin} rows."
            )
        return array


def _changed(name, n_rows, found):
    return ValueError(
        f"{name} had {n_rows} rows when they were first counted, and {found}. Leave {name} as it "
        "is while it is read."
    )


def _is_large_map(X):
    """Return whether an array is a map of a file that must not be read as a whole."""
    if not isinstance(X, np.memmap) or X.ndim != 2:
        return False
    converted = X.dtype != precision(X) or not X.dtype.isnative
    return converted or X.nbytes > MAPPED_BYTES


def _has_slices(X):
    """Return whether X is an array in storage; arrays in memory can show NumPy where they lie."""
    in_memory = ("__array_interface__", "__dlpack__", "__array_namespace__", "toarray", "numpy")
    shape = getattr(X, "shape", None)
    return (
        isinstance(shape, tuple)
        and len(shape) == 2
        and hasattr(X, "dtype")
        and hasattr(X, "__getitem__")
        and not any(hasattr(X, attribute) for attribute in in_memory)
    )


def _names_parquet(X):
    return isinstance(X, str) and X.endswith((".parquet", ".pq"))


def _refuse_lazy(X, module, name):
    """Raise an error for what other libraries compute later or read once."""
    if module == "polars" and type(X).__name__ == "LazyFrame":
        raise TypeError(
            f"{name} is a polars.LazyFrame, which holds no rows yet. Pass {name}.collect(), or "
            f"write it with {name}.sink_parquet(path) and pass the path, which is read in blocks."
        )
    if module == "tensorflow" and type(X).__module__.startswith("tensorflow.python.data"):
        raise TypeError(
            f"{name} is a tf.data.Dataset, whose elements are tensors. {AGAIN} Blocks of rows are "
            f"{name}.batch(1024).as_numpy_iterator()."
        )


def _of_iterable(X, name):
    """Return the blocks of an iterable that can be started again."""
    blocks = iter(X)
    if blocks is X:
        raise TypeError(
            f"{name} is a {type(X).__name__}, which can be read only once, and its rows are needed "
            f"several times. {AGAIN}"
        )
    first = next(blocks, None)
    if first is None:
        raise ValueError(f"{name} has no blocks of rows: {type(X).__name__} yields nothing.")
    array = dense(first)
    if array.ndim != 2:
        raise ValueError(
            f"{name} is an iterable, so it must yield blocks of rows: arrays of shape (n_rows, "
            f"n_features). Got an array of shape {array.shape} first. {AGAIN}"
        )
    header = first.iloc[:0] if hasattr(first, "iloc") else np.empty((0, array.shape[1]))
    return Parts(lambda: iter(X), None, precision(first), header, name)


def _of_parquet(X, name):
    """Return the rows of a Parquet file, a pyarrow dataset or scanner; None for a table."""
    reader = reader_of(X, name)
    if reader is None:
        once = hasattr(X, "read_next_batch")  # or else a table, or another object of pyarrow
        return _of_iterable(X, name) if once else None
    begin, n_rows, schema = reader
    header = schema.empty_table()
    return Parts(begin, n_rows, precision(header), header, name)


def _of_dask(X, name):
    """Return the partitions of a Dask array or frame, of which one at a time is computed."""
    import dask

    client, lengths, n_rows = active_client(), [], None
    if hasattr(X, "columns") and hasattr(X, "_meta"):
        header = X._meta
        pieces = X.to_delayed()
    elif getattr(X, "ndim", 0) == 2 and not np.isnan(X.shape[1]):
        header = np.empty((0, int(X.shape[1])))
        if not np.isnan(X.shape[0]):
            n_rows, lengths = int(X.shape[0]), [*map(int, X.chunks[0])]
        pieces = X.rechunk({1: -1}).to_delayed().ravel().tolist()
    else:
        raise TypeError(
            f"{name} must be a Dask array of two dimensions, with a known number of columns, or a "
            f"Dask DataFrame. Got {X!r}. Call to_dask_array, reshape or compute first."
        )

    def begin():
        return (dask.compute(piece)[0] for piece in pieces)

    if client is not None:
        # Computed once, and kept by the cluster as long as there is a future of them.
        pieces = client.compute(pieces)

        def begin():
            return (piece.result() for piece in pieces)

    source = Parts(begin, n_rows, precision(X), header, name)
    source.pieces, source.lengths, source.client = pieces, lengths, client
    return source


def dense(part: Any) -> np.ndarray:
    """Return a part of the rows as a NumPy array, with NaN where a value is missing."""
    if hasattr(part, "toarray"):
        return part.toarray()
    if hasattr(part, "iloc"):
        return part.to_numpy(precision(part), na_value=np.nan)
    if hasattr(part, "schema") and hasattr(part, "itercolumns"):  # a batch of pyarrow
        return array_of(part)
    return np.asarray(part)


def _end_in_file(X: np.memmap) -> int:
    """Return the size that a file must have for all of its map to be read."""
    _, end = np.lib.array_utils.byte_bounds(X)
    # The stubs of NumPy leave this attribute out.
    begin = np.frombuffer(X._mmap, np.uint8).ctypes.data  # type: ignore[attr-defined]
    return X.offset - X.offset % mmap.ALLOCATIONGRANULARITY + end - begin


def _size(path: Any) -> int:
    """Return the size of a file; one that is gone from its folder can't become smaller."""
    try:
        return os.path.getsize(path)
    except OSError:
        return sys.maxsize
