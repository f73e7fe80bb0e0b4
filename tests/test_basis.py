"""Test training on the scores of wide rows, which ends in a network for the rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer
from skae._fitting import fit as fitting
from skae._fitting.basis import LEADING
from skae._fitting.principal import MAX_EXACT

DEEP = {"hidden_layer_sizes": (16,), "random_state": 0}


def bent(n_rows, n_features, seed=0):
    """Return rows near a curved surface, away from zero."""
    rng = np.random.default_rng(seed)
    position = rng.normal(size=(n_rows, 3))
    directions = np.random.default_rng(1).normal(size=(3, n_features))
    noise = 0.1 * rng.normal(size=(n_rows, n_features))
    return 2 + np.square(position @ directions) + noise


def one_step(X, n_components=3, **parameters):
    """Return a network that is where training starts, but for a step too small to matter."""
    settings = {"epochs": 1, "learning_rate": 1e-14, "early_stopping": False}
    return AutoencoderTransformer(n_components, **DEEP, **settings, **parameters).fit(X)


@pytest.fixture
def without_basis(monkeypatch):
    def fit(function, *arguments, **parameters):
        with monkeypatch.context() as patch:
            patch.setattr(fitting, "basis_of", lambda candidate, rows: None)
            return function(*arguments, **parameters)

    return fit


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("shape", [(50, 120), (300, MAX_EXACT + 100)], ids=["few rows", "columns"])
def test_training_starts_where_it_does_without_a_basis(shape, container, without_basis):
    X = bent(*shape)
    ours = one_step(container(X))
    theirs = without_basis(one_step, container(X))
    codes = ours.transform(X)
    assert_allclose(codes, theirs.transform(X), atol=1e-6 * np.abs(codes).max())
    decoded = theirs.inverse_transform(codes)
    assert_allclose(ours.inverse_transform(codes), decoded, atol=1e-6 * np.abs(decoded).max())
    assert_allclose(np.abs(codes), np.abs(PCA(3).fit_transform(X)), atol=1e-5 * np.abs(codes).max())


@pytest.mark.parametrize(
    ("n_features", "labels", "dtype"),
    [(120, 0.0, "float32"), (MAX_EXACT + 100, 0.0, "float64"), (MAX_EXACT + 100, 1.0, "float32")],
)
def test_losses_are_those_of_the_network_for_rows(n_features, labels, dtype):
    """The losses of scores and what the scores leave add up to the losses of rows."""
    X, X_val = bent(300, n_features).astype(dtype), bent(40, n_features, 7).astype(dtype)
    y = (X[:, 0] > X[:, 1]).astype(int)
    estimator = AutoencoderTransformer(4, **DEEP, label_weight=labels, epochs=30)
    estimator.fit(X[:100], y[:100], X_val=X_val, y_val=y[:40])
    again = estimator.inverse_transform(estimator.transform(X_val))
    squares = np.square(again - X_val).mean()
    lowest = min(estimator.validation_loss_curve_)
    if labels:
        assert lowest > squares  # since the loss of labels is added to it
    else:
        assert lowest == pytest.approx(squares, rel=1e-4)
    pca = PCA(4).fit(X[:100])
    theirs = np.square(pca.inverse_transform(pca.transform(X_val)) - X_val).mean()
    if not labels:
        assert estimator.gain_over_pca_ == pytest.approx(max(0, 1 - lowest / theirs), abs=1e-4)


def test_many_rows_of_many_columns_are_trained_on_leading_scores(monkeypatch):
    widths = []
    narrow = fitting.basis_of

    def watched(candidate, rows):
        basis = narrow(candidate, rows)
        widths.append(len(basis.pca.axes))
        return basis

    monkeypatch.setattr(fitting, "basis_of", watched)
    X = bent(MAX_EXACT + 50, MAX_EXACT + 20).astype(np.float32)
    estimator = AutoencoderTransformer(4, **DEEP).fit(X)
    assert widths == [LEADING]
    assert estimator.gain_over_pca_ > 0.1
    pca = PCA(4, random_state=0).fit(X)
    theirs = np.square(pca.inverse_transform(pca.transform(X)) - X).mean()
    ours = np.square(estimator.inverse_transform(estimator.transform(X)) - X).mean()
    assert ours < theirs


def test_the_same_rows_are_held_out_with_a_basis(without_basis):
    """Copies of a row stay on one side, whatever rounding makes of their scores."""
    splits = []
    inner = fitting._splits

    def watched(candidate, rows):
        found = inner(candidate, rows)
        splits.append([split.validation.total_weight() for split in found])
        return found

    X = np.repeat(bent(30, 200), 3, axis=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "_splits", watched)
        for fit in (lambda run, *rows: run(*rows), without_basis):
            fit(AutoencoderTransformer(3, **DEEP).fit, X)
    assert splits[0] == splits[1]


@pytest.mark.parametrize(
    "parameters",
    [
        {"loss": "mae"},
        {"output_activation": "relu"},
        {"noise": 0.1},
        {"sparsity": 0.1},
        {"kl_weight": 0.1},
        {"hidden_layer_sizes": ()},
    ],
    ids=lambda parameters: next(iter(parameters)),
)
def test_no_basis_where_it_would_change_the_loss(parameters, without_basis):
    """The last of these is PCA, which needs no training."""
    X = bent(40, 100).astype(np.float32)
    settings = {**DEEP, "epochs": 2 if "hidden_layer_sizes" not in parameters else "auto"}
    fit = AutoencoderTransformer(3, **{**settings, **parameters}).fit
    ours = fit(X).weights_
    for one, other in zip(ours, without_basis(fit, X).weights_, strict=True):
        assert_array_equal(one, other)


def test_a_fit_that_goes_on_needs_no_basis():
    X = bent(40, 100)
    estimator = AutoencoderTransformer(
        3, **DEEP, epochs=5, early_stopping=False, warm_start=True, learning_rate=1e-3
    ).fit(X)
    before = estimator.loss_curve_[-1]
    assert estimator.fit(X).loss_curve_[5] < 1.05 * before


def test_words_get_a_linear_output():
    X = sparse.random(200, MAX_EXACT + 1, density=0.02, format="csr", random_state=0)
    estimator = AutoencoderTransformer(4, random_state=0).fit(X)
    assert estimator.network_["output_activation"] == "linear"
    assert estimator.n_iter_ == 0
