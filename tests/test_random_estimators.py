"""Any estimator works on any data, or says in a documented error why it can't.

The tests draw a few dozen estimators. To draw a thousand, which are new each time, run
`pytest tests/test_random_estimators.py --hypothesis-profile=thousand --hypothesis-show-statistics`.
"""

import pathlib
import pickle
import re
import tempfile
import warnings

import keras
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import event, given, note
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone

import skae
from skae import AutoencoderTransformer
from skae._data import stored

# The beginnings of the errors that a user may get for valid parameters, and data that are finite
# or missing.
DOCUMENTED = re.compile(
    "|".join(
        [
            "The loss became nan or infinite in epoch",
            "The reconstruction of X overflows",
            "Keras can't train in float64 with optimizer=",
            r"(Negative values in data: )?loss=.* needs X(_val)? in the range",
            "image_shape=.* has .* entries, but X has",
            "image_shape needs hidden_layer_sizes",
            "kl_weight needs a network that skae builds",
            "Got image_shape and network together",
            "A variational code is the mean of a normal distribution",
            "Sample weights must",
            "X must have a value of each feature",
        ]
    )
)


def in_the_middle(batch, rng):
    """Corrupt a batch, as a user's own function might."""
    batch[:, batch.shape[1] // 2] = rng.random(len(batch))
    return batch


def two_layers(spec):
    """Return a network, as a user's own function might."""

    def half(n_in, n_out, seed):
        initializer = keras.initializers.GlorotUniform(seed=seed)
        dense = keras.layers.Dense(n_out, kernel_initializer=initializer, dtype=spec.dtype)
        return keras.Sequential([keras.Input((n_in,), dtype=spec.dtype), dense])

    ends = spec.n_features, spec.n_components
    return half(*ends, 0), half(*ends[::-1], 1)


def read_only(X):
    X.flags.writeable = False
    return X


def memory_mapped(X):
    with tempfile.TemporaryFile() as file:  # the map keeps the file
        mapped = np.memmap(file, X.dtype, "w+", shape=X.shape)
    mapped[:] = X
    return mapped


class InBlocks:
    """Rows that come in blocks, as often as they are asked for."""

    def __init__(self, X):
        self.X = X

    def __iter__(self):
        return iter([self.X[begin : begin + 11] for begin in range(0, len(self.X), 11)])


class Slices:
    """Rows in storage, which are read by slices."""

    def __init__(self, X):
        self.X, self.shape, self.dtype = X, X.shape, X.dtype

    def __getitem__(self, key):
        return self.X[key]


def parquet(X):
    table = pa.table({f"x{i}": X[:, i] for i in range(X.shape[1])})
    with tempfile.TemporaryFile() as file:
        pyarrow.parquet.write_table(table, file)
        file.seek(0)
        return pyarrow.parquet.ParquetFile(pa.BufferReader(file.read()))


@pytest.fixture(autouse=True, scope="module")
def few_rows_are_read_in_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "SMALL_BYTES", 0)
        patch.setattr(stored, "BLOCK_BYTES", 300)
        patch.setattr(stored, "WINDOW_BYTES", 2000)
        yield


CONTAINERS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "read-only": read_only,
    "memory map": memory_mapped,
    "list": np.ndarray.tolist,
    "blocks": InBlocks,
    "slices": Slices,
    "Parquet": parquet,
    "csr": lambda X: sparse.csr_array(X.astype(np.result_type(X, np.float32))),
    "csc": lambda X: sparse.csc_matrix(X.astype(np.result_type(X, np.float32))),
    "pandas": lambda X: pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])]),
    "polars": lambda X: pl.DataFrame(
        X.astype(np.result_type(X, np.float32)), schema=[f"x{i}" for i in range(X.shape[1])]
    ),
}
CONTENTS = {
    "uniform": lambda rng, shape: rng.uniform(size=shape),
    "normal": lambda rng, shape: rng.normal(size=shape),
    "counts": lambda rng, shape: rng.poisson(3.0, size=shape),
    "binary": lambda rng, shape: rng.integers(2, size=shape),
    "rank one": lambda rng, shape: rng.normal(size=(shape[0], 1)) @ np.ones((1, shape[1])),
    "constant": lambda rng, shape: np.full(shape, 0.5),
    "zero": lambda rng, shape: np.zeros(shape),
    "large": lambda rng, shape: 1e4 * rng.normal(size=shape),
    "small": lambda rng, shape: 1e-6 * rng.normal(size=shape),
    "far": lambda rng, shape: 1e4 + rng.normal(size=shape),
    "one wide": lambda rng, shape: rng.normal(size=shape) * np.geomspace(1, 1e4, shape[1]),
}
DTYPES = [np.float16, np.float32, np.float64, np.int32, np.uint8, bool]
# There are few shapes, since each network has to be compiled.
SHAPES = [(1, 4), (2, 4), (3, 1), (7, 9), (40, 4), (40, 9), (40, 16), (150, 9)]
IMAGES = {4: (2, 2), 9: (3, 3), 16: (2, 4, 2)}


def mostly(usual, *others):
    """Draw the usual value half of the time."""
    return st.one_of(st.just(usual), st.sampled_from(others))


def losses(X):
    """Return the losses with the rows in their range. Other losses are tested elsewhere."""
    usable = ["mse", "mae", "huber", {"class_name": "LogCosh", "config": {}}]
    if np.nanmin(X) >= 0:
        usable.append("poisson")
        if np.nanmax(X) <= 1:
            usable.append("binary_crossentropy")
    return usable


@st.composite
def parameters(draw, X, n_features):
    special = draw(mostly(None, "image", "network"))
    kl_weight = 0.0 if special == "network" else draw(mostly(0.0, 0.5, 2))
    codes = ("linear",) if kl_weight else ("linear", "relu", "relu6", "softplus", "tanh")
    values = {
        "n_components": draw(st.sampled_from([1, 2, 5])),
        "hidden_layer_sizes": draw(mostly((2,) if special == "image" else (), 3, [4], (5, 3))),
        "activation": draw(mostly("relu", "gelu", "tanh", "selu")),
        "code_activation": draw(mostly("auto", *codes)),
        "output_activation": draw(mostly("auto", "linear", "sigmoid", "exponential", "tanh")),
        "noise": draw(
            mostly(None, 0.2, 1, ("gaussian", 0.3), ("salt_and_pepper", 0.5), in_the_middle)
        ),
        "sparsity": draw(mostly(0.0, 1e-3)),
        "kl_weight": kl_weight,
        "loss": draw(st.sampled_from(losses(X))),
        "optimizer": draw(mostly("adam", "sgd", "muon", {"class_name": "AdamW", "config": {}})),
        "learning_rate": draw(mostly("one_cycle", 1e-3, 10)),
        "init": draw(mostly("pca", "glorot_uniform")),
        "epochs": draw(mostly("auto", 1, 3)),
        "batch_size": draw(mostly("auto", 7, 1000)),
        "shuffle": draw(mostly(True, False)),
        "early_stopping": draw(st.booleans()),
        "validation_fraction": draw(mostly(0.1, 0.9)),
        "warm_start": draw(st.booleans()),
        "random_state": draw(st.integers(0, 3)),
    }
    if special == "image":
        values["image_shape"] = IMAGES.get(n_features, (n_features, 1))
    if special == "network":
        values["network"] = two_layers
    return values


@st.composite
def cases(draw):
    """Draw an estimator, rows, the container they are in, and the other arguments of fit."""
    shape = draw(st.sampled_from(SHAPES))
    content = draw(st.sampled_from(sorted(CONTENTS)))
    dtype = draw(st.sampled_from(DTYPES))
    container = draw(st.sampled_from(sorted(CONTAINERS)))
    rng = np.random.default_rng(draw(st.integers(0, 3)))
    may_miss = np.issubdtype(dtype, np.floating) and container not in ("csr", "csc")
    missing = draw(mostly(0.0, 0.1, 0.4)) if may_miss else 0.0

    def rows(n_rows):
        X = CONTENTS[content](rng, (n_rows, shape[1]))
        X = np.abs(X) % 128 if np.issubdtype(dtype, np.integer) else X
        X = X.astype(dtype)
        if missing:
            X[rng.random(X.shape) < missing] = np.nan
        return X

    X, some = rows(shape[0]), rng.uniform(size=shape[0])
    sample_weight = draw(mostly(None, some, np.round(2 * some), np.where(some < 0.5, 0, some)))
    # Rows to validate on have missing values only if the others have some.
    missing = missing if np.isnan(X).any() else 0.0
    X_val = rows(5) if draw(st.booleans()) else None
    estimator = AutoencoderTransformer(**draw(parameters(X, shape[1])))
    note(f"{content}, {np.dtype(dtype)}, {container}: X={X!r}")
    note(f"sample_weight={sample_weight!r}, X_val={X_val!r}")
    contained = [None if x is None else CONTAINERS[container](x) for x in (X, X_val)]
    return estimator, X, contained[0], {"sample_weight": sample_weight, "X_val": contained[1]}


def through_a_file(estimator):
    """Save and load an estimator, and check that it saves to the same bytes again."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder, name) for name in ("first", "second")]
        estimator.save(paths[0])
        loaded = skae.load(paths[0])
        loaded.save(paths[1])
        assert paths[0].read_bytes() == paths[1].read_bytes()
    return loaded


ROUND_TRIPS = {
    "pickle": lambda estimator: pickle.loads(pickle.dumps(estimator)),
    "file": through_a_file,
}


def use(estimator, X):
    """Return the results of everything that a fitted estimator does with rows."""
    codes = estimator.transform(X)
    results = [codes, estimator.inverse_transform(codes), estimator.reconstruct(X)]
    if hasattr(estimator, "sample"):
        results.append(estimator.sample(3, random_state=0))
    return results


def fit(estimator, X, options):
    """Return whether the estimator could be fitted.

    If it could not, the error has to be documented and the estimator has to be as it was.
    """
    before = dict(vars(estimator))
    try:
        estimator.fit(X, **options)
    except ValueError as error:
        documented = DOCUMENTED.match(str(error))
        if not documented:
            raise
        event(f"refused: {documented[0]}")
        assert vars(estimator) == before
        return False
    event("fitted")
    return True


@given(cases())
def test_random_estimators_work_or_say_why_not(case):
    estimator, dense, X, options = case
    n_rows = len(dense)
    event(f"missing values: {np.isnan(dense).any()}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # each has a test of its own
        # With a learning rate that is far too large, numbers may overflow.
        wild = estimator.learning_rate == 10
        warnings.simplefilter("ignore" if wild else "error", RuntimeWarning)
        if not fit(estimator, X, options):
            return
        results = use(estimator, X)
        n_features, n_components = estimator.n_features_in_, estimator.n_components_
        widths = [n_components, n_features, n_features, n_features]
        for result, width in zip(results, widths, strict=False):
            assert result.shape[1] == width
            assert result.dtype == estimator.network_["dtype"]
            assert wild or np.isfinite(result).all()
        assert [len(result) for result in results[:3]] == [n_rows] * 3
        assert wild or n_rows < 2 or np.isfinite(estimator.score(X))
        assert clone(estimator).get_params() == estimator.get_params()
        for name, round_trip in ROUND_TRIPS.items():
            if name == "file" and (callable(estimator.noise) or estimator.network):
                with pytest.raises(ValueError, match="can't hold the callable"):
                    round_trip(estimator)
                event("not to be saved")
                continue
            for one, other in zip(use(round_trip(estimator), X), results, strict=True):
                assert_array_equal(one, other, err_msg=name)
        if estimator.warm_start:
            fit(estimator, X, options)
            return
        for one, other in zip(use(clone(estimator).fit(X, **options), X), results, strict=True):
            assert_array_equal(one, other)
