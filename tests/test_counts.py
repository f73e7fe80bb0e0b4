"""With loss="poisson", fits to counts are never worse than PCA or the mean of the columns."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import xlogy
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score

from skae import AutoencoderTransformer


def latent(rng, n_rows, n_features):
    return np.exp(rng.normal(size=(n_rows, 3)) @ rng.normal(size=(3, n_features)) / 2)


KINDS = {
    "shares of uneven totals": lambda rng, n, f: (
        rng.gamma(0.8, 1, (n, 1)) * rng.dirichlet(np.ones(f), n)
    ),
    "low rank": latent,
    "overdispersed": lambda rng, n, f: latent(rng, n, f) * rng.gamma(0.5, 2, (n, f)),
    "independent": lambda rng, n, f: np.exp(rng.normal(size=(1, f))) * np.ones((n, 1)),
}


def counts(kind, rate, n_features=12, n_rows=1500):
    """Return rows to train and to test on."""
    rng = np.random.default_rng(1)
    means = KINDS[kind](rng, n_rows, n_features)
    X = rng.poisson(means * rate / means.mean()).astype(float)
    return X[:-500], X[-500:]


def deviance(X, reconstruction):
    return 2 * np.mean(xlogy(X, X / reconstruction) - X + reconstruction)


def by_pca(n_components, train, X):
    """Return PCA's reconstruction, clipped below at 0.05 of the mean rate."""
    pca = PCA(n_components).fit(train)
    return np.maximum(pca.inverse_transform(pca.transform(X)), 0.05 * train.mean())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [0.01, 0.1, 1, 30, 1000])
def test_counts_are_never_worse_than_pca_or_the_mean(kind, rate):
    """This holds on unseen rows with the default settings, and for rates from 1 on also for R2."""
    train, test = counts(kind, rate)
    estimator = AutoencoderTransformer(4, loss="poisson", random_state=0).fit(train)
    ours, theirs = estimator.reconstruct(test), by_pca(4, train, test)
    assert deviance(test, ours) <= 1.001 * deviance(test, theirs)
    assert deviance(test, ours) < deviance(test, np.maximum(train.mean(axis=0), 1e-9))
    assert estimator.score(test) == pytest.approx(
        r2_score(test, ours, multioutput="variance_weighted")
    )
    if rate >= 1:
        score = r2_score(test, theirs, multioutput="variance_weighted")
        assert estimator.score(test) > score - 0.05


def test_training_gains_where_counts_are_curved():
    """On unseen rows the deviance is well under PCA's; measured 0.73 times."""
    train, test = counts("overdispersed", 10, n_rows=3500)
    estimator = AutoencoderTransformer(
        4, loss="poisson", hidden_layer_sizes=(64,), random_state=0
    ).fit(train)
    ratio = deviance(test, estimator.reconstruct(test)) / deviance(test, by_pca(4, train, test))
    assert ratio < 0.85


@pytest.mark.parametrize("hidden_layer_sizes", [(), (16,)])
def test_counts_in_any_container_and_unit_are_fitted_alike(hidden_layer_sizes):
    """This holds for sparse rows and for rows in thousands. The loss has the unit of the rows."""
    train, test = counts("shares of uneven totals", 5)
    settings = {"loss": "poisson", "hidden_layer_sizes": hidden_layer_sizes, "random_state": 0}
    expected = AutoencoderTransformer(4, epochs=20, early_stopping=False, **settings).fit(train)
    assert expected.score(test) > 0.3
    for X, unit in ((sparse.csr_array(train), 1), (train / 1000, 1000)):
        estimator = AutoencoderTransformer(4, epochs=20, early_stopping=False, **settings).fit(X)
        assert_allclose(estimator.reconstruct(test / unit) * unit, expected.reconstruct(test), 1e-3)
    made = expected.reconstruct(train)
    loss = np.mean(made - xlogy(train, made + 1e-7))
    assert expected.loss_curve_[-1] == pytest.approx(loss, rel=0.02)


def test_reconstructions_of_counts_are_positive_and_equal_those_of_keras():
    train, _ = counts("low rank", 0.5)
    settings = {"loss": "poisson", "epochs": 3, "early_stopping": False, "random_state": 0}
    estimator = AutoencoderTransformer(4, **settings).fit(train)
    far = np.vstack([train[:5], 1e4 * np.eye(12)])
    reconstruction = estimator.reconstruct(far)
    assert (reconstruction >= 0.05 * train.mean() * (1 - 1e-12)).all()
    assert_allclose(estimator.to_keras()[2](far).numpy(), reconstruction, rtol=1e-6)


def test_warm_starts_go_on_with_the_output_that_was_chosen():
    train, _ = counts("shares of uneven totals", 5)
    estimator = AutoencoderTransformer(
        4, loss="poisson", epochs=10, early_stopping=False, warm_start=True, random_state=0
    )
    first = estimator.fit(train)
    unit, losses = first.network_["output_unit"], list(first.loss_curve_)
    again = estimator.fit(3 * train)
    assert again.network_["output_unit"] == unit
    assert len(again.loss_curve_) == 2 * len(losses)
