"""What an estimator does with rows that come in parts."""

import contextlib
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from skae._data.checks import check_rows
from skae._data.filling import Filling, filling_of
from skae._data.labels import Labels
from skae._data.reading import training_rows
from skae._data.rows import Rows
from skae._fitting.incomplete import without_holes
from skae._fitting.progress import Progress
from skae._fitting.resolve import resolve
from skae._fitting.stream import Stream, go_on
from skae._network.spec import Penalties
from skae._rollback import merged, twin
from skae._scikit_learn import fit_context, seed_of


class StreamingMixin:
    """Methods of an estimator that can be fitted to one part of the rows after another."""

    n_components: Any
    verbose: Any
    loss: Any
    weights_: list[np.ndarray]
    network_: dict
    head_: list[np.ndarray]
    _found: Callable[..., dict]  # the fitted attributes for what training has found

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, *, sample_weight=None) -> Self:
        """Train the network once on a part of the rows, and leave it ready for the next part.

        The first call decides on the network, on the units of training and on what missing values
        are filled with. It starts from PCA of its rows, so it should have more rows than there are
        components. After :meth:`fit` it goes on with the fitted network. Parts may be of any size.
        The optimizer goes on where it stood, after unpickling and :func:`skae.load` too, and
        weights are averaged over the last steps [1]_, so that no learning rate has to fall at an
        end that is not known: "one_cycle" stands for a constant rate of 3e-3 here, and
        ``batch_size="auto"`` for 32. Nothing is held out and nothing is compared with PCA. `epochs`
        and all that concerns rows held out are not used, and the code stays in the order of the
        first PCA.

        If this fails or is interrupted, the estimator stays as it was.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to train on.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Labels, which are ignored without `label_weight`. The first call has to have all
            classes, and decides on the units of numbers.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, as in :meth:`fit`.

        Returns
        -------
        self : AutoencoderTransformer
            The estimator after training.

        References
        ----------
        .. [1] B. T. Polyak and A. B. Juditsky, "Acceleration of stochastic approximation by
           averaging", SIAM Journal on Control and Optimization 30, 1992.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_digits
        >>> from skae import AutoencoderTransformer
        >>> X = load_digits().data / 16
        >>> estimator = AutoencoderTransformer(8, random_state=0)
        >>> for part in np.array_split(X, 6):
        ...     estimator = estimator.partial_fit(part)
        >>> estimator.n_samples_seen_
        1797
        """
        before, fitted = self.__dict__.copy(), twin(self)
        with contextlib.closing(Progress(self.verbose)) as progress:
            fitted._fit_part(X, y, sample_weight, progress)
        self.__dict__ = merged(before, self.__dict__, fitted.__dict__)
        return self

    def _fit_part(self, X, y, sample_weight, progress):
        """Train this copy of the estimator on a part."""
        known = hasattr(self, "weights_")
        if isinstance(self.n_components, float):
            raise ValueError(
                f"partial_fit needs n_components as an int or None. Got {self.n_components!r}, a "
                "fraction that only fit can find, since it trains several networks on all rows."
            )
        rows, labels = training_rows(self, X, y, sample_weight, reset=not known)
        filling = filling_of(self) if known else None
        rows, filling = without_holes(_comparable(rows, filling, known), filling)
        check_rows(self.loss, rows, None)
        head = None if labels is None else labels.head
        network = self.network_ if known else None
        candidate = resolve(self, rows, network, head, more=True)
        candidate = candidate.with_settings(seed=seed_of(self), progress=progress, filling=filling)
        previous = self._weights_to_continue(labels) if known else None
        fitted, stream = go_on(candidate, rows, previous, _stream_of(self))
        self.__dict__.update(self._found(fitted, labels, known))
        if filling is not None:
            self._filling = list(filling)
        self._n_components_given = self.n_components
        self._stream = _plain(stream, labels)
        self.n_samples_seen_ = stream.n_rows
        for name in ("_explained_variance_ratio", "feature_errors_"):  # those of a whole fit
            self.__dict__.pop(name, None)

    def _weights_to_continue(self, labels):
        """Return all weights that training goes on from, those that predict labels among them."""
        return [*self.weights_, *([] if labels is None else labels.unfold(*self.head_))]


def _plain(stream: Stream, labels: Labels | None) -> dict:
    """Return where training stands, and the units of labels, as types that skops knows."""
    plain = stream._asdict() | {"penalties": list(stream.penalties)}
    if labels is not None and labels.mean is not None:
        plain |= {"label_mean": labels.mean, "label_scale": labels.scale}
    return plain


def _stream_of(estimator: Any) -> Stream | None:
    """Return where the training of an estimator stands, or None if it has not begun in parts."""
    kept = getattr(estimator, "_stream", None)
    if kept is None:
        return None
    values = {name: kept[name] for name in Stream._fields}
    return Stream(**{**values, "penalties": Penalties(*kept["penalties"])})


def _comparable(rows: Rows, filling: Filling | None, known: bool) -> Rows:
    """Return the rows with `holes` set if the rows before had some; refuse holes if they had none.

    `known` says whether there were rows before.
    """
    if known and filling is None and rows.holes is not None:
        raise ValueError(
            "Input X contains NaN, and the rows before had no missing values, so nothing tells how "
            "to fill them. Fit the estimator anew, with missing values in the first rows, or fill "
            "X first, with sklearn.impute.SimpleImputer for example."
        )
    if filling is None or rows.holes is not None:
        return rows
    return Rows(rows.X, rows.weights, labels=rows.labels, holes=np.zeros(rows.X.shape, bool))
