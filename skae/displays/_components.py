"""The display of what components do."""

from numbers import Integral
from typing import Self

import numpy as np

from skae._scikit_learn import check_matplotlib_support
from skae.displays._axes import (
    COLORS,
    LABEL_INCHES,
    SMALL,
    Mosaic,
    grid,
    limits,
    set_grid_title,
    set_title,
    shorten,
    single,
)
from skae.displays._estimators import (
    choose,
    explained_by_components,
    feature_names,
    image_shape_of,
    label_of,
    prepare,
)


class ComponentsDisplay:
    """What moving along each component of the code does to the output.

    Around the mean code of X, each component moves from a low to a high percentile of its values.
    Images are drawn at each step; for tables, bars show how much each feature changes. It is
    recommended to use :meth:`from_estimator` to create a display. All parameters are stored as
    attributes.

    Parameters
    ----------
    outputs : ndarray of shape (n_components, n_steps, n_features)
        Outputs for each step of each component.

    deviations : ndarray of shape (n_features,)
        Standard deviations of the features of X, the unit of the changes.

    value_range : tuple of float, default=None
        Smallest and largest value of X, which are white and black in images. None means those of
        the outputs.

    components : ndarray of shape (n_components,), default=None
        Indices of the components. None means that they are the first ones.

    percentiles : tuple of float, default=(0.05, 0.95)
        Fractions of the rows whose component is below its first and last step.

    image_shape : (height, width) or (height, width, channels) or None, default=None
        Shape of the image in each row, flattened in C order. None draws bars.

    feature_names : array-like of shape (n_features,), default=None
        Names of the features, for bars.

    explained_variance_ratio : ndarray, default=None
        Fraction of the variance that each component of the code explains, for their labels.

    n_total : int or None, default=None
        Number of components of the code, if not all are drawn.

    Attributes
    ----------
    ax_ : matplotlib Axes or None
        Axes with the images, or around the bars. None if `ax` was an array of axes.

    axes_ : ndarray of matplotlib Axes, of shape (n_rows, n_columns), or None
        Axes with the bars of each component, and None beyond the last one. None for images.

    figure_ : matplotlib Figure
        Figure containing the picture.

    image_ : matplotlib AxesImage or None
        All images, or None for bars.

    bars_ : list of matplotlib BarContainer
        The bars of each component. Empty for images.

    See Also
    --------
    LatentSpaceDisplay : The codes of rows.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoencoderTransformer
    >>> from skae.displays import ComponentsDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(4, epochs=3, random_state=0).fit(X / 16)
    >>> display = ComponentsDisplay.from_estimator(autoencoder, X / 16, image_shape=(8, 8))
    >>> display.outputs.shape  # steps of each component
    (4, 7, 64)
    """

    def __init__(
        self,
        outputs,
        deviations,
        *,
        value_range=None,
        components=None,
        percentiles=(0.05, 0.95),
        image_shape=None,
        feature_names=None,
        explained_variance_ratio=None,
        n_total=None,
    ) -> None:
        self.outputs = outputs
        self.deviations = deviations
        self.value_range = value_range
        self.components = components
        self.percentiles = percentiles
        self.image_shape = image_shape
        self.feature_names = feature_names
        self.explained_variance_ratio = explained_variance_ratio
        self.n_total = n_total

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        components=8,
        percentiles=(0.05, 0.95),
        n_steps=7,
        max_features=10,
        image_shape=None,
        ax=None,
    ) -> Self:
        """Decode codes along each component, and draw what changes.

        Parameters
        ----------
        estimator : AutoencoderTransformer or Pipeline
            A fitted estimator.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows that say where codes are.

        components : int or array-like of int, default=8
            Number of components to draw, the first ones, or their indices.

        percentiles : tuple of float, default=(0.05, 0.95)
            Where each component starts and ends, as fractions of the rows below.

        n_steps : int, default=7
            Number of images from there to there, at equal distances.

        max_features : int, default=10
            Number of bars. With more features, those that change most are drawn.

        image_shape : (height, width) or (height, width, channels) or None, default=None
            Shape of the image in each row. None means that of the estimator.

        ax : matplotlib Axes or array-like of Axes, default=None
            Axes to draw in. Bars divide a single Axes, or are drawn into an array with one of the
            axes for each component. If None, a new figure is created.

        Returns
        -------
        display : ComponentsDisplay
            The display, with what it has drawn.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        _check(percentiles, n_steps)
        autoencoder, given, rows = prepare(estimator, X)
        codes = np.asarray(autoencoder.transform(given))
        chosen = choose(components, codes.shape[1])
        display = cls(
            _outputs(autoencoder, codes, chosen, percentiles, n_steps),
            np.nanstd(rows, axis=0, dtype=np.float64),
            value_range=limits(rows),
            components=chosen,
            percentiles=tuple(percentiles),
            image_shape=image_shape_of(autoencoder, image_shape),
            feature_names=feature_names(estimator),
            explained_variance_ratio=explained_by_components(autoencoder),
            n_total=codes.shape[1],
        )
        return display.plot(ax=ax, max_features=max_features)

    def plot(self, ax=None, *, max_features=10) -> Self:
        """Draw what the components do.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of Axes, default=None
            Axes to draw in. Bars divide a single Axes, or are drawn into an array with one of the
            axes for each component. If None, a new figure is created.

        max_features : int, default=10
            Number of bars. With more features, those that change most are drawn.

        Returns
        -------
        display : ComponentsDisplay
            This display, with what it has drawn.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        if self.image_shape is None:
            self._plot_bars(ax, max_features)
        else:
            self._plot_images(ax)
        return self

    def _plot_images(self, ax):
        n_components, n_steps, _ = self.outputs.shape
        mosaic = Mosaic(self.image_shape, n_steps)
        self.ax_ = ax = single(ax, mosaic.figsize(n_components, 0.7), "compressed")
        self.figure_, self.axes_, self.bars_ = ax.figure, None, []
        scale = limits(self.outputs) if self.value_range is None else self.value_range
        self.image_ = mosaic.draw(ax, self.outputs, 0, scale, cmap="gray_r")
        steps = [""] * n_steps
        steps[0], steps[-1] = self._ends()
        mosaic.label(ax, self._labels(), steps)
        ax.set_xlabel("percentile of the component; the others stay at their mean", fontsize=SMALL)
        names, changes = self._labels(explained=False), self.outputs[:, -1] - self.outputs[:, 0]
        sizes = np.square(changes).mean(axis=1) ** 0.5
        title = self._amount()
        if len(names) > 1:
            title = f"{title}: {names[sizes.argmax()]} changes images most"
        title = f"{title}, by {sizes.max():.2g} per pixel"
        set_title(ax, title, LABEL_INCHES + mosaic.spare(0.7))

    def _plot_bars(self, ax, max_features):
        changes, n_components = self._changes(), len(self.outputs)
        n_columns = min(n_components, 4)
        n_rows = -(-n_components // n_columns)
        n_bars = min(max_features, changes.shape[1])
        present = (np.arange(n_rows * n_columns) < n_components).reshape(n_rows, n_columns)
        size = (max(6.4, 0.5 + 2.9 * n_columns), 1 + (0.7 + 0.17 * n_bars) * n_rows)
        self.ax_, self.axes_ = grid(ax, present, size)
        self.figure_, self.image_, self.bars_ = self.axes_[0, 0].figure, None, []
        most = np.abs(changes).max() or 1.0
        for panel, label, change in zip(self.axes_[present], self._labels(), changes, strict=True):
            largest = np.sort(np.argsort(-np.abs(change), kind="stable")[:n_bars])
            if n_bars < len(change):
                largest = largest[np.argsort(-np.abs(change[largest]), kind="stable")]
            self._plot_component(panel, change[largest], self._names()[largest])
            panel.set_title(label, fontsize=SMALL + 1)
            panel.set_xlim(-1.08 * most, 1.08 * most)
        for panel in self.axes_[-1][present[-1]]:
            panel.set_xlabel("change in standard deviations", fontsize=SMALL)
        set_grid_title(self.axes_, self._found(changes, n_bars))

    def _plot_component(self, ax, changes, names):
        colors = [COLORS[0] if change >= 0 else COLORS[6] for change in changes]
        self.bars_.append(ax.barh(range(len(changes)), changes, color=colors, height=0.7))
        ax.axvline(0, color="0.3", linewidth=0.8)
        ax.set_yticks(range(len(changes)), shorten(names))
        ax.tick_params(labelsize=SMALL - 1)
        ax.tick_params(axis="y", length=0)
        ax.invert_yaxis()
        ax.spines[["top", "right", "left"]].set_visible(False)

    def _changes(self):
        """Return the change of each feature from the low to the high end of each component."""
        constant = self.deviations <= 0
        unit = np.where(constant, 1, self.deviations)
        return (self.outputs[:, -1] - self.outputs[:, 0]) / unit

    def _names(self):
        n_features = self.outputs.shape[2]
        names = [f"x{i}" for i in range(n_features)]
        return np.asarray(names if self.feature_names is None else self.feature_names, object)

    def _indices(self):
        return range(len(self.outputs)) if self.components is None else self.components

    def _labels(self, *, explained=True):
        ratio = self.explained_variance_ratio if explained else None
        return [label_of(i, ratio) for i in self._indices()]

    def _ends(self):
        return [f"{100 * fraction:g}" for fraction in self.percentiles]

    def _amount(self):
        n = len(self.outputs)
        if self.n_total is not None and n < self.n_total:
            return f"{n} of {self.n_total} components"
        return f"{n} component{'s' * (n != 1)}"

    def _found(self, changes, n_bars):
        """Say which feature changes most, and what is drawn."""
        most, feature = np.unravel_index(np.abs(changes).argmax(), changes.shape)
        name = self._labels(explained=False)[most].capitalize()
        size, n_features = abs(changes[most, feature]), changes.shape[1]
        found = f"{name} changes {self._names()[feature]} most, by {size:.2g} standard deviations"
        low, high = self._ends()
        what = f"{self._amount()}, each moved from its percentile {low} to {high}"
        if n_bars < n_features:
            what += f"; the {n_bars} largest changes of {n_features:,} features"
        return f"{found}\n{what}"


def _check(percentiles, n_steps):
    low, high = percentiles
    if not 0 <= low < high <= 1:
        raise ValueError(f"percentiles must rise in the range [0, 1]. Got {percentiles!r}.")
    if not isinstance(n_steps, Integral) or n_steps < 2:
        raise ValueError(f"n_steps must be an int in the range [2, inf). Got {n_steps!r}.")


def _outputs(autoencoder, codes, chosen, percentiles, n_steps):
    """Return what the decoder makes of the mean code, with each component moved in steps."""
    ends = np.quantile(codes[:, chosen], percentiles, axis=0)
    steps = np.linspace(0, 1, n_steps)
    moved = np.tile(codes.mean(axis=0), (len(chosen), n_steps, 1)).astype(codes.dtype)
    moved[range(len(chosen)), :, chosen] = ends[0][:, None] + steps * (ends[1] - ends[0])[:, None]
    decoded = autoencoder.inverse_transform(moved.reshape(-1, codes.shape[1]))
    return np.asarray(decoded).reshape(len(chosen), n_steps, -1)
