"""The display of rows and what comes back of them."""

import textwrap
from numbers import Integral
from typing import Self

import numpy as np

from skae._scikit_learn import check_matplotlib_support
from skae.displays._axes import (
    COLORS,
    DIVERGING,
    LABEL_INCHES,
    SMALL,
    Mosaic,
    despine,
    grid,
    limits,
    set_grid_title,
    set_title,
    single,
)
from skae.displays._estimators import feature_names, image_shape_of, percent, prepare
from skae.displays._profiles import label_features, line_style


class ReconstructionDisplay:
    """Rows over their reconstructions over the differences.

    Rows are drawn as images if their shape is known, and else as profiles: lines over the
    features. It is recommended to use :meth:`from_estimator` to create a display. All parameters
    are stored as attributes.

    Parameters
    ----------
    rows : dict of str to array-like of shape (n_samples, n_features)
        What to draw, by its name, from the top down. The samples are the columns of the picture.

    differences : array-like of shape (n_samples, n_features), default=None
        Differences to draw below, on a scale of their own.

    image_shape : (height, width) or (height, width, channels) or None, default=None
        Shape of the image in each row, flattened in C order. None draws profiles.

    feature_names : array-like of shape (n_features,), default=None
        Names of the features, for profiles.

    samples : array-like of shape (n_samples,), default=None
        Numbers of the samples, for the titles of profiles. None counts them from 0.

    title : str or None, default=None
        What was found.

    Attributes
    ----------
    ax_ : matplotlib Axes or None
        Axes with the images, or around the profiles. None if `ax` was an array of axes.

    axes_ : ndarray of shape (2, n_samples) or (1, n_samples) or None
        Axes with the profiles, and below with the differences if there are any. None for images.

    figure_ : matplotlib Figure
        Figure containing the picture.

    images_ : list of matplotlib AxesImage
        All images, and all differences if there are any. Empty for profiles.

    lines_ : list of matplotlib Line2D
        The profiles of all samples, each with its differences last. Empty for images.

    See Also
    --------
    FeatureErrorDisplay : The error of each feature.
    ComponentsDisplay : What each component of the code does to the output.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoencoderTransformer
    >>> from skae.displays import ReconstructionDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(8, epochs=3, random_state=0).fit(X / 16)
    >>> display = ReconstructionDisplay.from_estimator(autoencoder, X / 16, image_shape=(8, 8))
    >>> list(display.rows)
    ['original', 'reconstruction']
    """

    def __init__(
        self,
        rows,
        *,
        differences=None,
        image_shape=None,
        feature_names=None,
        samples=None,
        title=None,
    ) -> None:
        self.rows = rows
        self.differences = differences
        self.image_shape = image_shape
        self.feature_names = feature_names
        self.samples = samples
        self.title = title

    @classmethod
    def from_estimator(
        cls, estimator, X, *, target=None, n_samples=None, image_shape=None, ax=None
    ) -> Self:
        """Draw some rows of X and their reconstructions.

        Parameters
        ----------
        estimator : AutoencoderTransformer or Pipeline
            A fitted estimator.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to reconstruct. The title speaks of all of them.

        target : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            What X should have been, if X is corrupted: the originals, which are drawn over X, and
            with which reconstructions are compared.

        n_samples : int or None, default=None
            Number of samples to draw, at equal distances in X. None draws up to 10 images or 3
            profiles.

        image_shape : (height, width) or (height, width, channels) or None, default=None
            Shape of the image in each row. None means that of the estimator.

        ax : matplotlib Axes or array-like of Axes, default=None
            Axes to draw in. Profiles divide a single Axes, or are drawn into an array of two rows.
            If None, a new figure is created.

        Returns
        -------
        display : ReconstructionDisplay
            The display, with what it has drawn.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        autoencoder, given, inputs = prepare(estimator, X)
        reconstructed = np.asarray(autoencoder.reconstruct(given))
        originals = inputs if target is None else prepare(estimator, target)[2]
        if originals.shape != inputs.shape:
            raise ValueError(
                f"target must have one row for each row of X. Got {len(originals)} for "
                f"{len(inputs)} rows."
            )
        shape = image_shape_of(autoencoder, image_shape)
        drawn = _samples(n_samples, len(inputs), 10 if shape else 3)
        rows = {"original": originals[drawn]}
        if target is not None:
            rows["given"] = inputs[drawn]
        display = cls(
            {**rows, "reconstruction": reconstructed[drawn]},
            differences=reconstructed[drawn] - originals[drawn],
            image_shape=shape,
            feature_names=feature_names(estimator),
            samples=drawn,
            title=_found(originals, reconstructed),
        )
        return display.plot(ax=ax)

    def plot(self, ax=None) -> Self:
        """Draw the rows.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of Axes, default=None
            Axes to draw in. Profiles divide a single Axes, or are drawn into an array of two rows.
            If None, a new figure is created.

        Returns
        -------
        display : ReconstructionDisplay
            This display, with what it has drawn.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        if self.image_shape is None:
            self._plot_profiles(ax)
        else:
            self._plot_images(ax)
        return self

    def _plot_images(self, ax):
        rows = np.asarray(list(self.rows.values()))
        mosaic = Mosaic(self.image_shape, rows.shape[1])
        n = len(rows) + (self.differences is not None)
        above = 0.9 if self.title else 0.1
        self.ax_ = ax = single(ax, mosaic.figsize(n, 0.85, above), "compressed")
        self.figure_, self.axes_ = ax.figure, None
        self.images_, self.lines_ = [], []
        labels, columns = list(self.rows), [""] * rows.shape[1]
        # On the scale of the first ones: reconstructions beyond it would fade all the others.
        self.images_.append(mosaic.draw(ax, rows, 0, limits(rows[0]), cmap="gray_r"))
        if self.differences is not None:
            differences = np.asarray(self.differences)
            most = np.nanmax(np.abs(differences)) or 1.0
            drawn = mosaic.draw(ax, differences[None], len(rows), (-most, most), cmap=DIVERGING)
            self.images_.append(drawn)
            self._color_bar(mosaic)
            labels.append("difference")
            columns = [f"{error:.2g}" for error in np.nanmean(np.square(differences), axis=1)]
            ax.set_xlabel("mean squared error of each", fontsize=SMALL)
        mosaic.label(ax, [_wrapped(label) for label in labels], columns)
        if self.title:
            set_title(ax, self.title, LABEL_INCHES + mosaic.spare(0.85))

    def _color_bar(self, mosaic):
        """Draw the scale of the differences beside them."""
        (left, right), (bottom, _) = self.ax_.get_xlim(), self.ax_.get_ylim()
        width = mosaic.width / (right - left)
        inset = self.ax_.inset_axes((1 + 0.15 * width, 0, 0.12 * width, mosaic.height / bottom))
        bar = self.figure_.colorbar(self.images_[-1], cax=inset)
        bar.ax.tick_params(labelsize=SMALL - 1)
        bar.ax.yaxis.get_major_locator().set_params(nbins=3)
        bar.outline.set_visible(False)

    def _plot_profiles(self, ax):
        rows = {name: np.asarray(values) for name, values in self.rows.items()}
        n_samples, n_features = next(iter(rows.values())).shape
        n = 1 + (self.differences is not None)
        self.ax_, self.axes_ = grid(
            ax,
            np.ones((n, n_samples), dtype=bool),
            (1 + 3.4 * n_samples, 1.2 + 2.0 * n),
            height_ratios=(3, 2)[:n],
        )
        self.figure_ = self.axes_[0, 0].figure
        self.images_, self.lines_ = [], []
        for sample, (top, *below) in enumerate(self.axes_.T):
            for number, (name, values) in enumerate(rows.items()):
                color = (0, 6, 4, 8, 5)[number % 5]
                style = line_style(n_features) | {"color": COLORS[color], "label": name}
                self.lines_ += top.plot(values[sample], **style)
            number = sample if self.samples is None else self.samples[sample]
            top.set_title(f"row {number}", fontsize=SMALL + 1)
            for lower in below:
                self._plot_difference(lower, np.asarray(self.differences)[sample])
        self._label_profiles(self.axes_, rows, n_features)

    def _plot_difference(self, ax, difference):
        ax.axhline(0, color="0.7", linewidth=0.8)
        style = line_style(len(difference)) | {"color": "black"}
        self.lines_ += ax.plot(difference, **style)
        error = np.nanmean(np.square(difference))
        ax.set_title(f"mean squared error {error:.2g}", fontsize=SMALL)

    def _label_profiles(self, axes, rows, n_features):
        names = self.feature_names
        names = [f"x{i}" for i in range(n_features)] if names is None else names
        scales = [limits(np.asarray(list(rows.values())))]
        if self.differences is not None:
            most = np.nanmax(np.abs(self.differences)) or 1.0
            scales.append((-most, most))
        for i, (low, high) in enumerate(scales):
            for ax in axes[i]:
                ax.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
                ax.tick_params(labelsize=SMALL)
                label_features(ax, names, shown=i == len(scales) - 1)
                despine(ax)
                ax.tick_params(labelleft=ax is axes[i, 0])
        for ax, label in zip(axes[:, 0], ("value", "difference"), strict=False):
            ax.set_ylabel(label, fontsize=SMALL + 1)
        axes[0, 0].legend(fontsize=SMALL, frameon=False)
        if self.title:
            set_grid_title(axes, self.title)


def _wrapped(label):
    return textwrap.fill(label, 18, break_long_words=False)


def _samples(n_samples, n_rows, default):
    """Return the numbers of the rows to draw, since rows beside each other may be alike."""
    if n_samples is None:
        n_samples = default
    if not isinstance(n_samples, Integral) or n_samples < 1:
        raise ValueError(f"n_samples must be an int in the range [1, inf). Got {n_samples!r}.")
    return np.arange(min(n_samples, n_rows)) * n_rows // min(n_samples, n_rows)


def _found(originals, reconstructed):
    """Say what the reconstructions of all rows keep."""
    lost = np.nanmean(np.square(originals.astype(float) - reconstructed))
    variance = np.nanvar(originals.astype(float), axis=0).mean()
    n = len(originals)
    start = f"Mean squared error {lost:.3g} of {n:,} row{'s' * (n != 1)}"
    if lost >= variance:
        return start
    return f"{start}: {percent(1 - lost / variance)} of the variance is kept"
