"""Files of codes that are written block by block, and complete or not at all."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from skae._files.storage import replacing


def write_codes(
    path: Any, blocks: Iterator[np.ndarray], shape: tuple, dtype: Any, names: Any
) -> None:
    """Write blocks of rows, which make up an array of a shape, into a file.

    The end of its name says of which kind it is. Parquet has columns of these names.
    """
    name = os.fsdecode(path)
    kinds: dict[str, Callable] = {".npy": _write_npy, ".parquet": _write_parquet}
    end = os.path.splitext(name)[1].lower()
    if end not in kinds:
        raise ValueError(
            "out must be an array, or the path of a file that ends in .npy or .parquet. Got "
            f"{name!r}."
        )
    with replacing(path) as file:
        kinds[end](file, blocks, shape, np.dtype(dtype), names)


def _write_npy(file, blocks, shape, dtype, names):
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for block in blocks:
        file.write(np.ascontiguousarray(block, dtype).data)


def _write_parquet(file, blocks, shape, dtype, names):
    import pyarrow
    import pyarrow.parquet

    kind = pyarrow.from_numpy_dtype(dtype)
    schema = pyarrow.schema([(str(name), kind) for name in names])
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for block in blocks:
            columns = [pyarrow.array(np.ascontiguousarray(column)) for column in block.T]
            writer.write_table(pyarrow.table(columns, schema=schema))
