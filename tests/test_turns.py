"""Test how long training goes on, two runs at a time, and the hidden layer that is the default."""

import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer
from skae._fitting import turns as turning
from skae._fitting.schedule import CYCLES_FROM


def bent(n_rows, n_features=6, noise=0.02):
    """Return rows near a curved surface of two dimensions."""
    rng = np.random.default_rng(0)
    position = rng.uniform(-2, 2, size=(n_rows, 2))
    directions = rng.normal(size=(2, n_features))
    return (np.sin(position @ directions) + noise * rng.normal(size=(n_rows, n_features))).astype(
        np.float32
    )


def state(estimator):
    curves = estimator.loss_curve_, estimator.validation_loss_curve_, estimator.gain_over_pca_
    return [array.tobytes() for array in estimator.weights_], curves


@pytest.mark.parametrize("n_rows", [60, 400])
def test_two_runs_at_a_time_give_the_bits_of_one_after_another(n_rows, monkeypatch):
    estimator = AutoencoderTransformer(2, hidden_layer_sizes=(16,), random_state=0)
    monkeypatch.setattr("skae._keras._n_cores", lambda: 2)
    together = state(estimator.fit(bent(n_rows)))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert state(estimator.fit(bent(n_rows))) == together


def test_fits_in_threads_share_what_is_compiled_and_give_the_same_bits():
    def fit(seed):
        estimator = AutoencoderTransformer(2, hidden_layer_sizes=(16,), random_state=seed)
        return state(estimator.fit(bent(200)))

    expected, found = [fit(seed) for seed in range(4)], [None] * 4

    def put(seed):
        found[seed] = fit(seed)

    threads = [threading.Thread(target=put, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


def test_an_error_in_a_run_that_nobody_needs_is_not_raised(monkeypatch):
    trial = turning.Trial

    def fails_later(candidate, split, *previous):
        if candidate.name.startswith("turn 3"):
            raise ValueError("turn 3")
        return trial(candidate, split, *previous)

    monkeypatch.setattr(turning, "Trial", fails_later)
    monkeypatch.setattr("skae._keras._n_cores", lambda: 2)
    estimator = AutoencoderTransformer(2, hidden_layer_sizes=(16,), random_state=0)
    assert estimator.fit(bent(400)).gain_over_pca_ > 0
    noise = np.random.default_rng(0).normal(size=(40, 6))
    with pytest.raises(ValueError, match="turn 3"):
        estimator.fit(noise)


def test_training_goes_on_as_long_as_the_validation_loss_falls(capsys):
    X = bent(CYCLES_FROM + 300)
    estimator = AutoencoderTransformer(2, hidden_layer_sizes=(16,), random_state=0, verbose=2)
    estimator.fit(X)
    printed = capsys.readouterr().out
    assert "cycle 2, epoch" in printed
    assert "all rows" not in printed
    epochs = estimator.validation_epochs_
    assert epochs == sorted(set(epochs))
    assert epochs[-1] == estimator.n_iter_ == len(estimator.loss_curve_)
    of_one_cycle = estimator.validation_loss_curve_[len(epochs) // 2 - 1]
    assert estimator.validation_loss_curve_[-1] < of_one_cycle
    pca = PCA(2).fit(X)
    theirs = np.square(pca.inverse_transform(pca.transform(X)) - X).mean()
    assert 1 - estimator.gain_over_pca_ == pytest.approx(
        estimator.validation_loss_curve_[-1] / theirs, rel=0.1
    )


@pytest.mark.parametrize(
    ("parameters", "hidden"),
    [
        ({}, (128,)),
        ({"label_weight": 1.0}, (128,)),
        ({"hidden_layer_sizes": ()}, ()),
        ({"hidden_layer_sizes": 3}, (3,)),
        ({"noise": 0.1, "epochs": 1}, ()),
        ({"sparsity": 0.1, "epochs": 1}, ()),
        ({"kl_weight": 0.1, "epochs": 1}, ()),
        ({"init": "glorot_uniform", "epochs": 1}, ()),
        ({"early_stopping": False, "epochs": 1}, ()),
        ({"loss": "mae", "epochs": 1}, ()),
    ],
    ids=str,
)
def test_a_hidden_layer_is_the_default_where_it_is_compared_with_pca(parameters, hidden):
    X = bent(150)
    estimator = AutoencoderTransformer(2, random_state=0).set_params(**parameters)
    assert estimator.fit(X, X[:, 0] > 0).network_["hidden_layer_sizes"] == hidden
    assert estimator.get_params()["hidden_layer_sizes"] == parameters.get(
        "hidden_layer_sizes", "auto"
    )


@pytest.mark.parametrize(
    "X",
    [
        bent(40),
        np.random.default_rng(0).normal(size=(60, 1100)),
        sparse.random(80, 1100, density=0.05, format="csr", random_state=0),
    ],
    ids=["few rows", "many columns", "words"],
)
def test_the_default_has_no_hidden_layer_where_rows_may_not_carry_it(X):
    estimator = AutoencoderTransformer(2, random_state=0).fit(X)
    assert estimator.network_["hidden_layer_sizes"] == ()
    assert estimator.n_iter_ == 0


def test_the_default_is_pca_without_a_warning_where_a_hidden_layer_gains_nothing(recwarn):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2)) @ rng.normal(size=(2, 5)) + 0.3 * rng.normal(size=(80, 5))
    default = AutoencoderTransformer(2, random_state=0, warm_start=True).fit(X)
    linear = AutoencoderTransformer(2, hidden_layer_sizes=(), random_state=0).fit(X)
    assert default.network_ == linear.network_
    assert default.gain_over_pca_ == 0.0
    assert_array_equal(default.transform(X), linear.transform(X))
    assert default.fit(X).network_ == linear.network_
    assert not recwarn.list
