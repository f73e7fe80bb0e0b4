"""PCA of any shape of data is PCA, and what is computed of it elsewhere goes on from it."""

import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from threadpoolctl import ThreadpoolController

from skae import AutoencoderTransformer
from skae._rows import Rows
from skae._start import MAX_EXACT, principal_axes
from skae._threads import one_thread

WIDE = MAX_EXACT + 76


def of_rank(rank, n_rows, n_features=WIDE):
    """Rows that vary along some axes, a little less along each, far from zero."""
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
    """Whichever way is the shortest for the shape of the data; weights are copies."""
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


@pytest.mark.parametrize("n_rows", [40, MAX_EXACT + 8])
def test_wide_tables_are_reconstructed_as_by_pca(n_rows):
    X = of_rank(3, n_rows)
    assert AutoencoderTransformer(3, random_state=0).fit(X).score(X) > 1 - 1e-10


def test_a_code_with_dimensions_to_spare_is_left_as_it_is():
    """Where two components say the same there is no basis to order them in."""
    X = np.random.default_rng(0).normal(size=(60, 1)) @ np.ones((1, 5))
    estimator = AutoencoderTransformer(
        3, hidden_layer_sizes=4, init="glorot_uniform", epochs=3, early_stopping=False
    ).set_params(code_activation="linear", random_state=0)
    assert np.isfinite(estimator.fit(X).score(X))


def blas_threads():
    libraries = ThreadpoolController().info()
    return [library["num_threads"] for library in libraries if library["user_api"] == "blas"]


def test_threads_of_blas_are_given_back():
    """Also where two fits take them away at once, and the first is done before the second."""
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
            print(AutoencoderTransformer(2).fit(X).n_iter_)

        threading.Thread(target=fit).start()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "0\n", done.stderr
