"""Where training starts: from PCA, or from random weights.

A linear autoencoder with squared error has PCA as its optimum (Bourlard & Kamp, "Auto-association
by multilayer perceptrons and singular value decomposition", 1988; Baldi & Hornik, "Neural networks
and principal component analysis", 1989), so a network that starts there can only improve on it.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import linalg, special
from scipy.sparse import issparse
from scipy.sparse.linalg import LinearOperator

from skae._activations import ACTIVATIONS
from skae._rows import Rows
from skae._scikit_learn import _randomized_svd
from skae._spec import NetworkSpec
from skae._threads import one_thread

# Up to this many features (or rows) a square matrix of them is decomposed exactly.
MAX_EXACT = 1024
# How far below the smallest code of the training rows a rectified code may fall before it is
# clipped, in ranges of that code. A margin of 1 clipped rows not seen in training: on sparse counts
# the test error was 1.15 times PCA's in the worst case tried, with 2 it was 1.01.
MARGIN = 2.0
# A mean of a feature nearer than this to 0 or 1 would start its sigmoid in saturation.
CLIP = 5e-2


class PrincipalAxes(NamedTuple):
    """PCA of some rows, in float64: as many axes as the rows have rank, at most."""

    mean: np.ndarray  # (n_features,)
    axes: np.ndarray  # (n_axes, n_features), orthonormal
    variances: np.ndarray  # (n_axes,), falling

    @property
    def scale(self) -> float:
        """Standard deviation along the first axis; 1 where nothing varies."""
        return float(np.sqrt(self.variances[0])) if len(self.variances) else 1.0


def principal_axes(rows: Rows, n_components: int, seed: int) -> PrincipalAxes:
    """Weighted PCA of the rows."""
    mean = rows.mean()
    n_axes = min(n_components, len(rows), rows.n_features)
    precision = np.dtype(np.float64)
    if rows.n_features <= MAX_EXACT:
        # In float64 as long as that costs nothing that one would notice, and where squares need it.
        if len(rows) * rows.n_features**2 >= 1e9 and _squares_fit(rows):
            precision = rows.dtype
        variances, axes = _from_covariance(rows, mean, n_axes, precision)
    elif len(rows) <= MAX_EXACT and not issparse(rows.X):
        variances, axes = _from_gram(rows, mean, n_axes)
    else:
        variances, axes = _from_random_projections(rows, mean, n_axes, seed)
    # Beyond the rank of the rows the axes are arbitrary, and differ where rounding does.
    kept = variances > _from_rounding(rows, mean, variances, precision)
    variances, axes = variances[kept], axes[kept]
    # Fixed signs: the entry of largest magnitude is positive.
    largest = np.abs(axes).argmax(axis=1)
    axes = axes * np.sign(axes[np.arange(len(axes)), largest])[:, None]
    return PrincipalAxes(mean, axes, variances)


def _squares_fit(rows):
    """Whether the dtype of the rows holds sums of their squares, and what is small beside them."""
    largest = float(np.abs(rows.extremes).max())
    limits = np.finfo(rows.dtype)
    tiny, eps, most = map(float, (limits.tiny, limits.eps, limits.max))
    return tiny / eps**2 < largest**2 < most / (4 * len(rows))


def _from_rounding(rows, mean, variances, precision):
    """The largest variance that rounding alone can make, of the products and of the rows.

    Products made up to 3 eps of the first variance, of 40 to 200,000 rows of 10 to 1,100 features:
    unlike the usual tolerance for singular values, this one need not grow with either. Rows differ
    from what was rounded by noise, whose variances are those of a random matrix of their shape.
    """
    first = variances[:1].sum()
    noise = np.finfo(rows.dtype).eps * (1 + np.sqrt(rows.n_features / len(rows)))
    return 50 * np.finfo(precision).eps * first + noise**2 * (np.square(mean).max() + first)


def _from_covariance(rows, mean, n_axes, precision):
    n_features = rows.n_features
    covariance, total = np.zeros((n_features, n_features)), 0.0
    for block, weights in rows.blocks():
        # In float64, whatever they are kept in: an offset may be far larger than what varies.
        centred = np.subtract(
            block, mean, dtype=np.float64, out=np.empty(block.shape, precision), casting="same_kind"
        )
        if weights is not None:
            centred *= np.sqrt(weights)[:, None]
        covariance += centred.T @ centred
        total += len(block) if weights is None else weights.sum(dtype=np.float64)
    return _leading(covariance / total, n_axes)


def _from_gram(rows, mean, n_axes):
    centred = np.concatenate([block - mean for block, _ in rows.blocks()])
    if rows.weights is not None:
        centred *= np.sqrt(rows.weights)[:, None]
    squares, left = _leading(centred @ centred.T, n_axes)
    squares = np.maximum(squares, np.finfo(np.float64).tiny)
    axes = (left @ centred) / np.sqrt(squares)[:, None]
    return squares / rows.total_weight(), axes


def _leading(symmetric, n_axes):
    """The largest eigenvalues of a matrix, falling, and their eigenvectors as rows."""
    n = len(symmetric)
    with one_thread():  # of SciPy, after NumPy's product
        values, vectors = linalg.eigh(symmetric, subset_by_index=[n - n_axes, n - 1])
    return values[::-1], vectors.T[::-1]


def _from_random_projections(rows, mean, n_axes, seed):
    """Halko et al., "Finding structure with randomness" (2011), with centring left implicit."""
    root = np.ones(len(rows)) if rows.weights is None else np.sqrt(rows.weights, dtype=np.float64)
    root = root[:, None]

    def project(Q):
        if issparse(rows.X):
            return root * (rows.X @ Q - mean @ Q)
        return root * np.concatenate([(block - mean) @ Q for block, _ in rows.blocks()])

    def project_back(Q):
        Q = root * Q
        if issparse(rows.X):
            return rows.X.T @ Q - np.outer(mean, Q.sum(axis=0))
        total, begin = 0.0, 0
        for block, _ in rows.blocks():
            total = total + (block - mean).T @ Q[begin : begin + len(block)]
            begin += len(block)
        return total

    centred = LinearOperator(
        (len(rows), rows.n_features),
        matvec=lambda q: project(q.reshape(-1, 1)),
        matmat=project,
        rmatvec=lambda q: project_back(q.reshape(-1, 1)),
        rmatmat=project_back,
        dtype=np.float64,
    )
    # The public function refuses operators, which scikit-learn itself passes to the private one.
    _, singular, axes = _randomized_svd(centred, n_axes, random_state=seed)
    return singular**2 / rows.total_weight(), axes


def pca_start(
    spec: NetworkSpec, pca: PrincipalAxes, rng: np.random.Generator, noise: float = 0.0
) -> list[np.ndarray]:
    """Weights with which the network is PCA, to first order where an activation is curved; a
    variational one is probabilistic PCA (Tipping & Bishop, 1999) with `noise` as the variance of
    the noise, which is its optimum if it is linear (Lucas et al., "Don't blame the ELBO!",
    NeurIPS 2019)."""
    n_axes = len(pca.axes)
    width, centre, value, slope = _linear_range(spec.code_activation, pca)
    kept = np.ones(n_axes)
    if spec.kl_weight:
        # Axes that vary less than the noise are not worth their divergence; a tenth of them is
        # left for training to decide on.
        kept = np.maximum(1 - noise / pca.variances, 0.1)
        width = np.sqrt(kept / pca.variances)
    kernel = np.zeros((spec.n_features, spec.n_components))
    kernel[:, :n_axes] = pca.axes.T * width
    # Units beyond the rank have nothing to explain: a random encoder and a decoder of zeros.
    kernel[:, n_axes:] = _glorot(rng, (spec.n_features, spec.n_components))[:, n_axes:]
    bias = -pca.mean @ kernel
    bias[:n_axes] += centre
    mean, output_slope = _inverse(spec, pca.mean)
    back = np.zeros((spec.n_components, spec.n_features))
    back[:n_axes] = pca.axes * (kept / (width * slope))[:, None] / output_slope
    weights = _assemble(spec, rng, [(kernel, bias), (back, mean - value @ back[:n_axes])])
    if spec.kl_weight:
        weights[-1][:n_axes] = np.log(np.minimum(noise / pca.variances, 1))
    return weights


def _linear_range(activation, pca):
    """Where a code activation is nearly linear: f(centre + width z) is about
    value + slope width z for projections z within four standard deviations."""
    ones = np.ones(len(pca.axes))
    if activation == "linear":
        return ones, 0 * ones, 0 * ones, ones
    width = 0.125 / np.sqrt(pca.variances)
    centre = (3.0 if activation == "relu6" else 0.0) * ones
    below, value, above = (ACTIVATIONS[activation](centre + step) for step in (-1e-4, 0.0, 1e-4))
    return width, centre, value, (above - below) / 2e-4


def _inverse(spec, mean):
    """Argument at which an output activation yields the mean, and its slope there."""
    if spec.output_unit is None:
        return _inverse_activation(spec.output_activation, mean)
    argument, slope = _inverse_activation(spec.output_activation, mean / spec.output_unit - 1)
    return argument, slope * spec.output_unit


def _inverse_activation(activation, mean):
    if activation == "sigmoid":
        mean = np.clip(mean, CLIP, 1 - CLIP)
        return special.logit(mean), mean * (1 - mean)
    if activation == "tanh":
        mean = np.clip(mean, CLIP - 1, 1 - CLIP)
        return np.arctanh(mean), 1 - mean**2
    if activation == "exponential":
        mean = np.maximum(mean, CLIP)
        return np.log(mean), mean
    # The linear, and those that have their argument as asymptote: the start is PCA above zero.
    return mean, np.ones_like(mean)


def glorot_start(
    spec: NetworkSpec, rng: np.random.Generator, mean: np.ndarray | None = None
) -> list[np.ndarray]:
    """Weights as Keras draws them by default (Glorot & Bengio, AISTATS 2010); `mean` is the bias of
    a dense output, if it is given."""
    weights = _assemble(spec, rng, None)
    if mean is not None and spec.image_shape is None:
        bias = 2 * spec.n_encoder_arrays - 1 - spec.shortcut
        weights[bias] = mean.astype(spec.dtype)
    return weights


def _assemble(spec, rng, ends):
    """All weight arrays in the order of the spec.

    `ends` are the kernel and bias that either half starts as, or None for a random start. A half
    with hidden layers has them as its shortcut, which its last layer, starting at zero, corrects.
    """
    weights = []
    for half, shapes in enumerate(spec.half_shapes()):
        layers = shapes if not spec.shortcut else shapes[: -1 if spec.image_shape is None else -2]
        arrays = [_glorot(rng, s) if len(s) > 1 else np.zeros(s) for s in layers]
        if ends is not None:
            kernel, bias = ends[half]
            if not spec.shortcut:
                arrays[-2:] = [kernel, bias]
            elif spec.image_shape is None:
                arrays[-2:] = [np.zeros_like(arrays[-2]), bias, kernel]
            else:
                arrays[-2:] = [np.zeros_like(arrays[-2]), arrays[-1], kernel, bias]
        weights += arrays
    weights += [np.zeros(shape) for shape in spec.shapes()[len(weights) :]]
    return [array.astype(spec.dtype) for array in weights]


def _glorot(rng, shape):
    """A kernel whose last two axes are its inputs and outputs."""
    limit = np.sqrt(6 / (math.prod(shape[:-2]) * (shape[-2] + shape[-1])))
    return rng.uniform(-limit, limit, shape)
