"""Rows keep their values in any container and dtype, and the right ones are held out."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from joblib import Parallel, delayed, dump, load
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.pipeline import FeatureUnion

from skae import AutoencoderTransformer
from skae._data.precision import precision
from skae._data.rows import Rows
from skae._fitting import trials

RNG = np.random.default_rng(0)
CURVED = 0.6 + 0.1 * np.tanh(RNG.normal(size=(12_000, 3)) @ RNG.normal(size=(3, 16)))
CURVED += 0.01 * RNG.normal(size=CURVED.shape)


def with_zeros(share):
    X = CURVED.copy()
    X[np.random.default_rng(1).random(len(X)) < share] = 0
    return X


COPIES = {
    "distinct": CURVED,
    "few zeros": with_zeros(0.005),
    "zeros": with_zeros(0.03),
    "mostly zeros": with_zeros(0.6),
    "sparse": sparse.csr_array(with_zeros(0.03)),
    "groups of fifty": np.repeat(CURVED[:240], 50, axis=0),
    "fifty groups": np.eye(50)[RNG.integers(50, size=30_000)],
    "sparse groups": sparse.csr_array(np.eye(50, dtype="f4")[RNG.integers(50, size=30_000)]),
    "binary": RNG.integers(2, size=(100_000, 8)).astype(np.float32),
    "a group and others": np.vstack([np.ones((1_200, 16)), CURVED[:1_000]]),
}


@pytest.mark.parametrize("X", COPIES.values(), ids=COPIES)
def test_what_is_held_out_is_no_more_than_a_fraction_and_2000_rows(X):
    fraction = min(0.1, 2_000 / X.shape[0])
    for seed in range(5):
        splits = Rows(X).splits(fraction, 2, np.random.default_rng(seed))
        assert splits
        for training, held, _ in splits:
            assert len(training) + len(held) == X.shape[0]
            assert 0.5 * fraction * X.shape[0] < len(held) <= round(fraction * X.shape[0])
            assert not distinct(training) & distinct(held)
        sides = [distinct(held) for _, held, _ in splits]
        assert len(set.union(*sides)) == sum(map(len, sides))


def distinct(rows):
    dense = rows.take(np.arange(len(rows))).X
    dense = dense.toarray() if sparse.issparse(dense) else dense
    return {row.tobytes() for row in dense}


@pytest.mark.parametrize("share", [0.005, 0.03, 0.3, 0.8])
@pytest.mark.parametrize("fraction", [0.1, 0.15])
def test_rows_of_many_copies_are_trained_on(share, fraction):
    """This holds for rows of zeros, whose hash is no longer the first, and for other rows."""
    X = with_zeros(share)
    for value in (0, 1):
        X[(X[np.argmin(X.any(axis=1))] == X).all(axis=1)] = value
        for seed in range(20):
            ((_, held, missed),) = Rows(X).splits(fraction, 1, np.random.default_rng(seed))
            assert not (value == held.X).all(axis=1).any()
            assert not missed


def test_zeros_among_curved_rows_are_reconstructed():
    X = with_zeros(0.03)
    fitted = AutoencoderTransformer(3, random_state=0).fit(X)
    pca = PCA(3).fit(X)
    theirs = np.square(pca.inverse_transform(pca.transform(X)) - X).sum()
    assert fitted.score(X) > 1 - 1.01 * theirs / np.square(X - X.mean(axis=0)).sum() > 0.9


@pytest.mark.parametrize("groups", [2, 3, 24])
def test_all_rows_are_trained_on_where_whole_groups_had_to_be_held_out(groups, monkeypatch):
    X = np.repeat(CURVED[:groups], 12_000 // groups, axis=0)
    trained, train = [], trials.train

    def watched(candidate, split, *args):
        trained.append(len(split.training))
        return train(candidate, split, *args)

    monkeypatch.setattr(trials, "train", watched)
    settings = {"init": "glorot_uniform", "learning_rate": 1e-3, "output_activation": "linear"}
    AutoencoderTransformer(1, epochs=3, random_state=0, **settings).fit(X)
    assert trained[0] < 12_000
    assert trained[-1] == 12_000


def test_weights_are_copies_in_what_is_held_out_in_any_order():
    X, copies = CURVED[:100], RNG.integers(1, 4, size=100)
    order = RNG.permutation(copies.sum())
    weighted = Rows(X, copies.astype(float)).splits(0.2, 3, np.random.default_rng(0))
    repeated = Rows(np.repeat(X, copies, axis=0)[order]).splits(0.2, 3, np.random.default_rng(0))
    assert len(weighted) == len(repeated) == 3
    for (_, one, _), (_, other, _) in zip(weighted, repeated, strict=True):
        assert distinct(one) == distinct(other)
        assert one.total_weight() == len(other)


FAR = RNG.normal(size=(200, 6)) @ RNG.normal(size=(6, 6)) + 1e8
NAMES = [f"x{i}" for i in range(6)]
FRAME = pd.DataFrame(FAR, columns=NAMES)


def with_a_column(dtype):
    return FRAME.assign(x0=(FRAME["x0"] - 1e8).astype(dtype))


IN_FLOAT64 = {
    "array": FAR,
    "byte order": FAR.astype(">f8"),
    "long double": FAR.astype(np.longdouble),
    "list": FAR.tolist(),
    "objects": FAR.astype(object),
    "frame": FRAME,
    "nullable": FRAME.astype("Float64"),
    "arrow": FRAME.astype("double[pyarrow]"),
    "sparse columns": FRAME.astype(pd.SparseDtype(float, 0)),
    "a nullable column": with_a_column("Float64"),
    "an object column": with_a_column(object),
    "a small column": with_a_column("f4"),
    "polars": pl.DataFrame(FAR, schema=NAMES),
    "polars, a small column": pl.from_pandas(with_a_column("i2")),
    "pyarrow": pa.table(dict(zip(NAMES, FAR.T, strict=True))),
    "csr": sparse.csr_array(FAR),
    "csc": sparse.csc_matrix(FAR),
    "coo": sparse.coo_array(FAR),
    "int64": FAR.astype(np.int64),
    "sparse int32": sparse.csr_array(FAR.astype(np.int32)),
}


@pytest.mark.parametrize("X", IN_FLOAT64.values(), ids=IN_FLOAT64)
def test_what_float32_does_not_hold_is_computed_in_float64(X):
    """This includes scoring, transforming and validation. At 1e8 float32 has steps of 8."""
    dense = X.toarray() if sparse.issparse(X) else np.asarray(X, dtype=np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # one column is far nearer to zero
        linear = AutoencoderTransformer(4, hidden_layer_sizes=(), random_state=0)
        fitted = linear.fit(X, X_val=X)
    pca = PCA(4, svd_solver="full").fit(dense)
    reconstructed = pca.inverse_transform(pca.transform(dense))
    error = np.square(reconstructed - dense).mean()
    score = 1 - error / dense.var(axis=0).mean()
    assert fitted.network_["dtype"] == "float64"
    assert fitted.transform(X).dtype == np.float64
    assert fitted.score(X) == pytest.approx(score, abs=1e-4)
    assert_allclose(fitted.reconstruct(X), reconstructed, atol=0.01)
    assert fitted.validation_loss_curve_[0] == pytest.approx(error, rel=1e-3)


def test_validation_rows_are_not_rounded_to_the_dtype_of_training():
    """In float32 the validation rows here would be the same as the training rows."""
    X = (1024 + RNG.integers(0, 32, size=(200, 6))).astype(np.float32)
    fitted = AutoencoderTransformer(2, random_state=0).fit(X, X_val=X.astype(float) + 2e-5)
    again = AutoencoderTransformer(2, random_state=0).fit(X, X_val=X)
    assert fitted.network_["dtype"] == "float32"
    assert fitted.validation_loss_curve_[0] != again.validation_loss_curve_[0]


SMALL = RNG.integers(0, 100, size=(60, 6))
IN_FLOAT32 = {
    **{name: SMALL.astype(name) for name in ("f2", "f4", ">f4", "i1", "u1", "i2", "u2", "?")},
    "csr": sparse.csr_array(SMALL.astype("u1")),
    "frame": pd.DataFrame(SMALL, columns=NAMES).astype({"x0": "i1", "x1": "?", "x2": "f4"}),
    "nullable": pd.DataFrame(SMALL, columns=NAMES).astype("Int16"),
    "arrow": pd.DataFrame(SMALL, columns=NAMES).astype("float[pyarrow]"),
    "polars": pl.DataFrame(SMALL.astype("i1"), schema=NAMES),
    "polars, bool": pl.DataFrame(SMALL > 50, schema=NAMES),
    "pyarrow": pa.table(dict(zip(NAMES, SMALL.T.astype("f4"), strict=True))),
}
IN_FLOAT32["frame"] = IN_FLOAT32["frame"].astype(dict.fromkeys(NAMES[3:], "u2"))


@pytest.mark.parametrize("X", IN_FLOAT32.values(), ids=IN_FLOAT32)
def test_what_float32_holds_is_computed_in_it(X):
    assert precision(X) is np.float32
    fitted = AutoencoderTransformer(2, random_state=0).fit(X)
    assert fitted.network_["dtype"] == "float32"
    assert fitted.transform(X).dtype == np.float32


def test_codes_of_lists_are_decoded_in_float64():
    fitted = AutoencoderTransformer(4, random_state=0).fit(FAR)
    codes = fitted.transform(FAR)
    assert_array_equal(fitted.inverse_transform(codes.tolist()), fitted.inverse_transform(codes))


def product(kind="csr"):
    """Return a product of sparse matrices, with entries out of order and some of them twice."""
    rng = np.random.default_rng(0)
    X = sparse.random_array((120, 30), density=0.3, rng=rng, format="csr")
    X = X @ sparse.random_array((30, 24), density=0.3, rng=rng, format="csr")
    entries = sparse.coo_array(X)
    rows, columns = (np.concatenate([c, c[:300]])[::-1] for c in entries.coords)
    data = np.concatenate([entries.data, entries.data[:300]])[::-1]
    order = np.argsort(rows if kind == "csr" else columns, kind="stable")
    if kind == "coo":
        return sparse.coo_array((data, (rows, columns)), shape=X.shape)
    major, minor = (rows, columns) if kind == "csr" else (columns, rows)
    n_major = X.shape[0] if kind == "csr" else X.shape[1]
    starts = np.concatenate([[0], np.bincount(major, minlength=n_major).cumsum()])
    container = sparse.csr_array if kind == "csr" else sparse.csc_array
    return container((data[order], minor[order], starts), shape=X.shape)


def parts(X):
    return [
        getattr(X, name) for name in ("data", "indices", "indptr", "coords") if hasattr(X, name)
    ]


@pytest.mark.parametrize("settings", [{}, {"hidden_layer_sizes": (4,), "epochs": 2}])
@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_sparse_matrices_with_duplicates_stay_as_they_are(kind, settings, tmp_path):
    X, expected = product(kind), product(kind).toarray()
    dump(X, tmp_path / "X")
    mapped = load(tmp_path / "X", mmap_mode="r")
    reference = AutoencoderTransformer(3, random_state=0, **settings).fit(expected)
    for other in (X, mapped):
        before = [np.copy(part) for part in parts(other)]
        fitted = AutoencoderTransformer(3, random_state=0, **settings).fit(other, X_val=other)
        results = fitted.transform(other), fitted.reconstruct(other), fitted.score(other)
        for part, earlier in zip(parts(other), before, strict=True):
            assert_array_equal(part, earlier)
        assert_allclose(results[0], fitted.transform(expected), atol=1e-10)
        assert_allclose(results[1], fitted.reconstruct(expected), atol=1e-10)
        assert results[2] == pytest.approx(fitted.score(expected))
        fitted = AutoencoderTransformer(3, random_state=0, **settings).fit(other)
        assert_allclose(fitted.reconstruct(expected), reference.reconstruct(expected), atol=1e-6)


def test_a_feature_union_of_processes_takes_products_of_sparse_matrices():
    X = product()
    steps = [(f"a{n}", AutoencoderTransformer(n, random_state=0)) for n in (2, 3)]
    with Parallel(n_jobs=2, max_nbytes=1) as parallel:  # every array is mapped read-only
        fits = parallel(delayed(step.fit_transform)(X) for _, step in steps)
    assert_allclose(np.hstack(fits), FeatureUnion(steps).fit_transform(X), atol=1e-8)
