"""Displays of codes and of their components draw the right numbers."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer
from skae.displays import (
    ComponentsDisplay,
    ExplainedVarianceDisplay,
    FeatureErrorDisplay,
    LatentSpaceDisplay,
)

X, y = load_digits(return_X_y=True)
X, y = (X[:300] / 16).astype(np.float32), y[:300]
TABLE = load_breast_cancer(as_frame=True)
IMAGE = {"image_shape": (8, 8)}


# Codes.


def test_points_are_pairs_of_components(autoencoder):
    codes = autoencoder.transform(X)
    display = LatentSpaceDisplay.from_estimator(autoencoder, X, y)
    assert display.axes_.shape == (2, 2)
    assert display.axes_[0, 1] is None
    for scatter, pair in zip(display.scatters_, [(0, 1), (0, 2), (1, 2)], strict=True):
        drawn = scatter.get_offsets()
        assert_allclose(np.sort(drawn, axis=0), np.sort(codes[:, pair], axis=0))
    shares = autoencoder.explained_variance_ratio_
    assert f"component 0 ({100 * shares[0]:.0f} %)" == display.axes_[1, 0].get_xlabel()
    assert len(LatentSpaceDisplay.from_estimator(autoencoder, X, components=[2, 0]).scatters_) == 1


def test_each_class_has_a_color_and_a_name(autoencoder):
    names = np.array([f"digit {digit}" for digit in y], dtype=object)
    names[y == 9] = None
    display = LatentSpaceDisplay.from_estimator(autoencoder, X, names, components=2)
    handles = dict(
        zip(
            [text.get_text() for text in display.legend_.get_texts()],
            display.legend_.legend_handles,
            strict=True,
        )
    )
    assert list(handles) == [f"digit {digit}" for digit in range(9)] + ["missing"]
    codes, scatter = autoencoder.transform(X), display.scatters_[0]
    for name, handle in handles.items():
        color = matplotlib.colors.to_rgb(handle.get_color())
        of_color = np.all(np.isclose(scatter.get_facecolor()[:, :3], color), axis=1)
        members = names == (None if name == "missing" else name)
        drawn = np.asarray(scatter.get_offsets())[of_color]
        assert_allclose(np.sort(drawn, axis=0), np.sort(codes[members][:, :2], axis=0))


def test_bools_and_few_integers_are_classes_and_floats_are_numbers(autoencoder):
    def draw(y):
        return LatentSpaceDisplay.from_estimator(autoencoder, X, y, components=2)

    assert [text.get_text() for text in draw(y > 4).legend_.get_texts()] == ["False", "True"]
    assert draw(y).legend_ is not None
    for numbers in (y.astype(float), np.arange(300)):
        display = draw(numbers)
        assert display.legend_ is None
        assert_array_equal(np.sort(display.scatters_[0].get_array()), np.sort(numbers))
        assert display.colorbar_.mappable is display.scatters_[0]
    many = np.array([f"class {i % 12}" for i in range(300)])
    assert draw(many).legend_.get_texts()[-1].get_text() == "2 others"
    assert draw(None).legend_ is draw(None).colorbar_ is None


def test_labels_that_cannot_be_drawn_are_refused(autoencoder):
    with pytest.raises(ValueError, match="Input y contains infinity"):
        LatentSpaceDisplay.from_estimator(autoencoder, X, np.where(y > 4, np.inf, 1.0))
    mixed = np.array([1, "one", *y[2:]], dtype=object)
    with pytest.raises(TypeError, match=r"y must have labels that can be sorted.*int.*str"):
        LatentSpaceDisplay.from_estimator(autoencoder, X, mixed)


@pytest.mark.parametrize("dtype", ["string", "category"])
def test_missing_labels_of_pandas_are_missing(autoencoder, dtype):
    labels = pd.Series(y).astype("string").where(y > 2)
    display = LatentSpaceDisplay.from_estimator(autoencoder, X, labels.astype(dtype))
    names = [text.get_text() for text in display.legend_.get_texts()]
    assert names == ["3", "4", "5", "6", "7", "8", "9", "missing"]


def test_labels_in_arrays_of_objects_are_known(autoencoder):
    labels = np.array([np.int64(label) for label in y], dtype=object)
    display = LatentSpaceDisplay.from_estimator(autoencoder, X, labels)
    names = [text.get_text() for text in display.legend_.get_texts()]
    assert names == [str(digit) for digit in range(10)]


def test_missing_numbers_are_drawn_and_do_not_count(autoencoder):
    numbers = X[:, 20].astype(float)
    numbers[:100] = np.nan
    display = LatentSpaceDisplay.from_estimator(autoencoder, X, numbers)
    assert np.isnan(np.ma.filled(display.scatters_[0].get_array(), np.nan)).sum() == 100
    assert len(display.scatters_[0].get_offsets()) == 300
    assert display.scatters_[0].get_clim() == (np.nanmin(numbers), np.nanmax(numbers))


def test_one_component_is_a_histogram_or_the_numbers_over_it(autoencoder):
    display = LatentSpaceDisplay.from_estimator(autoencoder, X, y > 4, components=1)
    heights = [sum(bar.get_height() for bar in bars) for bars in display.bars_]
    assert heights == [np.sum(y <= 4), np.sum(y > 4)]
    display = LatentSpaceDisplay.from_estimator(autoencoder, X, X[:, 20], components=1)
    drawn = display.scatters_[0].get_offsets()
    assert_allclose(drawn, np.stack([autoencoder.transform(X)[:, 0], X[:, 20]], axis=1))
    (bars,) = LatentSpaceDisplay.from_estimator(autoencoder, X, components=1).bars_
    assert sum(bar.get_height() for bar in bars) == 300


def test_the_title_says_how_well_neighbors_predict(title_of):
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((100, 2)) + 50 * (np.arange(100) % 2)[:, None]
    estimator = AutoencoderTransformer(2, hidden_layer_sizes=()).fit(codes)
    display = LatentSpaceDisplay.from_estimator(estimator, codes, np.arange(100) % 2)
    assert "predict the class of 100 % of 100 rows" in title_of(display)
    display = LatentSpaceDisplay.from_estimator(estimator, codes, rng.permutation(100) % 2)
    assert "100 %" not in title_of(display)


def test_a_part_of_many_rows_is_drawn_with_their_labels(autoencoder):
    codes = autoencoder.transform(X)
    display = LatentSpaceDisplay.from_estimator(autoencoder, X, np.arange(300), subsample=50)
    assert len(np.unique(display.y)) == 50
    assert_array_equal(display.codes, codes[display.y])


def test_y_must_have_a_label_for_each_row(autoencoder):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        LatentSpaceDisplay.from_estimator(autoencoder, X, y[:10])
    with pytest.raises(ValueError, match="y should be a 1d array"):
        LatentSpaceDisplay.from_estimator(autoencoder, X, X)


@pytest.mark.parametrize("components", [0, -1, 1.5, [], [3], [-1], [0.5]])
def test_components_must_be_a_number_or_indices(components, autoencoder):
    for display in (LatentSpaceDisplay, ComponentsDisplay):
        with pytest.raises(ValueError, match="components must be"):
            display.from_estimator(autoencoder, X, components=components)


# Components.


def test_traversals_decode_moved_codes(autoencoder, title_of):
    display = ComponentsDisplay.from_estimator(autoencoder, X, components=[1], n_steps=3, **IMAGE)
    codes = autoencoder.transform(X)
    low, high = np.quantile(codes[:, 1], (0.05, 0.95))
    moved = np.tile(codes.mean(axis=0), (3, 1))
    moved[:, 1] = [low, (low + high) / 2, high]
    expected = autoencoder.inverse_transform(moved)
    assert_allclose(display.outputs[0], expected, atol=1e-5)
    mosaic = display.image_.get_array()
    for step in range(3):
        across = slice(9 * step, 9 * step + 8)
        assert_allclose(mosaic[:, across], expected[step].reshape(8, 8), atol=1e-5)
    assert display.image_.get_clim() == (0, 1)
    assert title_of(display).startswith("1 of 3 components")


def test_bars_are_changes_in_standard_deviations(pipeline, title_of):
    display = ComponentsDisplay.from_estimator(pipeline, TABLE.data, max_features=5)
    step, scaled = pipeline[1], pipeline[0].transform(TABLE.data)
    codes = step.transform(scaled)
    ends = np.tile(codes.mean(axis=0), (2, 1))
    ends[:, 1] = np.quantile(codes[:, 1], (0.05, 0.95))
    low, high = np.asarray(step.inverse_transform(ends))
    change = (high - low) / scaled.to_numpy().std(axis=0)
    largest = np.argsort(-np.abs(change))[:5]
    widths = [bar.get_width() for bar in display.bars_[1]]
    assert_allclose(widths, change[largest], rtol=1e-4)
    names = [tick.get_text() for tick in display.axes_[0, 1].get_yticklabels()]
    assert names == list(TABLE.data.columns[largest])
    assert "the 5 largest changes of 30 features" in title_of(display)


def test_a_constant_feature_has_no_unit_and_does_not_change():
    rows = np.random.default_rng(0).standard_normal((40, 3))
    rows[:, 1] = 7
    estimator = AutoencoderTransformer(1, hidden_layer_sizes=()).fit(rows)
    display = ComponentsDisplay.from_estimator(estimator, rows)
    assert_allclose(display.bars_[0][1].get_width(), 0, atol=1e-6)
    display = FeatureErrorDisplay.from_estimator(estimator, rows)
    assert np.isnan(display.errors[1])
    assert len(display.bars_) == 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"percentiles": (0.9, 0.1)}, "percentiles must rise"),
        ({"percentiles": (0, 2)}, "percentiles must rise"),
        ({"n_steps": 1}, "n_steps must be an int"),
    ],
)
def test_steps_must_go_from_low_to_high(wrong, message, autoencoder):
    with pytest.raises(ValueError, match=message):
        ComponentsDisplay.from_estimator(autoencoder, X, **wrong)


def test_forty_components_of_a_thousand_features_are_drawn():
    rng = np.random.default_rng(0)
    outputs = rng.standard_normal((40, 2, 1000))
    display = ComponentsDisplay(outputs, np.ones(1000)).plot(max_features=3)
    assert display.axes_.shape == (10, 4)
    changes = outputs[:, 1] - outputs[:, 0]
    for bars, change in zip(display.bars_, changes, strict=True):
        assert_allclose(bars[0].get_width(), change[np.abs(change).argmax()])


# Explained variance.


def test_explained_variance_is_cumulative_beside_pca(autoencoder, title_of):
    display = ExplainedVarianceDisplay.from_estimator(autoencoder, X)
    own = np.cumsum(autoencoder.explained_variance_ratio_)
    assert_array_equal(display.line_.get_xydata(), np.stack([[1, 2, 3], own], axis=1))
    pca = np.cumsum(PCA().fit(X).explained_variance_ratio_)
    shown = display.pca_line_.get_ydata()
    assert_allclose(shown, pca[: len(shown)], rtol=1e-4)
    needed = int(np.argmax(pca >= own[-1])) + 1
    assert len(shown) == needed > 3
    assert f"PCA needs {needed} for as much" in title_of(display)


def test_the_network_of_pca_explains_what_pca_does(linear, title_of):
    display = ExplainedVarianceDisplay.from_estimator(linear, X)
    assert_allclose(display.line_.get_ydata(), display.pca_line_.get_ydata(), rtol=1e-5)
    assert "needs" not in title_of(display)
    assert ExplainedVarianceDisplay.from_estimator(linear).pca_line_ is None


def test_codes_without_order_have_no_explained_variance():
    estimator = AutoencoderTransformer(
        2, code_activation="relu", epochs=1, early_stopping=False, random_state=0
    ).fit(X)
    with pytest.raises(AttributeError, match="has no explained_variance_ratio_"):
        ExplainedVarianceDisplay.from_estimator(estimator)
    display = LatentSpaceDisplay.from_estimator(estimator, X)
    assert display.ax_.get_xlabel() == "component 0"
