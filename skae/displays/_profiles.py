"""Lines over features, few or many of them."""

from typing import Any

import numpy as np

from skae.displays._axes import SMALL, shorten

# More points than this are not told apart, nor are more names.
MOST_POINTS = 32
# Upright names need about this many inches of the axes, whose size is that before a layout.
INCHES_PER_NAME = 0.08


def line_style(n_features: int) -> dict[str, Any]:
    """Return how to draw a line: points are told apart only if there are few."""
    if n_features <= MOST_POINTS:
        return {"marker": "o", "markersize": 3, "linewidth": 1}
    return {"linewidth": float(np.clip(100 / n_features, 0.5, 1))}


def label_features(ax: Any, names: Any, *, shown: bool) -> None:
    """Label the horizontal axis by names of features, or by their numbers if there are many."""
    n_features = len(names)
    ax.set_xlim(-0.5, n_features - 0.5)
    width = ax.get_position().width * ax.figure.get_figwidth()
    if n_features <= min(MOST_POINTS, width / INCHES_PER_NAME):
        labels = shorten(names) if shown else []
        ax.set_xticks(range(n_features), labels or [""] * n_features)
        upright = any(len(label) > 3 for label in labels)
        ax.tick_params(axis="x", labelsize=SMALL - 1, rotation=90 if upright else 0)
        return
    ax.xaxis.get_major_locator().set_params(integer=True, nbins=5)
    if shown:
        ax.set_xlabel("number of the feature", fontsize=SMALL)
    else:
        ax.tick_params(axis="x", labelbottom=False)
