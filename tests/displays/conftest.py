"""Estimators that the tests of displays draw, and what they do with figures."""

import matplotlib
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer

matplotlib.use("Agg")
import matplotlib.pyplot as plt

X = (load_digits().data[:300] / 16).astype(np.float32)
TABLE = load_breast_cancer(as_frame=True)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def autoencoder():
    return AutoencoderTransformer(3, hidden_layer_sizes=(16,), random_state=0).fit(X)


@pytest.fixture(scope="session")
def linear():
    """The network of PCA, which is not trained."""
    return AutoencoderTransformer(
        3, hidden_layer_sizes=(), output_activation="linear", random_state=0
    ).fit(X)


@pytest.fixture(scope="session")
def pipeline():
    scaler = StandardScaler().set_output(transform="pandas")
    return make_pipeline(
        scaler, AutoencoderTransformer(2, hidden_layer_sizes=()), LogisticRegression()
    ).fit(TABLE.data, TABLE.target)


@pytest.fixture
def title_of():
    return _title


def _title(display):
    """Return the title, which a grid has as a text of its first panel."""
    axes = getattr(display, "axes_", None)
    first = display.ax_ if axes is None else axes[0, 0]
    texts = [first.get_title(loc="left"), *(text.get_text() for text in first.texts)]
    return " ".join(" ".join(texts).split())
