"""Rows that come in parts: `partial_fit`."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits

import skae
from skae import AutoencoderTransformer
from skae._keras import training

DIGITS = (load_digits().data / 16).astype(np.float32)
LABELS = load_digits().target
PARTS = np.array_split(DIGITS[:1200], 6)
TEST = DIGITS[1200:]


def fitted(parts, **parameters):
    estimator = AutoencoderTransformer(8, random_state=0, **parameters)
    for part in parts:
        estimator.partial_fit(part)
    return estimator


def error(estimator):
    return np.square(estimator.reconstruct(TEST) - TEST).mean()


def test_parts_are_learned_one_after_another():
    estimator = fitted(PARTS[:1])
    errors = [error(estimator)]
    for _ in range(3):
        for part in PARTS:
            estimator.partial_fit(part)
        errors.append(error(estimator))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.8 * errors[0]
    assert estimator.n_iter_ == len(estimator.loss_curve_) == 19
    assert estimator.n_samples_seen_ == 200 + 3 * 1200


@pytest.mark.parametrize("kind", ["pickle", "file", "neither"])
def test_training_goes_on_as_if_it_had_not_been_stored(kind, tmp_path):
    expected, stored = fitted(PARTS), fitted(PARTS[:3])
    if kind == "pickle":
        stored = pickle.loads(pickle.dumps(stored))
    elif kind == "file":
        stored.save(tmp_path / "part.skae")
        stored = skae.load(tmp_path / "part.skae")
    for part in PARTS[3:]:
        stored.partial_fit(part)
    assert_array_equal(stored.transform(TEST), expected.transform(TEST))
    assert stored.loss_curve_ == expected.loss_curve_


def test_transforming_between_parts_compiles_nothing(monkeypatch):
    estimator = fitted(PARTS[:1])

    def fail(*arguments):
        raise AssertionError("A program was compiled.")

    monkeypatch.setattr(training, "_Program", fail)
    for part in (PARTS[1], PARTS[2][:7], DIGITS[:1200], PARTS[3][:1]):
        estimator.transform(estimator.partial_fit(part).reconstruct(TEST))


def test_few_columns_limit_the_components_and_few_rows_do_not():
    assert fitted([PARTS[0][:5]]).n_components_ == 8
    with pytest.warns(UserWarning, match="n_components=8 is more than"):
        assert fitted([PARTS[0][:, 20:25]]).n_components_ == 5
    assert AutoencoderTransformer(None).partial_fit(PARTS[0][:, 20:26]).n_components_ == 6


@pytest.mark.parametrize(
    "parameters",
    [
        {"hidden_layer_sizes": ()},
        {"code_activation": "relu"},
        {"kl_weight": 1.0},
        {"sparsity": 1e-3},
        {"noise": ("gaussian", 0.05)},
        {"loss": "poisson"},
        {"image_shape": (8, 8), "hidden_layer_sizes": (4, 8)},
        {"optimizer": "sgd", "learning_rate": 0.01},
        {"optimizer": "muon", "hidden_layer_sizes": (16,)},
    ],
    ids=str,
)
def test_variants_are_trained_in_parts(parameters):
    estimator = fitted(PARTS[:1], **parameters)
    first = error(estimator)
    for part in [*PARTS[1:], *PARTS]:
        estimator.partial_fit(part)
    assert error(estimator) < first
    assert estimator.transform(TEST).shape == (len(TEST), 8)


def test_labels_are_learned_in_parts():
    estimator = AutoencoderTransformer(8, label_weight=1.0, random_state=0)
    for part, labels in zip(PARTS, np.array_split(LABELS[:1200], 6), strict=True):
        estimator.partial_fit(part, labels)
    kernel, bias = estimator.head_
    predicted = (estimator.transform(TEST) @ kernel + bias).argmax(axis=1)
    assert (predicted == LABELS[1200:]).mean() > 0.7
    with pytest.raises(ValueError, match="classes that were not seen before"):
        estimator.partial_fit(PARTS[0], np.full(200, 11))


def test_numbers_keep_the_units_of_the_first_part(tmp_path):
    X, y = load_diabetes(return_X_y=True)
    X = X / X.std(axis=0)
    order = np.argsort(y)  # each part has a mean and a spread of its own
    estimator = AutoencoderTransformer(4, label_weight=1.0, random_state=0)
    estimator.partial_fit(X, y)
    for chosen in np.array_split(order, 3) * 3:
        estimator.partial_fit(X[chosen], y[chosen])
        estimator.save(tmp_path / "part.skae")
        estimator = skae.load(tmp_path / "part.skae")
    kernel, bias = estimator.head_
    predicted = (estimator.transform(X) @ kernel + bias)[:, 0]
    assert np.corrcoef(predicted, y)[0, 1] > 0.6
    assert abs(predicted.mean() - y.mean()) < y.std()


def test_missing_values_are_filled_as_the_first_part_says():
    holes = np.random.default_rng(0).random(DIGITS.shape) < 0.3
    X = np.where(holes, np.float32(np.nan), DIGITS)
    estimator = fitted(np.array_split(X, 6))
    estimator.partial_fit(DIGITS[:100])
    imputed = estimator.impute(X)
    assert np.square(imputed - DIGITS)[holes].mean() < 0.5 * DIGITS.var()
    with pytest.raises(ValueError, match="the rows before had no missing values"):
        fitted([DIGITS[:100], X])


def test_weights_are_numbers_of_copies():
    once = AutoencoderTransformer(4, batch_size=256, random_state=0)
    part = PARTS[0][:60]
    weighted = clone(once).partial_fit(part, sample_weight=np.full(60, 2.0))
    copied = once.partial_fit(np.repeat(part, 2, axis=0))
    assert_allclose(weighted.reconstruct(TEST), copied.reconstruct(TEST), atol=1e-3)


def test_it_goes_on_from_a_whole_fit_which_starts_anew():
    estimator = AutoencoderTransformer(8, random_state=0).fit(DIGITS[:800])
    before, expected = error(estimator), estimator.transform(TEST)
    estimator.partial_fit(DIGITS[800:1200])
    assert error(estimator) < 1.05 * before
    with pytest.raises(AttributeError, match="partial_fit has not seen all rows"):
        estimator.explained_variance_ratio_  # noqa: B018 (the access is what raises)
    with pytest.raises(AttributeError, match="scaled=True needs feature_errors_"):
        estimator.reconstruction_error(TEST, scaled=True)
    assert_array_equal(estimator.fit(DIGITS[:800]).transform(TEST), expected)
    assert not hasattr(estimator, "n_samples_seen_")


@pytest.mark.parametrize(
    ("change", "X", "message"),
    [
        ({"optimizer": "sgd"}, DIGITS, "continues with the optimizer of the first call"),
        ({"hidden_layer_sizes": (5,)}, DIGITS, "differ from the previous fit for: hidden_layer"),
        ({"n_components": 0.9}, DIGITS, "needs n_components as an int or None. Got 0.9"),
        ({}, DIGITS[:, :5], "X has 5 features"),
        ({}, np.full((9, 64), np.inf), "contains infinity"),
        ({"learning_rate": 1e30, "batch_size": 8}, DIGITS, "diverged"),
    ],
    ids=["optimizer", "network", "fraction", "columns", "infinite", "diverged"],
)
def test_what_can_not_be_followed_is_refused_and_changes_nothing(change, X, message):
    estimator = fitted(PARTS[:1], output_activation="linear")
    expected = estimator.transform(TEST)
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match=message):
        estimator.set_params(**change).partial_fit(X)
    estimator.set_params(**{name: getattr(AutoencoderTransformer(8), name) for name in change})
    assert_array_equal(estimator.transform(TEST), expected)
    assert_array_equal(
        estimator.partial_fit(PARTS[1]).transform(TEST),
        fitted(PARTS[:2], output_activation="linear").transform(TEST),
    )


def test_it_forgets_less_than_a_warm_start():
    rng = np.random.default_rng(0)
    first, drifted = DIGITS[:800], DIGITS[800:1600] @ rng.normal(size=(64, 64)).astype("f4") / 8
    in_parts = AutoencoderTransformer(8, output_activation="linear", random_state=0)
    warm = clone(in_parts).set_params(warm_start=True)
    for rows in (first, drifted):
        warm.fit(rows)
        for part in np.array_split(np.concatenate([rows] * 5), 20):
            in_parts.partial_fit(part)
    assert in_parts.score(first) > warm.score(first)
