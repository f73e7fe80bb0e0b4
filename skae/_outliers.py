"""Outlier detection by the errors of an autoencoder."""

import warnings
from numbers import Real
from typing import ClassVar, Self

import numpy as np
from scipy.special import ndtri
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from skae._autoencoder import AutoencoderTransformer
from skae._rollback import merged, twin
from skae._scatter import robust_scatter, squared_distances
from skae._scikit_learn import (
    Interval,
    StrOptions,
    fit_context,
    in_container,
    seed_of,
    set_container,
)

# In training no value is more standard deviations than this from the mean, and the autoencoder
# never sees one.
FARTHEST = 10.0
# The default has half as many components as features, and no more than these.
MOST_COMPONENTS = 64
# The power of a squared distance by which its row loses weight. A power of 1 misjudges usual rows
# that are far from the center: of moved features, 0.93 are named instead of 0.95.
POWER = 0.7
# Robust standard deviations that the cube root of an outlier's distance is above the median.
CUT = 2.0


class AutoencoderOutlierDetector(OutlierMixin, BaseEstimator):
    """Outlier detection with an autoencoder.

    A row is as odd as its distance from what the network usually makes of rows: of its
    reconstruction and of its errors, each measured by how they vary together on the training
    rows. :meth:`explain` says which features are to blame.

    Outliers among the training rows are expected. Noise keeps the network from learning single
    rows by heart, it sees no value that is very far from the mean, and where means and covariances
    are taken, rows have the less weight the farther they are from the others [1]_.

    Parameters
    ----------
    autoencoder : AutoencoderTransformer or None, default=None
        The autoencoder to fit. It gets standardised features within 10 standard deviations, and a
        seed if its `random_state` is None. None is one with half as many components as features,
        at most 64, a hidden layer of 128 units and ``noise=("swap", 0.1)``.

    contamination : "auto" or float, default="auto"
        Fraction of outliers among the training rows, in (0, 0.5]. "auto" takes those for outliers
        whose distance has a cube root, which is nearly normal, more than two robust standard
        deviations above the median [2]_.

    random_state : int, RandomState instance or None, default=None
        Seed of the autoencoder. An int gives the same result at every call.

    Attributes
    ----------
    autoencoder_ : AutoencoderTransformer
        The fitted autoencoder, of standardised features.

    offset_ : float
        Scores below it are those of outliers: :meth:`decision_function` is :meth:`score_samples`
        minus `offset_`.

    location_ : ndarray of shape (n_features,)
        Robust mean of each feature.

    scale_ : ndarray of shape (n_features,)
        Robust standard deviation of each feature, and 1 for those that are constant.

    n_features_in_ : int
        Number of features seen during :meth:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :meth:`fit`, if all are strings.

    See Also
    --------
    AutoencoderTransformer : The autoencoder alone.
    sklearn.ensemble.IsolationForest : Outliers are rows that few splits isolate.
    sklearn.covariance.EllipticEnvelope : Outliers are rows far from one Gaussian.

    Notes
    -----
    Let x be a standardised row, g(x) its reconstruction and u the two halves of it, g(x) and the
    error x - g(x), both minus their robust means, the error in units of its root mean square. With
    P the inverse of the robust and shrunk covariance of u [1]_ [3]_, the score is minus u'Pu.
    Without hidden layers this is nearly the squared Mahalanobis distance of x.

    If feature j alone moved, u moved in a direction d, which a regression of g(x) on x gives. The
    best such move lowers the distance by (d'Pu)²/d'Pd, the square of what is left of the feature
    given the others [4]_. :meth:`explain` distributes the distance in proportion to these.

    Matrices of 2 `n_features` columns are held and inverted, 30 MB with 784 features, so sparse X
    is refused. There are no sample weights, since noise is drawn for each row: repeat rows instead.
    Scores of two detectors can't be compared. To keep a fitted detector, pickle it.

    References
    ----------
    .. [1] D. Tyler, "A distribution-free M-estimator of multivariate scatter", Annals of
       Statistics 15, 1987.
    .. [2] C. Leys et al., "Detecting outliers: Do not use standard deviation around the mean, use
       absolute deviation around the median", Journal of Experimental Social Psychology 49, 2013.
    .. [3] O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance
       matrices", Journal of Multivariate Analysis 88, 2004.
    .. [4] D. Hawkins, "Multivariate quality control based on regression-adjusted variables",
       Technometrics 33, 1991.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skae import AutoencoderOutlierDetector
    >>> X = load_wine(as_frame=True).data
    >>> X.loc[7, "hue"] = 3.0
    >>> detector = AutoencoderOutlierDetector(random_state=0).fit(X)
    >>> int(detector.score_samples(X).argmin())
    7
    >>> detector.set_output(transform="pandas").explain(X).loc[7].idxmax()
    'hue'
    """

    _parameter_constraints: ClassVar[dict] = {
        "autoencoder": [AutoencoderTransformer, None],
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "random_state": ["random_state"],
    }

    def __init__(self, autoencoder=None, *, contamination="auto", random_state=None) -> None:
        self.autoencoder = autoencoder
        self.contamination = contamination
        self.random_state = random_state

    # The autoencoder checks its parameters too.
    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None) -> Self:
        """Fit the autoencoder, and measure what it makes of X.

        If this fails or is interrupted, the estimator stays as it was.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data, which need not be scaled.

        y : Ignored
            Not used, present here for API consistency by convention.

        Returns
        -------
        self : AutoencoderOutlierDetector
            The fitted estimator.
        """
        # All changes happen to a copy, and are taken over at once when everything has succeeded.
        before, fitted = self.__dict__.copy(), twin(self)
        fitted._fit(X)
        self.__dict__ = merged(before, self.__dict__, fitted.__dict__)
        return self

    def predict(self, X) -> np.ndarray:
        """Tell outliers from inliers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to judge.

        Returns
        -------
        is_inlier : ndarray of shape (n_samples,)
            -1 for outliers, 1 for inliers.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def decision_function(self, X) -> np.ndarray:
        """Return by how much the score of each row is above `offset_`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to judge.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Negative for outliers.
        """
        return self.score_samples(X) - self.offset_

    def score_samples(self, X) -> np.ndarray:
        """Return minus the squared distance of each row from what is usual.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to judge.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            The lower, the odder.
        """
        return -squared_distances(self._deviations(self._read(X)), self._precision)

    def explain(self, X) -> np.ndarray:
        """Return how much each feature adds to the distance of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to explain.

        Returns
        -------
        contributions : ndarray or DataFrame of shape (n_samples, n_features)
            From 0 on. The sum of a row is minus its score. A frame with the names of the features,
            if :meth:`set_output` or scikit-learn's configuration asks for frames.
        """
        deviations = self._deviations(self._read(X))
        moved = self._moves @ self._precision
        gains = (deviations @ moved.T) ** 2 / np.einsum("ij,ij->i", moved, self._moves)
        total = gains.sum(axis=1, keepdims=True)
        shares = np.divide(gains, total, out=np.zeros_like(gains), where=total > 0)
        distances = squared_distances(deviations, self._precision)
        return in_container(self, distances[:, np.newaxis] * shares, X)

    def set_output(self, *, transform=None) -> Self:
        """Set the container of what :meth:`explain` returns.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            "default" is an ndarray, and None changes nothing.

        Returns
        -------
        self : AutoencoderOutlierDetector
            The estimator itself.
        """
        set_container(self, transform)
        return self

    def _fit(self, X):
        """Fit this copy of the estimator."""
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        self.location_, self.scale_ = _standard(X, np.ones(len(X)))
        # Where most values are equal, the others are not outliers for that. Other features are
        # standardised so that outliers have little say: by medians, and by these with weights.
        median = np.median(X, axis=0)
        spread = np.median(np.abs(X - median), axis=0) / ndtri(0.75)
        varies = spread > 0
        self.location_[varies], self.scale_[varies] = median[varies], spread[varies]
        *_, weights = robust_scatter(self._standardised(X), 1.0)
        self.location_[varies], self.scale_[varies] = _standard(X[:, varies], weights)
        Z = self._standardised(X)
        self._fit_autoencoder(_clipped(Z))
        self._measure(_clipped(Z))
        self.offset_ = self._threshold(-squared_distances(self._deviations(Z), self._precision))

    def _fit_autoencoder(self, Z):
        size = max(1, min(Z.shape[1] // 2, len(Z) - 1, MOST_COMPONENTS))
        default = AutoencoderTransformer(size, hidden_layer_sizes=(128,), noise=("swap", 0.1))
        self.autoencoder_ = clone(default if self.autoencoder is None else self.autoencoder)
        if self.autoencoder_.random_state is None:
            self.autoencoder_.set_params(random_state=seed_of(self))
        with warnings.catch_warnings():
            if self.autoencoder is None:
                # They say that PCA describes rows better, which is not what this one is for.
                warnings.simplefilter("ignore")
            self.autoencoder_.fit(Z)

    def _measure(self, Z):
        """Find what is usual for reconstructions and errors, and how features move them."""
        restored = self._restored(Z)
        self._unit = np.sqrt(np.median(np.square(Z - restored).mean(axis=1))) or 1.0
        self._center = np.zeros(2 * Z.shape[1])
        self._center, self._precision, weights = robust_scatter(self._deviations(Z), POWER)
        root, shift = np.sqrt(weights)[:, np.newaxis], np.average(Z, axis=0, weights=weights)
        # A constant feature gets zeros, as in all solutions of least norm.
        response, *_ = np.linalg.lstsq(
            root * (Z - shift), root * (restored - self._center[: Z.shape[1]]), rcond=1e-6
        )
        self._moves = np.hstack([response, (np.eye(len(response)) - response) / self._unit])

    def _threshold(self, scores):
        """Return the score below which training rows are taken for outliers."""
        if self.contamination != "auto":
            return np.quantile(scores, self.contamination)
        roots = np.cbrt(-scores)
        median = np.median(roots)
        spread = np.median(np.abs(roots - median)) / ndtri(0.75)
        return -((median + CUT * spread) ** 3)

    def _read(self, X):
        """Validate X and return its standardised rows."""
        check_is_fitted(self)
        return self._standardised(validate_data(self, X, dtype=np.float64, reset=False))

    def _standardised(self, X):
        return (X - self.location_) / self.scale_

    def _restored(self, Z):
        """Return the reconstructions of standardised rows."""
        return np.asarray(self.autoencoder_.reconstruct(_clipped(Z)))

    def _deviations(self, Z):
        """Return the reconstruction and the errors of standardised rows, minus what is usual."""
        restored = self._restored(Z)
        return np.hstack([restored, (Z - restored) / self._unit]) - self._center


def _standard(X, weights):
    """Return the mean and the standard deviation of each column, or 1 for a constant one."""
    mean = np.average(X, axis=0, weights=weights)
    scale = np.sqrt(np.average(np.square(X - mean), axis=0, weights=weights))
    constant = scale <= 10 * np.finfo(np.float64).eps * np.abs(mean)
    return mean, np.where(constant, 1.0, scale)


def _clipped(Z):
    return np.clip(Z, -FARTHEST, FARTHEST)
