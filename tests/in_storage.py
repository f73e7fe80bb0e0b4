"""Rows in storage, which several files of tests read."""

import h5py
import numpy as np

from skae import AutoencoderTransformer
from skae._data import stored

rng = np.random.default_rng(0)
X = rng.normal(size=(700, 3)) @ rng.normal(size=(3, 12)) + 0.3 * rng.normal(size=(700, 12))
X = np.round(np.tanh(X) * 100).astype("float32") / 128
HOLES = np.where(rng.random(X.shape) < 0.2, np.float32(np.nan), X)


class Blocks:
    """Blocks of rows, which can be read again."""

    def __init__(self, *blocks):
        self.blocks = blocks

    def __iter__(self):
        return iter(self.blocks)


class Array:
    """An array in storage, which records how much of it is read at once."""

    def __init__(self, rows):
        self.rows, self.shape, self.dtype, self.most = rows, rows.shape, rows.dtype, 0

    def __getitem__(self, key):
        self.most = max(self.most, len(self.rows[key]))
        return self.rows[key]

    def __array__(self, *args, **kwargs):
        raise AssertionError("the whole array was read")


def in_hdf5(rows, folder):
    file = h5py.File(folder / "rows.h5", "w")
    return file.create_dataset("rows", data=rows, chunks=(64, 5))


def estimator(**parameters):
    given = {"hidden_layer_sizes": (8,), "epochs": 3, "shuffle": False, "random_state": 0}
    return AutoencoderTransformer(2, **{**given, **parameters})


def with_tiny_blocks(monkeypatch):
    """Let blocks and windows have few rows, and no rows be too few for them."""
    monkeypatch.setattr(stored, "SMALL_BYTES", 0)
    monkeypatch.setattr(stored, "BLOCK_BYTES", 20 * X[0].nbytes)
    monkeypatch.setattr(stored, "WINDOW_BYTES", 100 * X[0].nbytes)
    monkeypatch.setattr(stored, "PASS_BYTES", 160 * X[0].nbytes)
