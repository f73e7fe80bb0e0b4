"""Displays of losses, reconstructions and errors draw the right numbers."""

import copy

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer
from skae.displays import (
    ComponentsDisplay,
    ExplainedVarianceDisplay,
    FeatureErrorDisplay,
    LossCurveDisplay,
    ReconstructionDisplay,
)

X = (load_digits().data[:300] / 16).astype(np.float32)
TABLE = load_breast_cancer(as_frame=True)
IMAGE = {"image_shape": (8, 8)}


# Losses.


def test_losses_are_those_of_the_estimator(autoencoder, title_of):
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


def test_where_pca_is_kept_its_loss_is_drawn(title_of):
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
def test_validation_losses_without_epochs_are_left_out(autoencoder, n_known, title_of):
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


def test_images_are_the_rows_and_their_reconstructions(autoencoder, title_of):
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


# Errors of features.


def test_errors_are_relative_to_the_variance_and_sorted(pipeline, title_of):
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
