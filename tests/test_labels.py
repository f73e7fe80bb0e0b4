"""Labels make the code serve the model behind it, and only the labels that are known."""

import pathlib

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_diabetes, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skae
from skae import AutoencoderTransformer

DIGITS, DIGIT_LABELS = load_digits(return_X_y=True)
DIGITS = (DIGITS / 16).astype(np.float32)
WINE, WINE_LABELS = load_wine(return_X_y=True)
WINE = StandardScaler().fit_transform(WINE)
QUICK = {
    "hidden_layer_sizes": (),
    "epochs": 3,
    "random_state": 0,
    "label_weight": 1.0,
}


def fitted(X, y, n_components=2, **parameters):
    fit = {
        name: parameters.pop(name)
        for name in ("sample_weight", "X_val", "y_val")
        if name in parameters
    }
    return AutoencoderTransformer(n_components, **{**QUICK, **parameters}).fit(X, y, **fit)


KINDS = {
    "ints": (WINE_LABELS, "classes", [0, 1, 2]),
    "bools": (WINE_LABELS > 0, "classes", [False, True]),
    "strings": (np.array(["a", "b", "c"])[WINE_LABELS], "classes", ["a", "b", "c"]),
    "objects": (np.array(["a", "b", "c"], object)[WINE_LABELS], "classes", ["a", "b", "c"]),
    "list": (["ab"[int(i > 0)] for i in WINE_LABELS], "classes", ["a", "b"]),
    "categories": (pd.Series(WINE_LABELS).astype("category"), "classes", [0, 1, 2]),
    "nullable": (pd.Series(WINE_LABELS).astype("Int64"), "classes", [0, 1, 2]),
    "one column": (WINE_LABELS[:, None], "classes", [0, 1, 2]),
    "floats": (WINE_LABELS.astype(float), "numbers", 1),
    "columns of floats": (WINE[:, :3], "numbers", 3),
    "frame": (pd.DataFrame(WINE[:, :2], columns=["p", "q"]), "numbers", 2),
    "indicators": (np.eye(3, dtype=int)[WINE_LABELS], "indicators", 3),
    "sparse indicators": (sparse.csr_matrix(np.eye(3, dtype=int)[WINE_LABELS]), "indicators", 3),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_type_of_y_says_what_is_predicted(name):
    y, kind, expected = KINDS[name]
    estimator = fitted(WINE, y)
    assert estimator.network_["label_kind"] == kind
    kernel, bias = estimator.head_
    if kind == "classes":
        assert estimator.classes_.tolist() == expected
        expected = len(expected)
    else:
        assert not hasattr(estimator, "classes_")
    assert kernel.shape == (2, expected)
    assert bias.shape == (expected,)
    assert len(estimator.weights_) == 4


ERRORS = {
    "no y": (None, "label_weight=1.0 needs labels, and y is None. Pass y to fit, or set"),
    "too short": (WINE_LABELS[:9], "y must have one label for each row of X. Got 9 labels and 178"),
    "all missing": (np.full(178, np.nan), "y has no label that is known: all of its 178 values"),
    "one class": (np.zeros(178, int), "y must have two classes or more. Got one class, 0."),
    "constant": (np.full(178, 2.0), "y is constant, 2, so there is nothing to predict"),
    "too many": (np.arange(178), r"178 distinct values, too many .* Pass y as y.astype\(float\)"),
    "infinite": (np.full(178, np.inf), "y contains infinity"),
    "mixed": (
        np.array([1, "a"] * 89, object),
        "labels of one type, .* Got int, str",
    ),
    "not 0 or 1": (
        np.arange(356).reshape(178, 2),
        "must hold zeros and ones. Got .* 0 to 355",
    ),
    "no labels": (
        np.array(["2020-01-01"] * 178, "M8[D]"),
        "y must be an array of one label for each row",
    ),
    "three axes": (np.zeros((178, 2, 2)), "y must be an array of one label for each row"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_labels_that_can_not_be_used_are_named_with_the_way_out(name):
    y, message = ERRORS[name]
    estimator = AutoencoderTransformer(2, **QUICK)
    with pytest.raises(ValueError, match=message):
        estimator.fit(WINE, y)
    assert not hasattr(estimator, "weights_")


IGNORED = {
    "none": None,
    "text": "nonsense",
    "object": object(),
    "short": [1],
    "labels": WINE_LABELS,
}


@pytest.mark.parametrize("name", IGNORED)
def test_without_a_weight_labels_of_any_type_are_ignored(name):
    plain = fitted(WINE, None, label_weight=0.0)
    with_labels = fitted(WINE, IGNORED[name], label_weight=0.0)
    for one, other in zip(plain.weights_, with_labels.weights_, strict=True):
        assert_array_equal(one, other)
    assert not hasattr(with_labels, "head_")


MISSING = {
    "NaN": (WINE_LABELS.astype(float), np.nan, None),
    "None": (WINE_LABELS.astype(object), None, None),
    "NA": (pd.Series(WINE_LABELS).astype("Int64"), pd.NA, None),
    "-1": (WINE_LABELS.copy(), -1, -1),
    "-1 in objects": (WINE_LABELS.astype(object), -1, -1),
    "?": (np.array(["a", "b", "c"], object)[WINE_LABELS], "?", "?"),
}


@pytest.mark.parametrize("name", MISSING)
def test_missing_labels_are_not_learned_from(name, capsys):
    """Only the mask of what is missing counts: the same known labels give the same network."""
    y, value, missing_label = MISSING[name]
    y = y.copy()
    y[::3] = value
    estimator = fitted(WINE, y, missing_label=missing_label, verbose=1)
    assert "60 of 178 rows have no label in y" in capsys.readouterr().out
    if estimator.network_["label_kind"] == "classes":
        assert len(estimator.classes_) == 3
        plain = fitted(WINE, np.where(np.arange(178) % 3, WINE_LABELS, -1), missing_label=-1)
        for one, other in zip(plain.weights_, estimator.weights_, strict=True):
            assert_array_equal(one, other)


def test_minus_one_is_a_class_unless_it_is_named_as_missing():
    y = np.where(WINE_LABELS == 0, -1, 1)
    assert fitted(WINE, y).classes_.tolist() == [-1, 1]


@pytest.mark.parametrize("n_components", [2, 8])
def test_classifiers_are_better_behind_a_code_with_labels(n_components):
    deep = {"hidden_layer_sizes": (128,), "random_state": 0}
    X, X_test, y, y_test = train_test_split(
        DIGITS, DIGIT_LABELS, random_state=0, stratify=DIGIT_LABELS
    )
    accuracies, errors = [], []
    for encoder in (
        PCA(n_components),
        AutoencoderTransformer(n_components, label_weight=1.0, **deep),
    ):
        code = encoder.fit_transform(X, y)
        nearest = KNeighborsClassifier().fit(code, y)
        accuracies.append(nearest.score(encoder.transform(X_test), y_test))
        decoded = encoder.inverse_transform(encoder.transform(X_test))
        errors.append(np.square(decoded - X_test).mean())
    assert accuracies[1] > accuracies[0] + {2: 0.25, 8: 0.01}[n_components]
    assert errors[1] < errors[0]


def test_random_labels_are_predicted_at_chance_on_unseen_rows():
    """Labels of unseen rows reach nothing, so a code made for noise is worth nothing there."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, len(DIGITS))
    accuracies = []
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(DIGITS))
        train, test = order[:1000], order[1000:]
        encoder = AutoencoderTransformer(8, label_weight=1.0, random_state=seed, epochs=30)
        code = encoder.fit_transform(DIGITS[train], y[train])
        model = LogisticRegression(max_iter=1000).fit(code, y[train])
        accuracies.append(model.score(encoder.transform(DIGITS[test]), y[test]))
    # The standard error of the mean of five accuracies of 797 rows is 0.008.
    assert abs(np.mean(accuracies) - 0.5) < 0.032


def test_labels_of_validation_rows_train_nothing():
    parts = WINE[::2], WINE_LABELS[::2], WINE[1::2], WINE_LABELS[1::2]
    one, other = (
        fitted(parts[0], parts[1], X_val=parts[2], y_val=y, early_stopping=False)
        for y in (parts[3], 2 - parts[3])
    )
    for a, b in zip([*one.weights_, *one.head_], [*other.weights_, *other.head_], strict=True):
        assert_array_equal(a, b)
    assert one.validation_loss_curve_ != other.validation_loss_curve_


def test_validation_rows_need_labels_of_the_same_kind():
    with pytest.raises(ValueError, match="needs labels, and y_val is None"):
        fitted(WINE, WINE_LABELS, X_val=WINE[:5])
    with pytest.raises(ValueError, match=r"y_val has classes .* before: \[7\].* with None\."):
        fitted(WINE, WINE_LABELS, X_val=WINE[:5], y_val=[0, 1, 2, 7, 7])
    with pytest.raises(
        ValueError, match=r"y_val holds numbers, but .* of this fit are classes\. Convert y_val"
    ):
        fitted(WINE, WINE_LABELS, X_val=WINE[:5], y_val=np.ones(5))


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_a_weight_of_two_is_two_copies(kind):
    X = WINE[:60]
    y = WINE_LABELS[:60].copy() if kind == "classes" else X[:, 0] + X[:, 3]
    y[:20] += 1
    copies = np.random.default_rng(0).integers(1, 3, 60)
    # Not a linear network, whose decoder starts at its optimum, where Adam blows rounding up.
    settings = {"early_stopping": False, "batch_size": 1000, "hidden_layer_sizes": (8,)}
    weighted = fitted(X, y, sample_weight=copies.astype(float), **settings)
    repeated = fitted(np.repeat(X, copies, axis=0), np.repeat(y, copies, axis=0), **settings)
    for one, other in zip(weighted.head_, repeated.head_, strict=True):
        assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert_allclose(weighted.transform(X), repeated.transform(X), rtol=1e-6, atol=1e-6)


def custom(spec):
    import keras

    glorot = keras.initializers.GlorotUniform(seed=0)
    ends = ((spec.n_features, spec.n_components), (spec.n_components, spec.n_features))
    return tuple(
        keras.Sequential(
            [keras.Input((n_in,)), keras.layers.Dense(n_out, kernel_initializer=glorot)]
        )
        for n_in, n_out in ends
    )


VARIANTS = {
    "deep": {"hidden_layer_sizes": (16,)},
    "noise": {"noise": 0.2},
    "sparse": {"sparsity": 1e-3},
    "variational": {"kl_weight": 0.1},
    "deep variational": {"kl_weight": 0.1, "hidden_layer_sizes": (16,)},
    "images": {"image_shape": (8, 8), "hidden_layer_sizes": (4, 8)},
    "custom": {"network": custom},
    "rectified": {"code_activation": "relu"},
    "random": {"init": "glorot_uniform"},
    "cross-entropy": {"loss": "binary_crossentropy"},
    "poisson": {"loss": "poisson"},
}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [*((name, np.float32) for name in VARIANTS), ("deep", np.float64), ("images", np.float64)],
)
def test_labels_go_with_every_variant(name, dtype):
    """The head, on the codes that `transform` gives, predicts the classes of the training rows."""
    X, y = DIGITS[:500].astype(dtype), DIGIT_LABELS[:500]
    estimator = fitted(X, y, 8, epochs=20, **VARIANTS[name])
    kernel, bias = estimator.head_
    assert kernel.dtype == X.dtype
    predicted = (estimator.transform(X) @ kernel + bias).argmax(axis=1)
    # Training from random weights is not far in 20 epochs.
    assert (predicted == y).mean() > (0.3 if name == "custom" else 0.6)
    again = fitted(X, y, 8, epochs=20, **VARIANTS[name])
    assert_array_equal(again.head_[0], kernel)


def test_sparse_rows_are_as_dense_ones():
    X = np.where(DIGITS[:300] > 0.5, DIGITS[:300], 0)
    dense = fitted(X, DIGIT_LABELS[:300])
    same = fitted(sparse.csr_matrix(X), DIGIT_LABELS[:300])
    for one, other in zip(dense.head_, same.head_, strict=True):
        assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_weight_means_the_same_at_any_scale(scale):
    X, y = load_diabetes(return_X_y=True)
    X = X.astype(np.float64)
    settings = {"hidden_layer_sizes": (16,), "epochs": 10}
    one = fitted(X, y, **settings)
    other = fitted(scale * X, y * scale - 5, **settings)
    assert_allclose(other.transform(scale * X), scale * one.transform(X), rtol=1e-4, atol=1e-5)
    predicted = one.transform(X) @ one.head_[0] + one.head_[1]
    assert_allclose(
        other.transform(scale * X) @ other.head_[0] + other.head_[1],
        scale * predicted - 5,
        rtol=1e-4,
        atol=1e-4 * scale,
    )


def test_the_head_predicts_numbers_in_their_own_unit():
    X, y = load_diabetes(return_X_y=True)
    estimator = AutoencoderTransformer(
        4, hidden_layer_sizes=(32,), label_weight=1.0, random_state=0
    ).fit(X, y)
    predicted = (estimator.transform(X) @ estimator.head_[0] + estimator.head_[1])[:, 0]
    assert 1 - np.square(predicted - y).sum() / np.square(y - y.mean()).sum() > 0.45


@pytest.mark.parametrize("kind", ["classes", "numbers", "indicators"])
def test_a_warm_start_goes_on_with_the_head(kind):
    y = {
        "classes": WINE_LABELS,
        "numbers": WINE[:, :2] * [3, 100] + [0, 50],
        "indicators": np.eye(3, dtype=int)[WINE_LABELS],
    }[kind]
    settings = {"early_stopping": False, "learning_rate": 1e-3, "hidden_layer_sizes": (8,)}
    estimator = fitted(WINE, y, warm_start=True, **settings)
    before = estimator.transform(WINE) @ estimator.head_[0] + estimator.head_[1]
    estimator.set_params(learning_rate=1e-9, epochs=1).fit(WINE, y)
    after = estimator.transform(WINE) @ estimator.head_[0] + estimator.head_[1]
    assert_allclose(after, before, rtol=1e-4, atol=1e-4 * np.abs(before).max())
    with pytest.raises(ValueError, match="differ from the previous fit for: label_weight"):
        estimator.set_params(label_weight=0.0).fit(WINE)


def test_a_fit_without_labels_forgets_the_head():
    estimator = fitted(WINE, WINE_LABELS)
    estimator.set_params(label_weight=0.0).fit(WINE)
    assert not hasattr(estimator, "head_")
    assert not hasattr(estimator, "classes_")


@pytest.mark.parametrize("name", ["ints", "bools", "strings", "objects", "floats", "indicators"])
def test_files_hold_the_head_and_the_classes(name, tmp_path):
    y = KINDS[name][0]
    estimator = fitted(WINE, y, warm_start=True)
    estimator.save(tmp_path / "model")
    loaded = skae.load(tmp_path / "model")
    assert_array_equal(loaded.transform(WINE), estimator.transform(WINE))
    for one, other in zip(loaded.head_, estimator.head_, strict=True):
        assert_array_equal(one, other)
    if hasattr(estimator, "classes_"):
        assert_array_equal(loaded.classes_, estimator.classes_)
        assert loaded.classes_.dtype == estimator.classes_.dtype
    assert_array_equal(loaded.fit(WINE, y).head_[0], estimator.fit(WINE, y).head_[0])


def test_the_golden_file_has_its_head():
    loaded = skae.load(pathlib.Path(__file__).parent / "golden" / "format_3_labels.safetensors")
    assert loaded.classes_.tolist() == ["high", "low", "none"]
    assert loaded.missing_label == "?"
    assert_allclose(loaded.head_[1], [-0.1442141, -1.7602746, -1.4022502], rtol=1e-6)


def test_a_search_finds_that_labels_help():
    pipe = make_pipeline(
        AutoencoderTransformer(2, hidden_layer_sizes=(32,), random_state=0),
        KNeighborsClassifier(),
    )
    grid = {"autoencodertransformer__label_weight": [0.0, 1.0]}
    order = np.random.default_rng(0).permutation(len(DIGITS))[:800]
    search = GridSearchCV(pipe, grid, cv=2).fit(DIGITS[order], DIGIT_LABELS[order])
    assert search.best_params_["autoencodertransformer__label_weight"] == 1.0


def test_a_component_that_explains_labels_alone_keeps_a_size():
    """The class depends on a column that varies least; a neighbor has to see it in the code."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(900, 10)) * np.linspace(3, 1, 10)
    y = (X[:, -1] > 0).astype(int)
    accuracies = []
    for weight in (0.0, 1.0):
        encoder = AutoencoderTransformer(3, label_weight=weight, random_state=0)
        code = encoder.fit_transform(X[:600], y[:600])
        model = KNeighborsClassifier().fit(code, y[:600])
        accuracies.append(model.score(encoder.transform(X[600:]), y[600:]))
    assert accuracies[0] < 0.6
    assert accuracies[1] > 0.85
