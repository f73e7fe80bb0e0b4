"""Displays follow scikit-learn's protocol, and their artists hold the right numbers."""

import copy
import os
import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import skae
from skae import AutoencoderTransformer
from skae.displays import (
    ComponentsDisplay,
    ExplainedVarianceDisplay,
    FeatureErrorDisplay,
    LatentSpaceDisplay,
    LossCurveDisplay,
    ReconstructionDisplay,
)

matplotlib.use("Agg")
import matplotlib.pyplot as plt

X, y = load_digits(return_X_y=True)
X, y = (X[:300] / 16).astype(np.float32), y[:300]
TABLE = load_breast_cancer(as_frame=True)
IMAGE = {"image_shape": (8, 8)}

# How each display is made, with images and without.
MAKERS = {
    "losses": lambda estimator, X, **kw: LossCurveDisplay.from_estimator(estimator, **kw),
    "images": lambda e, X, **kw: ReconstructionDisplay.from_estimator(e, X, **IMAGE, **kw),
    "profiles": ReconstructionDisplay.from_estimator,
    "codes": LatentSpaceDisplay.from_estimator,
    "traversals": lambda e, X, **kw: ComponentsDisplay.from_estimator(e, X, **IMAGE, **kw),
    "bars": ComponentsDisplay.from_estimator,
    "variance": ExplainedVarianceDisplay.from_estimator,
    "errors": FeatureErrorDisplay.from_estimator,
    "error image": lambda e, X, **kw: FeatureErrorDisplay.from_estimator(e, X, **IMAGE, **kw),
}
every_display = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
of_rows = pytest.mark.parametrize(
    "make", [MAKERS[name] for name in MAKERS if name != "losses"], ids=list(MAKERS)[1:]
)

grids = pytest.mark.parametrize("make", [MAKERS[name] for name in ("profiles", "bars", "codes")])


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def autoencoder():
    return AutoencoderTransformer(3, hidden_layer_sizes=(16,), random_state=0).fit(X)


@pytest.fixture(scope="module")
def linear():
    """The network of PCA, which is not trained."""
    return AutoencoderTransformer(
        3, hidden_layer_sizes=(), output_activation="linear", random_state=0
    ).fit(X)


@pytest.fixture(scope="module")
def pipeline():
    scaler = StandardScaler().set_output(transform="pandas")
    return make_pipeline(
        scaler, AutoencoderTransformer(2, hidden_layer_sizes=()), LogisticRegression()
    ).fit(TABLE.data, TABLE.target)


def title_of(display):
    """Return the title, which a grid has as a text of its first panel."""
    axes = getattr(display, "axes_", None)
    first = display.ax_ if axes is None else axes[0, 0]
    texts = [first.get_title(loc="left"), *(text.get_text() for text in first.texts)]
    return " ".join(" ".join(texts).split())


# The protocol.


@every_display
def test_plot_returns_the_display_and_may_be_called_twice(make, linear, autoencoder):
    display = make(autoencoder, X)
    first, kept = display.figure_, vars(display).copy()
    assert display.plot() is display
    assert display.figure_ is not first
    for name, value in kept.items():
        if not name.endswith("_"):
            assert vars(display)[name] is value
    first.canvas.draw()
    display.figure_.canvas.draw()


@every_display
def test_the_given_ax_is_drawn_in(make, autoencoder):
    figure, ax = plt.subplots()
    display = make(autoencoder, X, ax=ax)
    assert display.figure_ is figure
    assert len(plt.get_fignums()) == 1
    axes = getattr(display, "axes_", None)
    assert all(one.figure is figure for one in ([ax] if axes is None else axes.ravel()) if one)


@every_display
def test_an_estimator_that_is_not_fitted_is_refused(make):
    with pytest.raises(NotFittedError):
        make(AutoencoderTransformer(), X)
    with pytest.raises(NotFittedError):
        make(make_pipeline(StandardScaler(), AutoencoderTransformer()), X)


@every_display
def test_an_estimator_without_an_autoencoder_is_refused(make):
    search = GridSearchCV(AutoencoderTransformer(), {"n_components": [2]})
    for wrong in (PCA(2).fit(X), make_pipeline(StandardScaler(), PCA(2)).fit(X), search):
        with pytest.raises(TypeError, match="must be an AutoencoderTransformer, or a Pipeline"):
            make(wrong, X)


@of_rows
def test_wrong_rows_get_scikit_learns_errors(make, autoencoder):
    with pytest.raises(ValueError, match="63 features, but AutoencoderTransformer is expecting 64"):
        make(autoencoder, X[:, 1:])
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        make(autoencoder, X[:0])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        make(autoencoder, np.full_like(X, np.nan))


@every_display
def test_without_matplotlib_the_error_names_the_method(make, autoencoder, monkeypatch):
    display = make(autoencoder, X)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"Display.plot requires matplotlib"):
        display.plot()
    with pytest.raises(ImportError, match=r"Display.from_estimator requires matplotlib"):
        make(autoencoder, X)


def test_importing_displays_imports_neither_matplotlib_nor_tensorflow():
    code = (
        "import sys, skae.displays\n"
        "print([name for name in ('matplotlib', 'tensorflow', 'keras') if name in sys.modules])"
    )
    root = os.path.dirname(os.path.dirname(skae.__file__))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True
    )
    assert done.stdout == "[]\n"


def test_the_steps_before_the_autoencoder_are_applied_and_those_behind_it_are_not(pipeline):
    scaled, step = pipeline[0].transform(TABLE.data), pipeline[1]
    through = LatentSpaceDisplay.from_estimator(pipeline, TABLE.data)
    assert_array_equal(through.codes, step.transform(scaled))
    rows = ReconstructionDisplay.from_estimator(pipeline, TABLE.data).rows
    assert_allclose(rows["original"], scaled.to_numpy()[[0, 189, 379]])


def test_arrays_of_a_scaler_keep_the_names_of_the_columns():
    pipe = make_pipeline(StandardScaler(), AutoencoderTransformer(2, hidden_layer_sizes=()))
    for data, first in ((TABLE.data, "mean radius"), (TABLE.data.to_numpy(), "x0")):
        display = FeatureErrorDisplay.from_estimator(pipe.fit(data), data)
        assert display.feature_names[0] == first
    nameless = make_pipeline(
        FunctionTransformer(), AutoencoderTransformer(2, hidden_layer_sizes=())
    )
    display = FeatureErrorDisplay.from_estimator(nameless.fit(X), X)
    assert list(display.feature_names) == [f"x{i}" for i in range(64)]


@grids
def test_an_ax_is_divided_only_once(make, autoencoder):
    _, ax = plt.subplots()
    display = make(autoencoder, X, ax=ax)
    axes = display.axes_
    assert not ax.axison
    with pytest.raises(ValueError, match=r"please set ax=display\.axes_ instead"):
        display.plot(ax=ax)
    assert_array_equal(display.plot(ax=display.axes_).axes_, axes)


@grids
def test_the_number_of_axes_is_checked(make, autoencoder):
    _, axes = plt.subplots(1, 5)
    with pytest.raises(ValueError, match=r"Expected ax to have \d axes, got 5"):
        make(autoencoder, X, ax=axes)


# Losses.


def test_losses_are_those_of_the_estimator(autoencoder):
    display = LossCurveDisplay.from_estimator(autoencoder)
    training, validation = display.lines_
    n = autoencoder.n_iter_
    assert_array_equal(training.get_xdata(), np.arange(1, n + 1))
    assert_array_equal(training.get_ydata(), autoencoder.loss_curve_)
    assert_array_equal(validation.get_xdata(), autoencoder.validation_epochs_)
    assert_array_equal(validation.get_ydata(), autoencoder.validation_loss_curve_)
    kept = autoencoder.validation_loss_curve_[autoencoder.validation_epochs_.index(n)]
    assert_array_equal(display.kept_line_.get_xydata(), [[n, kept]])
    assert_allclose(display.pca_line_.get_ydata(), kept / (1 - autoencoder.gain_over_pca_))
    below = round(100 * autoencoder.gain_over_pca_)
    assert title_of(display) == f"Validation loss {kept:.3g} after {n} epochs, {below} % below PCA"
    assert display.ax_.get_xlabel() == "epoch"
    assert display.ax_.get_ylabel() == "loss (mse)"


def test_the_level_of_pca_is_its_loss_on_the_validation_rows():
    held = X[200:]
    estimator = AutoencoderTransformer(3, hidden_layer_sizes=(16,), random_state=0)
    estimator.fit(X[:200], X_val=held)
    assert estimator.gain_over_pca_ > 0
    pca = PCA(3).fit(X[:200])
    loss = np.square(held - pca.inverse_transform(pca.transform(held))).mean()
    display = LossCurveDisplay.from_estimator(estimator)
    assert_allclose(display.pca_loss, loss, rtol=1e-4)


def test_where_pca_is_kept_its_loss_is_drawn():
    noise = np.random.default_rng(0).standard_normal((60, 4))
    estimator = AutoencoderTransformer(2, hidden_layer_sizes=(4,), random_state=0).fit(noise)
    assert estimator.n_iter_ == 0
    display = LossCurveDisplay.from_estimator(estimator)
    (loss,) = estimator.validation_loss_curve_
    assert_array_equal(display.lines_[0].get_xydata(), [[0, loss]])
    assert_array_equal(display.pca_line_.get_ydata(), [loss, loss])
    assert title_of(display) == f"PCA is kept, with a validation loss of {loss:.3g}"


def test_a_fit_without_training_and_validation_has_no_losses_to_draw(linear):
    with pytest.raises(ValueError, match="There is no loss to draw"):
        LossCurveDisplay.from_estimator(linear)


@pytest.mark.parametrize("n_known", [0, 2])
def test_validation_losses_without_epochs_are_left_out(autoencoder, n_known):
    """Files of the first formats have none of them."""
    old = copy.copy(autoencoder)
    old.validation_epochs_ = autoencoder.validation_epochs_[-n_known:] if n_known else []
    display = LossCurveDisplay.from_estimator(old)
    assert len(display.lines_) == 1 + (n_known > 0)
    if n_known:
        shown = display.lines_[1].get_ydata()
        assert_array_equal(shown, autoencoder.validation_loss_curve_[-n_known:])
    else:
        assert display.pca_line_ is None
        assert title_of(display).startswith("Training loss")


def test_a_wide_range_of_positive_losses_has_a_logarithmic_scale():
    assert LossCurveDisplay([1.0, 0.1, 0.01]).plot().ax_.get_yscale() == "log"
    assert LossCurveDisplay([1.0, 0.9]).plot().ax_.get_yscale() == "linear"
    assert LossCurveDisplay([-0.1, -0.9], loss_name=None).plot().ax_.get_yscale() == "linear"


# Reconstructions.


def test_images_are_the_rows_and_their_reconstructions(autoencoder):
    display = ReconstructionDisplay.from_estimator(autoencoder, X, **IMAGE, n_samples=4)
    chosen = [0, 75, 150, 225]
    mosaic, differences = (image.get_array() for image in display.images_)
    reconstructed = autoencoder.reconstruct(X)
    for column, row in enumerate(chosen):
        across = slice(9 * column, 9 * column + 8)
        assert_allclose(mosaic[:8, across], X[row].reshape(8, 8))
        assert_allclose(mosaic[9:, across], reconstructed[row].reshape(8, 8))
        assert_allclose(differences[:, across], (reconstructed - X)[row].reshape(8, 8), atol=1e-6)
    low, high = display.images_[1].get_clim()
    assert low == -high
    assert display.images_[0].get_clim() == (0, 1)
    errors = np.square(reconstructed - X)[chosen].mean(axis=1)
    assert [tick.get_text() for tick in display.ax_.get_xticklabels()] == [
        f"{error:.2g}" for error in errors
    ]
    assert f"{round(100 * autoencoder.score(X))} % of the variance is kept" in title_of(display)


def test_corrupted_rows_are_compared_with_their_target(autoencoder):
    given = X * (np.arange(64) % 2)
    display = ReconstructionDisplay.from_estimator(autoencoder, given, target=X)
    assert list(display.rows) == ["original", "given", "reconstruction"]
    assert_array_equal(display.rows["original"], X[[0, 100, 200]])
    assert_array_equal(display.rows["given"], given[[0, 100, 200]])
    restored = autoencoder.reconstruct(given)
    assert_allclose(display.differences, (restored - X)[[0, 100, 200]])
    with pytest.raises(ValueError, match="Got 10 for 300 rows"):
        ReconstructionDisplay.from_estimator(autoencoder, given, target=X[:10])


def test_profiles_are_lines_over_the_features(pipeline):
    display = ReconstructionDisplay.from_estimator(pipeline, TABLE.data, n_samples=2)
    assert display.axes_.shape == (2, 2)
    top, bottom = display.axes_[:, 1]
    for line, name in zip(top.get_lines(), ("original", "reconstruction"), strict=True):
        assert_array_equal(line.get_ydata(), display.rows[name][1])
    assert_array_equal(bottom.get_lines()[-1].get_ydata(), display.differences[1])
    labels = [tick.get_text() for tick in bottom.get_xticklabels()]
    assert labels == list(TABLE.data.columns)


def test_many_features_are_numbered():
    rows = np.random.default_rng(0).standard_normal((2, 1000))
    display = ReconstructionDisplay({"original": rows}).plot()
    assert display.axes_.shape == (1, 2)
    assert len(display.axes_[0, 0].get_xticks()) < 10
    assert display.axes_[0, 0].get_xlabel() == "number of the feature"


def test_images_with_three_channels_have_their_colors():
    rows = np.random.default_rng(0).random((2, 5 * 4 * 3))
    display = ReconstructionDisplay(
        {"original": rows}, differences=rows - 0.5, image_shape=(5, 4, 3)
    ).plot()
    colors, differences = (image.get_array() for image in display.images_)
    scaled = (rows - rows.min()) / np.ptp(rows)
    assert_allclose(colors[:, :4, :3], scaled[0].reshape(5, 4, 3))
    assert_array_equal(colors[:, 4, 3], 0)  # a gap is transparent
    assert_allclose(differences[:, 5:], (rows[1] - 0.5).reshape(5, 4, 3).mean(axis=2))


@pytest.mark.parametrize("shape", [(8, 9), (64,), (4, 8, 2)])
def test_an_image_shape_must_fit(shape, autoencoder):
    for display in (ReconstructionDisplay, ComponentsDisplay, FeatureErrorDisplay):
        with pytest.raises(ValueError, match="image_shape must be"):
            display.from_estimator(autoencoder, X, image_shape=shape)


@pytest.mark.parametrize("n_samples", [0, 1.5])
def test_a_number_of_samples_must_be_positive(n_samples, autoencoder):
    with pytest.raises(ValueError, match="n_samples must be an int"):
        ReconstructionDisplay.from_estimator(autoencoder, X, n_samples=n_samples)


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


def test_the_title_says_how_well_neighbors_predict():
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


def test_traversals_decode_moved_codes(autoencoder):
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


def test_bars_are_changes_in_standard_deviations(pipeline):
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


def test_explained_variance_is_cumulative_beside_pca(autoencoder):
    display = ExplainedVarianceDisplay.from_estimator(autoencoder, X)
    own = np.cumsum(autoencoder.explained_variance_ratio_)
    assert_array_equal(display.line_.get_xydata(), np.stack([[1, 2, 3], own], axis=1))
    pca = np.cumsum(PCA().fit(X).explained_variance_ratio_)
    shown = display.pca_line_.get_ydata()
    assert_allclose(shown, pca[: len(shown)], rtol=1e-4)
    needed = int(np.argmax(pca >= own[-1])) + 1
    assert len(shown) == needed > 3
    assert f"PCA needs {needed} for as much" in title_of(display)


def test_the_network_of_pca_explains_what_pca_does(linear):
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


# Errors of features.


def test_errors_are_relative_to_the_variance_and_sorted(pipeline):
    display = FeatureErrorDisplay.from_estimator(pipeline, TABLE.data, max_features=4)
    scaled = pipeline[0].transform(TABLE.data)
    lost = np.square(scaled.to_numpy() - np.asarray(pipeline[1].reconstruct(scaled)))
    errors = lost.mean(axis=0) / scaled.to_numpy().var(axis=0)
    largest = np.argsort(-errors)[:4]
    assert_allclose([bar.get_width() for bar in display.bars_], errors[largest], rtol=1e-4)
    names = [tick.get_text() for tick in display.ax_.get_yticklabels()]
    assert names == list(TABLE.data.columns[largest])
    total = 1 - pipeline[1].score(scaled)
    assert title_of(display).startswith(f"{100 * total:.0f} % of the variance is lost")
    assert "The 4 largest errors of 30 features" in title_of(display)


def test_errors_of_training_rows_are_as_usual(autoencoder):
    display = FeatureErrorDisplay.from_estimator(autoencoder, X, relative_to="training")
    varies = autoencoder.feature_errors_ > 1e-8
    assert_allclose(display.errors[varies], 1, rtol=1e-3)
    assert display.ax_.get_xlabel() == "mean squared error / that of training rows"
    with pytest.raises(ValueError, match="relative_to must be 'variance' or 'training'"):
        FeatureErrorDisplay.from_estimator(autoencoder, X, relative_to="mean")


def test_without_variance_there_is_nothing_to_compare_with(autoencoder):
    for rows in (X[:1], np.tile(X[:1], (3, 1))):
        with pytest.raises(ValueError, match="All features of X are constant"):
            FeatureErrorDisplay.from_estimator(autoencoder, rows)
    assert FeatureErrorDisplay.from_estimator(autoencoder, X[:1], relative_to="training").bars_
    with pytest.raises(ValueError, match="minimum of 2 is required by ExplainedVarianceDisplay"):
        ExplainedVarianceDisplay.from_estimator(autoencoder, X[:1])


def test_errors_of_pixels_are_an_image(autoencoder):
    display = FeatureErrorDisplay.from_estimator(autoencoder, X, **IMAGE)
    lost = np.square(X - autoencoder.reconstruct(X)).mean(axis=0)
    variance = X.var(axis=0)
    drawn = display.image_.get_array()
    assert_array_equal(drawn.mask.ravel(), variance == 0)
    known = variance > 0
    assert_allclose(drawn.data.ravel()[known], lost[known] / variance[known], rtol=1e-3)
