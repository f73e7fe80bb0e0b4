"""What an autoencoder says of its reconstructions: how much they keep, of which row and feature."""

import warnings

import numpy as np
from scipy import sparse
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from skae._data.filling import filled
from skae._data.reading import read
from skae._data.rows import Rows
from skae._fitting.incomplete import mean_of_known
from skae._fitting.resolve import loss_of
from skae._fitting.validation import compare
from skae._network import inference
from skae._network.losses import describe
from skae._network.spec import NetworkSpec
from skae._scikit_learn import _check_sample_weight, in_container

# Rows are compared with their reconstructions in blocks of this size.
BLOCK_BYTES = 32 * 2**20


class ReconstructionMixin:
    """Methods of an estimator that has `network_` and `weights_`."""

    network_: dict
    weights_: list[np.ndarray]

    @property
    def explained_variance_ratio_(self) -> np.ndarray:
        """Fraction of the variance of X that the reconstruction explains with each component."""
        spec = self._spec()
        ratio = getattr(self, "_explained_variance_ratio", None)
        if ratio is None:
            raise AttributeError(
                f"This {type(self).__name__} has no explained_variance_ratio_: "
                f"{_why_without_order(self, spec)}"
            )
        return ratio

    def reconstruct(self, X) -> np.ndarray:
        """Encode rows and decode them again.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to reconstruct.

        Returns
        -------
        X_reconstructed : ndarray or DataFrame of shape (n_samples, n_features)
            Their reconstructions, in the container that :meth:`set_output` asks for.
        """
        spec = self._spec()
        rows = filled(self, read(self, X))
        return in_container(self, inference.reconstruct(spec, self.weights_, rows), X)

    def impute(self, X):
        """Fill the missing entries of X with their reconstructions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, with NaN where an entry is missing.

        Returns
        -------
        X_imputed : ndarray or DataFrame of shape (n_samples, n_features)
            X without NaN, in the container that :meth:`set_output` asks for. Known entries are as
            they are in X.

        See Also
        --------
        sklearn.impute.IterativeImputer : Regressions of each feature on the others.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_wine
        >>> from sklearn.preprocessing import scale
        >>> from skae import AutoencoderTransformer
        >>> complete = scale(load_wine().data)
        >>> missing = np.random.default_rng(0).random(complete.shape) < 0.3
        >>> X = np.where(missing, np.nan, complete)
        >>> estimator = AutoencoderTransformer(8, hidden_layer_sizes=(), random_state=0)
        >>> imputed = estimator.fit(X).impute(X)
        >>> bool(np.square(imputed - complete)[missing].mean() < 0.7)
        True
        """
        spec, rows = self._spec(), read(self, X)
        if sparse.issparse(rows):
            return in_container(self, rows.toarray(), X)
        rows = rows[:]  # as a whole, like the result, if they are in storage
        imputed, incomplete = rows.copy(), np.isnan(rows).any(axis=1)
        if incomplete.any():
            given = rows[incomplete]
            restored = inference.reconstruct(spec, self.weights_, filled(self, given))
            imputed[incomplete] = np.where(np.isnan(given), restored, given)
        return in_container(self, imputed, X)

    def score(self, X, y=None, sample_weight=None) -> float:
        """Return the fraction of the variance of X that its reconstruction explains.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to reconstruct.

        y : Ignored
            Not used, present here for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            :func:`~sklearn.metrics.r2_score` with ``multioutput="variance_weighted"``: at most 1,
            and 0 for a reconstruction as good as the mean of X. Missing entries do not count.
        """
        spec, X = self._spec(), read(self, X)
        if X.shape[0] < 2:
            message = "The score is not defined for less than two rows."
            warnings.warn(message, UndefinedMetricWarning, stacklevel=2)
            return float("nan")
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
        rows = Rows(X, weights)
        mean, errors, spread = mean_of_known(rows), *np.zeros((2, spec.n_features))
        for block, given in rows.blocks():
            shares = np.ones(len(block)) if given is None else given
            restored = inference.reconstruct(spec, self.weights_, filled(self, block))
            block = block.astype(np.float64, copy=False)
            errors += shares @ _squares(block - restored)
            spread += shares @ _squares(block - mean)
        # Columns that are constant, but for rounding, have no variance to explain.
        least = rows.total_weight() * np.square(10 * np.finfo(np.float64).eps * mean)
        varying = spread > least
        if not varying.any():
            return float((errors == 0).mean())
        return float(1 - errors[varying].sum() / spread[varying].sum())

    def score_samples(self, X) -> np.ndarray:
        """Return minus the loss of the reconstruction of each row, which is lowest for odd rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to reconstruct.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Minus the `loss` of each row, without noise and penalties. For "mse" this is minus its
            mean squared error, in squared units of X. Missing entries do not count, and a row
            without any value has NaN.
        """
        spec, X, loss, parts = self._spec(), read(self, X), loss_of(self), []
        for rows, reconstructed in self._compared(spec, X):
            losses = compare(loss, rows, reconstructed).astype(np.float64)
            if np.isnan(rows.min()):
                known = (~np.isnan(rows)).mean(axis=1)
                known[known == 0] = np.nan
                losses = losses / (known if not describe(loss).summed else known / known)
            parts.append(losses)
        return -np.concatenate(parts)

    def reconstruction_error(self, X, *, per_feature=False, scaled=False) -> np.ndarray:
        """Return the squared error of the reconstruction, of each row or of each entry.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to reconstruct.

        per_feature : bool, default=False
            Whether to return the error of each feature of a row, and not only their mean.

        scaled : bool, default=False
            Whether to divide the error of each feature by its mean on the training rows,
            `feature_errors_`. A value of 1 is then usual, and features with different units can be
            compared.

        Returns
        -------
        errors : ndarray of shape (n_samples,), or ndarray or DataFrame (n_samples, n_features)
            Squared errors, in squared units of X unless they are scaled. With `per_feature`, the
            container is the one that :meth:`set_output` asks for, with the names of the features.

        Examples
        --------
        The last step of a pipeline gets the rows as the steps before it leave them.

        >>> from sklearn.datasets import load_wine
        >>> from sklearn.pipeline import make_pipeline
        >>> from sklearn.preprocessing import StandardScaler
        >>> from skae import AutoencoderTransformer
        >>> X, y = load_wine(return_X_y=True)
        >>> pipe = make_pipeline(StandardScaler(), AutoencoderTransformer(2, random_state=0))
        >>> Z = pipe.fit(X)[:-1].transform(X)
        >>> pipe[-1].reconstruction_error(Z, per_feature=True, scaled=True).shape
        (178, 13)
        """
        spec, checked = self._spec(), read(self, X)
        usual = _usual(self) if scaled else None
        parts = []
        for rows, reconstructed in self._compared(spec, checked):
            errors = np.square(rows - reconstructed)
            errors = errors if usual is None else _divided(errors, usual)
            parts.append(errors if per_feature else _means_of_rows(errors))
        errors = np.concatenate(parts)
        return in_container(self, errors, X) if per_feature else errors

    def _spec(self):
        """Return the description of the fitted network; raise if there is none."""
        check_is_fitted(self)
        return NetworkSpec(**self.network_).without_labels()

    def _compared(self, spec, X):
        """Yield dense blocks of rows, each with its reconstruction."""
        size = max(1, BLOCK_BYTES // (spec.n_features * X.dtype.itemsize))
        for chosen in gen_batches(X.shape[0], size):
            rows = X[chosen].toarray() if sparse.issparse(X) else X[chosen]
            yield rows, inference.reconstruct(spec, self.weights_, filled(self, rows))


def _squares(differences):
    """Return squares of differences, with zeros where one is missing."""
    return np.nan_to_num(np.square(differences), nan=0.0, posinf=np.inf)


def _means_of_rows(errors):
    """Return the mean of each row without NaN, which is NaN for a row of nothing else."""
    means = errors.mean(axis=1, dtype=np.float64)
    incomplete = np.isnan(means)
    if incomplete.any():
        known = ~np.isnan(errors[incomplete])
        sums = errors[incomplete].sum(axis=1, where=known, dtype=np.float64)
        counts = known.sum(axis=1)
        means[incomplete] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return means


def _usual(estimator):
    usual = getattr(estimator, "feature_errors_", None)
    if usual is None:
        raise AttributeError(
            "scaled=True needs feature_errors_, which neither partial_fit nor earlier versions of "
            "skae have computed. Call fit, or use scaled=False."
        )
    return usual


def _divided(errors, usual):
    """Return errors over usual ones; where the usual error is zero, any other is infinite."""
    ratios = np.where(errors > 0, np.inf, 0.0)
    ratios[np.isnan(errors)] = np.nan
    return np.divide(errors, usual, out=ratios, where=usual > 0)


def _why_without_order(estimator, spec):
    if spec.network is not None or spec.image_shape is not None:
        return "the code of a custom or convolutional network has no order."
    if spec.kl_weight or spec.sparsity:
        return "kl_weight and sparsity shape the code, so that its components have no order."
    if spec.code_activation != "linear":
        return (
            f"the components of a code with the activation {spec.code_activation!r} are not "
            "uncorrelated, so their shares would not add up. Set code_activation='linear'."
        )
    if hasattr(estimator, "_stream"):
        return "partial_fit has not seen all rows at once. Call fit, with all rows."
    if not hasattr(estimator, "_explained_variance_ratio"):
        return "an earlier version of skae did not compute it. Fit the estimator again."
    return (
        f"the code has fewer dimensions than its {spec.n_components} components. Set a smaller "
        "n_components."
    )
