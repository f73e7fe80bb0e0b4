"""Test what the estimator does with valid input."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.metrics import r2_score

import skae
from skae import AutoencoderTransformer


@pytest.fixture(scope="module")
def digits():
    return (load_digits().data / 16).astype(np.float32)


@pytest.fixture(scope="module")
def fitted(digits):
    return AutoencoderTransformer(8, random_state=0).fit(digits)


def test_package_names():
    """The package exports the names of `__all__`, and two modules once they are imported."""
    public = {name for name in vars(skae) if not name.startswith("_")}
    assert set(skae.__all__) - {"__version__"} == public - {"displays", "onnx"}


def test_shapes_and_names(digits, fitted):
    codes = fitted.transform(digits)
    assert codes.shape == (len(digits), 8)
    assert fitted.inverse_transform(codes).shape == digits.shape
    assert list(fitted.get_feature_names_out()) == [f"autoencodertransformer{i}" for i in range(8)]
    assert fitted.n_features_in_ == 64
    assert fitted.n_iter_ == len(fitted.loss_curve_)


def test_default_code_has_32_components(digits):
    assert AutoencoderTransformer(random_state=0).fit_transform(digits[:200]).shape == (200, 32)


@pytest.mark.parametrize("hidden_layer_sizes", [(), (64,)])
def test_linear_code_is_ordered(digits, hidden_layer_sizes):
    """Trained codes are centered, uncorrelated, ordered by variance and on the scale of X."""
    estimator = AutoencoderTransformer(
        8, hidden_layer_sizes=hidden_layer_sizes, epochs=20, early_stopping=False, random_state=0
    )
    codes = estimator.fit_transform(digits).astype(float)
    assert_allclose(codes.mean(axis=0), 0, atol=1e-4)
    covariance = np.cov(codes.T)
    variances = np.diag(covariance)
    assert (np.diff(variances) < 0).all()
    assert np.abs(covariance - np.diag(variances)).max() < 1e-4 * variances[0]
    spread = estimator.inverse_transform(codes).var(axis=0).sum()
    assert 0.7 * spread < variances.sum() < 1.3 * spread


def test_rectified_code_is_the_linear_one_raised(digits):
    """A rectified code that starts from PCA describes the training rows as a linear one does."""
    linear = AutoencoderTransformer(4, random_state=0).fit(digits)
    rectified = AutoencoderTransformer(4, code_activation="relu", random_state=0).fit(digits)
    assert rectified.transform(digits).min() > 0
    assert_allclose(rectified.reconstruct(digits), linear.reconstruct(digits), atol=1e-4)


def test_score_of_many_rows_far_from_zero():
    """There are more rows than NumPy can sum in float32."""
    X = (1000 + np.random.default_rng(0).normal(size=(1_000_000, 4))).astype(np.float32)
    linear = AutoencoderTransformer(1, hidden_layer_sizes=(), random_state=0).fit(X[:5_000])
    assert linear.score(X) == pytest.approx(0.25, abs=0.01)


def test_a_refit_without_names_forgets_names():
    X = np.random.default_rng(0).normal(size=(50, 3))
    estimator = AutoencoderTransformer(2, random_state=0).fit(pd.DataFrame(X, columns=list("abc")))
    estimator.fit(np.hstack([X, X[:, :2]]))
    assert not hasattr(estimator, "feature_names_in_")
    decoded = estimator.set_output(transform="pandas").inverse_transform(np.zeros((1, 2)))
    assert list(decoded.columns) == ["x0", "x1", "x2", "x3", "x4"]


class Forgetful(AutoencoderTransformer):
    """A subclass that keeps a connection out of its pickles."""

    def __getstate__(self):
        state = super().__getstate__()
        return {name: state[name] for name in state.keys() - {"connection", "_skae_version"}}


@pytest.mark.parametrize("warm_start", [False, True])
def test_fit_loses_nothing_that_a_subclass_does_not_pickle(digits, warm_start):
    estimator = Forgetful(2, output_activation="linear", warm_start=warm_start)
    estimator.connection = connection = object()
    for _ in range(2):
        assert estimator.fit(digits[:100]).connection is connection
    assert "connection" not in estimator.__getstate__()  # else the test would show nothing


def test_fit_of_a_subclass_with_slots(digits):
    """scikit-learn can't pickle instances of such a class, but can fit them."""

    class Slotted(AutoencoderTransformer):
        __slots__ = ("calls",)

        def _seed(self):
            return self.calls  # the copy that is fitted has this attribute too

    estimator = Slotted(2, output_activation="linear")
    estimator.calls = 3
    assert estimator.fit(digits[:100]).calls == 3
    assert estimator.transform(digits).shape == (len(digits), 2)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # after one epoch
def test_fit_keeps_what_its_own_callables_set_on_the_estimator(digits):
    """For example, the noise of a subclass may count its calls."""

    class Counting(AutoencoderTransformer):
        def degrade(self, batch, _):
            self.calls = getattr(self, "calls", 0) + 1
            return batch

    estimator = Counting(2, epochs=1, early_stopping=False)
    estimator.set_params(noise=estimator.degrade).fit(digits[:100])
    assert estimator.calls > 0
    assert estimator.transform(digits).shape == (len(digits), 2)


def test_score_is_r2(digits, fitted):
    weights = np.random.default_rng(0).uniform(size=len(digits))
    expected = r2_score(
        digits,
        fitted.reconstruct(digits),
        sample_weight=weights,
        multioutput="variance_weighted",
    )
    assert fitted.score(digits, sample_weight=weights) == pytest.approx(expected)
    assert fitted.score(sparse.csr_array(digits)) == pytest.approx(fitted.score(digits))


def test_y_is_ignored(digits):
    first = AutoencoderTransformer(4, random_state=0).fit_transform(digits, ["a"] * len(digits))
    assert_array_equal(first, AutoencoderTransformer(4, random_state=0).fit_transform(digits))


def test_to_keras_shares_weights_and_equals_numpy(digits, fitted):
    encoder, decoder, autoencoder = fitted.to_keras()
    codes = fitted.transform(digits)
    assert_allclose(encoder(digits), codes, atol=1e-5)
    assert_allclose(decoder(codes), fitted.inverse_transform(codes), atol=1e-5)
    assert_allclose(autoencoder(digits), fitted.reconstruct(digits), atol=1e-5)
    encoder.set_weights([0 * array for array in encoder.get_weights()])
    assert np.ptp(np.asarray(autoencoder(digits)), axis=0).max() == 0
    assert_array_equal(fitted.transform(digits), codes)  # the estimator is unchanged


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_frames_come_out_with_names_both_ways(digits, kind):
    names = [f"pixel{i}" for i in range(64)]
    frame = pd.DataFrame(digits, columns=names, index=np.arange(len(digits)) + 7)
    if kind == "polars":
        frame = pl.from_pandas(frame)
    estimator = AutoencoderTransformer(4, random_state=0).set_output(transform=kind).fit(frame)
    codes = estimator.transform(frame)
    assert list(codes.columns) == list(estimator.get_feature_names_out())
    decoded, reconstructed = estimator.inverse_transform(codes), estimator.reconstruct(frame)
    assert type(codes) is type(decoded) is type(reconstructed) is type(frame)
    assert list(decoded.columns) == list(reconstructed.columns) == names
    assert_array_equal(decoded.to_numpy(), reconstructed.to_numpy())
    if kind == "pandas":
        assert_array_equal(reconstructed.index, frame.index)


def test_frames_without_names_of_the_input(digits):
    """After a fit on an array, decoded frames have scikit-learn's default names."""
    estimator = AutoencoderTransformer(4, random_state=0).set_output(transform="pandas")
    decoded = estimator.fit(digits).inverse_transform(estimator.transform(digits))
    assert list(decoded.columns) == [f"x{i}" for i in range(64)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_dtypes_stay(digits, dtype):
    X = digits[:200].astype(dtype)
    estimator = AutoencoderTransformer(4, hidden_layer_sizes=(8,), random_state=0).fit(X)
    assert {array.dtype for array in estimator.weights_} == {np.dtype(dtype)}
    assert estimator.transform(X).dtype == estimator.reconstruct(X).dtype == dtype


def test_float64_is_computed_in_float64(digits):
    """Two float64 fits to reordered rows agree far more closely than float32 fits could."""
    X = digits[:100].astype(np.float64)
    # All rows are in one batch, else their order would decide which rows share a batch.
    estimator = AutoencoderTransformer(
        4, hidden_layer_sizes=(), random_state=4, epochs=50, batch_size=100
    )
    first = estimator.fit(X).transform(X)
    assert estimator.n_iter_ == 50  # else the test would compare PCA
    second = estimator.fit(X[np.random.default_rng(0).permutation(100)]).transform(X)
    assert_allclose(first, second, rtol=1e-9, atol=1e-11)


def memory_mapped(X, folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


@pytest.fixture(scope="module")
def references(digits):
    """Return estimators fitted to arrays of both dtypes."""
    arrays = (digits[:300].astype(dtype) for dtype in (np.float32, np.float64))
    return {X.dtype: AutoencoderTransformer(8, random_state=0).fit(X) for X in arrays}


# Estimators fitted to arrays are also given frames.
@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize(
    "kind",
    [
        "F",
        "read-only",
        "memory map",
        "strided",
        "pandas",
        "polars",
        "list",
        "csr_array",
        "csc_array",
        "csr_matrix",
    ],
)
def test_input_kinds_agree(digits, references, tmp_path, kind):
    """The same rows give the same fit in any container, and are not changed."""
    X = digits[:300]
    containers = {
        "F": np.asfortranarray,
        "read-only": read_only,
        "memory map": lambda X: memory_mapped(X, tmp_path),
        "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        "pandas": pd.DataFrame,
        "polars": lambda X: pl.DataFrame(X, schema=[f"x{i}" for i in range(64)]),
        "list": lambda X: X.tolist(),
        "csr_array": sparse.csr_array,
        "csc_array": sparse.csc_array,
        "csr_matrix": sparse.csr_matrix,
    }
    other = containers[kind](X)
    in_its_dtype = X.astype(np.float64) if kind == "list" else X
    expected = references[in_its_dtype.dtype]
    actual = AutoencoderTransformer(8, random_state=0).fit(other)
    # Sums of the PCA start round differently over columns than over rows.
    tolerance = 1e-3 if kind in ("F", "strided") else 1e-4
    assert_allclose(actual.transform(other), expected.transform(X), atol=tolerance)
    assert_allclose(expected.transform(other), expected.transform(X), atol=1e-5)
    if sparse.issparse(other):
        other = other.toarray()
    assert_array_equal(np.asarray(other, dtype=np.float32), X)


def test_more_components_than_rank():
    """From PCA there are as many components as the rows have dimensions; other codes keep all."""
    X = np.random.default_rng(0).normal(size=(50, 3))
    X = np.hstack([X, X[:, :1] + X[:, 1:2]])
    estimator = AutoencoderTransformer(5, random_state=0, warm_start=True)
    with pytest.warns(UserWarning, match="n_components=5 .* dimensions .* code has 3"):
        estimator.fit(X)
    assert estimator.n_components_ == 3
    assert len(estimator.get_feature_names_out()) == 3
    assert estimator.transform(X).shape == (50, 3)
    assert estimator.score(X) > 1 - 1e-12
    assert estimator.fit(X).n_components_ == 3
    with pytest.raises(ValueError, match="n_components"):
        estimator.set_params(n_components=4).fit(X)
    with pytest.warns(UserWarning, match="n_components=5 is more than min.*=4"):
        kept = AutoencoderTransformer(5, noise=0.1, epochs=1, random_state=0).fit(X)
    assert kept.transform(X).shape == (50, 5)


@pytest.mark.parametrize("X", [np.ones((20, 4)), np.eye(3)], ids=["constant", "three rows"])
def test_there_is_at_least_one_component(X):
    with pytest.warns(UserWarning, match="dimensions"):
        estimator = AutoencoderTransformer(3, random_state=0).fit(X)
    assert estimator.n_components_ == max(1, np.linalg.matrix_rank(X - X.mean(axis=0)))


@pytest.mark.parametrize("validation_fraction", [0.1, 0.9])
@pytest.mark.parametrize(
    "X",
    [np.ones((1, 4)), np.ones((20, 4)), np.arange(8.0).reshape(2, 4), np.eye(2)],
    ids=["one row", "constant", "two rows", "two in [0, 1]"],
)
def test_degenerate_data(X, validation_fraction):
    """Data with nothing to learn are fitted without a warning."""
    estimator = AutoencoderTransformer(
        1, validation_fraction=validation_fraction, random_state=0
    ).fit(X)
    assert_allclose(estimator.reconstruct(X), X, atol=1e-6)


def test_random_states(digits):
    """An int repeats a fit to the bit. Another int, or the global generator, does not."""
    X = digits[:300]
    codes = [
        AutoencoderTransformer(4, init="glorot_uniform", epochs=3, random_state=state)
        .fit(X)
        .transform(X)
        for state in (0, 0, 1, None)
    ]
    assert_array_equal(codes[0], codes[1])
    assert not np.allclose(codes[0], codes[2])
    assert not np.allclose(codes[0], codes[3])
