"""Displays follow scikit-learn's protocol."""

import os
import subprocess
import sys

import matplotlib.pyplot as plt
import matplotlib.text
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
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

X = (load_digits().data[:300] / 16).astype(np.float32)
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


# The protocol.


@pytest.fixture(scope="module")
def incomplete():
    """Return rows with missing values, and an estimator fitted to them."""
    missing = np.random.default_rng(0).random(X.shape) < 0.2
    rows = np.where(missing, np.float32(np.nan), X)
    return AutoencoderTransformer(3, hidden_layer_sizes=(), random_state=0).fit(rows), rows


@of_rows
def test_missing_values_are_no_part_of_what_is_drawn(make, incomplete):
    display = make(*incomplete)
    display.figure_.canvas.draw()
    texts = display.figure_.findobj(matplotlib.text.Text)
    assert "nan" not in " ".join(text.get_text() for text in texts)


@every_display
def test_plot_returns_the_display_and_may_be_called_twice(make, autoencoder):
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
