"""Read y, find out what kind of labels it holds, and turn them into targets."""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skae._network.labels import Head

# Integers with more distinct values than this, or than the square root of the number of rows, are
# taken for numbers that were meant to be floats.
MAX_CLASSES = 20
WAY_OUT = (
    "Pass y as y.astype(float) to have numbers predicted, or as y.astype(str) if these are classes."
)


class Labels(NamedTuple):
    """The labels of some rows, and what a later y has to agree with."""

    head: Head
    targets: Any  # an array as `skae._network.labels` describes it, or None
    classes: np.ndarray | None  # in the order of the outputs
    mean: Any = None  # of numbers, for each column
    scale: Any = None

    def fold(self, kernel: np.ndarray, bias: np.ndarray) -> list[np.ndarray]:
        """Return the layer that predicts y as it is, from the one that predicts the targets."""
        if self.head.kind != "numbers":
            return [kernel, bias]
        scale, mean = self.scale.astype(kernel.dtype), self.mean.astype(kernel.dtype)
        return [kernel * scale, bias * scale + mean]

    def unfold(self, kernel: np.ndarray, bias: np.ndarray) -> list[np.ndarray]:
        """Return the layer that predicts the targets, from the one that predicts y as it is."""
        if self.head.kind != "numbers":
            return [kernel, bias]
        scale, mean = self.scale.astype(kernel.dtype), self.mean.astype(kernel.dtype)
        return [kernel / scale, (bias - mean) / scale]


def fitted_labels(estimator: Any) -> Labels | None:
    """Return what the labels of an earlier fit were, or None if there were none."""
    head = getattr(estimator, "head_", None)
    if head is None:
        return None
    kind = Head(estimator.network_["label_kind"], len(head[1]))
    # Training in parts keeps the units of numbers, which one fit after another finds anew.
    units = getattr(estimator, "_stream", {})
    units = units.get("label_mean"), units.get("label_scale")
    return Labels(kind, None, getattr(estimator, "classes_", None), *units)


def read_labels(
    y: Any, copies: np.ndarray, missing_label: Any, like: Labels | None, name: str
) -> Labels:
    """Return the labels in y, of the kind and with the classes of `like` if that is given.

    `copies` are the weights of the rows. Those of weight zero count as missing.
    """
    n_rows = len(copies)
    values = _values(y, name)
    if len(values) != n_rows:
        raise ValueError(
            f"{name} must have one label for each row of X. Got {len(values)} labels and "
            f"{n_rows} rows. Give rows without a label the label None or NaN."
        )
    missing = _missing(values, missing_label) | (copies == 0)
    if missing.all():
        raise ValueError(
            f"{name} has no label that is known: all of its {n_rows} values are missing. Pass "
            "labels, or set label_weight=0 to train without them."
        )
    kind = "indicators" if values.ndim == 2 else "classes"
    if values.dtype.kind == "f":
        kind = "numbers"
    if like is not None and kind != like.head.kind:
        raise ValueError(
            f"{name} holds {kind}, but the labels of this fit are {like.head.kind}. Convert "
            f"{name}: floats are numbers, several columns of zeros and ones are indicators, and "
            "everything else is classes."
        )
    if kind == "numbers":
        return _numbers(values, np.where(missing, 0, copies), like, name)
    return (_classes if kind == "classes" else _indicators)(values, missing, like, name)


def _values(y, name):
    """Return y as an array of one dimension, or of two if it has several columns."""
    if sparse.issparse(y):
        y = y.toarray()
    values = np.asarray(y)
    if values.dtype.kind in "SU":
        values = values.astype(object)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in (1, 2) or values.dtype.kind not in "biufO" or values.size == 0:
        raise ValueError(
            f"{name} must be an array of one label for each row, or of columns of numbers or "
            f"of zeros and ones. Got {type(y).__name__} of shape {values.shape} and dtype "
            f"{values.dtype}."
        )
    if values.ndim == 2 and values.dtype.kind == "O":
        raise ValueError(
            f"{name} with several columns must hold numbers. Got {values.shape[1]} columns of "
            "dtype object. Convert them, with y.astype(float) for example."
        )
    return values


def _missing(values, missing_label):
    """Return which rows have no label: any None or NaN, or the value that says so."""
    if values.dtype.kind == "f":
        missing = np.isnan(values)
    elif values.dtype.kind == "O":
        missing = np.array([_is_none(value) for value in values])
    else:
        missing = np.zeros(values.shape, bool)
    if missing_label is not None:
        same = np.array(
            [value is not None and _same(value, missing_label) for value in values.flat]
        )
        missing |= same.reshape(values.shape)
    return missing if missing.ndim == 1 else missing.any(axis=1)


def _is_none(value):
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value != value


def _same(value, missing_label):
    return not _is_none(value) and bool(value == missing_label)


def _with_mask(targets, missing):
    targets = np.where(missing[:, None], 0, targets)
    return np.column_stack([targets, ~missing]).astype(np.float64)


def _classes(values, missing, like, name):
    known = values[~missing]
    try:
        # Of plain types, so that a file can hold them and they are the same after loading.
        classes = np.array(sorted(set(known.tolist())))
    except TypeError:
        raise ValueError(
            f"{name} must hold labels of one type, which can be sorted. Got "
            f"{', '.join(sorted({type(label).__name__ for label in known}))}. Pass y.astype(str)."
        ) from None
    if like is not None:
        unseen = sorted(set(classes.tolist()) - set(like.classes.tolist()), key=str)
        if unseen:
            raise ValueError(
                f"{name} has classes that were not seen before: {unseen[:5]!r}. The classes are "
                f"{like.classes.tolist()[:20]!r}. Leave these rows out, or mark their labels as "
                "missing, with None."
            )
        classes = like.classes
    elif len(classes) < 2:
        raise ValueError(
            f"{name} must have two classes or more. Got one class, {classes.tolist()[0]!r}. Set "
            "label_weight=0 to train without labels."
        )
    most = max(MAX_CLASSES, math.isqrt(len(values)))
    if values.dtype.kind in "iu" and like is None and len(classes) > most:
        raise ValueError(
            f"{name} has integers with {len(classes)} distinct values, too many to be classes of "
            f"{len(values)} rows. At most {most} are taken as classes. {WAY_OUT}"
        )
    targets = np.zeros(len(values))
    position = {label: i for i, label in enumerate(classes.tolist())}
    targets[~missing] = [position[label] for label in known.tolist()]
    return Labels(Head("classes", len(classes)), _with_mask(targets[:, None], missing), classes)


def _indicators(values, missing, like, name):
    if not np.isin(values[~missing], (0, 1)).all():
        raise ValueError(
            f"{name} with several columns of integers must hold zeros and ones. Got values from "
            f"{values.min()} to {values.max()}. Pass y.astype(float) to have numbers predicted."
        )
    _check_width(values, like, name)
    return Labels(Head("indicators", values.shape[1]), _with_mask(values, missing), None)


def _numbers(values, copies, like, name):
    columns = values[:, None] if values.ndim == 1 else values
    columns = columns.astype(np.float64)
    missing = copies == 0
    known, copies = columns[~missing], copies[~missing].astype(np.float64)
    if not np.isfinite(known).all():
        raise ValueError(f"{name} contains infinity. Numbers must be finite; NaN means missing.")
    _check_width(columns, like, name)
    if like is None or like.mean is None:
        mean = np.average(known, axis=0, weights=copies)
        scale = np.sqrt(np.average(np.square(known - mean), axis=0, weights=copies))
        if (scale <= 1e-12 * np.abs(mean)).all():
            raise ValueError(
                f"{name} is constant, {mean[0]:g}, so there is nothing to predict. Set "
                "label_weight=0 to train without labels."
            )
        scale = np.where(scale > 0, scale, 1)
    else:
        mean, scale = like.mean, like.scale
    targets = _with_mask((columns - mean) / scale, missing)
    return Labels(Head("numbers", columns.shape[1]), targets, None, mean, scale)


def _check_width(columns, like, name):
    if like is not None and columns.shape[1] != like.head.n_outputs:
        raise ValueError(
            f"{name} must have {like.head.n_outputs} columns, as y had. Got {columns.shape[1]}."
        )
