"""Inference by Keras for the networks that NumPy can't run: convolutional and custom ones."""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from skae._keras import apart, chosen_device
from skae._keras.cache import Cache
from skae._keras.networks import Network, assign, build
from skae._network.losses import known_alone
from skae._network.spec import NetworkSpec, Penalties

# Every call has this many rows, filled up with zeros. The result for a row then does not depend on
# the number of rows beside it, and no other number has to be compiled.
BATCH = 64

_networks = Cache(8)


class _Shared(NamedTuple):
    """A network that estimators with the same description use in turn."""

    lock: threading.Lock
    network: Network
    halves: dict[str, Callable]


@apart
def run(spec: NetworkSpec, weights: list[np.ndarray], half: str, X: Any) -> np.ndarray:
    """Return the outputs of the encoder or the decoder for the rows of X."""
    shared = _shared(spec)
    with shared.lock:  # the weights of one estimator at a time
        assign(shared.network.variables, weights)
        outputs = []
        for begin in range(0, X.shape[0], BATCH):
            rows = X[begin : begin + BATCH]
            rows = rows if isinstance(rows, np.ndarray) else rows.toarray()
            batch = np.zeros((BATCH, rows.shape[1]), spec.dtype)
            batch[: len(rows)] = rows
            outputs.append(shared.halves[half](tf.constant(batch)).numpy()[: len(rows)])
    return np.concatenate(outputs).astype(spec.dtype, copy=False)


def objective(
    loss: Callable,
    spec: NetworkSpec,
    penalties: Penalties,
    weights: list[np.ndarray],
    X: np.ndarray,
    clean: np.ndarray,
    labels: np.ndarray | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return what training minimizes for each row, including the losses of layers."""
    shared = _shared(spec)
    with shared.lock:
        network = shared.network
        assign(network.variables, weights)
        network.weigh(penalties)
        draws = rng.standard_normal((len(X), network.n_draws), dtype=X.dtype)
        given = [X, *([draws] if network.n_draws else []), *([labels] if network.n_targets else [])]
        outputs = network.training(given if len(given) > 1 else X, training=False)
        if np.isnan(clean.min()):
            clean, outputs = known_alone(clean, np.asarray(outputs))
        return np.asarray(loss(clean, outputs) + sum(network.training.losses))


def _shared(spec):
    spec = spec.without_weights()
    return _networks.get(
        (spec, chosen_device()), lambda: _Shared(threading.Lock(), *_compiled(spec))
    )


def _compiled(spec):
    network = build(spec)
    halves: dict[str, Callable] = {}
    if spec.dense:
        return network, halves  # NumPy runs them
    for name, width in (("encoder", spec.n_features), ("decoder", spec.n_components)):
        model = getattr(network, name)
        signature = tf.TensorSpec((BATCH, width), spec.dtype)
        halves[name] = tf.function(
            lambda X, model=model: model(X, training=False), autograph=False
        ).get_concrete_function(signature)
    return network, halves
