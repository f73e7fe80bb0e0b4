"""Test what the divergence does to a variational code, where training starts, and samples."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skae import AutoencoderTransformer


@pytest.fixture(scope="module")
def digits():
    """Return training and test rows, and the labels of the training rows."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    return X[:1200], X[1200:], y[:1200]


def test_large_kl_weight_presses_the_code_together(digits):
    """With a large weight the means go to 0, and with a small one they do not.

    Sampled codes are close to standard normal either way.
    """
    train, test, _ = digits
    pressed = AutoencoderTransformer(4, kl_weight=500.0, random_state=0)
    with pytest.warns(UserWarning, match=r"4 of 4 components .* no information: .* below 500"):
        pressed.fit(train)
    free = AutoencoderTransformer(4, kl_weight=0.5, random_state=0).fit(train)
    assert np.abs(pressed.transform(test)).max() < 0.5
    assert free.transform(test).std() > 0.7
    for estimator in (pressed, free):
        *_, kernel, bias = estimator.weights_
        mean = estimator.transform(test)
        variance = np.exp(test @ kernel + bias)
        total = mean.var(axis=0) + variance.mean(axis=0)
        assert_allclose(mean.mean(axis=0), 0, atol=0.3)
        assert_allclose(total, 1, atol=0.35)


def test_variational_start_is_probabilistic_pca():
    """It is the optimum of a linear network (Lucas et al., 2019), so training can't improve it."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 3)) @ (3 * rng.normal(size=(3, 10))) + rng.normal(size=(3000, 10))
    settings = {"kl_weight": 1.0, "output_activation": "linear", "random_state": 0}
    start = AutoencoderTransformer(2, epochs=1, learning_rate=1e-12, **settings).fit(X)
    trained = AutoencoderTransformer(2, **settings).fit(X)
    first, best = start.validation_loss_curve_[0], min(trained.validation_loss_curve_)
    assert best > 0.97 * first


def test_samples_lie_near_the_data_and_cover_all_classes(digits):
    train, _, y = digits
    estimator = AutoencoderTransformer(
        8, hidden_layer_sizes=(128,), kl_weight=0.2, epochs=80, random_state=0
    ).fit(train)
    samples = estimator.sample(1000, random_state=0)
    assert_array_equal(samples, estimator.sample(1000, random_state=0))
    assert samples.shape == (1000, 64)
    nearest = NearestNeighbors(n_neighbors=1).fit(train)
    noise = np.random.default_rng(0).permuted(train, axis=0)
    distances = [np.median(nearest.kneighbors(rows)[0]) for rows in (samples, noise[:1000])]
    assert distances[0] < 0.7 * distances[1]
    classifier = LogisticRegression(max_iter=1000).fit(train, y)
    assert np.bincount(classifier.predict(samples), minlength=10).min() >= 20


def test_warm_start_with_other_weights_of_the_penalties(digits):
    """The weights are no part of the network's shape, but whether there is a variance is."""
    X = digits[0][:100]
    estimator = AutoencoderTransformer(
        4, kl_weight=0.1, sparsity=1e-3, epochs=2, warm_start=True, random_state=0
    ).fit(X)
    assert estimator.set_params(kl_weight=1.0, sparsity=0).fit(X).network_["kl_weight"] == 1.0
    with pytest.raises(ValueError, match="kl_weight"):
        estimator.set_params(kl_weight=0).fit(X)


def test_sample_says_what_it_needs():
    with pytest.raises(AttributeError) as raised:
        AutoencoderTransformer().sample(3)
    assert "Set kl_weight=1.0" in str(raised.value.__cause__)
    estimator = AutoencoderTransformer(1, kl_weight=1.0, epochs=1).fit(np.eye(4))
    with pytest.raises(
        ValueError, match=r"n_samples must be an int in the range \[1, inf\). Got 0"
    ):
        estimator.sample(0)


@pytest.mark.parametrize("scaler", [MinMaxScaler, StandardScaler])
@pytest.mark.parametrize("n_components", [2, 8])
def test_weight_of_one_generates_at_any_scale(scaler, n_components):
    """The weight is relative to the noise of the data, so samples vary nearly as much as with PCA.

    With the noise of standardized rows, samples for rows in [0, 1] had 0.003 of their variance.
    """
    X = scaler().fit_transform(load_wine().data)
    estimator = AutoencoderTransformer(n_components, kl_weight=1.0, random_state=0).fit(X)
    explained = PCA(n_components).fit(X).explained_variance_ratio_.sum()
    samples = estimator.sample(5000, random_state=0)
    assert samples.var(axis=0).sum() / X.var(axis=0).sum() > 0.7 * explained
    assert estimator.score(X) > 0.9 * explained


@pytest.mark.parametrize("loss", ["mse", "mae"])
def test_weight_means_the_same_in_any_unit(loss):
    """Rows that are 255 times as large have the same codes, and the same samples in their unit."""
    X = StandardScaler().fit_transform(load_wine().data)
    settings = {"kl_weight": 1.0, "loss": loss, "hidden_layer_sizes": (16,), "epochs": 50}
    made = []
    for scale in (1, 255):
        estimator = AutoencoderTransformer(2, random_state=0, early_stopping=False, **settings)
        estimator.fit(X * scale)
        made.append([estimator.transform(X * scale), estimator.sample(9, random_state=0) / scale])
    for one, other in zip(*made, strict=True):
        assert_allclose(one, other, atol=1e-3)


def test_weight_of_one_is_an_evidence_lower_bound():
    """A linear network with squared error ends at the maximum of probabilistic PCA's likelihood.

    There the mean of an axis of variance v has the variance 1 - noise / v.
    """
    rng = np.random.default_rng(0)
    X = 0.02 * (rng.normal(size=(4000, 3)) * [5, 3, 2]) @ np.linalg.qr(rng.normal(size=(8, 3)))[0].T
    X += 0.02 * rng.normal(size=X.shape) + 0.5
    settings = {"output_activation": "linear", "random_state": 0}
    estimator = AutoencoderTransformer(3, kl_weight=1.0, **settings).fit(X)
    values = np.linalg.eigvalsh(np.cov(X.T))[::-1]
    expected = 1 - values[3:].mean() / values[:3]
    found = np.linalg.eigvalsh(np.cov(estimator.transform(X).T))[::-1]
    assert_allclose(found, expected, atol=0.03)


def test_dead_units_are_told_once():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2)) @ rng.normal(size=(2, 9)) + 0.3 * rng.normal(size=(500, 9))
    with pytest.warns(UserWarning, match="variational code carry no information") as caught:
        AutoencoderTransformer(5, kl_weight=3.0, random_state=0).fit(X)
    assert len(caught) == 1


def test_sample_follows_what_was_fitted(digits):
    estimator = AutoencoderTransformer(2, kl_weight=1.0, epochs=1).fit(digits[0])
    assert estimator.set_params(kl_weight=0.0).sample(2).shape == (2, 64)
    plain = AutoencoderTransformer(2, epochs=1).fit(digits[0])
    assert not hasattr(plain.set_params(kl_weight=1.0), "sample")
