"""What the estimator says of its reconstructions, and how many components that takes."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skae
from skae import AutoencoderTransformer

DIGITS, TARGETS = load_digits(return_X_y=True)
WINE = StandardScaler().fit_transform(load_wine().data)
PLAIN = {"hidden_layer_sizes": (), "random_state": 0}
DEEP = {"hidden_layer_sizes": (16,), "random_state": 0, "output_activation": "linear"}


def wide():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 5)) @ rng.normal(size=(5, 1100)) + rng.normal(size=(60, 1100))


def words():
    return sparse.random(200, 300, 0.05, format="csr", random_state=0)


@pytest.mark.parametrize("X", [DIGITS, WINE, wide()], ids=["digits", "wine", "wide"])
def test_shares_of_variance_are_those_of_pca_for_linear_networks(X):
    estimator = AutoencoderTransformer(6, **PLAIN).fit(X)
    pca = PCA(6, svd_solver="full").fit(X)
    assert_allclose(estimator.explained_variance_ratio_, pca.explained_variance_ratio_, atol=1e-6)
    assert_allclose(estimator.explained_variance_ratio_.sum(), estimator.score(X), atol=1e-9)


def test_shares_of_weighted_and_sparse_rows():
    weights = np.arange(1, len(WINE) + 1) % 3
    weighted = AutoencoderTransformer(3, **PLAIN).fit(WINE, sample_weight=weights)
    copies = AutoencoderTransformer(3, **PLAIN).fit(np.repeat(WINE, weights, axis=0))
    assert_allclose(weighted.explained_variance_ratio_, copies.explained_variance_ratio_)
    assert_allclose(weighted.feature_errors_, copies.feature_errors_)
    X = words()
    of_sparse = AutoencoderTransformer(3, **PLAIN).fit(X)
    assert_allclose(of_sparse.explained_variance_ratio_.sum(), of_sparse.score(X), atol=1e-9)
    of_dense = AutoencoderTransformer(3, **PLAIN).fit(X.toarray())
    assert_allclose(of_sparse.feature_errors_, of_dense.feature_errors_, rtol=1e-3)


@pytest.mark.parametrize("seed", [0, 1])
def test_shares_of_a_trained_linear_code_fall_and_sum_to_the_score(seed):
    estimator = AutoencoderTransformer(6, **{**DEEP, "random_state": seed}).fit(DIGITS)
    assert estimator.gain_over_pca_ > 0
    shares = estimator.explained_variance_ratio_
    assert (np.diff(shares) < 0).all()
    assert_allclose(shares.sum(), estimator.score(DIGITS), atol=1e-9)
    codes = estimator.transform(DIGITS)
    decoded = estimator.inverse_transform(codes)
    centred, codes = decoded - decoded.mean(axis=0), codes - codes.mean(axis=0)
    explained = np.square(codes.T @ centred).sum(axis=1) / np.square(codes).sum(axis=0)
    assert_allclose(shares / shares.sum(), explained / explained.sum(), rtol=1e-3)


def test_shares_with_labels_explain_the_reconstruction():
    estimator = AutoencoderTransformer(4, label_weight=1.0, epochs=20, **DEEP).fit(DIGITS, TARGETS)
    shares = estimator.explained_variance_ratio_
    assert (shares > 0).all()
    assert_allclose(shares.sum(), estimator.score(DIGITS), atol=1e-9)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"code_activation": "relu"}, "Set code_activation='linear'"),
        ({"sparsity": 0.1, "epochs": 2}, "kl_weight and sparsity"),
        ({"kl_weight": 1.0, "epochs": 2}, "kl_weight and sparsity"),
    ],
)
def test_codes_without_order_have_no_shares(parameters, reason):
    estimator = AutoencoderTransformer(2, **PLAIN, **parameters).fit(WINE)
    assert not hasattr(estimator, "explained_variance_ratio_")
    with pytest.raises(AttributeError, match=reason):
        estimator.explained_variance_ratio_  # noqa: B018 (it raises)
    with pytest.raises(NotFittedError):
        AutoencoderTransformer().explained_variance_ratio_  # noqa: B018 (it raises)


@pytest.mark.parametrize("parameters", [PLAIN, DEEP], ids=["pca", "deep"])
def test_errors_of_rows_and_features(parameters):
    estimator = AutoencoderTransformer(4, **parameters).fit(DIGITS)
    squares = np.square(DIGITS - estimator.reconstruct(DIGITS))
    assert_array_equal(estimator.reconstruction_error(DIGITS, per_feature=True), squares)
    assert_allclose(estimator.reconstruction_error(DIGITS), squares.mean(axis=1))
    assert_allclose(estimator.score_samples(DIGITS), -squares.mean(axis=1))
    usual = estimator.feature_errors_
    assert_allclose(usual, squares.mean(axis=0), rtol=1e-7, atol=1e-20)
    scaled = estimator.reconstruction_error(DIGITS, per_feature=True, scaled=True)
    varies = DIGITS.std(axis=0) > 0
    assert_allclose(scaled.mean(axis=0)[varies], 1, rtol=1e-7)
    assert_allclose(estimator.reconstruction_error(DIGITS, scaled=True), scaled.mean(axis=1))
    odd = DIGITS[:1].copy()
    odd[:, ~varies] = 1.0
    changed = estimator.reconstruction_error(odd, per_feature=True, scaled=True)
    assert set(np.argsort(-changed[0])[: (~varies).sum()]) == set(np.flatnonzero(~varies))


def test_errors_of_sparse_rows_and_of_other_losses():
    X = words()
    estimator = AutoencoderTransformer(3, **PLAIN).fit(X)
    assert_allclose(
        estimator.reconstruction_error(X), estimator.reconstruction_error(X.toarray()), rtol=1e-6
    )
    other = AutoencoderTransformer(3, loss="mae", epochs=2, **PLAIN).fit(WINE)
    differences = np.abs(WINE - other.reconstruct(WINE)).mean(axis=1)
    assert_allclose(other.score_samples(WINE), -differences, rtol=1e-6)


def test_errors_come_as_frames_where_frames_are_wanted_and_from_pipelines():
    frame = pd.DataFrame(load_wine().data, columns=load_wine().feature_names)
    pipe = make_pipeline(StandardScaler(), AutoencoderTransformer(2, **PLAIN))
    pipe.set_output(transform="pandas").fit(frame)
    scaled = pipe[:-1].transform(frame)
    errors = pipe[-1].reconstruction_error(scaled, per_feature=True)
    assert list(errors.columns) == list(frame.columns)
    assert errors.index.equals(frame.index)
    assert_allclose(pipe.score_samples(frame), -errors.mean(axis=1))
    with pytest.raises(ValueError, match="feature names"):
        pipe[-1].reconstruction_error(scaled.iloc[:, :3])


def test_a_file_holds_shares_and_errors_and_an_earlier_one_says_what_it_lacks(tmp_path):
    estimator = AutoencoderTransformer(0.6, **PLAIN).fit(WINE)
    estimator.save(tmp_path / "model.skae")
    loaded = skae.load(tmp_path / "model.skae")
    assert_array_equal(loaded.explained_variance_ratio_, estimator.explained_variance_ratio_)
    assert_array_equal(loaded.feature_errors_, estimator.feature_errors_)
    assert loaded.n_components_ == estimator.n_components_
    for name in ("feature_errors_", "_explained_variance_ratio"):
        delattr(loaded, name)  # as in files up to format 4
    loaded.save(tmp_path / "earlier.skae")
    earlier = skae.load(tmp_path / "earlier.skae")
    with pytest.raises(AttributeError, match="earlier version of skae"):
        earlier.explained_variance_ratio_  # noqa: B018 (it raises)
    with pytest.raises(AttributeError, match="earlier versions of skae"):
        earlier.reconstruction_error(WINE, scaled=True)


def test_a_fraction_takes_fewer_components_than_pca_and_holds_on_unseen_rows():
    train, test = train_test_split(DIGITS, test_size=0.3, random_state=0)
    estimator = AutoencoderTransformer(0.9, **DEEP).fit(train)
    names = estimator.get_feature_names_out()
    assert len(names) == estimator.n_components_ == estimator.transform(test).shape[1]
    assert estimator.n_components_ < PCA(0.9).fit(train).n_components_
    assert estimator.score(test) > 0.9 - 0.01


def test_a_fraction_without_hidden_layers_is_that_of_pca_on_rows_held_out():
    train, held = train_test_split(WINE, test_size=0.4, random_state=0)
    estimator = AutoencoderTransformer(0.7, **PLAIN).fit(train, X_val=held)
    n = estimator.n_components_
    kept = [AutoencoderTransformer(k, **PLAIN).fit(train).score(held) for k in (n - 1, n)]
    assert kept[0] < 0.7 <= kept[1]


def test_a_fraction_that_no_number_keeps_is_named():
    X = np.random.default_rng(0).normal(size=(60, 200))
    with pytest.warns(
        UserWarning, match=r"rows held out keep only -?0\.\d+ of their variance with \d"
    ):
        AutoencoderTransformer(0.9, **PLAIN).fit(X)
    with pytest.warns(UserWarning, match="rows held out keep only"):
        AutoencoderTransformer(0.9, sparsity=0.5, epochs=2, **PLAIN).fit(WINE)


def test_a_penalised_network_takes_as_many_components_as_it_needs():
    estimator = AutoencoderTransformer(0.4, sparsity=1e-3, epochs=30, **PLAIN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator.fit(WINE)
    assert estimator.score(WINE) > 0.4
    assert estimator.n_components_ < 13


@pytest.mark.parametrize(("X", "rank"), [(DIGITS, 61), (WINE[:9], 8), (WINE[:, [0, 0, 1]], 2)])
def test_none_is_the_rank_of_the_rows(X, rank):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator = AutoencoderTransformer(None, **PLAIN).fit(X)
    assert estimator.n_components_ == rank
    assert_allclose(estimator.reconstruct(X), X, atol=1e-8)


def test_a_warm_start_keeps_the_number_that_was_found(tmp_path):
    estimator = AutoencoderTransformer(0.6, warm_start=True, loss="mae", epochs=2, **PLAIN)
    found = estimator.fit(WINE).n_components_
    assert estimator.fit(WINE).n_components_ == found
    with pytest.raises(ValueError, match="n_components"):
        estimator.set_params(n_components=0.5).fit(WINE)


@pytest.mark.parametrize("n_components", [1.0, 0.0, -0.5, 1.5, "mle"])
def test_other_fractions_are_refused(n_components):
    with pytest.raises(ValueError, match="n_components"):
        AutoencoderTransformer(n_components).fit(WINE)


def test_a_custom_network_needs_an_int():
    with pytest.raises(ValueError, match="custom network needs the number of components as an int"):
        AutoencoderTransformer(0.5, network=lambda given: None).fit(WINE)
