"""Equal networks with other numbers: exact changes of the units of rows and codes.

Adam moves every weight by about the learning rate, whatever the unit of the data. So rows are
scaled for training, and centred where the loss and the network allow it, and the change is folded
into the first and last layers afterwards. The user's network takes the user's rows.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from sklearn.utils.extmath import svd_flip

from skae._data.rows import Rows, moments
from skae._fitting.principal import PrincipalAxes
from skae._network.activations import HOMOGENEOUS, SLOPE_ABOVE_ZERO
from skae._network.inference import decode, encode
from skae._network.losses import Loss
from skae._network.spec import NetworkSpec, Penalties
from skae._threads import one_thread

# The unit of an output that must be positive, in means of X. A reconstruction is nowhere below it,
# and bends away from a line where it comes near. Without such a least, what is rare and was not
# seen in training costs any amount: with 0.01 counts of unseen rows had a deviance higher by 2 %.
POSITIVE = 0.05
# How far below the smallest code of the training rows a rectified code may fall before it is
# clipped, in ranges of that code. A margin of 1 clipped rows not seen in training: on sparse counts
# the test error was 1.15 times PCA's in the worst case tried, with 2 it was 1.01.
MARGIN = 2.0


class Units(NamedTuple):
    """Rows are trained on as (X - mean) / scale; one scale for all features, as a scale for each
    would weigh their errors anew."""

    mean: np.ndarray
    scale: float

    def rows(self, rows: Rows) -> Rows:
        return rows.in_units(self.mean, self.scale)

    def axes(self, pca: PrincipalAxes) -> PrincipalAxes:
        return PrincipalAxes(
            (pca.mean - self.mean) / self.scale,
            pca.axes,
            pca.variances / self.scale**2,
        )

    def penalties(self, spec: NetworkSpec, loss: Loss, penalties: Penalties) -> Penalties:
        """Weights with which the code's losses are in the unit that the loss has here."""
        unit = self.scale ** (loss.power or 0)
        code = self.scale if _code_has_unit(spec) else 1.0
        return Penalties(penalties.sparsity * code / unit, penalties.divergence / unit)

    def loss_offset(self, loss: Loss, rows: Rows) -> float:
        """What to add to a mean loss in these units, times its unit, for the loss of the rows."""
        if self.scale == 1 or loss.shifts or loss.power is None:
            return 0.0
        # The likelihood of counts: mean - x log(mean) is c (mean / c - x / c log(mean / c)) and
        # what the unit c adds, -x log(c).
        return -float(rows.mean().mean() * np.log(self.scale))

    def fold(self, spec: NetworkSpec, weights: list[np.ndarray]) -> list[np.ndarray]:
        """Weights for rows as they are from weights for rows in these units."""
        if self.scale == 1 and not self.mean.any():
            return list(weights)
        arrays = [np.asarray(array, np.float64) for array in weights]
        halves = _halves(spec)
        inputs = halves[0].inputs
        if spec.kl_weight and not spec.hidden_layer_sizes:
            inputs = [*inputs, (len(arrays) - 2, len(arrays) - 1)]  # of the log-variance
        for kernel, bias in inputs:
            arrays[kernel] = arrays[kernel] / self.scale
            if self.mean.any():
                arrays[bias] = arrays[bias] - self.mean @ arrays[kernel]
        if _code_has_unit(spec):
            # The code in the unit of the rows too, as PCA's is.
            for i in halves[0].outputs:
                arrays[i] = arrays[i] * self.scale
            for kernel, _ in halves[1].inputs:
                arrays[kernel] = arrays[kernel] / self.scale
        bias = halves[1].outputs[1]
        if spec.output_activation == "exponential":
            arrays[bias] = arrays[bias] + np.log(self.scale)
        elif spec.output_unit is None:
            for i in halves[1].outputs:
                arrays[i] = arrays[i] * self.scale
            if self.mean.any():
                arrays[bias] = arrays[bias] + self.mean
        return [array.astype(spec.dtype) for array in arrays]

    def unfold(self, spec: NetworkSpec, weights: list[np.ndarray]) -> list[np.ndarray]:
        """Weights for rows in these units from weights for rows as they are."""
        return Units(-self.mean / self.scale, 1 / self.scale).fold(spec, weights)


def may_scale(spec: NetworkSpec, loss: Loss) -> bool:
    """Whether there is an equal network for rows in any unit."""
    folds = spec.output_activation in (*HOMOGENEOUS, "exponential") or spec.output_unit is not None
    return spec.network is None and loss.power is not None and folds


def may_centre(spec: NetworkSpec, loss: Loss) -> bool:
    """Whether there is an equal network for rows that are moved, too."""
    # Convolutions fill up with zeros, which are another value then.
    linear = spec.dense and spec.output_activation == "linear"
    return linear and loss.shifts and may_scale(spec, loss)


def units_for(spec: NetworkSpec, loss: Loss, rows: Rows, pca: PrincipalAxes | None = None) -> Units:
    """The units to train on rows in; `pca` is where training starts, if it does so there."""
    origin = np.zeros(spec.n_features)
    if not may_scale(spec, loss):
        return Units(origin, 1.0)
    if spec.output_unit is not None:
        return Units(origin, spec.output_unit / POSITIVE)
    centred = may_centre(spec, loss)
    if centred and pca is not None:
        return Units(pca.mean, pca.scale)
    mean, deviation = moments(rows)
    squares = np.square(deviation) + (0 if centred else np.square(mean))
    return Units(mean if centred else origin, float(np.sqrt(squares.mean())) or 1.0)


def in_units(spec: NetworkSpec) -> NetworkSpec:
    """The network that is trained: the unit of a positive output is the same in all units."""
    return spec if spec.output_unit is None else dataclasses.replace(spec, output_unit=POSITIVE)


class _Half(NamedTuple):
    """Where the arrays of a half are, in the order of all."""

    inputs: list[tuple[int, int]]  # kernels that its input meets, each with a bias it adds to
    outputs: list[int]  # kernels and biases that its output is a sum of; the second is a bias


def _halves(spec):
    halves, first = [], 0
    for shapes in spec.half_shapes():
        end = first + len(shapes)
        last = end - 2 - spec.shortcut * (1 if spec.image_shape is None else 2)
        inputs = [(first, first + 1)]
        if spec.shortcut:
            # That of an image has a bias of its own.
            inputs.append((last + 2, last + 1 if spec.image_shape is None else last + 3))
        halves.append(_Half(inputs, [*range(last, end)]))
        first = end
    return halves


def _code_has_unit(spec):
    """Whether the code is in the unit of the rows; a variational one is standard normal."""
    return not spec.kl_weight and spec.code_activation in HOMOGENEOUS


@one_thread()
def order_code(
    spec: NetworkSpec, weights: list[np.ndarray], rows: Rows, sample: Rows
) -> list[np.ndarray]:
    """Weights of the same network with its linear code turned and stretched to be read as PCA's.

    Training leaves a linear code in any basis. In this one the components are uncorrelated on the
    rows, in falling order of the variance they explain, and the distance of two codes is that of
    their reconstructions, as far as a linear map of the code gives these, fitted to a sample.
    PCA's code is such already.
    """
    mean, covariance = _moments_of_code(spec, weights, rows)
    values, vectors = np.linalg.eigh(covariance)
    if values[0] <= 1e-10 * values[-1]:
        return weights  # more components than the code has dimensions: there is no such basis
    root = vectors * np.sqrt(values)
    back = _linear_decoder(spec, weights, sample)
    _, explained, axes = np.linalg.svd(root.T @ back, full_matrices=False)
    if explained[-1] <= 1e-6 * explained[0]:
        return weights
    basis = back @ svd_flip(None, axes, u_based_decision=False)[1].T
    arrays = [np.asarray(array, np.float64) for array in weights]
    encoder, decoder = _halves(spec)
    arrays[encoder.outputs[1]] = arrays[encoder.outputs[1]] - mean
    for i in encoder.outputs:
        arrays[i] = arrays[i] @ basis
    for kernel, bias in decoder.inputs:
        arrays[bias] = arrays[bias] + mean @ arrays[kernel]
        arrays[kernel] = np.linalg.solve(basis, arrays[kernel])
    return [array.astype(spec.dtype) for array in arrays]


def _moments_of_code(spec, weights, rows):
    """Weighted mean and covariance of the codes of all rows, in float64.

    Sums are of what differs from the first code, since a mean may be far larger than that."""
    first = np.zeros(0)
    total, squares, weight = np.zeros(spec.n_components), np.zeros((spec.n_components,) * 2), 0.0
    for block, row_weights in rows.blocks():
        codes = encode(spec, weights, block).astype(np.float64)
        first = first if first.size else codes[0].copy()
        codes -= first
        shared = codes if row_weights is None else codes * row_weights[:, None].astype(np.float64)
        total, squares = total + shared.sum(axis=0), squares + codes.T @ shared
        weight += len(codes) if row_weights is None else row_weights.sum(dtype=np.float64)
    mean = total / weight
    return first + mean, squares / weight - np.outer(mean, mean)


def _linear_decoder(spec, weights, rows):
    """The linear map that gives reconstructions from codes best."""
    codes = np.concatenate([encode(spec, weights, block) for block, _ in rows.blocks()])
    decoded = decode(spec, weights, codes)
    row_weights = np.ones(len(rows)) if rows.weights is None else rows.weights
    share = (row_weights / rows.total_weight())[:, None]
    centred = codes - (codes * share).sum(axis=0)
    shared = centred * share
    return np.linalg.lstsq(centred.T @ shared, shared.T @ decoded, rcond=None)[0]


def rectify(
    spec: NetworkSpec, weights: list[np.ndarray], rows: Rows, activation: str
) -> list[np.ndarray]:
    """Weights of the same network with a rectified code, from those with a linear one.

    Each code is raised until it is positive on all rows, where a rectifier is linear, with a
    margin for rows not seen. Training with the raised code instead ties the decoder's kernel to
    its bias: on MNIST it ended at a test error of 0.0100 where this ends at 0.0093.
    """
    arrays = [np.asarray(array, np.float64) for array in weights]
    codes = [encode(spec, weights, block) for block, _ in rows.blocks()]
    lowest = np.min([c.min(axis=0) for c in codes], axis=0).astype(float)
    highest = np.max([c.max(axis=0) for c in codes], axis=0).astype(float)
    raised = -lowest + MARGIN * (highest - lowest)
    encoder, decoder = _halves(spec)
    arrays[encoder.outputs[1]] = arrays[encoder.outputs[1]] + raised
    for kernel, bias in decoder.inputs:
        arrays[bias] = arrays[bias] - raised @ arrays[kernel]
        arrays[kernel] = arrays[kernel] / SLOPE_ABOVE_ZERO[activation]
    return [array.astype(spec.dtype) for array in arrays]
