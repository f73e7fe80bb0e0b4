"""Encode and decode rows, with NumPy and SciPy alone for networks of dense layers.

`_by_keras` runs the other networks, and is the only function of this package that uses Keras.
"""

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import gen_batches

from skae._framework import load_framework
from skae._network.activations import ACTIVATIONS
from skae._network.spec import NetworkSpec

# The memory of a block of rows in all layers. Blocks of 4 MB are no faster, and four times as slow
# where other processes are busy, since BLAS waits for all of its threads at each product.
BLOCK_BYTES = 32 * 2**20


def encode(spec: NetworkSpec, weights: list[np.ndarray], X: Any) -> np.ndarray:
    """Return the codes of the rows of X, dense or sparse, or the means of variational codes."""
    if not spec.dense:
        return _by_keras(spec, weights, "encoder", X)
    arrays = weights[: spec.n_encoder_arrays]
    return _in_blocks(spec, arrays, X, spec.encoder_widths, spec.code_activation)


def decode(spec: NetworkSpec, weights: list[np.ndarray], codes: np.ndarray) -> np.ndarray:
    """Return the rows decoded from their codes."""
    if not spec.dense:
        return _by_keras(spec, weights, "decoder", codes)
    arrays = weights[spec.n_encoder_arrays : 2 * spec.n_encoder_arrays]
    rows = _in_blocks(spec, arrays, codes, spec.decoder_widths, spec.output_activation)
    if spec.output_unit is not None:
        rows += 1
        rows *= rows.dtype.type(spec.output_unit)
    return rows


def reconstruct(spec: NetworkSpec, weights: list[np.ndarray], X: Any) -> np.ndarray:
    """Return the rows of X encoded and decoded again."""
    return decode(spec, weights, encode(spec, weights, X))


def _by_keras(spec, weights, half, X):
    load_framework()
    from skae._keras.inference import run

    return run(spec, weights, half, X)


def _in_blocks(spec, arrays, X, widths, last_activation):
    """Run one half of the network, in blocks of rows if more than the outputs takes memory.

    Hidden layers take memory, and so does a copy of X in the dtype of the weights.
    """
    size = max(1, BLOCK_BYTES // (sum(widths) * np.dtype(spec.dtype).itemsize))
    one_product = len(widths) == 2 and (sparse.issparse(X) or X.dtype == spec.dtype)
    in_memory = sparse.issparse(X) or isinstance(X, np.ndarray)
    if in_memory and (X.shape[0] <= size or one_product):
        return _half(spec, arrays, X, last_activation)
    outputs = np.empty((X.shape[0], widths[-1]), np.result_type(X.dtype, spec.dtype))
    for rows in gen_batches(X.shape[0], size):
        outputs[rows] = _half(spec, arrays, X[rows], last_activation)
    return outputs


def _hidden(spec, arrays, X):
    """Return the input of the last layer of a half."""
    hidden = X
    for i in range(0, len(arrays) - 2 - spec.shortcut, 2):
        hidden = hidden @ arrays[i]
        hidden += arrays[i + 1]
        hidden = ACTIVATIONS[spec.activation](hidden)
    return hidden


def _half(spec, arrays, X, last_activation):
    end = len(arrays) - spec.shortcut
    outputs = _hidden(spec, arrays, X) @ arrays[end - 2]
    outputs += arrays[end - 1]
    if spec.shortcut:
        outputs += X @ arrays[end]
    return ACTIVATIONS[last_activation](outputs)
