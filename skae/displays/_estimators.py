"""What all displays ask of an estimator: the autoencoder in it, rows for it, and names."""

import contextlib
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skae._autoencoder import AutoencoderTransformer
from skae._data.reading import read


def find(estimator: Any) -> tuple[Pipeline | None, AutoencoderTransformer]:
    """Return the fitted autoencoder, and the steps before it if there are any."""
    before, found = None, estimator
    if isinstance(estimator, Pipeline):
        for position in reversed(range(len(estimator.steps))):
            found = estimator.steps[position][1]
            if isinstance(found, AutoencoderTransformer):
                before = estimator[:position] if position else None
                break
    if not isinstance(found, AutoencoderTransformer):
        raise TypeError(
            "The estimator must be an AutoencoderTransformer, or a Pipeline with one among its "
            f"steps. Got {estimator!r} instead. Pass `best_estimator_` of a search, and the step "
            "itself if it is inside of something else."
        )
    check_is_fitted(found)
    return before, found


def prepare(estimator: Any, X: Any) -> tuple[AutoencoderTransformer, Any, np.ndarray]:
    """Return the autoencoder, the rows as it is given them, and these as a dense array."""
    before, autoencoder = find(estimator)
    X = X if before is None else before.transform(X)
    rows = read(autoencoder, X)
    return autoencoder, X, rows.toarray() if sparse.issparse(rows) else rows


def feature_names(estimator: Any) -> np.ndarray:
    """Return the names of the features of the autoencoder, or x0, x1, ... if they have none.

    Scalers pass arrays on by default, but know the names of the columns that they were given.
    """
    before, autoencoder = find(estimator)
    names = getattr(autoencoder, "feature_names_in_", None)
    if names is None and before is not None:
        with contextlib.suppress(AttributeError, ValueError):  # some steps can't name their output
            names = before.get_feature_names_out()
    if names is None:
        names = [f"x{i}" for i in range(autoencoder.n_features_in_)]
    return np.asarray(names, dtype=object)


def image_shape_of(autoencoder: AutoencoderTransformer, image_shape: Any) -> tuple | None:
    """Return the shape of an image in each row, as given or as the estimator has it."""
    shape = autoencoder.image_shape if image_shape is None else image_shape
    if shape is None:
        return None
    shape, n_features = tuple(shape), autoencoder.n_features_in_
    channels = shape[2] if len(shape) == 3 else 1
    if len(shape) not in (2, 3) or np.prod(shape) != n_features or channels not in (1, 3):
        raise ValueError(
            "image_shape must be (height, width), (height, width, 1) or (height, width, 3), whose "
            f"product is the number of features. Got {shape!r} for {n_features} features."
        )
    return shape


def explained_by_components(autoencoder: AutoencoderTransformer) -> np.ndarray | None:
    """Return `explained_variance_ratio_`, or None for codes that have none."""
    return getattr(autoencoder, "explained_variance_ratio_", None)


def choose(components: Any, n_components: int) -> np.ndarray:
    """Return the indices of the components to draw: the first ones, or those that are given."""
    if np.ndim(components) == 0 and isinstance(components, int | np.integer) and components > 0:
        return np.arange(min(components, n_components))
    chosen = np.asarray(components)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or len(chosen) == 0:
        raise ValueError(
            "components must be an int in the range [1, inf) or an array of indices. Got "
            f"{components!r} instead."
        )
    if chosen.min() < 0 or chosen.max() >= n_components:
        raise ValueError(
            f"components must be indices in the range [0, {n_components}). Got {components!r}."
        )
    return chosen


def label_of(component: int, explained: np.ndarray | None) -> str:
    """Return the name of a component, with the fraction that it explains if that is known."""
    name = f"component {component}"
    return name if explained is None else f"{name} ({percent(explained[component])})"


def percent(fraction: float) -> str:
    """Return a fraction as percents, with more digits near 0 and 100."""
    value = 100 * float(fraction)
    if abs(value) < 1:
        return f"{value:.2g} %"
    # Less than all never reads as 100 %.
    return f"{min(value, 99.9):.1f} %" if 99 <= value < 100 else f"{value:.0f} %"
