"""Noise is added in training alone, and teaches the network to restore rows."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer
from skae._data.noise import noise_of


@pytest.fixture(scope="module")
def digits():
    """Return training and test rows."""
    X = (load_digits().data / 16).astype(np.float32)
    return X[:1200], X[1200:]


def error(estimator, X, target):
    return float(np.mean((estimator.reconstruct(X) - target) ** 2))


def missing_sensors(batch, rng):
    batch[:, ::2] = 0
    return batch


def mask(X, fraction=0.3):
    return np.where(np.random.default_rng(0).random(X.shape) < fraction, 0, X).astype(X.dtype)


def test_noise_is_drawn_anew_and_only_in_training(digits):
    """The callable sees every row in every epoch, and no row in transform.

    It sees the rows once more when the network is compared with PCA in the end. The state of the
    generator differs each time.
    """
    X = digits[0][:200]
    seen = []

    def noise(batch, rng):
        seen.append((len(batch), rng.random()))
        return batch

    estimator = AutoencoderTransformer(
        2, noise=noise, epochs=3, batch_size=50, early_stopping=False, output_activation="sigmoid"
    ).fit(X)
    assert sum(n for n, _ in seen) == (3 + 1) * 200
    assert len({draw for _, draw in seen}) == len(seen)
    seen.clear()
    estimator.reconstruct(X)
    assert seen == []


@pytest.mark.parametrize(
    ("kind", "amount"),
    [("masking", 0.2), ("gaussian", 0.5), ("salt_and_pepper", 0.2), ("swap", 0.2)],
)
def test_kinds_of_noise_do_what_they_say(kind, amount):
    """Each kind changes the right number of entries, by the right amount, to allowed values."""
    X = np.random.default_rng(0).uniform(1, 2, (500, 20)) + 10 * np.arange(20)
    original = X.copy()
    noisy = noise_of((kind, amount), X)(X, np.random.default_rng(1))
    assert_array_equal(X, original)
    changed = noisy != X
    if kind == "gaussian":
        assert changed.all()
        # The standard deviation of 10,000 draws is within 5 standard errors (0.7% each).
        assert_allclose(np.std(noisy - X), amount, rtol=0.035)
        return
    # 2,000 of 10,000 entries change; five standard errors are 200 entries.
    assert_allclose(changed.mean(), amount, atol=0.02)
    if kind == "swap":
        assert all(np.isin(noisy[:, i], X[:, i]).all() for i in range(20))
    else:
        allowed = [0] if kind == "masking" else [X.min(), X.max()]
        assert np.isin(noisy[changed], allowed).all()
        assert set(noisy[changed]) == set(allowed)


@pytest.mark.parametrize(
    "kind",
    [
        sparse.csr_array,
        tf.constant,
        pd.DataFrame,
        np.float64,
        np.ndarray.tolist,
        lambda X: X.astype(object),
    ],
)
def test_noise_may_come_in_any_container_of_numbers(digits, kind):
    X = digits[0][:200]

    def noise(batch, rng):
        return kind(missing_sensors(batch, rng))

    codes = [
        AutoencoderTransformer(2, noise=noise, epochs=2, random_state=0).fit_transform(X)
        for noise in (missing_sensors, noise)
    ]
    assert_array_equal(*codes)


class Elsewhere:
    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


@pytest.mark.parametrize(
    ("returned", "got"),
    [
        (lambda X: X.astype(str), "an array of dtype <U32"),
        (lambda X: X * 1j, "an array of dtype complex64"),
        (lambda X: np.full(X.shape, None), "nan or infinite"),
        (lambda X: np.full(X.shape, {}), r"ndarray \(float\(\) argument"),
        (lambda X: None, r"an array of shape \(\)"),
        (lambda X: "masked", "an array of dtype <U6"),
        (lambda X: X[:, 1:], r"an array of shape \(\d+, 63\)"),
        (lambda X: X.astype(np.float64) + 1e300, "nan or infinite"),
        (lambda X: sparse.csr_array(X[1:]), r"an array of shape \(\d+, 64\)"),
        (lambda X: Elsewhere(), "Elsewhere .*cuda:0"),
    ],
)
def test_noise_that_is_no_batch_is_refused_in_our_words(digits, returned, got):
    words = f"'noise' must return a finite array of numbers of the shape .* Got {got}"
    estimator = AutoencoderTransformer(2, noise=lambda batch, rng: returned(batch), epochs=1)
    with pytest.raises(ValueError, match=words):
        estimator.fit(digits[0][:200])


def test_noise_repeats_with_the_random_state(digits):
    X = digits[0][:300]
    fits = [
        AutoencoderTransformer(2, noise=0.3, epochs=2, early_stopping=False, random_state=seed)
        .fit(X)
        .weights_[0]
        for seed in (0, 0, 1)
    ]
    assert_array_equal(fits[0], fits[1])
    assert np.any(fits[0] != fits[2])


def test_no_noise_is_noise_of_amount_zero(digits):
    X = digits[0][:200]
    codes = [
        AutoencoderTransformer(
            2, hidden_layer_sizes=(), noise=noise, epochs=2, random_state=0
        ).fit_transform(X)
        for noise in (None, 0, ("gaussian", 0.0))
    ]
    assert_array_equal(codes[0], codes[1])
    assert_array_equal(codes[0], codes[2])


@pytest.mark.parametrize("noise", [0.3, missing_sensors])
def test_denoising_beats_the_plain_network_on_noisy_rows(digits, noise):
    train, test = digits
    corrupted = missing_sensors(test.copy(), None) if callable(noise) else mask(test)
    plain = AutoencoderTransformer(16, random_state=0).fit(train)
    denoising = clone(plain).set_params(noise=noise).fit(train)
    assert error(denoising, corrupted, test) < 0.8 * error(plain, corrupted, test)


def test_swap_noise_teaches_to_restore_tables():
    """Rows with every fifth entry from another row are restored better than without noise.

    Measured 0.81 times the plain network's error.
    """
    X = StandardScaler().fit_transform(load_breast_cancer().data)
    train, test = X[::2], X[1::2]
    swapped = noise_of(("swap", 0.2), test)(test, np.random.default_rng(0))
    plain = AutoencoderTransformer(
        8, hidden_layer_sizes=(64,), early_stopping=False, epochs=100, random_state=0
    ).fit(train)
    denoising = clone(plain).set_params(noise=("swap", 0.2)).fit(train)
    assert error(denoising, swapped, test) < 0.9 * error(plain, swapped, test)
