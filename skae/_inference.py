"""Weights and rows to codes and back, in NumPy and SciPy: no framework, no locks."""

import numpy as np

from skae._activations import ACTIVATIONS
from skae._spec import NetworkSpec

BLOCK_BYTES = 4 * 2**20


def encode(spec: NetworkSpec, weights, X):
    """Codes of the rows of X, dense or sparse."""
    arrays = weights[: spec.n_encoder_arrays]
    return _in_blocks(spec, arrays, X, spec.encoder_widths, spec.code_activation)


def decode(spec: NetworkSpec, weights, codes):
    """Rows from their codes."""
    arrays = weights[spec.n_encoder_arrays :]
    return _in_blocks(spec, arrays, codes, spec.decoder_widths, spec.output_activation)


def reconstruct(spec: NetworkSpec, weights, X):
    """Both passes."""
    return decode(spec, weights, encode(spec, weights, X))


def _in_blocks(spec, arrays, X, widths, last_activation):
    """One half of the network, over blocks of rows when hidden layers would take much memory."""
    hidden_bytes = sum(widths[1:-1]) * np.dtype(spec.dtype).itemsize
    size = BLOCK_BYTES // hidden_bytes if hidden_bytes else X.shape[0]
    size = max(1, size)
    if X.shape[0] <= size:
        return _half(spec, arrays, X, last_activation)
    outputs = np.empty((X.shape[0], widths[-1]), spec.dtype)
    for begin in range(0, X.shape[0], size):
        rows = slice(begin, begin + size)
        outputs[rows] = _half(spec, arrays, X[rows], last_activation)
    return outputs


def _half(spec, arrays, X, last_activation):
    layers, shortcut = (arrays[:-1], arrays[-1]) if spec.shortcut else (arrays, None)
    hidden = X
    for i in range(0, len(layers) - 2, 2):
        hidden = hidden @ layers[i]
        hidden += layers[i + 1]
        hidden = ACTIVATIONS[spec.activation](hidden)
    outputs = hidden @ layers[-2]
    outputs += layers[-1]
    if shortcut is not None:
        outputs += X @ shortcut
    return ACTIVATIONS[last_activation](outputs)
