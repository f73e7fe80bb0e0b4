"""The display of what components explain."""

from typing import Self

import numpy as np
from sklearn.utils import check_array

from skae._data.filling import filled
from skae._scikit_learn import check_matplotlib_support
from skae.displays._axes import COLORS, SMALL, despine, set_title, single
from skae.displays._estimators import find, percent, prepare


class ExplainedVarianceDisplay:
    """Variance that the first components explain together, beside PCA's.

    It is recommended to use :meth:`from_estimator` to create a display. All parameters are stored
    as attributes.

    Parameters
    ----------
    explained_variance_ratio : ndarray of shape (n_components,)
        Fraction of the variance that each component of the autoencoder explains.

    pca_explained_variance_ratio : ndarray of shape (n_pca_components,), default=None
        The same of PCA, for as many components or more.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.

    figure_ : matplotlib Figure
        Figure containing the curves.

    line_ : matplotlib Line2D
        What the components of the autoencoder explain.

    pca_line_ : matplotlib Line2D or None
        What those of PCA explain, up to as many as explain the same.

    See Also
    --------
    LossCurveDisplay : The loss beside that of PCA.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoencoderTransformer
    >>> from skae.displays import ExplainedVarianceDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(8, epochs=3, random_state=0).fit(X / 16)
    >>> display = ExplainedVarianceDisplay.from_estimator(autoencoder, X / 16)
    >>> f"{display.pca_explained_variance_ratio[:8].sum():.2f}"
    '0.67'
    """

    def __init__(self, explained_variance_ratio, *, pca_explained_variance_ratio=None) -> None:
        self.explained_variance_ratio = explained_variance_ratio
        self.pca_explained_variance_ratio = pca_explained_variance_ratio

    @classmethod
    def from_estimator(cls, estimator, X=None, *, ax=None) -> Self:
        """Draw what the components of a fitted estimator explain.

        Parameters
        ----------
        estimator : AutoencoderTransformer or Pipeline
            A fitted estimator whose code is linear: others have no `explained_variance_ratio_`.

        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            The training rows, of which PCA is computed to compare with. None leaves PCA out.

        ax : matplotlib Axes, default=None
            Axes to draw in. If None, a new figure is created.

        Returns
        -------
        display : ExplainedVarianceDisplay
            The display, with what it has drawn.

        Raises
        ------
        AttributeError
            If the components of the estimator have no order.

        Notes
        -----
        PCA is computed with up to four times as many components, or 16, to see how many explain as
        much.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        _, autoencoder = find(estimator)
        explained = np.asarray(autoencoder.explained_variance_ratio_)
        pca = None
        if X is not None:
            autoencoder, _, rows = prepare(estimator, X)
            pca = _pca(filled(autoencoder, rows), max(4 * len(explained), 16))
        return cls(explained, pca_explained_variance_ratio=pca).plot(ax=ax)

    def plot(self, ax=None) -> Self:
        """Draw what the components explain.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw in. If None, a new figure is created.

        Returns
        -------
        display : ExplainedVarianceDisplay
            This display, with what it has drawn.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        self.ax_ = ax = single(ax, (6.4, 4.2))
        self.figure_, self.pca_line_ = ax.figure, None
        own, pca = np.cumsum(self.explained_variance_ratio), self.pca_explained_variance_ratio
        needed = None if pca is None else self._needed()
        if pca is not None:
            # Below the other curve, and with larger markers, so that both show where they agree.
            shown = np.cumsum(pca)[: max(len(own), needed or 2 * len(own))]
            self.pca_line_ = self._curve(shown, "PCA", COLORS[6], marker="s", markersize=6)
            ax.axhline(own[-1], color="0.75", linewidth=0.8, zorder=0)
        self.line_ = self._curve(own, "autoencoder", COLORS[0], marker="o", markersize=3.5)
        if pca is not None:
            ax.legend(frameon=False, loc="lower right", fontsize=SMALL + 1)
        ax.set(xlabel="number of components", ylabel="explained variance, cumulative")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        ax.set_ylim(min(0, own.min()), 1.02)
        ax.set_xlim(left=0)
        set_title(ax, self._title(own[-1], needed))
        despine(ax)
        return self

    def _curve(self, cumulative, label, color, **markers):
        x = np.arange(1, len(cumulative) + 1)
        style = {"color": color, "linewidth": 1.4} | (markers if len(x) <= 60 else {})
        (line,) = self.ax_.plot(x, cumulative, label=label, **style)
        return line

    def _needed(self):
        """Return how many components of PCA explain as much, or None if not even all do."""
        cumulative = np.cumsum(self.pca_explained_variance_ratio)
        # Where PCA is kept, the two differ by rounding.
        (enough,) = np.nonzero(cumulative >= np.sum(self.explained_variance_ratio) - 1e-6)
        return enough[0] + 1 if len(enough) else None

    def _title(self, kept, needed):
        n, pca = len(self.explained_variance_ratio), self.pca_explained_variance_ratio
        title = f"{n} component{'s' * (n != 1)} explain{'s' * (n == 1)} {percent(kept)}"
        if pca is None:
            return title
        title = f"{title}, PCA's {percent(np.sum(pca[:n]))}"
        if needed is not None and needed <= n:
            return title
        amount = f"more than {len(pca)}" if needed is None else needed
        return f"{title}. PCA needs {amount} for as much"


def _pca(rows, n_components):
    """Return the fractions of the variance that PCA explains."""
    from sklearn.decomposition import PCA

    check_array(rows, ensure_min_samples=2, estimator="ExplainedVarianceDisplay")
    pca = PCA(min(n_components, *rows.shape), random_state=0).fit(rows)
    return pca.explained_variance_ratio_
