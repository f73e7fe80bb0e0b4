"""Compute the losses of rows with Keras, and make Keras objects of names and configurations."""

import functools
import json
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from skae._keras import apart
from skae._keras.inference import objective
from skae._network.spec import NetworkSpec


@apart
def row_losses(loss: str, X: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """Return the loss of each row, as Keras computes it."""
    return np.asarray(loss_of(loss, X.shape[1])(X, reconstruction))


@apart
def row_objectives(loss: str, spec: NetworkSpec, *arguments: Any) -> np.ndarray:
    """Return the loss of each row plus the losses of layers; see `inference.objective`."""
    return objective(loss_of(loss, spec.n_features), spec, *arguments)


def known_alone(X: tf.Tensor, reconstruction: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Do what the function of this name in `skae._network.losses` does, with a gradient."""
    holes = tf.math.is_nan(X)
    reconstruction = tf.where(holes, tf.zeros_like(reconstruction), reconstruction)
    return tf.where(holes, tf.zeros_like(X), X), reconstruction


@functools.lru_cache
def loss_of(identifier, n_features):
    loss = made_by_keras("loss", "losses", identifier)
    if not isinstance(loss, keras.losses.Loss):
        return loss  # the function behind a name that skae knows
    _check_loss(loss, identifier, n_features)
    # Not the object itself, which computes in `floatx`, whatever the precision of the rows.
    return loss.call


def _check_loss(loss, identifier, n_features):
    """Refuse a loss without one value per row; some of Keras' compare whole batches or labels."""
    rows = np.ones((2, n_features), np.float32)
    shape = None
    try:
        shape = tuple(loss.call(rows, rows).shape)
        found = f"For 2 rows it returns an array of shape {shape}."
    except Exception as error:  # whatever a loss may raise
        found = f"Keras says: {_first_lines(error)}"
    if shape != (2,):
        raise ValueError(
            "The 'loss' parameter of AutoencoderTransformer must be a loss that compares rows of "
            f"numbers and returns one value per row. Got {json.loads(identifier)!r} instead. "
            f"{found} Use loss='mse' or loss={{'class_name': 'Huber', 'config': {{}}}}, for "
            "example."
        )


def made_by_keras(kind, module, identifier):
    try:
        # The JSON is loaded for each call, since Keras modifies the configurations it is given.
        return getattr(keras, module).get(json.loads(identifier))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"The {kind!r} parameter of AutoencoderTransformer must be a name or a configuration "
            f"from which Keras can make an object of keras.{module}. Got "
            f"{json.loads(identifier)!r} instead. Keras says: {_first_lines(error)}"
        ) from error


def _first_lines(error):
    return " ".join(str(error).split("\n\n")[0].split())
