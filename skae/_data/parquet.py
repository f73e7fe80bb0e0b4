"""Rows in Parquet, decoded with little memory.

A reader of all columns holds a page and a dictionary of each. So row groups that fit into memory
are decoded a few columns at a time, into one array.
"""

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from skae._data.memory import empty
from skae._data.precision import precision

# Larger row groups than this are decoded in batches of all columns, unless their dictionaries would
# take as much memory.
GROUP_BYTES = 2**25
# So much of a few columns is decoded at a time, but at least a cache line of each row.
COLUMNS_BYTES = 2**20
MIN_COLUMNS = 16
# Batches of all columns have this size.
BATCH_BYTES = 2**22


def reader_of(X: Any, name: str) -> tuple[Callable[[], Iterator], int, Any] | None:
    """Return a function that begins to read a file, data set or scanner, its length and schema.

    It is None for other objects of pyarrow, such as tables.
    """
    if isinstance(X, str | os.PathLike):
        X = _opened(X, name)
    if not (hasattr(X, "to_batches") or hasattr(X, "iter_batches")) or hasattr(X, "columns"):
        return None
    schema = getattr(X, "schema_arrow", None) or getattr(X, "projected_schema", None) or X.schema
    _check_numbers(schema, name)
    if type(X).__name__ == "ParquetFile":
        return lambda: _releasing(_of_file(X)), X.metadata.num_rows, schema
    return lambda: _releasing(_of_dataset(X, schema)), X.count_rows(), schema


def array_of(batch: Any) -> np.ndarray:
    """Return a batch of pyarrow as an array, with NaN where a value is missing."""
    import pyarrow

    try:
        # Much faster than column by column, for all types but a few, such as bool.
        return batch.to_tensor(null_to_nan=True, row_major=True).to_numpy()
    except (pyarrow.ArrowException, AttributeError):
        columns = [column.to_numpy(zero_copy_only=False) for column in batch.itercolumns()]
        array = np.empty((batch.num_rows, len(columns)), precision(batch))
        for j, column in enumerate(columns):
            array[:, j] = column
        return array


def _opened(path, name):
    """Return a Parquet file, or all in a folder as a dataset."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"{name} is the path of a Parquet file, and {path} does not exist.")
    if os.path.isdir(path):
        import pyarrow.dataset

        return pyarrow.dataset.dataset(path, format="parquet")
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path, memory_map=True, pre_buffer=False)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(
            f"{name} is a path, so it must be that of a Parquet file. Got {path}: {error} Open "
            "other files with their own libraries, a .npy file with numpy.load(path, "
            "mmap_mode='r') for example, and pass what these return."
        ) from error


def _releasing(batches):
    """Yield batches, and give their memory back to the system at the end of the pass."""
    import pyarrow

    try:
        yield from batches
    finally:
        pyarrow.default_memory_pool().release_unused()


def _of_file(file, groups=None):
    """Yield the rows of some row groups of a file, as arrays or batches."""
    schema = file.schema_arrow
    dtype = np.dtype(precision(schema.empty_table()))
    room = np.empty((0, len(schema)), dtype)  # for one row group after another
    for i in range(file.num_row_groups) if groups is None else groups:
        group = file.metadata.row_group(i)
        n_bytes = group.num_rows * len(schema) * dtype.itemsize
        if n_bytes <= GROUP_BYTES or n_bytes <= 2 * _dictionary_bytes(group):
            if group.num_rows > len(room):
                room = np.empty((0, len(schema)), dtype)  # two at once would be too many
                room = empty((group.num_rows, len(schema)), dtype)
            yield room[: _decode(file, i, room)]
        else:
            yield from file.iter_batches(_batch_rows(schema), row_groups=[i], use_threads=False)


def _dictionary_bytes(group):
    """Return what the dictionaries of all columns take in a file; a reader holds each twice."""
    columns = [group.column(j) for j in range(group.num_columns)]
    return sum(
        column.data_page_offset - column.dictionary_page_offset
        for column in columns
        if column.dictionary_page_offset is not None
    )


def _decode(file, i, out):
    """Write a row group into an array, a few columns at a time, and return its number of rows."""
    names, size, end = file.schema_arrow.names, out.dtype.itemsize, 0
    step = max(MIN_COLUMNS, COLUMNS_BYTES // max(1, file.metadata.row_group(i).num_rows * size))
    if len(set(names)) < len(names):  # names don't tell its columns apart
        step = len(names)
    for j in range(0, len(names), step):
        batches = file.iter_batches(
            max(1, COLUMNS_BYTES // (step * size)),
            row_groups=[i],
            columns=names[j : j + step] if step < len(names) else None,
            use_threads=False,
        )
        end = 0
        for batch in batches:
            out[end : end + len(batch), j : j + step] = array_of(batch)
            end += len(batch)
    return end


def _batch_rows(schema):
    return max(1, BATCH_BYTES // (4 * max(1, len(schema))))


def _of_dataset(dataset, schema):
    """Yield the rows of a data set or scanner, as arrays or batches."""
    if not hasattr(dataset, "get_fragments"):
        yield from dataset.to_batches()  # a scanner, which is set up already
        return
    arrow = sys.modules["pyarrow.dataset"]
    options = {"batch_size": _batch_rows(schema), "batch_readahead": 1, "use_threads": False}
    if getattr(getattr(dataset, "format", None), "default_extname", None) != "parquet":
        yield from dataset.to_batches(fragment_readahead=1, **options)
        return
    options["fragment_scan_options"] = arrow.ParquetFragmentScanOptions(
        pre_buffer=False, use_buffered_stream=True
    )
    try:
        fragments = [*dataset.get_fragments()]
    except ValueError:  # the data set has a filter
        yield from dataset.to_batches(fragment_readahead=1, **options)
        return
    import pyarrow.parquet

    for fragment in fragments:
        with pyarrow.parquet.ParquetFile(fragment.open(), pre_buffer=False) as file:
            if file.schema_arrow.equals(schema):
                yield from _of_file(file, [group.id for group in fragment.row_groups])
                continue
        yield from fragment.to_batches(schema=schema, **options)


def _check_numbers(schema, name):
    wrong = [f"{field.name} ({field.type})" for field in schema if not _is_number(field.type)]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(
            f"{name} must have columns of numbers. Got columns of other types: "
            f"{', '.join(wrong[:3])}{more}. Encode these, or leave them out, with "
            "pyarrow.dataset.dataset(path).scanner(columns=[...]) for example."
        )


def _is_number(kind):
    names = ("int", "uint", "float", "double", "halffloat", "bool", "decimal")
    return str(kind).startswith(names)
