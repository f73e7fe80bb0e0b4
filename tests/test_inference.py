"""NumPy computes what Keras computes."""

import tracemalloc

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse, special

from skae import AutoencoderTransformer
from skae._network.activations import ACTIVATIONS

# The networks are trained for one to three epochs, since only what they compute is tested.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
# Keras' own float64 is not exact for these activations, so NumPy is compared with exact functions.
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
    """Encoding never makes X dense: as a dense array this one would be 16 GB."""
    n_features = 20_000
    X = sparse.random(1000, n_features, density=1e-5, random_state=0)
    X = sparse.csr_array(X, dtype=np.float32)
    estimator = AutoencoderTransformer(
        2, hidden_layer_sizes=(4,), init="glorot_uniform", epochs=1, batch_size=8, random_state=0
    )
    estimator.set_params(early_stopping=False).fit(X[:16])
    tall = sparse.vstack([X] * 200, format="csr")
    assert estimator.transform(tall).shape == (200_000, 2)
    assert_allclose(estimator.transform(X[:3]), estimator.transform(X[:3].toarray()), atol=1e-6)


def test_blocks_of_hidden_layers_change_nothing(monkeypatch):
    """Wide hidden layers encode rows in blocks, with the same result as in one block."""
    monkeypatch.setattr("skae._network.inference.BLOCK_BYTES", 2**22)
    X = np.random.default_rng(0).uniform(size=(3000, 5))
    estimator = AutoencoderTransformer(
        2, hidden_layer_sizes=(1024,), epochs=1, early_stopping=False, random_state=0
    ).fit(X[:100])
    parts = [estimator.transform(X[i : i + 100]) for i in range(0, 3000, 100)]
    assert_allclose(estimator.transform(X), np.concatenate(parts), rtol=1e-9, atol=1e-12)


def test_more_rows_than_a_block_are_of_the_same_precision(monkeypatch):
    """Few or many float64 rows are encoded and decoded in float64 by float32 weights."""
    monkeypatch.setattr("skae._network.inference.BLOCK_BYTES", 2**22)
    X = np.random.default_rng(0).normal(size=(5_000, 300))
    estimator = AutoencoderTransformer(2, hidden_layer_sizes=(), random_state=0).fit(
        X[:200].astype(np.float32)
    )
    for rows in (X[:10], X):
        codes = estimator.transform(rows)
        assert codes.dtype == estimator.inverse_transform(codes).dtype == np.float64
        assert estimator.transform(rows.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("hidden_layer_sizes", [(), (64,)])
def test_many_rows_take_no_memory_but_that_of_their_codes(dtype, hidden_layer_sizes):
    """Hidden layers, or weights of another precision, take the memory of one block as well."""
    X = np.random.default_rng(0).normal(size=(100_000, 300)).astype(dtype)
    settings = {"epochs": 1, "early_stopping": False, "random_state": 0}
    estimator = AutoencoderTransformer(4, hidden_layer_sizes=hidden_layer_sizes, **settings)
    estimator.fit(X[:100].astype("float32"))
    estimator.transform(X[:100])
    tracemalloc.start()
    try:
        codes = estimator.transform(X)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    one_block = 0 if dtype == "float32" and not hidden_layer_sizes else 32 * 2**20
    assert peak < 2 * codes.nbytes + 1.5 * one_block + 2**20
    assert_allclose(estimator.transform(X[-9:]), codes[-9:], rtol=1e-4, atol=1e-4)


def test_many_rows_that_are_not_finite_are_refused_without_a_warning():
    """They show in the codes, so NumPy's warnings would add nothing."""
    X = np.random.default_rng(0).normal(size=(60_000, 300)).astype("float32")
    estimator = AutoencoderTransformer(4, hidden_layer_sizes=(), output_activation="linear").fit(
        X[:100]
    )
    X[30_000] = np.inf
    with pytest.raises(ValueError, match="contains infinity"):
        estimator.transform(X)
