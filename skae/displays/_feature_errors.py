"""The display of errors, feature by feature."""

from typing import Self

import numpy as np

from skae._scikit_learn import check_matplotlib_support
from skae.displays._axes import COLORS, SMALL, set_title, shorten, single
from skae.displays._estimators import feature_names, image_shape_of, percent, prepare


class FeatureErrorDisplay:
    """How well each feature is reconstructed: bars, or an image where rows are images.

    It is recommended to use :meth:`from_estimator` to create a display. All parameters are stored
    as attributes.

    Parameters
    ----------
    errors : ndarray of shape (n_features,)
        Mean squared error of each feature, relative to what `relative_to` says. NaN for features
        that can't be compared.

    relative_to : {"variance", "training"}, default="variance"
        What 1 means: an error as large as the variance of the feature, or as usual for it on
        training rows.

    image_shape : (height, width) or (height, width, channels) or None, default=None
        Shape of the image in each row, flattened in C order. None draws bars.

    feature_names : array-like of shape (n_features,), default=None
        Names of the features.

    total : float or None, default=None
        Relative error of all features together, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the errors.

    figure_ : matplotlib Figure
        Figure containing the errors.

    bars_ : matplotlib BarContainer or None
        The bars, the largest first. None for images.

    image_ : matplotlib AxesImage or None
        The image, or None for bars.

    See Also
    --------
    ReconstructionDisplay : Rows beside their reconstructions.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoencoderTransformer
    >>> from skae.displays import FeatureErrorDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(8, epochs=3, random_state=0).fit(X / 16)
    >>> display = FeatureErrorDisplay.from_estimator(autoencoder, X / 16)
    >>> display.errors.shape
    (64,)
    """

    def __init__(
        self, errors, *, relative_to="variance", image_shape=None, feature_names=None, total=None
    ) -> None:
        self.errors = errors
        self.relative_to = relative_to
        self.image_shape = image_shape
        self.feature_names = feature_names
        self.total = total

    @classmethod
    def from_estimator(
        cls, estimator, X, *, relative_to="variance", max_features=20, image_shape=None, ax=None
    ) -> Self:
        """Draw the error of each feature of X.

        Parameters
        ----------
        estimator : AutoencoderTransformer or Pipeline
            A fitted estimator.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to reconstruct.

        relative_to : {"variance", "training"}, default="variance"
            What 1 means: an error as large as the variance of the feature in X, or as large as
            usual for this feature on training rows.

        max_features : int, default=20
            Number of bars. With more features, those with the largest errors are drawn.

        image_shape : (height, width) or (height, width, channels) or None, default=None
            Shape of the image in each row. None means that of the estimator.

        ax : matplotlib Axes, default=None
            Axes to draw in. If None, a new figure is created.

        Returns
        -------
        display : FeatureErrorDisplay
            The display, with what it has drawn.

        Raises
        ------
        ValueError
            If all features of X are constant, and errors are relative to the variance.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        if relative_to not in ("variance", "training"):
            raise ValueError(
                f"relative_to must be 'variance' or 'training'. Got {relative_to!r} instead."
            )
        autoencoder, given, rows = prepare(estimator, X)
        if relative_to == "training":
            scaled = autoencoder.reconstruction_error(given, per_feature=True, scaled=True)
            errors, total = np.nanmean(np.asarray(scaled), axis=0), None
        else:
            errors, total = _relative_to_variance(autoencoder, given, rows)
        display = cls(
            errors,
            relative_to=relative_to,
            image_shape=image_shape_of(autoencoder, image_shape),
            feature_names=feature_names(estimator),
            total=total,
        )
        return display.plot(ax=ax, max_features=max_features)

    def plot(self, ax=None, *, max_features=20) -> Self:
        """Draw the errors.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw in. If None, a new figure is created.

        max_features : int, default=20
            Number of bars. With more features, those with the largest errors are drawn.

        Returns
        -------
        display : FeatureErrorDisplay
            This display, with what it has drawn.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        self.bars_ = self.image_ = None
        order = np.argsort(-np.nan_to_num(self.errors, nan=-np.inf), kind="stable")
        order = order[: np.isfinite(self.errors).sum()]
        if self.image_shape is None:
            self._plot_bars(ax, order[:max_features])
        else:
            self._plot_image(ax)
        set_title(self.ax_, self._title(order, max_features))
        return self

    def _plot_bars(self, ax, drawn):
        self.ax_ = ax = single(ax, (6.4, 1.4 + 0.19 * len(drawn)))
        self.figure_ = ax.figure
        self.bars_ = ax.barh(range(len(drawn)), self.errors[drawn], color=COLORS[0], height=0.7)
        ax.set_yticks(range(len(drawn)), shorten(self._names()[drawn]))
        ax.tick_params(labelsize=SMALL)
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(len(drawn) - 0.5, -0.5)
        if self.relative_to == "training" or self.errors[drawn].max(initial=0) > 0.8:
            ax.axvline(1, color="0.35", linestyle="--", linewidth=1)
        ax.set_xlabel(self._label())
        ax.spines[["top", "right", "left"]].set_visible(False)

    def _plot_image(self, ax):
        self.ax_ = ax = single(ax, (5.4, 4.4))
        self.figure_ = ax.figure
        channels = np.ma.masked_invalid(np.reshape(self.errors, (*self.image_shape[:2], -1)))
        pixels = channels.mean(axis=-1)
        # A pixel that hardly varies may have a hundred times the error of all others.
        most = np.quantile(pixels.compressed(), 0.98)
        self.image_ = ax.imshow(pixels, vmin=0, vmax=most, cmap="cividis", interpolation="nearest")
        ax.set_facecolor("0.88")
        ax.set(xlabel="column of pixels", ylabel="row of pixels")
        extend = "max" if pixels.max() > most else "neither"
        bar = self.figure_.colorbar(self.image_, ax=ax, extend=extend)
        bar.set_label(self._label())
        bar.outline.set_visible(False)

    def _label(self):
        usual = "variance" if self.relative_to == "variance" else "that of training rows"
        return f"mean squared error / {usual}"

    def _names(self):
        names = self.feature_names
        names = [f"x{i}" for i in range(len(self.errors))] if names is None else names
        return np.asarray(names, dtype=object)

    def _title(self, order, max_features):
        """Say how large the errors are, and where the largest one is."""
        image, name = self.image_shape is not None, self._names()[order[0]]
        # The outermost pixels hardly vary, so the largest error of an image says little.
        error = np.median(self.errors[order]) if image else self.errors[order[0]]
        if self.relative_to == "training":
            which = "The median pixel's error" if image else f"The error of {name}, the largest,"
            found = f"{which} is {error:.2g} times that of training rows"
        else:
            which = "at the median pixel" if image else f"of {name}, the most"
            lost = "" if self.total is None else f"{percent(self.total)} of the variance is lost; "
            found = f"{lost}{percent(error)} {which}"
        if not image and max_features < len(order):
            found += f"\nThe {max_features} largest errors of {len(order):,} features"
        return found


def _relative_to_variance(autoencoder, given, rows):
    """Return the error over the variance, of each feature and of all together."""
    reconstructed = np.asarray(autoencoder.reconstruct(given))
    lost = np.nanmean(np.square(rows.astype(np.float64) - reconstructed), axis=0)
    variance = np.nanvar(rows, axis=0, dtype=np.float64)
    # A column that varies only by rounding counts as constant.
    varies = variance > np.square(4 * np.finfo(rows.dtype).eps * np.nanmax(np.abs(rows), axis=0))
    if not varies.any():
        raise ValueError(
            f"All features of X are constant, over {len(rows)} row(s), so no error can be compared "
            "with a variance. Pass rows that vary, or relative_to='training'."
        )
    errors = np.full(len(lost), np.nan)
    errors[varies] = lost[varies] / variance[varies]
    return errors, lost[varies].sum() / variance[varies].sum()
