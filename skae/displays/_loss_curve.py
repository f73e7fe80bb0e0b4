"""The display of a training."""

from typing import Any, Self

import numpy as np

from skae._scikit_learn import check_matplotlib_support
from skae.displays._axes import COLORS, SMALL, despine, set_title, single
from skae.displays._estimators import find, percent


class LossCurveDisplay:
    """Losses of the training, epoch by epoch.

    It is recommended to use :meth:`from_estimator` to create a display. All parameters are stored
    as attributes.

    Parameters
    ----------
    losses : array-like of shape (n_epochs,)
        Training loss of each epoch.

    validation_losses : array-like of shape (n_checks,), default=()
        Validation losses.

    validation_epochs : array-like of shape (n_checks,), default=()
        Number of epochs after which each of them was taken.

    kept_epoch : int or None, default=None
        Number of epochs that led to the weights that were kept.

    pca_loss : float or None, default=None
        Loss of PCA on the validation rows.

    loss_name : str or None, default=None
        Name of the loss, for the label of the axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.

    figure_ : matplotlib Figure
        Figure containing the curves.

    lines_ : list of matplotlib Line2D
        The training loss, and the validation loss if there is one.

    kept_line_ : matplotlib Line2D or None
        Point of the validation loss, or of the training loss, at the epoch that was kept.

    pca_line_ : matplotlib Line2D or None
        Horizontal line at the loss of PCA.

    See Also
    --------
    ExplainedVarianceDisplay : What the components explain, beside PCA.

    Notes
    -----
    Where PCA is kept there are no epochs. The picture then shows the validation loss of PCA alone,
    as epoch 0, and its title says that PCA is kept.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoencoderTransformer
    >>> from skae.displays import LossCurveDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(8, epochs=3, random_state=0).fit(X / 16)
    >>> display = LossCurveDisplay.from_estimator(autoencoder)
    >>> display.kept_epoch
    3
    """

    def __init__(
        self,
        losses,
        *,
        validation_losses=(),
        validation_epochs=(),
        kept_epoch=None,
        pca_loss=None,
        loss_name=None,
    ) -> None:
        self.losses = losses
        self.validation_losses = validation_losses
        self.validation_epochs = validation_epochs
        self.kept_epoch = kept_epoch
        self.pca_loss = pca_loss
        self.loss_name = loss_name

    @classmethod
    def from_estimator(cls, estimator, *, ax=None) -> Self:
        """Draw the losses that a fitted estimator has recorded.

        Parameters
        ----------
        estimator : AutoencoderTransformer or Pipeline
            A fitted estimator.

        ax : matplotlib Axes, default=None
            Axes to draw in. If None, a new figure is created.

        Returns
        -------
        display : LossCurveDisplay
            The display, with what it has drawn.

        Raises
        ------
        ValueError
            If nothing was trained and no rows were held out, so there is no loss to draw.

        Notes
        -----
        Validation losses without epochs, which files of earlier versions hold, are not drawn.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        _, autoencoder = find(estimator)
        losses, checks = autoencoder.loss_curve_, autoencoder.validation_loss_curve_
        epochs = getattr(autoencoder, "validation_epochs_", [])
        # Where a fit has continued that of an earlier version, only the last checks have epochs.
        checks = checks[len(checks) - len(epochs) :]
        if not losses and not checks:
            raise ValueError(
                "There is no loss to draw: this AutoencoderTransformer has trained for no epochs "
                "and has no validation loss. Where PCA is the optimum, or epochs=0, nothing is "
                "trained. Pass X_val to fit to have the loss of PCA."
            )
        loss = autoencoder.loss
        display = cls(
            losses,
            validation_losses=checks,
            validation_epochs=epochs,
            kept_epoch=autoencoder.n_iter_,
            loss_name=loss if isinstance(loss, str) else loss["class_name"],
        )
        gain = getattr(autoencoder, "gain_over_pca_", None)
        if gain is not None and gain < 1 and display._kept() is not None:
            display.pca_loss = display._kept() / (1 - gain)
        return display.plot(ax=ax)

    def plot(self, ax=None) -> Self:
        """Draw the losses.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw in. If None, a new figure is created.

        Returns
        -------
        display : LossCurveDisplay
            This display, with what it has drawn.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        self.ax_ = ax = single(ax, (6.4, 4.2))
        self.figure_ = ax.figure
        self.lines_: list[Any] = []
        self.pca_line_ = None
        if len(self.losses):
            self._curve(np.arange(1, len(self.losses) + 1), self.losses, "training", COLORS[0])
        if len(self.validation_losses):
            self._curve(self.validation_epochs, self.validation_losses, "validation", COLORS[6])
        self._mark_what_is_kept()
        if self.pca_loss is not None:
            self.pca_line_ = ax.axhline(
                self.pca_loss, color="0.35", linestyle="--", linewidth=1.2, label="PCA, validation"
            )
        self._scale()
        ax.legend(frameon=False, fontsize=SMALL + 1)
        set_title(ax, self._title())
        despine(ax)
        return self

    def _curve(self, epochs, losses, label, color):
        few = {"marker": "o", "markersize": 3} if len(losses) <= 25 else {}
        self.lines_ += self.ax_.plot(
            epochs, losses, label=label, color=color, linewidth=1.4, zorder=2.5, **few
        )

    def _mark_what_is_kept(self):
        self.kept_line_ = None
        if self.kept_epoch is None:
            return
        loss = self._kept()
        loss = self.losses[self.kept_epoch - 1] if loss is None else loss
        (self.kept_line_,) = self.ax_.plot(
            [self.kept_epoch],
            [loss],
            "o",
            color="black",
            markerfacecolor="none",
            markersize=9,
            zorder=3,
            label=f"kept, epoch {self.kept_epoch}",
        )

    def _scale(self):
        """Choose the scale of the losses, which fall by orders of magnitude or by some percents."""
        shown = np.hstack([line.get_ydata() for line in self.ax_.get_lines()])
        if shown.min() > 0 and shown.max() > 5 * shown.min():
            from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

            axis = self.ax_.yaxis
            self.ax_.set_yscale("log")
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.set_minor_formatter(NullFormatter())
        name = "" if self.loss_name is None else f" ({self.loss_name})"
        self.ax_.set(xlabel="epoch", ylabel=f"loss{name}")
        self.ax_.xaxis.get_major_locator().set_params(integer=True)
        if not len(self.losses):
            self.ax_.set(xticks=[0], xlim=(-1, 1), ylim=sorted((0, 1.25 * shown[0])))

    def _kept(self):
        """Return the validation loss of the weights that were kept, or None."""
        (at,) = np.nonzero(np.asarray(self.validation_epochs) == self.kept_epoch)
        return self.validation_losses[at[-1]] if len(at) else None

    def _title(self):
        loss = self._kept()
        if not len(self.losses):
            start = "Nothing was trained" if self.pca_loss is None else "PCA is kept"
            return start if loss is None else f"{start}, with a validation loss of {loss:.3g}"
        what, n = "Validation", len(self.losses) if self.kept_epoch is None else self.kept_epoch
        if loss is None:
            what, loss = "Training", self.losses[n - 1]
        title = f"{what} loss {loss:.3g} after {n} epoch{'s' * (n != 1)}"
        if self.pca_loss is None:
            return title
        gain = 1 - loss / self.pca_loss
        side = "below" if gain >= 0 else "above"
        return f"{title}, {percent(abs(gain))} {side} PCA"
