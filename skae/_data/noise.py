"""Random corruption of rows, for denoising autoencoders.

The method is from Vincent et al., "Extracting and composing robust features with denoising
autoencoders", ICML 2008. The noise is drawn with NumPy, because on the CPU an XLA program takes 34
times as long to draw a mask as to run the training step that uses it.
"""

from collections.abc import Callable
from numbers import Real
from typing import NamedTuple

import numpy as np
from scipy import sparse

KINDS = ("masking", "gaussian", "salt_and_pepper", "swap")


class Corruption(NamedTuple):
    """What makes of rows, which may have holes, what a network is given in training.

    Each step is a function (rows, rng) -> rows, or None.
    """

    hide: Callable | None  # fills the holes of each row by itself, so of many batches at once
    noise: Callable | None  # takes one batch, whose rows it may mix

    def __call__(self, batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        for step in self:
            batch = batch if step is None else step(batch, rng)
        return batch


def noise_of(noise, X):
    """Return the function (batch, rng) -> batch that `noise` describes, or None for no noise."""
    if callable(noise):
        return _checked(noise)
    if noise is None:
        return None
    kind, amount = ("masking", noise) if isinstance(noise, Real) else noise
    if amount == 0:
        return None
    if kind == "gaussian":
        return lambda batch, rng: (
            batch + batch.dtype.type(amount) * rng.standard_normal(batch.shape, dtype=batch.dtype)
        )
    if kind == "masking":
        return lambda batch, rng: np.where(_chosen(batch, rng, amount), batch.dtype.type(0), batch)
    if kind == "swap":
        return lambda batch, rng: np.where(_chosen(batch, rng, amount), _others(batch, rng), batch)
    low, high = X.min(), X.max()

    def salt_and_pepper(batch, rng):
        extremes = np.where(rng.random(batch.shape, dtype=batch.dtype) < 0.5, low, high)
        return np.where(_chosen(batch, rng, amount), extremes.astype(batch.dtype), batch)

    return salt_and_pepper


def _chosen(batch, rng, fraction):
    return rng.random(batch.shape, dtype=batch.dtype) < fraction


def _others(batch, rng):
    """Return, for each entry, the same feature of a random row of the batch.

    It is a value that the feature really takes (Yoon et al., "VIME", NeurIPS 2020).
    """
    rows = rng.integers(len(batch), size=batch.shape)
    return np.take_along_axis(batch, rows, axis=0)


def _checked(corrupt):
    """Wrap the user's callable: pass it a copy, and check that it returns a valid batch."""

    def checked(batch, rng):
        corrupted = corrupt(batch.copy(), rng)
        try:
            if sparse.issparse(corrupted):
                corrupted = corrupted.toarray()
            array = np.asarray(corrupted)
            if array.dtype.kind == "O":
                array = array.astype(np.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            raise _no_batch(batch, f"{type(corrupted).__name__} ({error})") from error
        if array.dtype.kind not in "biuf":
            raise _no_batch(batch, f"an array of dtype {array.dtype}")
        if array.shape != batch.shape:
            raise _no_batch(batch, f"an array of shape {array.shape}")
        with np.errstate(over="ignore"):
            array = array.astype(batch.dtype, copy=False)
        if not np.isfinite(array).all():
            raise _no_batch(batch, "nan or infinite entries")
        return array

    return checked


def _no_batch(batch, got):
    return ValueError(
        "The callable given as 'noise' must return a finite array of numbers of the shape of the "
        f"batch it is given, here {batch.shape}. Got {got} instead."
    )
