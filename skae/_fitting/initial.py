"""The weights that training starts from: PCA, or random weights.

A linear autoencoder with squared error has PCA as its optimum (Bourlard & Kamp, "Auto-association
by multilayer perceptrons and singular value decomposition", 1988; Baldi & Hornik, "Neural networks
and principal component analysis", 1989), so a network that starts there can only improve on it.
"""

import math

import numpy as np
from scipy import special

from skae._fitting.principal import PrincipalAxes
from skae._network.activations import ACTIVATIONS
from skae._network.spec import NetworkSpec

# A feature whose mean is closer than this to 0 or 1 would start its sigmoid in saturation.
CLIP = 5e-2


def pca_start(
    spec: NetworkSpec, pca: PrincipalAxes, rng: np.random.Generator, noise: float = 0.0
) -> list[np.ndarray]:
    """Return weights with which the network is PCA, to first order where an activation is curved.

    A variational network is probabilistic PCA (Tipping & Bishop, 1999), with `noise` as the
    variance of the noise. If the network is linear, this is its optimum (Lucas et al., "Don't blame
    the ELBO!", NeurIPS 2019).
    """
    n_axes = len(pca.axes)
    width, centre, value, slope = _linear_range(spec.code_activation, pca)
    kept = np.ones(n_axes)
    if spec.kl_weight:
        # Axes that vary less than the noise are not worth their divergence. They are scaled down
        # to a tenth, so that training can decide on them.
        kept = np.maximum(1 - noise / pca.variances, 0.1)
        width = np.sqrt(kept / pca.variances)
    kernel = np.zeros((spec.n_features, spec.n_components))
    kernel[:, :n_axes] = pca.axes.T * width
    # Components beyond the rank explain nothing: a random encoder and a decoder of zeros.
    kernel[:, n_axes:] = _glorot(rng, (spec.n_features, spec.n_components))[:, n_axes:]
    bias = -pca.mean @ kernel
    bias[:n_axes] += centre
    mean, output_slope = _inverse(spec, pca.mean)
    back = np.zeros((spec.n_components, spec.n_features))
    back[:n_axes] = pca.axes * (kept / (width * slope))[:, None] / output_slope
    weights = _assemble(spec, rng, [(kernel, bias), (back, mean - value @ back[:n_axes])])
    if spec.kl_weight:
        weights[spec.log_variance + 1][:n_axes] = np.log(np.minimum(noise / pca.variances, 1))
    return weights


def _linear_range(activation, pca):
    """Return the width, center, value and slope of a code activation where it is nearly linear.

    There, f(center + width z) is about value + slope width z for projections z within four standard
    deviations.
    """
    ones = np.ones(len(pca.axes))
    if activation == "linear":
        return ones, 0 * ones, 0 * ones, ones
    width = 0.125 / np.sqrt(pca.variances)
    centre = (3.0 if activation == "relu6" else 0.0) * ones
    below, value, above = (ACTIVATIONS[activation](centre + step) for step in (-1e-4, 0.0, 1e-4))
    return width, centre, value, (above - below) / 2e-4


def _inverse(spec, mean):
    """Return the argument at which an output activation yields the mean, and its slope there."""
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
    # The linear activation, and those that approach their argument above zero, where the start is
    # PCA.
    return mean, np.ones_like(mean)


def glorot_start(
    spec: NetworkSpec, rng: np.random.Generator, mean: np.ndarray | None = None
) -> list[np.ndarray]:
    """Return weights as Keras draws them by default (Glorot & Bengio, AISTATS 2010).

    If `mean` is given, it is the bias of a dense output.
    """
    weights = _assemble(spec, rng, None)
    if mean is not None and spec.image_shape is None:
        bias = 2 * spec.n_encoder_arrays - 1 - spec.shortcut
        weights[bias] = mean.astype(spec.dtype)
    return weights


def _assemble(spec, rng, ends):
    """Return all weight arrays in the order of the spec.

    `ends` holds the kernel and bias that each half starts with, or is None for a random start. In a
    half with hidden layers they are the shortcut, and the last layer, which corrects the shortcut,
    starts at zero.
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
    """Draw a kernel whose last two axes are its inputs and outputs."""
    limit = np.sqrt(6 / (math.prod(shape[:-2]) * (shape[-2] + shape[-1])))
    return rng.uniform(-limit, limit, shape)
