"""Read the rows and weights that users pass, or explain why they can't be read."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from skae._data.filling import Filling, filling_of
from skae._data.labels import Labels, fitted_labels, read_labels
from skae._data.precision import precision
from skae._data.rows import Rows, n_of_moments, without_duplicates
from skae._data.sources import source_of
from skae._data.stored import Stored, empty_rows, holes_of, in_blocks
from skae._scikit_learn import _check_sample_weight


@contextlib.contextmanager
def explained(X: Any, name: str, image_shape: Any) -> Iterator[None]:
    """Explain, better than scikit-learn does, why some rows can't be read.

    They are images with all their dimensions, or arrays that NumPy can't access.
    """
    sized = isinstance(X, list | tuple) and len(X) > 0
    n_dimensions = 1 + np.ndim(X[0]) if sized else len(getattr(X, "shape", ()))
    if image_shape is not None and n_dimensions > 2:
        raise ValueError(
            f"{name} must have two dimensions: one row for each image, flattened in C order. Got "
            f"{n_dimensions} dimensions with image_shape={image_shape!r}. Pass "
            f"{name}.reshape(len({name}), -1), after np.asarray({name}) if it is a list."
        )
    try:
        yield
    except (TypeError, RuntimeError) as error:
        if _is_array(X):
            raise
        raise TypeError(
            f"{name} must be an array that NumPy can read. Got {type(X).__name__}: {error} Pass "
            f"{name}.detach().cpu().numpy() for a PyTorch tensor, {name}.numpy() for a TensorFlow "
            f"tensor outside tf.function, or np.asarray({name}) for any other object whose data "
            "are in the memory of this process."
        ) from error


def _is_array(X):
    """Return whether NumPy can read X as more than a single object."""
    try:
        return np.asarray(X).ndim > 0  # np.ndim would trust X.ndim
    except (TypeError, RuntimeError):
        return False


def read(estimator: Any, X: Any, *, ensure_all_finite: bool = True) -> Any:
    """Validate X and return its rows, dense or sparse, in the dtype to compute in.

    Dense rows may have NaN if the estimator was fitted to such rows.
    """
    if ensure_all_finite and filling_of(estimator) is not None:
        return _validated(estimator, X, ensure_all_finite="allow-nan", in_storage="allow-nan")
    try:
        rows = _validated(estimator, X, ensure_all_finite=ensure_all_finite)
    except ValueError as error:
        if str(error).startswith("Input X contains NaN"):
            _refuse_holes()
        raise
    if isinstance(rows, Stored):
        rows.refuse_holes = _refuse_holes
    return rows


def _refuse_holes():
    raise ValueError(
        "Input X contains NaN, and this estimator was fitted to rows without missing values, so it "
        "can't fill them. Fit it to dense rows with missing values, or fill X first, with "
        "sklearn.impute.SimpleImputer for example."
    ) from None


def _validated(
    estimator: Any,
    X: Any,
    *,
    reset: bool = False,
    accept_sparse: str | tuple = ("csr", "csc"),
    ensure_all_finite: bool | str = True,
    in_storage: bool | str = True,
) -> Any:
    """Return validated rows; `in_storage` is `ensure_all_finite` of rows that are in storage."""
    source = source_of(X)
    with explained(X, "X", estimator.image_shape):
        if source is not None:
            validate_data(estimator, source.header, reset=reset, skip_check_array=True)
            rows = in_blocks(source, in_storage)
            if isinstance(rows, Stored):
                return rows
            return check_array(rows, dtype=rows.dtype, ensure_all_finite=False)
        rows = validate_data(
            estimator,
            X,
            reset=reset,
            dtype=precision(X),
            accept_sparse=accept_sparse,
            ensure_all_finite=ensure_all_finite,
        )
    if ensure_all_finite == "allow-nan" and sparse.issparse(rows) and np.isnan(rows.data).any():
        raise ValueError(
            "Input X contains NaN, and missing values are filled in dense rows only. Pass "
            "X.toarray(), or fill X first, with sklearn.impute.SimpleImputer for example."
        )
    return rows


def read_codes(estimator: Any, X: Any, n_components: int) -> np.ndarray:
    """Validate codes and return them in the dtype to compute in."""
    with explained(X, "X", None):
        codes = check_array(X, dtype=precision(X), estimator=estimator, input_name="X")
    if codes.shape[1] != n_components:
        raise ValueError(
            f"X has {codes.shape[1]} columns, but AutoencoderTransformer decodes codes of "
            f"n_components={n_components}, as transform returns them."
        )
    return codes


def training_rows(
    estimator: Any, X: Any, y: Any, sample_weight: Any, *, reset: bool
) -> tuple[Rows, Labels | None]:
    """Validate X, y and the weights, and return the rows to train on, with their labels.

    Where entries are missing, X is NaN and `holes` is set.
    """
    given, shows = X, not sparse.issparse(X)
    finite = False if shows else "allow-nan"
    X = _validated(
        estimator,
        X,
        reset=reset,
        accept_sparse="csr",
        ensure_all_finite=finite,
        in_storage="allow-nan",
    )
    X = without_duplicates(X)
    rows, holes = Rows(X), None
    if rows.stored:
        if estimator.verbose:
            print(f"[AutoencoderTransformer] reading {len(X):,} rows of X in blocks")
        rows.expect(n_of_moments(rows), 0)
        holes = holes_of(X) if X.scan().incomplete else None
    # The extremes, which are needed anyway, are not finite if any entry is not.
    elif shows and not np.isfinite(rows.extremes).all():
        _validated(estimator, given, ensure_all_finite="allow-nan")
        holes = holes_of(X)
    fitted = None if reset else fitted_labels(estimator)
    copies = None
    if sample_weight is not None:
        with explained(sample_weight, "sample_weight", None):
            copies = _counts(sample_weight, X)
    if holes is not None:
        copies = _without_empty(copies, X, holes)
    labels = _labels(estimator, y, np.ones(len(rows)) if copies is None else copies, fitted, "y")
    targets = None if labels is None else labels.targets.astype(rows.dtype)
    if copies is not None or holes is not None:
        rows = Rows(X, copies, labels=targets, holes=holes)
        if rows.stored and len(rows) < len(X):
            X.scan().restrict(block for block, _ in rows.blocks())
        return rows, labels
    rows.labels = targets
    return rows, labels


def _without_empty(copies, X, holes):
    """Return the weights with zeros for rows without a value; refuse features without one."""
    empty = empty_rows(X, holes)
    if len(empty):
        copies = np.ones(len(X), X.dtype) if copies is None else copies.copy()
        copies[empty] = 0
    known = np.zeros(X.shape[1], bool)
    for block, _ in Rows(X, copies, holes=holes).targets():
        known |= ~np.isnan(block).all(axis=0)
    unknown = np.flatnonzero(~known)
    if len(unknown):
        raise ValueError(
            "X must have a value of each feature in some row of a weight above zero. Got "
            f"{len(unknown)} of {X.shape[1]} features without any, the first of which is "
            f"number {unknown[0]}. Remove them."
        )
    return copies


def _labels(estimator, y, copies, like, name):
    """Return the labels of some rows, or None if they are not asked for."""
    if not estimator.label_weight:
        return None
    if y is None:
        raise ValueError(
            f"label_weight={estimator.label_weight!r} needs labels, and {name} is None. Pass "
            f"{name} to fit, or set label_weight=0."
        )
    labels = read_labels(y, copies, estimator.missing_label, like, name)
    if estimator.verbose:
        missing = int((labels.targets[:, -1] == 0).sum())
        print(f"[AutoencoderTransformer] {missing} of {len(copies)} rows have no label in {name}")
    return labels


def validation_rows(
    estimator: Any,
    X_val: Any,
    y_val: Any,
    dtype: np.dtype,
    labels: Labels | None,
    filling: Filling | None,
) -> Rows:
    """Return the rows to validate on; the last three arguments are those of the training rows."""
    source = source_of(X_val, "X_val")
    with explained(X_val, "X_val", estimator.image_shape):
        header = X_val if source is None else source.header
        validate_data(estimator, header, reset=False, skip_check_array=True)
        finite = "allow-nan" if filling else True
        checked = None if source is None else in_blocks(source, finite, "X_val", dtype)
        if not isinstance(checked, Stored):
            given = X_val if checked is None else checked
            checked = check_array(
                given,
                dtype=np.result_type(dtype, precision(given)),
                accept_sparse=False if filling else "csr",
                ensure_all_finite=finite,
                estimator=estimator,
                input_name="X_val",
            )
    rows = Rows(without_duplicates(checked))
    if filling is not None:
        rows = Rows(checked, holes=_holes_to_validate(checked)).filled(filling)
    if labels is not None:
        of_rows = _labels(estimator, y_val, np.ones(len(rows)), labels, "y_val")
        rows.labels = of_rows.targets.astype(rows.dtype)
    return rows


def _holes_to_validate(X_val):
    """Return which entries are missing; refuse rows that have no others."""
    holes = holes_of(X_val)
    if len(empty_rows(X_val, holes)) == len(X_val):
        raise ValueError("X_val must have a value that is not missing.")
    return holes


def _counts(sample_weight, X):
    """Return the weights as numbers of copies of each row.

    Weights whose mean is below one can't be numbers of copies, so they are shares of the total.
    """
    weights = _check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True)
    if not weights.any():
        raise ValueError("Sample weights must not all be zero: no row would be left to train on.")
    mean = weights[weights != 0].mean(dtype=np.float64)
    return weights if mean >= 1 else (weights / mean).astype(X.dtype)
