"""Losses of rows by Keras, and what Keras makes of names and configurations."""

import functools
import json
from typing import Any

import keras
import numpy as np

from skae._keras import apart
from skae._keras.inference import objective
from skae._network.spec import NetworkSpec


@apart
def row_losses(loss: str, X: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """Loss of each row, as Keras computes it."""
    return np.asarray(loss_of(loss, X.shape[1])(X, reconstruction))


@apart
def row_objectives(loss: str, spec: NetworkSpec, *arguments: Any) -> np.ndarray:
    """The same with the losses that layers have of their own; see `inference.objective`."""
    return objective(loss_of(loss, spec.n_features), spec, *arguments)


@functools.lru_cache
def loss_of(identifier, n_features):
    loss = made_by_keras("loss", "losses", identifier)
    if not isinstance(loss, keras.losses.Loss):
        return loss  # one of the names that skae knows
    _check_loss(loss, identifier, n_features)
    # Not the object itself, which computes in the precision of `floatx`, whatever the rows have.
    return loss.call


def _check_loss(loss, identifier, n_features):
    """Refuse a loss that is no number for each row: Keras has some of whole batches, of labels."""
    rows = np.ones((2, n_features), np.float32)
    shape = None
    try:
        shape = tuple(loss.call(rows, rows).shape)
        found = f"Of 2 rows it makes an array of shape {shape}."
    except Exception as error:  # whatever a loss may raise
        found = f"Keras says: {_first_lines(error)}"
    if shape != (2,):
        raise ValueError(
            "The 'loss' parameter must be a loss that compares rows of numbers and has a value "
            f"for each. Got {json.loads(identifier)!r} instead. {found} Use loss='mse', or "
            "{'class_name': 'Huber', 'config': {}} for example."
        )


def made_by_keras(kind, module, identifier):
    try:
        # Loaded here, since Keras takes configurations apart.
        return getattr(keras, module).get(json.loads(identifier))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"The {kind!r} parameter must be a name or a configuration of which Keras can make an "
            f"object of keras.{module}. Got {json.loads(identifier)!r} instead. Keras says: "
            f"{_first_lines(error)}"
        ) from error


def _first_lines(error):
    return " ".join(str(error).split("\n\n")[0].split())
