"""A fit warns if the mean of the columns or PCA beats the fitted network."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler, minmax_scale

from skae import AutoencoderTransformer

MEAN = r"The mean of the columns describes X better .*: its loss on the training rows is \S+, and "
BY_PCA = "PCA with as many components describes X better than the fitted network: its loss on "
RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(RNG.gamma(0.8, 20, (300, 1)) * RNG.dirichlet(np.ones(12), 300)).astype(float)
WINE = StandardScaler().fit_transform(load_wine().data)
READINGS = 290 + 5 * RNG.normal(size=(300, 6)) @ RNG.normal(size=(6, 6))


def network(spec):
    """Return a custom network, whose output starts far from the data."""
    import keras

    glorot = keras.initializers.GlorotUniform(seed=0)
    layers = [
        keras.layers.Dense(width, kernel_initializer=glorot)
        for width in (spec.n_components, spec.n_features)
    ]
    widths = spec.n_features, spec.n_components
    return tuple(
        keras.Sequential([keras.Input((width,)), layer])
        for width, layer in zip(widths, layers, strict=True)
    )


UNTRAINED = {"epochs": 1, "learning_rate": 1e-12, "early_stopping": False}
WORSE_THAN_MEAN = {
    "exponential": ({"output_activation": "exponential"}, COUNTS),
    "exponential, Poisson": ({"output_activation": "exponential", "loss": "poisson"}, COUNTS),
    "random weights": ({"init": "glorot_uniform", **UNTRAINED}, WINE),
    "random weights, sparse rows": (
        {"init": "glorot_uniform", **UNTRAINED},
        sparse.csr_array(WINE),
    ),
    "absolute error": ({"init": "glorot_uniform", "loss": "mae", **UNTRAINED}, WINE),
    "sigmoid": ({"output_activation": "sigmoid", **UNTRAINED}, READINGS),
    "huber, unscaled": ({"loss": "huber", "init": "glorot_uniform", **UNTRAINED}, READINGS),
    "custom": ({"network": network, **UNTRAINED}, READINGS),
    "image": (
        {"image_shape": (2, 3), "hidden_layer_sizes": 2, "init": "glorot_uniform", **UNTRAINED},
        READINGS,
    ),
    "variational": ({"kl_weight": 1.0, "init": "glorot_uniform", **UNTRAINED}, WINE),
}


@pytest.mark.parametrize(("parameters", "X"), WORSE_THAN_MEAN.values(), ids=WORSE_THAN_MEAN)
def test_a_network_that_the_mean_beats_warns_once(parameters, X):
    with pytest.warns(ConvergenceWarning, match=MEAN) as caught:
        AutoencoderTransformer(3, random_state=0, **parameters).fit(X)
    assert sum(issubclass(warning.category, ConvergenceWarning) for warning in caught) == 1


def test_the_warning_names_both_losses():
    estimator = AutoencoderTransformer(3, init="glorot_uniform", random_state=0, **UNTRAINED)
    with pytest.warns(ConvergenceWarning, match=MEAN) as caught:
        estimator.fit(WINE)
    ours = np.mean((estimator.reconstruct(WINE) - WINE) ** 2)
    assert f"training rows is 1, and the network's is {ours:.4g}. Scale X" in str(caught[0].message)


WORSE_THAN_PCA = {
    "too high a rate": (
        {"hidden_layer_sizes": (8,), "learning_rate": 0.1, "epochs": 3, "early_stopping": False},
        minmax_scale(load_wine().data),
    ),
    "curved code": (
        {"code_activation": "gelu", "output_activation": "linear", **UNTRAINED},
        load_digits().data / 16,
    ),
    "output that can't be negative": (
        {"output_activation": "relu"},
        StandardScaler().fit_transform(load_diabetes(scaled=False).data),
    ),
    "absolute error": (
        {"code_activation": "gelu", "output_activation": "linear", "loss": "mae", **UNTRAINED},
        load_digits().data / 16,
    ),
}


@pytest.mark.parametrize(("parameters", "X"), WORSE_THAN_PCA.values(), ids=WORSE_THAN_PCA)
def test_a_network_that_pca_beats_warns(parameters, X):
    estimator = AutoencoderTransformer(4, random_state=0, **parameters)
    with pytest.warns(ConvergenceWarning, match=BY_PCA):
        estimator.fit(X)
    pca = PCA(4).fit(X)
    power = 1 if "loss" in parameters else 2
    ours, theirs = (
        np.mean(np.abs(X - made) ** power)
        for made in (estimator.reconstruct(X), pca.inverse_transform(pca.transform(X)))
    )
    assert ours > 1.001 * theirs


HARMLESS = {
    "default": ({}, WINE),
    "deep": ({"hidden_layer_sizes": (32,)}, load_breast_cancer().data),
    "digits": ({}, load_digits().data),
    "constant": ({"hidden_layer_sizes": (8,)}, np.full((50, 4), 0.1)),
    "noise": ({"noise": 0.3, "hidden_layer_sizes": (32,)}, load_digits().data),
    "sparse code, unscaled": ({"sparsity": 1e-3}, load_wine().data),
    "from random weights, unscaled": ({"init": "glorot_uniform"}, READINGS),
    "counts": ({"loss": "poisson"}, COUNTS),
    "counts, sparse rows": ({"loss": "poisson"}, sparse.csr_array(COUNTS)),
    "counts, deep": ({"loss": "poisson", "hidden_layer_sizes": (16,)}, COUNTS),
    "rectified output": ({"output_activation": "relu", "hidden_layer_sizes": (16,)}, COUNTS),
}


@pytest.mark.parametrize(("parameters", "X"), HARMLESS.values(), ids=HARMLESS)
def test_networks_that_are_better_do_not_warn(parameters, X):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        warnings.filterwarnings("ignore", "n_components=3 is more than the number of dimensions")
        estimator = AutoencoderTransformer(3, random_state=0, **parameters).fit(X)
    dense = X.toarray() if sparse.issparse(X) else X
    if dense.std() > 0 and "noise" not in parameters:
        assert estimator.score(X) > PCA(3).fit(dense).explained_variance_ratio_.sum() - 0.05


def test_unscaled_rows_are_learnt_from_random_weights():
    """Scores on unscaled rows are no longer far below zero.

    Sparse codes of raw wine scored -5.58, and now score above 0.99. Readings near 290 scored -1263,
    and now score four fifths of what PCA explains.
    """
    wine = load_wine().data
    assert AutoencoderTransformer(2, sparsity=1e-3, random_state=0).fit(wine).score(wine) > 0.99
    textbook = {"init": "glorot_uniform", "learning_rate": 1e-3, "early_stopping": False}
    estimator = AutoencoderTransformer(3, epochs=1000, batch_size=256, random_state=0, **textbook)
    explained = PCA(3).fit(READINGS).explained_variance_ratio_.sum()
    assert estimator.fit(READINGS).score(READINGS) > 0.8 * explained


def test_where_the_start_is_kept_no_epochs_count():
    """At so high a learning rate training only does harm, as the loss on `X_val` shows."""
    X = load_digits().data / 16
    estimator = AutoencoderTransformer(
        4, init="glorot_uniform", learning_rate=10.0, epochs=7, random_state=0
    )
    with pytest.warns(ConvergenceWarning, match="describes X better|did not reduce"):
        estimator.fit(X[:900], X_val=X[900:])
    assert estimator.n_iter_ == len(estimator.loss_curve_) == 0
    assert len(estimator.validation_loss_curve_) == 7
