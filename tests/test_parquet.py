"""Rows in Parquet: what is decoded at a time, from files and data sets of all kinds."""

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
from numpy.testing import assert_array_equal

from skae._data import parquet
from skae._data.sources import source_of
from skae._data.stored import Stored

N_ROWS = 1000
rng = np.random.default_rng(0)


def column(values, missing=0.1):
    return pa.array(values, mask=rng.random(N_ROWS) < missing)


FLOATS = pa.table(
    {f"float{j}": column(rng.normal(size=N_ROWS).astype("float32")) for j in range(40)}
)
SMALL = FLOATS.append_column("byte", column(rng.integers(-99, 99, N_ROWS).astype("int8")))
SMALL = SMALL.append_column("bool", column(rng.random(N_ROWS) < 0.5))
TABLES = {
    "float32": FLOATS,
    "small types": SMALL,
    "large types": SMALL.append_column("long", column(rng.integers(0, 2**40, N_ROWS))),
    "equal names": FLOATS.rename_columns(["a"] * 39 + ["b"]),
}


def rows_of(table):
    """Return the rows of a table, column by column."""
    columns = [column.to_pandas().astype(float) for column in table.itercolumns()]
    return np.stack([column.to_numpy() for column in columns], axis=1)


def read(X):
    rows = Stored(source_of(X), finite=False)
    parts = [rows[begin : begin + 70] for begin in range(0, len(rows), 70)]
    assert_array_equal(rows[15:40], np.concatenate(parts)[15:40])
    return np.concatenate(parts)


@pytest.mark.parametrize("group_bytes", [0, 2**25])
@pytest.mark.parametrize("name", TABLES)
def test_row_groups_are_read(name, group_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "GROUP_BYTES", group_bytes)
    monkeypatch.setattr(parquet, "COLUMNS_BYTES", 2**10)
    table = TABLES[name]
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(table, path, row_group_size=300)
    rows = read(path)
    assert rows.dtype == ("float64" if name == "large types" else "float32")
    assert_array_equal(rows, rows_of(table).astype(rows.dtype))


@pytest.mark.parametrize("dictionaries", [True, False])
def test_how_much_is_decoded_at_once(dictionaries, tmp_path, monkeypatch):
    """Small row groups are, or those whose dictionaries would take as much memory."""
    monkeypatch.setattr(parquet, "GROUP_BYTES", 100 * 40 * 4)
    monkeypatch.setattr(parquet, "BATCH_BYTES", 50 * 40 * 4)
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(FLOATS, path, use_dictionary=dictionaries, row_group_size=450)
    sizes = [len(part) for part in source_of(path)._begin()]
    assert sizes == ([450, 450, 100] if dictionaries else [50] * 18 + [100])


def test_few_columns_are_decoded_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "COLUMNS_BYTES", 2**10)
    pyarrow.parquet.write_table(FLOATS, tmp_path / "rows.parquet")
    source = source_of(pyarrow.parquet.ParquetFile(tmp_path / "rows.parquet"))
    shapes, array_of = [], parquet.array_of
    monkeypatch.setattr(
        parquet, "array_of", lambda batch: shapes.append(batch.shape) or array_of(batch)
    )
    source.read(0, N_ROWS)
    assert {columns for _, columns in shapes} == {16, 8}
    assert max(rows * columns for rows, columns in shapes) * 4 <= 2**10


@pytest.mark.parametrize("kind", ["all", "other order", "another column", "filter", "hive"])
def test_data_sets_are_read(kind, tmp_path):
    parts = [FLOATS.slice(0, 400), FLOATS.slice(400, 0), FLOATS.slice(400)]
    if kind == "other order":
        parts[2] = parts[2].select(FLOATS.column_names[::-1])
    for i, part in enumerate(parts):
        folder = tmp_path / f"part={i}" if kind == "hive" else tmp_path
        folder.mkdir(exist_ok=True)
        pyarrow.parquet.write_table(part, folder / f"{i}.parquet", row_group_size=150)
    expected, schema = rows_of(FLOATS), FLOATS.schema
    dataset = pyarrow.dataset.dataset(tmp_path, partitioning="hive" if kind == "hive" else None)
    if kind == "another column":
        schema = schema.append(pa.field("none", pa.float32()))
        dataset = pyarrow.dataset.dataset(tmp_path, schema=schema)
        expected = np.hstack([expected, np.full((N_ROWS, 1), np.nan)])
    if kind == "filter":
        dataset = dataset.filter(pyarrow.dataset.field("float0") > 0)
        expected = expected[expected[:, 0] > 0]
    if kind == "hive":
        expected = np.hstack([expected, np.repeat([0.0, 2.0], [400, 600])[:, None]])
    assert_array_equal(read(dataset), expected)
