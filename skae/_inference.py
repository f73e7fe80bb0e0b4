"""Weights and rows to codes and back: dense networks in NumPy and SciPy, with no framework, and the
one door to Keras for those that NumPy can't run."""

import collections
import contextvars
import operator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from scipy import sparse

from skae._activations import ACTIVATIONS
from skae._framework import load_framework
from skae._spec import NetworkSpec
from skae._threads import openblas_threads

BLOCK_BYTES = 4 * 2**20
# OpenBLAS makes a product of fewer than 2**19 multiplications in the thread that asks for it, and,
# where there is AVX-512, without copying its factors first, which takes as long as multiplying by a
# narrow kernel (OpenBLAS 0.3.31; `interface/gemm.c` there). Of fewer rows than `MIN_ROWS`, reading
# the kernel again and again takes longer.
SMALL = 2**19 - 1
MIN_ROWS = 8
# For each thread, to be worth starting it.
ENOUGH_BLOCKS = 4


def encode(spec: NetworkSpec, weights: list[np.ndarray], X: Any) -> np.ndarray:
    """Codes of the rows of X, dense or sparse: their means, if they are variational."""
    if not spec.dense:
        return _by_keras(spec, weights, "encoder", X)
    arrays = weights[: spec.n_encoder_arrays]
    return _in_blocks(spec, arrays, X, spec.encoder_widths, spec.code_activation)


def decode(spec: NetworkSpec, weights: list[np.ndarray], codes: np.ndarray) -> np.ndarray:
    """Rows from their codes."""
    if not spec.dense:
        return _by_keras(spec, weights, "decoder", codes)
    arrays = weights[spec.n_encoder_arrays : 2 * spec.n_encoder_arrays]
    rows = _in_blocks(spec, arrays, codes, spec.decoder_widths, spec.output_activation)
    if spec.output_unit is not None:
        rows += 1
        rows *= rows.dtype.type(spec.output_unit)
    return rows


def reconstruct(spec: NetworkSpec, weights: list[np.ndarray], X: Any) -> np.ndarray:
    """Both passes."""
    return decode(spec, weights, encode(spec, weights, X))


def _by_keras(spec, weights, half, X):
    load_framework()
    from skae._keras.inference import run

    return run(spec, weights, half, X)


def _in_blocks(spec, arrays, X, widths, last_activation):
    """One half of the network, over blocks of rows that stay in the cache, which takes an eighth
    off the time of a product, and little memory for hidden layers."""
    size = max(1, BLOCK_BYTES // (sum(widths) * np.dtype(spec.dtype).itemsize))
    if X.shape[0] <= size or (sparse.issparse(X) and len(widths) == 2):
        return _half(spec, arrays, X, last_activation)
    outputs = np.empty((X.shape[0], widths[-1]), np.result_type(X.dtype, spec.dtype))
    begins = range(0, X.shape[0], size)
    n_threads = _threads_for(arrays, X, len(begins))
    multiply = _small_products if n_threads else operator.matmul

    def run(begin):
        rows = slice(begin, begin + size)
        outputs[rows] = _half(spec, arrays, X[rows], last_activation, multiply)

    if n_threads > 1:
        try:
            _in_threads(run, begins, n_threads)
            return outputs
        except RuntimeError:
            pass  # no thread can be started, or Python is about to end
    for begin in begins:
        run(begin)
    return outputs


def _in_threads(run, begins, n_threads):
    """Block by block and not in equal shares, as a core may be busy: idle threads of OpenBLAS spin.
    What NumPy does of errors is the caller's choice, which is part of its context."""
    context = contextvars.copy_context()
    with ThreadPoolExecutor(n_threads) as pool:
        results = pool.map(lambda begin: context.copy().run(run, begin), begins)
        collections.deque(results, maxlen=0)


def _threads_for(arrays, X, n_blocks):
    """How many threads to divide the blocks among if small products are the way; else 0.

    Two threads with small products each took 0.6 of the time that OpenBLAS needs in two threads of
    its own on 60,000 x 784 rows and 32 components, and 0.9 of it without AVX-512. Where the blocks
    occupy fewer than half of the threads that OpenBLAS has, it gets them.
    """
    kernels = [array for array in arrays if array.ndim == 2]
    plain = isinstance(X, np.ndarray) and X.flags.c_contiguous and X.dtype == arrays[0].dtype
    small = all(min(k.shape) > 1 and k.size * MIN_ROWS <= SMALL for k in kernels)
    if not (plain and small):
        return 0
    available = openblas_threads()
    occupied = min(available, max(1, n_blocks // ENOUGH_BLOCKS))
    return occupied if occupied >= available / 2 else 0


def _small_products(X, kernel):
    """X @ kernel as products of few rows each, all by one call."""
    n_rows = SMALL // kernel.size
    product = np.empty((len(X), kernel.shape[1]), X.dtype)
    end = len(X) // n_rows * n_rows
    whole, rest = slice(end), slice(end, None)
    parts = X[whole].reshape(-1, n_rows, X.shape[1])
    np.matmul(parts, kernel, out=product[whole].reshape(-1, n_rows, kernel.shape[1]))
    np.matmul(X[rest], kernel, out=product[rest])
    return product


def _hidden(spec, arrays, X, multiply):
    """What goes into the last layer of a half."""
    hidden = X
    for i in range(0, len(arrays) - 2 - spec.shortcut, 2):
        hidden = multiply(hidden, arrays[i])
        hidden += arrays[i + 1]
        hidden = ACTIVATIONS[spec.activation](hidden)
    return hidden


def _half(spec, arrays, X, last_activation, multiply=operator.matmul):
    end = len(arrays) - spec.shortcut
    outputs = multiply(_hidden(spec, arrays, X, multiply), arrays[end - 2])
    outputs += arrays[end - 1]
    if spec.shortcut:
        outputs += multiply(X, arrays[end])
    return ACTIVATIONS[last_activation](outputs)
