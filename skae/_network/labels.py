"""Labels beside a reconstruction: what a linear layer on the code predicts, and its loss.

A label is a row of targets with a last column that is 1 where the label is known and 0 where it is
missing. The loss of a known label is, by the kind of labels,

- "classes": the cross-entropy of a softmax; the only target is the number of the class,
- "indicators": the mean cross-entropy of sigmoids, one for each column of zeros and ones,
- "numbers": the mean squared error of columns that are scaled to unit variance.
"""

from typing import NamedTuple

import numpy as np
from scipy import special

KINDS = ("classes", "indicators", "numbers")


class Head(NamedTuple):
    """The linear layer from the code to the labels, without its weights."""

    kind: str  # "classes", "indicators" or "numbers"
    n_outputs: int

    @property
    def n_targets(self) -> int:
        """Columns of a label, without the last."""
        return 1 if self.kind == "classes" else self.n_outputs


def losses(kind: str, outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the loss of each row, which is 0 where its label is missing."""
    targets, known = labels[:, :-1], labels[:, -1]
    if kind == "classes":
        chosen = np.take_along_axis(outputs, targets.astype(np.intp), axis=1)[:, 0]
        found = special.logsumexp(outputs, axis=1) - chosen
    elif kind == "indicators":
        found = (np.logaddexp(0, outputs) - targets * outputs).mean(axis=1)
    else:
        found = np.square(outputs - targets).mean(axis=1)
    return found * known


def gradients(kind: str, outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the derivatives of these losses with respect to the outputs."""
    targets, known = labels[:, :-1], labels[:, -1:]
    if kind == "classes":
        found = special.softmax(outputs, axis=1)
        rows = np.arange(len(outputs))
        found[rows, targets[:, 0].astype(np.intp)] -= 1
    elif kind == "indicators":
        found = (special.expit(outputs) - targets) / outputs.shape[1]
    else:
        found = 2 * (outputs - targets) / outputs.shape[1]
    return found * known


def curvature(kind: str, outputs: np.ndarray) -> np.ndarray:
    """Return a matrix that maps outputs to where distances are as the loss counts them.

    It is the root of half the Hessian of the loss at given outputs, the same for all rows.
    """
    n_outputs = len(outputs)
    if kind == "numbers":
        return np.eye(n_outputs) / np.sqrt(n_outputs)
    if kind == "indicators":
        likely = special.expit(outputs)
        return np.diag(np.sqrt(likely * (1 - likely) / (2 * n_outputs)))
    likely = special.softmax(outputs)
    values, vectors = np.linalg.eigh((np.diag(likely) - np.outer(likely, likely)) / 2)
    return vectors * np.sqrt(np.maximum(values, 0))


def constant(kind: str, labels: np.ndarray, copies: np.ndarray, n_outputs: int) -> np.ndarray:
    """Return the outputs, the same for all rows, with the lowest loss."""
    known = labels[:, -1] * copies
    targets = labels[:, :-1].astype(np.float64)
    if kind == "numbers":
        return known @ targets / known.sum()
    if kind == "indicators":
        # Half a row of each kind keeps what was never seen from being impossible.
        return special.logit((known @ targets + 0.5) / (known.sum() + 1))
    counts = np.bincount(targets[:, 0].astype(np.intp), known, n_outputs)
    return np.log((counts + 0.5) / (counts.sum() + 0.5 * n_outputs))
