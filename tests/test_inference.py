"""NumPy computes what Keras computes."""

import collections
import threading

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, special

from skae import AutoencoderTransformer
from skae._activations import ACTIVATIONS
from skae._inference import _half, _threads_for, encode
from skae._spec import NetworkSpec

# Keras' own float64 is not exact for these; the exact function is what NumPy has.
EXACT = {
    "gelu": special.ndtr,
    "leaky_relu": lambda x: np.where(x < 0, 0.2, 1.0),
}


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-9)])
def test_activations_equal_those_of_keras(name, dtype, tolerance):
    x = np.linspace(-20, 20, 4001, dtype=dtype)
    if name in EXACT:
        expected = np.asarray(x, np.float64) * EXACT[name](np.asarray(x, np.float64))
    else:
        expected = np.asarray(keras.activations.get(name)(x))
    actual = ACTIVATIONS[name](x.copy())
    assert actual.dtype == dtype
    # Tails that cancel to nothing are compared on the scale of one.
    assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("hidden_layer_sizes", [(), (16,), (16, 8)])
@pytest.mark.parametrize("init", ["pca", "glorot_uniform"])
@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_networks_equal_those_of_keras(hidden_layer_sizes, init, activation):
    X = np.random.default_rng(0).uniform(size=(200, 10))
    estimator = AutoencoderTransformer(
        3,
        hidden_layer_sizes=hidden_layer_sizes,
        activation=activation,
        code_activation="tanh",
        output_activation="sigmoid",
        init=init,
        epochs=3,
        early_stopping=False,
        random_state=0,
    ).fit(X)
    encoder, decoder, _ = estimator.to_keras()
    assert_allclose(estimator.transform(X), encoder(X), rtol=1e-7, atol=1e-9)
    assert_allclose(estimator.reconstruct(X), decoder(encoder(X)), rtol=1e-7, atol=1e-9)


def test_sparse_rows_are_encoded_by_a_sparse_product():
    """Encoding never makes X dense: as a dense array this one would be 80 GB."""
    n_features = 100_000
    X = sparse.random(1000, n_features, density=1e-5, random_state=0)
    X = sparse.csr_array(X, dtype=np.float32)
    estimator = AutoencoderTransformer(
        2, hidden_layer_sizes=(4,), init="glorot_uniform", epochs=1, batch_size=8, random_state=0
    )
    estimator.set_params(early_stopping=False).fit(X[:16])
    tall = sparse.vstack([X] * 200, format="csr")
    assert estimator.transform(tall).shape == (200_000, 2)
    assert_allclose(estimator.transform(X[:3]), estimator.transform(X[:3].toarray()), atol=1e-6)


def test_blocks_of_hidden_layers_change_nothing():
    """Rows are encoded in blocks when hidden layers are wide; the result is that of one block."""
    X = np.random.default_rng(0).uniform(size=(3000, 5))
    estimator = AutoencoderTransformer(
        2, hidden_layer_sizes=(1024,), epochs=1, early_stopping=False, random_state=0
    ).fit(X[:100])
    parts = [estimator.transform(X[i : i + 100]) for i in range(0, 3000, 100)]
    assert_allclose(estimator.transform(X), np.concatenate(parts), rtol=1e-9, atol=1e-12)


def test_more_rows_than_a_block_are_of_the_same_precision():
    """Rows of float64 are encoded and decoded in float64 by weights of float32, few or many."""
    X = np.random.default_rng(0).normal(size=(5_000, 300))
    estimator = AutoencoderTransformer(2, random_state=0).fit(X[:200].astype(np.float32))
    for rows in (X[:10], X):
        codes = estimator.transform(rows)
        assert codes.dtype == estimator.inverse_transform(codes).dtype == np.float64
        assert estimator.transform(rows.astype(np.float32)).dtype == np.float32


def threads_that_multiply(monkeypatch, error=None):
    """How often each thread has come by, from now on."""
    threads = collections.Counter()

    def half(*arguments):
        threads[threading.get_ident()] += 1
        if error:
            raise error
        return _half(*arguments)

    monkeypatch.setattr("skae._inference._half", half)
    return threads


def encoder_of(X, **parameters):
    settings = {"epochs": 1, "early_stopping": False, "random_state": 0, **parameters}
    return AutoencoderTransformer(4, **settings).fit(X[:100])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("hidden_layer_sizes", [(), (64,)])
def test_threads_and_small_products_change_nothing(dtype, hidden_layer_sizes, monkeypatch):
    """Not a bit, whatever the number of threads; rounding, beside NumPy's products."""
    X = np.random.default_rng(0).normal(size=(60_001, 300)).astype(dtype)
    estimator = encoder_of(X, hidden_layer_sizes=hidden_layer_sizes)
    results = {}
    for n_threads in (0, 1, 2, 3):
        monkeypatch.setattr("skae._inference.openblas_threads", lambda n=n_threads: n)
        threads = threads_that_multiply(monkeypatch)
        codes = estimator.transform(X)
        assert len(threads) <= max(1, n_threads)
        assert (threading.get_ident() in threads) == (n_threads < 2)
        results[n_threads] = codes, estimator.inverse_transform(codes)
    assert all(part.dtype == dtype for part in results[3])
    for alone, two, three, products in zip(*(results[n] for n in (1, 2, 3, 0)), strict=True):
        assert np.array_equal(alone, two)
        assert np.array_equal(alone, three)
        tolerance = {"float32": 1e-5, "float64": 1e-13}[dtype]
        assert_allclose(alone, products, rtol=tolerance, atol=tolerance)


@pytest.fixture
def many_rows(monkeypatch):
    monkeypatch.setattr("skae._inference.openblas_threads", lambda: 3)
    return np.random.default_rng(0).normal(size=(60_000, 300)).astype("float32")


@pytest.mark.filterwarnings("error")
def test_threads_do_not_warn_where_the_caller_would_not(many_rows, monkeypatch):
    """What is not finite in X shows in the codes, and its warnings would say no more."""
    estimator = encoder_of(many_rows)
    threads = threads_that_multiply(monkeypatch)
    many_rows[30_000] = np.inf
    with pytest.raises(ValueError, match="contains infinity"):
        estimator.transform(many_rows)
    assert threading.get_ident() not in threads


def test_threads_do_with_errors_what_the_caller_does(many_rows):
    """Also where that is a function of the caller's."""
    estimator = encoder_of(many_rows)
    spec = NetworkSpec(**estimator.network_)
    many_rows[30_000] = np.inf
    seen = []
    with np.errstate(all="call", call=lambda kind, _: seen.append(kind)):
        encode(spec, estimator.weights_, many_rows)
    assert "invalid value" in seen


def test_an_error_in_a_thread_reaches_the_caller(many_rows, monkeypatch):
    """And what has not begun is not done any more."""
    estimator = encoder_of(many_rows)
    threads = threads_that_multiply(monkeypatch, MemoryError("no room for a block"))
    with pytest.raises(MemoryError, match="no room"):
        estimator.transform(many_rows)
    assert 0 < sum(threads.values()) < 17
    assert threading.get_ident() not in threads


def test_rows_are_encoded_where_no_thread_can_be_started(many_rows, monkeypatch):
    estimator = encoder_of(many_rows)
    expected = estimator.transform(many_rows)

    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert_array_equal(estimator.transform(many_rows), expected)


@pytest.mark.parametrize(
    ("available", "n_blocks", "expected"),
    [(0, 99, 0), (1, 1, 1), (2, 1, 1), (2, 8, 2), (4, 4, 0), (16, 47, 11), (64, 47, 0)],
)
def test_threads_are_those_that_blocks_occupy_or_blas_has_them(
    available, n_blocks, expected, monkeypatch
):
    """Products that blocks would leave to a few of many cores are left to BLAS."""
    monkeypatch.setattr("skae._inference.openblas_threads", lambda: available)
    arrays = [np.zeros((784, 32)), np.zeros(32)]
    assert _threads_for(arrays, np.zeros((10, 784)), n_blocks) == expected
    # OpenBLAS multiplies by one column in another way, in threads of its own.
    assert _threads_for([np.zeros((784, 1)), np.zeros(1)], np.zeros((10, 784)), n_blocks) == 0
