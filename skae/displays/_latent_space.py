"""The display of codes."""

from typing import Any, Self

import numpy as np
from sklearn.utils import (
    assert_all_finite,
    check_consistent_length,
    check_random_state,
    column_or_1d,
)

from skae._scikit_learn import check_matplotlib_support
from skae.displays._axes import COLORS, SMALL, despine, grid, set_grid_title, set_title, single
from skae.displays._estimators import choose, explained_by_components, label_of, percent, prepare

OTHERS = "#d5d5d5"
N_NEIGHBORS = 5


class LatentSpaceDisplay:
    """Codes of rows, colored by y: a histogram, a scatter plot or a matrix of them.

    One component is drawn as a histogram of each class, or below the numbers in y.

    It is recommended to use :meth:`from_estimator` to create a display. All parameters are stored
    as attributes.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, n_components)
        Codes to draw.

    y : ndarray of shape (n_samples,), default=None
        Classes or numbers. Strings, bools and integers with at most 10 values are classes, and
        other numbers are numbers. NaN and None are missing.

    explained_variance_ratio : ndarray of shape (n_components,), default=None
        Fraction of the variance that each component explains, for the labels of the axes.

    title : str or None, default=None
        What was found.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the codes, or around the matrix. None if `ax` was an array of axes.

    axes_ : ndarray of shape (n_drawn - 1, n_drawn - 1)
        Axes of the pairs of components: those on the vertical axis follow those on the horizontal
        axis, and the others are None. Of shape (1, 1) for one component.

    figure_ : matplotlib Figure
        Figure containing the codes.

    scatters_ : list of matplotlib PathCollection
        The points of each pair, row by row, or those of one component and numbers in y.

    bars_ : list of matplotlib artists
        The histogram of each class, for one component.

    legend_ : matplotlib Legend or None
        Legend of the classes.

    colorbar_ : matplotlib Colorbar or None
        Color bar of the numbers.

    See Also
    --------
    ComponentsDisplay : What each component of the code does to the output.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoencoderTransformer
    >>> from skae.displays import LatentSpaceDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(2, epochs=3, random_state=0).fit(X / 16)
    >>> display = LatentSpaceDisplay.from_estimator(autoencoder, X / 16, y)
    >>> display.codes.shape
    (1797, 2)
    """

    def __init__(self, codes, *, y=None, explained_variance_ratio=None, title=None) -> None:
        self.codes = codes
        self.y = y
        self.explained_variance_ratio = explained_variance_ratio
        self.title = title

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        components=4,
        subsample=5_000,
        random_state=0,
        ax=None,
        scatter_kwargs=None,
    ) -> Self:
        """Encode rows and draw their codes.

        Parameters
        ----------
        estimator : AutoencoderTransformer or Pipeline
            A fitted estimator.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to encode.

        y : array-like of shape (n_samples,), default=None
            Classes or numbers to color the rows by. Strings, bools and integers with at most 10
            values are classes, and other numbers are numbers. NaN and None are missing.

        components : int or array-like of int, default=4
            Number of components to draw, the first ones, or their indices.

        subsample : int or None, default=5_000
            Number of rows to draw if there are more, drawn at random. None draws all of them.

        random_state : int, RandomState instance or None, default=0
            Determines which rows are drawn.

        ax : matplotlib Axes or array-like of Axes, default=None
            Axes to draw in. A matrix divides a single Axes, or is drawn into an array of axes with
            one for each pair. If None, a new figure is created.

        scatter_kwargs : dict, default=None
            Keywords for :meth:`matplotlib.axes.Axes.scatter`.

        Returns
        -------
        display : LatentSpaceDisplay
            The display, with what it has drawn.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        autoencoder, given, rows = prepare(estimator, X)
        codes = np.asarray(autoencoder.transform(given))
        if y is not None:
            y = column_or_1d(y)
            assert_all_finite(y, allow_nan=True, input_name="y")
            check_consistent_length(rows, y)
        if subsample is not None and subsample < len(codes):
            kept = check_random_state(random_state).choice(len(codes), subsample, replace=False)
            codes, y = codes[kept], None if y is None else y[kept]
        display = cls(codes, y=y, explained_variance_ratio=explained_by_components(autoencoder))
        display.title = _found(codes, Labels(y), display.explained_variance_ratio)
        return display.plot(ax=ax, components=components, scatter_kwargs=scatter_kwargs)

    def plot(self, ax=None, *, components=4, scatter_kwargs=None) -> Self:
        """Draw the codes.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of Axes, default=None
            Axes to draw in. A matrix divides a single Axes, or is drawn into an array of axes with
            one for each pair. If None, a new figure is created.

        components : int or array-like of int, default=4
            Number of components to draw, the first ones, or their indices.

        scatter_kwargs : dict, default=None
            Keywords for :meth:`matplotlib.axes.Axes.scatter`.

        Returns
        -------
        display : LatentSpaceDisplay
            This display, with what it has drawn.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        drawn = choose(components, self.codes.shape[1])
        labels = Labels(self.y)
        self.scatters_: list[Any] = []
        self.bars_: list[Any] = []
        n = max(1, len(drawn) - 1)
        if n == 1 and np.ndim(ax) == 0:
            self.ax_ = single(ax, (6.4, 4.8))
            self.axes_ = np.full((1, 1), self.ax_, dtype=object)
        else:
            present = np.tri(n, dtype=bool)
            self.ax_, self.axes_ = grid(ax, present, (2 + 2.2 * n, 0.8 + 2.1 * n))
        self.figure_ = self.axes_[0, 0].figure
        if len(drawn) == 1 and labels and not labels.are_classes:
            self._plot_numbers(drawn[0], labels, scatter_kwargs or {})
        elif len(drawn) == 1:
            self._plot_histogram(drawn[0], labels)
        else:
            self._plot_pairs(drawn, labels, scatter_kwargs or {})
        self._explain_colors(labels, alone=n == 1)
        if self.title and n == 1:
            set_title(self.axes_[0, 0], self.title)
        elif self.title:
            set_grid_title(self.axes_, self.title)
        return self

    def _plot_pairs(self, drawn, labels, options):
        size = float(np.clip(20_000 / len(self.codes), 7, 25)) / len(self.axes_) ** 0.5
        # In a random order, since no class shall cover the others; missing ones are at the bottom.
        order = np.random.default_rng(0).permutation(len(self.codes))
        order = order[np.argsort(labels.colored[order], kind="stable")] if labels else order
        style: dict[str, Any] = {"s": size, "linewidths": 0, "alpha": 0.8}
        for i, j in zip(*np.tril_indices(len(self.axes_)), strict=True):
            ax, x, y = self.axes_[i, j], drawn[j], drawn[i + 1]
            values = labels.colors(order) if labels else {"color": COLORS[0]}
            self.scatters_.append(
                ax.scatter(*self.codes[order][:, [x, y]].T, **(style | values | options))
            )
            bottom, left = i == len(self.axes_) - 1, j == 0
            ax.tick_params(labelsize=SMALL, labelbottom=bottom, labelleft=left)
            ax.set_xlabel(label_of(x, self.explained_variance_ratio) if bottom else "")
            ax.set_ylabel(label_of(y, self.explained_variance_ratio) if left else "")
            despine(ax)

    def _plot_numbers(self, component, labels, options):
        """Draw numbers over a single component."""
        ax, known = self.axes_[0, 0], labels.colored
        style = {"color": COLORS[0], "s": 12, "linewidths": 0, "alpha": 0.6}
        codes = self.codes[known, component]
        self.scatters_.append(ax.scatter(codes, labels.y[known], **(style | options)))
        ax.set(xlabel=label_of(component, self.explained_variance_ratio), ylabel="y")
        despine(ax)

    def _plot_histogram(self, component, labels):
        ax, codes = self.axes_[0, 0], self.codes[:, component]
        edges = np.histogram_bin_edges(codes, bins=min(50, max(10, int(len(codes) ** 0.5))))
        groups = labels.groups() if labels.are_classes else [(None, slice(None), COLORS[0])]
        values = [codes[members] for _, members, _ in groups]
        colors = [color for *_, color in groups]
        _, _, bars = ax.hist(values, bins=edges, stacked=True, color=colors)
        self.bars_ = list(bars) if len(groups) > 1 else [bars]
        ax.set(xlabel=label_of(component, self.explained_variance_ratio), ylabel="number of rows")
        despine(ax)

    def _explain_colors(self, labels, *, alone):
        self.legend_ = self.colorbar_ = None
        ax = self.axes_[0, 0] if self.ax_ is None else self.ax_
        if labels.are_classes:
            self._legend(ax, labels, alone)
        elif labels and self.scatters_[0].get_array() is not None:
            options = {"ax": ax} if alone else {"cax": ax.inset_axes((0.8, 0.6, 0.03, 0.4))}
            self.colorbar_ = self.figure_.colorbar(self.scatters_[0], **options)
            self.colorbar_.set_label("y")
            self.colorbar_.solids.set_alpha(1)
            self.colorbar_.outline.set_visible(False)

    def _legend(self, ax, labels, alone):
        from matplotlib.lines import Line2D

        handles = [
            Line2D([], [], marker="o", linestyle="", color=color, label=str(name))
            for name, _, color in labels.groups()
        ]
        place: dict[str, Any] = {"loc": "upper right", "frameon": False}
        if alone and self.figure_.get_layout_engine() is not None:
            place |= {"loc": "upper left", "bbox_to_anchor": (1, 1)}
        elif alone:
            # Outside of the axes it would be cut off without a layout that makes room for it.
            place = {"loc": "best"}
        self.legend_ = ax.legend(handles=handles, fontsize=SMALL + 1, handletextpad=0.1, **place)


class Labels:
    """What colors stand for: the classes in y, or its numbers."""

    def __init__(self, y: Any) -> None:
        self.y = y
        self.colored = self.drawn = np.array([])
        self.are_classes = False
        if y is None:
            return
        self.colored = np.array([_is_known(value) for value in y.tolist()])
        if y.dtype.kind == "O":
            self.y = np.where(self.colored, y, None)
        self.classes, counts = _sorted_counts(y[self.colored])
        many = len(self.classes) > len(COLORS)
        self.are_classes = y.dtype.kind not in "iuf" or (y.dtype.kind in "iu" and not many)
        largest = np.sort(np.argsort(-counts, kind="stable")[: len(COLORS)])
        self.drawn = self.classes[largest]

    def __bool__(self) -> bool:
        return self.y is not None

    def groups(self) -> list[tuple]:
        """Return the name, the rows and the color of each class, with the others at the end."""
        groups = [
            (name, self.y == name, color)
            for name, color in zip(self.drawn.tolist(), COLORS, strict=False)
        ]
        others = self.colored & ~np.any([members for _, members, _ in groups], axis=0)
        if others.any():
            groups.append((f"{len(self.classes) - len(self.drawn)} others", others, OTHERS))
        if not self.colored.all():
            groups.append(("missing", ~self.colored, OTHERS))
        return groups

    def colors(self, order: np.ndarray) -> dict[str, Any]:
        """Return the keywords that color points in this order."""
        if not self.are_classes:
            import matplotlib

            colormap = matplotlib.colormaps["viridis"].with_extremes(bad=OTHERS)
            return {"c": self.y[order].astype(float), "cmap": colormap, "plotnonfinite": True}
        colors = np.empty(len(order), dtype=object)
        for _, members, color in self.groups():
            colors[members] = color
        return {"color": colors[order].tolist()}

    def agreement(self, codes: np.ndarray) -> float | None:
        """Return how well the nearest neighbors of each row predict its y, or None for few rows.

        This is the accuracy for classes, and the fraction of the variance for numbers.
        """
        from sklearn.neighbors import NearestNeighbors

        known, y = codes[self.colored], self.y[self.colored]
        if len(known) <= 2 * N_NEIGHBORS or len(self.classes) < 2:
            return None
        neighbors = NearestNeighbors(n_neighbors=N_NEIGHBORS).fit(known)
        of_neighbors = y[neighbors.kneighbors(return_distance=False)]
        if not self.are_classes:
            left = np.square(y - of_neighbors.mean(axis=1)).mean()
            return float(1 - left / np.var(y))
        votes = np.stack([(of_neighbors == name).sum(axis=1) for name in self.classes], axis=1)
        return float(np.mean(self.classes[votes.argmax(axis=1)] == y))


def _is_known(value):
    try:
        return value is not None and bool(value == value)  # which NaN is not
    except TypeError:  # of pandas' NA, which is neither equal to itself nor different
        return False


def _sorted_counts(known):
    try:
        return np.unique(known, return_counts=True)
    except TypeError as error:
        types = sorted({type(value).__name__ for value in known.tolist()})
        raise TypeError(
            f"y must have labels that can be sorted, such as all strings. Got {', '.join(types)}."
        ) from error


def _found(codes, labels, explained):
    """Say how much of y, or of the rows, is to be seen in the codes."""
    n_rows, n = codes.shape
    components = f"{n} component{'s' * (n != 1)}"
    score = labels.agreement(codes) if labels else None
    if score is not None and score > 0:
        what = "predict the class of" if labels.are_classes else "explain"
        of = f"{n_rows:,} rows" if labels.are_classes else f"the variance of y, {n_rows:,} rows"
        return f"{N_NEIGHBORS} neighbors in {components} {what} {percent(score)} of {of}"
    title = f"{n_rows:,} row{'s' * (n_rows != 1)} in {components}"
    return title if explained is None else f"{title}, which explain {percent(sum(explained))}"
