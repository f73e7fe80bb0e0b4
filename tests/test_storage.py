"""Rows in storage: memory maps, HDF5, zarr, Parquet, iterables, Dask without a cluster."""

import os
import pathlib
import warnings

import dask.array
import dask.dataframe
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
import zarr
from in_storage import HOLES, Array, Blocks, X, estimator, in_hdf5, with_tiny_blocks
from numpy.testing import assert_allclose
from scipy import sparse

from skae._data.sources import source_of

NAMES = [f"pixel{j}" for j in range(12)]
LABELS = (X[:, 0] > 0).astype(int)


def mapped(rows, folder):
    np.save(folder / "rows.npy", rows)
    return np.load(folder / "rows.npy", mmap_mode="r")


def in_zarr(rows, folder):
    array = zarr.create_array(
        str(folder / "rows.zarr"), shape=rows.shape, dtype=rows.dtype, chunks=(50, 12)
    )
    array[:] = rows
    return array


def in_parquet(rows, folder):
    table = pa.table({name: rows[:, j] for j, name in enumerate(NAMES)})
    path = folder / "rows.parquet"
    pyarrow.parquet.write_table(table, path, row_group_size=150)
    return path


def dataset(rows, folder):
    for i, part in enumerate(np.array_split(rows, 3)):
        (folder / f"part{i}").mkdir()
        os.replace(in_parquet(part, folder / f"part{i}"), folder / f"{i}.parquet")
        (folder / f"part{i}").rmdir()
    return pyarrow.dataset.dataset(folder)


def dask_frame(rows, folder):
    return dask.dataframe.from_pandas(pd.DataFrame(rows, columns=NAMES), npartitions=3)


def dask_array(rows, folder):
    chunks = ((100, 0, 350, len(rows) - 450), (5, 7))
    return dask.array.from_array(rows, chunks=chunks)


def dask_unknown(rows, folder):
    array = dask_array(rows, folder)
    return array[array[:, 0] > -np.inf]


KINDS = {
    "array": lambda rows, folder: Array(rows),
    "big-endian map": lambda rows, folder: mapped(rows.astype(">f4"), folder),
    "blocks": lambda rows, folder: Blocks(*np.array_split(rows, 9)),
    "csr": lambda rows, folder: sparse.csr_array(rows),
    "csr blocks": lambda rows, folder: Blocks(*map(sparse.csr_array, np.array_split(rows, 4))),
    "dask array": dask_array,
    "dask array of unknown length": dask_unknown,
    "dask frame": dask_frame,
    "dataset": dataset,
    "file of Parquet": lambda rows, folder: pyarrow.parquet.ParquetFile(in_parquet(rows, folder)),
    "HDF5": in_hdf5,
    "memory map": mapped,
    "Parquet": in_parquet,
    "scanner": lambda rows, folder: dataset(rows, folder).scanner(),
    "zarr": in_zarr,
}


@pytest.fixture
def tiny(monkeypatch):
    with_tiny_blocks(monkeypatch)


@pytest.fixture(scope="module")
def fitted():
    return estimator().fit(X)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_rows_give_the_same_model(kind, tiny, tmp_path, fitted):
    rows = KINDS[kind](X, tmp_path)
    from_storage = estimator().fit(rows)
    assert_allclose(from_storage.weights_[0], fitted.weights_[0], rtol=0, atol=1e-5)
    assert from_storage.loss_curve_ == pytest.approx(fitted.loss_curve_, abs=1e-6)
    assert_allclose(from_storage.transform(rows), fitted.transform(X), rtol=0, atol=1e-5)
    assert from_storage.score(rows) == pytest.approx(fitted.score(X), abs=1e-5)
    assert_allclose(from_storage.score_samples(rows), fitted.score_samples(X), atol=1e-5)


@pytest.mark.parametrize("kind", ["HDF5", "Parquet", "dask frame"])
@pytest.mark.parametrize(
    "parameters",
    [
        {"hidden_layer_sizes": (), "epochs": "auto", "output_activation": "linear"},
        {"hidden_layer_sizes": (), "code_activation": "relu"},
        {"noise": ("salt_and_pepper", 0.2), "early_stopping": False},
        {"kl_weight": 1.0},
    ],
)
def test_other_networks_too(kind, parameters, tiny, tmp_path):
    rows = KINDS[kind](X, tmp_path)
    for one, other in zip(
        estimator(**parameters).fit(rows).weights_,
        estimator(**parameters).fit(X).weights_,
        strict=True,
    ):
        assert_allclose(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["HDF5", "Parquet", "blocks"])
def test_missing_values_weights_labels_and_validation_rows(kind, tiny, tmp_path):
    incomplete = HOLES.copy()
    incomplete[17] = np.nan
    weights = np.arange(len(X)) % 3
    in_storage = KINDS[kind](incomplete, tmp_path)
    both = [
        estimator(label_weight=1.0).fit(
            rows, LABELS, sample_weight=weights, X_val=rows, y_val=LABELS
        )
        for rows in (incomplete, in_storage)
    ]
    assert_allclose(both[0].weights_[0], both[1].weights_[0], rtol=0, atol=1e-5)
    assert_allclose(both[0].head_[0], both[1].head_[0], rtol=0, atol=1e-5)
    assert_allclose(both[1].impute(in_storage), both[0].impute(incomplete), atol=1e-5)


def test_parts_of_a_stream_may_be_in_storage(tiny, tmp_path):
    one, other, rows = estimator(), estimator(), in_hdf5(X, tmp_path)
    for _ in range(2):
        one.partial_fit(X)
        other.partial_fit(rows)
    assert_allclose(one.weights_[0], other.weights_[0], rtol=0, atol=1e-5)


def test_small_integers_are_read_in_blocks(tiny, tmp_path):
    """A map of them is not converted as a whole."""
    integers = (100 * X).astype("int8")
    rows = mapped(integers, tmp_path)
    assert source_of(rows) is not None
    from_storage = estimator().fit(rows)
    assert_allclose(from_storage.weights_[0], estimator().fit(integers).weights_[0], atol=1e-5)


def test_names_of_columns_come_from_files(tiny, tmp_path):
    fitted = estimator().fit(in_parquet(X, tmp_path))
    assert list(fitted.feature_names_in_) == NAMES
    frame = pd.DataFrame(X, columns=NAMES)
    assert_allclose(fitted.transform(frame), fitted.transform(in_parquet(X, tmp_path)))
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.transform(frame[NAMES[::-1]])


def matrix(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.asmatrix(X)


def dataset_of_tensorflow():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(X).batch(10)


def with_strings(folder):
    table = pa.table({"a": [1.0, 2.0], "b": ["x", "y"], "c": [1, 2]})
    pyarrow.parquet.write_table(table, folder / "strings.parquet")
    return folder / "strings.parquet"


def no_parquet(folder):
    (folder / "rows.npy").write_bytes(b"no Parquet")
    return folder / "rows.npy"


def changed(*readings):
    """Return blocks that are others at each reading; the last one is repeated."""

    class Changing:
        count = 0

        def __iter__(self):
            self.count += 1
            return iter(readings[min(self.count, len(readings)) - 1])

    return Changing()


REFUSED = {
    "a generator": (lambda folder: (row for row in [X]), TypeError, "can be read only once"),
    "a reader of batches": (
        lambda folder: dataset(X, folder).scanner().to_reader(),
        TypeError,
        "RecordBatchReader, which can be read only once",
    ),
    "a dataset of TensorFlow": (
        lambda folder: dataset_of_tensorflow(),
        TypeError,
        r"tf\.data\.Dataset.*as_numpy_iterator",
    ),
    "a lazy frame": (lambda folder: pl.LazyFrame(X), TypeError, r"sink_parquet\(path\)"),
    "a matrix": (matrix, TypeError, "np.matrix is not supported"),
    "nothing": (lambda folder: Blocks(), ValueError, "yields nothing"),
    "rows one by one": (lambda folder: Blocks(*X), ValueError, r"of shape \(12,\) first"),
    "ragged blocks": (
        lambda folder: Blocks(X[:300], X[300:, :7]),
        ValueError,
        r"12 columns, like the first one. Got a block of shape \(400, 7\) after 300",
    ),
    "fewer rows later": (
        lambda folder: changed([X], [X], [X[:300]]),
        ValueError,
        "had 700 rows when they were first counted, and only 300 are left",
    ),
    "an array that shrinks": (
        lambda folder: type("Shrunk", (Array,), {"__getitem__": lambda self, key: X[:300][key]})(X),
        ValueError,
        "had 700 rows when they were first counted, and only 300 are left",
    ),
    "strings": (with_strings, ValueError, r"other types: b \(string\)"),
    "no file": (lambda folder: folder / "none.parquet", FileNotFoundError, "does not exist"),
    "another file": (no_parquet, ValueError, "must be that of a Parquet file"),
    "infinity": (
        lambda folder: Blocks(X, np.full((9, 12), np.inf)),
        ValueError,
        "Input X contains infinity",
    ),
    "no rows": (lambda folder: Blocks(X[:0]), ValueError, r"Found array with 0 sample"),
    "a column without a value": (
        lambda folder: Blocks(np.where(np.arange(12) == 4, np.nan, HOLES)),
        ValueError,
        "1 of 12 features without any, the first of which is number 4",
    ),
    "Dask in three dimensions": (
        lambda folder: dask.array.zeros((5, 4, 3)),
        TypeError,
        "Dask array of two dimensions",
    ),
    "strings of Dask": (
        lambda folder: dask.dataframe.from_pandas(pd.DataFrame({"a": ["x", "y"]}), npartitions=1),
        ValueError,
        "could not convert string to float",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_read_is_refused(name, tiny, tmp_path):
    make, error, match = REFUSED[name]
    one = estimator()
    before = dict(vars(one))
    with pytest.raises(error, match=match):
        one.fit(make(tmp_path))
    assert vars(one) == before


def test_a_map_whose_file_shrinks_raises(tiny, tmp_path):
    """Reading beyond the end of its file would end the process."""
    rows = mapped(X.astype(">f4"), tmp_path)
    os.truncate(rows.filename, rows.nbytes // 2)
    with pytest.raises(ValueError, match="is too small for them"):
        estimator().fit(rows)


def test_a_map_that_lost_its_name_is_read(tiny, tmp_path):
    """Joblib removes the names of the files that it maps."""
    rows = mapped(X.astype(">f4"), tmp_path)
    pathlib.Path(rows.filename).unlink()
    assert estimator().fit(rows).n_features_in_ == 12


def test_holes_that_fit_did_not_see_are_refused(tiny, tmp_path, fitted):
    with pytest.raises(ValueError, match="fitted to rows without missing values"):
        fitted.transform(in_hdf5(HOLES, tmp_path))


def test_verbose_says_that_rows_are_read_in_blocks(tiny, tmp_path, capsys):
    estimator(verbose=1).fit(in_hdf5(X, tmp_path))
    assert "reading 700 rows of X in blocks" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["blocks", "dask frame"])
def test_missing_values_of_pandas_are_read(kind, tiny):
    frame = pd.DataFrame(np.round(100 * X[:90]), columns=NAMES).astype("Int16")
    frame.iloc[[3, 50], [1, 7]] = pd.NA
    rows = Blocks(frame[:50], frame[50:])
    if kind == "dask frame":
        rows = dask.dataframe.from_pandas(frame, npartitions=2)
    from_storage = estimator().fit(rows)
    assert_allclose(from_storage.weights_[0], estimator().fit(frame).weights_[0], atol=1e-5)


def test_a_column_whose_only_values_have_no_weight_is_refused(tiny, tmp_path):
    X = np.array([[0.5, 1.0], [np.nan, 2.0], [np.nan, 3.0]], "float32")
    with pytest.raises(ValueError, match="3 of 6 features without any"):
        estimator().fit(mapped(np.hstack([X] * 3).astype(">f4"), tmp_path), sample_weight=[0, 2, 2])


def test_values_without_weight_do_not_count(tiny, tmp_path):
    """Without the row of nines this loss is defined."""
    rows, weights = np.abs(X), np.ones(len(X))
    rows[5], weights[5] = 9, 0
    one = estimator(loss="binary_crossentropy")
    one.fit(in_hdf5(rows, tmp_path), sample_weight=weights)
    other = estimator(loss="binary_crossentropy").fit(rows, sample_weight=weights)
    assert_allclose(one.weights_[0], other.weights_[0], rtol=0, atol=1e-5)
