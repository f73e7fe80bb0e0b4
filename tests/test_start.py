"""Test the start of training: PCA of any shape of data, decoders fitted to it, and threads."""

import functools
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import linalg, optimize, sparse
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from threadpoolctl import ThreadpoolController

from skae import AutoencoderTransformer
from skae._data.rows import Rows
from skae._fitting.decoder import Decoder, fit_decoder
from skae._fitting.initial import pca_start
from skae._fitting.principal import MAX_EXACT, principal_axes
from skae._network.inference import reconstruct
from skae._network.spec import NetworkSpec
from skae._threads import one_thread

WIDE = MAX_EXACT + 76


def of_rank(rank, n_rows, n_features=WIDE):
    """Return rows far from zero that vary along some axes, a little less along each."""
    rng = np.random.default_rng(0)
    scales = np.linspace(2, 1, rank)
    return 3 + rng.normal(size=(n_rows, rank)) * scales @ rng.normal(size=(rank, n_features))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("n_rows", "n_features", "container"),
    [
        (200, 30, np.asarray),
        (200, 30, sparse.csr_array),
        (40, WIDE, np.asarray),
        (MAX_EXACT + 8, WIDE, np.asarray),
        (40, WIDE, sparse.csr_array),
    ],
    ids=["covariance", "covariance, sparse", "Gram", "projections", "projections, sparse"],
)
def test_principal_axes_are_those_of_a_singular_value_decomposition(
    n_rows, n_features, container, weighted
):
    """This holds whichever way is the shortest for the shape. Weights count as copies."""
    X = of_rank(6, n_rows, n_features)
    copies = np.random.default_rng(1).integers(1, 4, size=n_rows) if weighted else np.ones(n_rows)
    pca = principal_axes(Rows(container(X), copies.astype(float) if weighted else None), 4, 0)
    repeated = np.repeat(X, copies.astype(int), axis=0)
    mean = repeated.mean(axis=0)
    _, singular, axes = np.linalg.svd(repeated - mean, full_matrices=False)
    assert_allclose(pca.mean, mean, rtol=1e-10)
    # Random projections of data of rank 6 onto 4 + 10 dimensions lose nothing but rounding.
    assert_allclose(pca.variances, singular[:4] ** 2 / len(repeated), rtol=1e-8)
    assert_allclose(np.abs(pca.axes @ axes[:4].T), np.eye(4), atol=1e-7)
    assert (pca.axes[np.arange(4), np.abs(pca.axes).argmax(axis=1)] > 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_as_many_axes_are_kept_as_the_rows_have_rank(dtype):
    """This holds for any number of rows, and however little varies along the last axes."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50_000, 40)) / np.arange(1, 41) ** 1.5
    assert len(principal_axes(Rows(X.astype(dtype)), 40, 0).axes) == 40
    for shape in ((50_000, 40), (1_200_000, 30), (40, 1_100), (10, 3_000), (MAX_EXACT + 8, WIDE)):
        flat = of_rank(3, *shape).astype(dtype)
        assert len(principal_axes(Rows(flat), 10, 0).axes) == 3
        assert len(principal_axes(Rows(1000 + flat), 10, 0).axes) == 3


def test_raw_tables_in_float32_are_reconstructed_as_by_pca():
    """Most of the variance is in one feature, and the rest is more than rounding."""
    X = load_wine().data.astype(np.float32)
    fitted = AutoencoderTransformer(10, hidden_layer_sizes=(), random_state=0).fit(X)
    pca = PCA(10).fit(X.astype(np.float64))
    theirs = np.square(pca.inverse_transform(pca.transform(X)) - X).mean()
    assert np.square(fitted.reconstruct(X) - X).mean() < 1.02 * theirs
    codes = fitted.transform(X)
    assert_allclose(codes.std(axis=0), np.sqrt(pca.explained_variance_), rtol=0.01)


@functools.cache
def with_wide_columns(n_rows, n_features, ratio):
    """Return rows of seven axes and noise, and their PCA.

    One column varies far more than the others, and one is in between.
    """
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 7)) @ rng.normal(size=(7, n_features))
    X += 0.3 * rng.normal(size=X.shape)
    X[:, 0] = ratio * rng.normal(size=n_rows)
    X[:, 5] = np.sqrt(ratio) * rng.normal(size=n_rows)
    X = X.astype(np.float32)
    return X, PCA(12, svd_solver="full").fit(X.astype(np.float64))


@pytest.mark.parametrize(
    ("dtype", "container"),
    [(np.float32, np.asarray), (np.float32, sparse.csr_array), (np.float64, sparse.csr_array)],
)
@pytest.mark.parametrize("ratio", [1e2, 1e7])
@pytest.mark.parametrize(
    "shape", [(70_000, 128), (300, 20), (60, 128), (50, 1_100), (1_100, 1_050)]
)
def test_axes_of_columns_of_other_scales_are_those_of_pca(shape, ratio, dtype, container):
    """If X is in float32, products of the first shape are computed in float32 at first."""
    X, theirs = with_wide_columns(*shape, ratio)
    pca = principal_axes(Rows(container(X.astype(dtype))), 12, 0)
    expected = theirs.explained_variance_ * (1 - 1 / len(X))
    assert_allclose(pca.variances, expected, rtol=1e-5)
    assert_allclose(pca.axes @ pca.axes.T, np.eye(12), atol=1e-8)
    first = np.abs(np.sum(pca.axes[:9] * theirs.components_[:9], axis=1))
    assert_allclose(first, 1, rtol=1e-3)


def test_components_are_not_lost_beside_a_wide_column():
    X, _ = with_wide_columns(70_000, 128, 1e4)
    fitted = AutoencoderTransformer(8, hidden_layer_sizes=(), random_state=0).fit(X)
    pca = PCA(8, svd_solver="full").fit(X.astype(np.float64))
    codes = fitted.transform(X[:5_000])
    theirs = pca.transform(X[:5_000].astype(np.float64))
    assert_allclose(np.abs(codes), np.abs(theirs), atol=1e-3 * theirs.std(axis=0).max())
    ours = np.square(fitted.reconstruct(X) - X.astype(np.float64))[:, 1:].sum()
    of_pca = np.square(pca.inverse_transform(pca.transform(X)) - X)[:, 1:].sum()
    assert ours < (1 + 1e-5) * of_pca


@functools.cache
def flat_spectrum(kind):
    """Return wide sparse rows whose axes explain nearly equal shares, and all variances."""
    X = sparse.csr_array(_flat_spectrum(kind))
    return X, linalg.eigvalsh(np.cov(X.toarray(), rowvar=False, ddof=0))[::-1]


def _flat_spectrum(kind):
    rng = np.random.default_rng(0)
    if kind == "one-hot":
        return sparse.csr_array(np.eye(1_100)[rng.integers(1_100, size=2_500)])
    if kind == "words":
        X = sparse.random_array((2_500, 1_500), density=0.02, rng=rng, format="csr")
        return X * (1 / np.sqrt(np.arange(1, 1_501)))
    return sparse.random_array((2_000, 1_300), density=0.01, rng=rng, format="csr")


@pytest.mark.parametrize("n_components", [1, 100])
@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csr_array.toarray])
@pytest.mark.parametrize("kind", ["one-hot", "words", "uniform"])
def test_wide_rows_start_from_pca_itself(kind, container, n_components):
    """The error is within a hundred-thousandth of PCA's, whatever the spectrum."""
    X, variances = flat_spectrum(kind)
    pca = principal_axes(Rows(container(X)), n_components, 0)
    dense = X.toarray()
    total = variances.sum()
    error = total - pca.variances.sum()
    assert error <= (1 + 1e-5) * (total - variances[:n_components].sum())
    projected = (dense - pca.mean) @ pca.axes.T
    assert_allclose(np.square(projected).mean(axis=0), pca.variances, rtol=1e-8)


def test_as_many_axes_as_a_sparse_matrix_has_rows():
    X = sparse.random_array((30, 1_100), density=0.1, rng=np.random.default_rng(0), format="csr")
    pca = principal_axes(Rows(sparse.csr_array(X)), 40, 0)
    expected = PCA(29).fit(X.toarray()).explained_variance_ * 29 / 30
    assert_allclose(pca.variances, expected, rtol=1e-8)


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e20, 1e30])
def test_rows_whose_squares_float32_does_not_hold_are_reconstructed_as_by_pca(scale):
    """There are so many rows that their covariance would be computed in float32 if it could."""
    X = np.random.default_rng(0).standard_normal((25_000, 200)) / np.arange(1, 201)
    assert X.size * 200 >= 1e9
    pca = PCA(4).fit(X)
    theirs = 1 - np.square(pca.inverse_transform(pca.transform(X)) - X).sum() / np.square(X).sum()
    linear = AutoencoderTransformer(4, hidden_layer_sizes=(), random_state=0)
    fitted = linear.fit((scale * X).astype(np.float32))
    assert fitted.score((scale * X).astype(np.float32)) == pytest.approx(theirs, abs=1e-4)


def test_a_sigmoid_is_not_tried_on_numbers_near_nothing():
    """The gradients of a sigmoid overflowed in float32."""
    X = (1e-30 * load_iris().data).astype(np.float32)
    assert AutoencoderTransformer(2, hidden_layer_sizes=(), random_state=0).fit(X).score(X) > 0.97


@pytest.mark.parametrize("n_rows", [40, MAX_EXACT + 8])
def test_wide_tables_are_reconstructed_as_by_pca(n_rows):
    X = of_rank(3, n_rows)
    assert (
        AutoencoderTransformer(3, hidden_layer_sizes=(), random_state=0).fit(X).score(X) > 1 - 1e-10
    )


def test_a_code_with_dimensions_to_spare_is_left_as_it_is():
    """If two components say the same, there is no basis in which to order them."""
    X = np.random.default_rng(0).normal(size=(60, 1)) @ np.ones((1, 5))
    estimator = AutoencoderTransformer(
        3, hidden_layer_sizes=4, init="glorot_uniform", epochs=3, early_stopping=False
    ).set_params(code_activation="linear", random_state=0)
    assert np.isfinite(estimator.fit(X).score(X))


TWO_LAYERS = NetworkSpec(64, 4, (), "relu", "linear", "sigmoid", False, "float64")


def digits_to_decode(weights=None):
    """Return rows, and the weights of a network that is their PCA to first order."""
    rows = Rows(load_digits().data[:300] / 16, weights)
    pca = principal_axes(rows, 4, 0)
    return rows, pca_start(TWO_LAYERS, pca, np.random.default_rng(0))


def test_the_gradient_of_a_decoder_is_that_of_its_loss():
    rows, (kernel, bias, back, back_bias) = digits_to_decode()
    start = np.vstack([back, back_bias])
    decoder = Decoder(rows.X, rows.X @ kernel + bias, np.arange(1.0, 301), start)
    where = np.random.default_rng(0).normal(size=start.size)
    error = optimize.check_grad(
        lambda x: decoder.objective(x)[0], lambda x: decoder.objective(x)[1], where
    )
    # Forward differences differ from a gradient by as much as this.
    assert error < 1e-5 * np.linalg.norm(decoder.objective(where)[1])


def test_a_decoder_is_fitted_to_rows_and_unseen_ones():
    """Both errors start above PCA's and end below it, and the encoder stays the same."""
    rows, start = digits_to_decode()
    fitted = fit_decoder(TWO_LAYERS, start, rows)
    pca = PCA(4).fit(rows.X)
    for X in (rows.X, load_digits().data[300:] / 16):
        of_pca = np.mean((pca.inverse_transform(pca.transform(X)) - X) ** 2)
        before, after = (np.mean((reconstruct(TWO_LAYERS, w, X) - X) ** 2) for w in (start, fitted))
        assert after < 0.97 * of_pca < of_pca < before
    assert fitted[0] is start[0]


def test_a_decoder_takes_weights_for_copies_and_sparse_rows_for_dense_ones():
    copies = np.random.default_rng(0).integers(1, 4, size=300)
    rows, start = digits_to_decode(copies.astype(float))
    repeated = Rows(np.repeat(rows.X, copies, axis=0))
    expected = fit_decoder(TWO_LAYERS, start, rows)
    for other in (repeated, Rows(sparse.csr_array(rows.X), rows.weights)):
        for ours, theirs in zip(fit_decoder(TWO_LAYERS, start, other), expected, strict=True):
            assert_allclose(ours, theirs, atol=1e-9)


def test_a_decoder_of_units_beyond_the_rank_stays_zero():
    rows, start = digits_to_decode()
    start[2][3] = 0
    fitted = fit_decoder(TWO_LAYERS, start, rows)
    assert not fitted[2][3].any()
    assert fitted[2][:3].all()


def blas_threads():
    libraries = ThreadpoolController().info()
    return [library["num_threads"] for library in libraries if library["user_api"] == "blas"]


def test_threads_of_blas_are_given_back():
    """This also holds if two fits take them away at once, and the first ends before the second."""
    before = blas_threads()
    inside, seen = threading.Barrier(2), []

    def limit(wait):
        with one_thread():
            inside.wait()
            time.sleep(wait)
            seen.append(blas_threads())

    workers = [threading.Thread(target=limit, args=(wait,)) for wait in (0.1, 0.2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert seen == [[1] * len(before)] * 2
    assert blas_threads() == before


def test_blas_has_one_thread_while_training():
    before, seen = blas_threads(), []

    def noise(batch, rng):
        seen.append(blas_threads())
        return batch

    settings = {"noise": noise, "epochs": 1, "early_stopping": False}
    AutoencoderTransformer(2, **settings).fit(of_rank(3, 300, 5))
    assert seen
    assert seen == [[1] * len(before)] * len(seen)
    assert blas_threads() == before


def test_pca_is_fitted_in_a_thread_that_outlives_the_main_one():
    code = """
        import threading, time
        import numpy as np
        from skae import AutoencoderTransformer

        def fit():
            time.sleep(0.3)
            X = np.random.default_rng(0).normal(size=(200, 30))
            print(AutoencoderTransformer(2, hidden_layer_sizes=()).fit(X).n_iter_)

        threading.Thread(target=fit).start()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "0\n", done.stderr
