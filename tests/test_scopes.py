"""Scopes and settings of TensorFlow around a call do not change what the call does."""

import contextlib
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_array_equal

from skae import AutoencoderTransformer
from skae._keras import inference, training

X = np.random.default_rng(0).uniform(size=(120, 12)).astype(np.float32)


def custom(spec):
    initializer = keras.initializers.GlorotUniform(seed=0)
    ends = (spec.n_features, spec.n_components, spec.n_features)
    return tuple(
        keras.Sequential(
            [keras.Input((ends[i],)), keras.layers.Dense(ends[i + 1], "tanh", True, initializer)]
        )
        for i in range(2)
    )


NETWORKS = {
    "dense": {"hidden_layer_sizes": (5,), "loss": "mae"},
    "convolutional": {"image_shape": (3, 4), "hidden_layer_sizes": (3,)},
    "custom": {"network": custom},
}


@contextlib.contextmanager
def tape():
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(tf.constant(1.0))
        yield


@contextlib.contextmanager
def checked_numerics():
    tf.debugging.enable_check_numerics()
    try:
        yield
    finally:
        tf.debugging.disable_check_numerics()


@contextlib.contextmanager
def eager_functions():
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


@contextlib.contextmanager
def channels_first():
    keras.config.set_image_data_format("channels_first")
    try:
        yield
    finally:
        keras.config.set_image_data_format("channels_last")


@contextlib.contextmanager
def jit_of_everything():
    tf.config.optimizer.set_jit(True)
    try:
        yield
    finally:
        tf.config.optimizer.set_jit(False)


SCOPES = {
    "tape": tape,
    "mirrored": lambda: tf.distribute.MirroredStrategy(["CPU:0"]).scope(),
    "one device": lambda: tf.distribute.OneDeviceStrategy("CPU:0").scope(),
    "device": lambda: tf.device("CPU:0"),
    "init scope": tf.init_scope,
    "graph": lambda: tf.Graph().as_default(),
    "function": lambda: tf.__internal__.FuncGraph("function").as_default(),
    "name": lambda: tf.name_scope("name"),
    "stateless": keras.StatelessScope,
    "check_numerics": checked_numerics,
    "run_functions_eagerly": eager_functions,
    "jit": jit_of_everything,
    "channels_first": channels_first,
}


@functools.cache
def outside(network):
    """Return settings, and the codes and reconstructions of a fit outside of any scope."""
    settings = {"epochs": 2, "random_state": 0, **NETWORKS[network]}
    fitted = AutoencoderTransformer(2, **settings).fit(X)
    return settings, fitted.transform(X), fitted.reconstruct(X)


# Every scope comes once, and those that networks of other layers are most sensitive to again.
CASES = [("dense", scope) for scope in SCOPES]
CASES += [(name, scope) for name in ("convolutional", "custom") for scope in ("tape", "function")]
CASES += [("convolutional", "channels_first"), ("custom", "mirrored")]


@pytest.mark.parametrize(("network", "scope"), CASES)
def test_numbers_are_the_same_in_any_scope(network, scope, monkeypatch):
    settings, codes, rows = outside(network)
    for module, name in ((training, "_programs"), (inference, "_networks")):
        monkeypatch.setattr(module, name, training.Cache(32))
    with SCOPES[scope]():
        fitted = AutoencoderTransformer(2, **settings).fit(X)
        assert_array_equal(fitted.transform(X), codes)
        assert_array_equal(fitted.reconstruct(X), rows)


@pytest.mark.parametrize("scope", sorted(SCOPES.keys() - {"graph", "function", "stateless"}))
def test_to_keras_makes_the_same_models_in_any_scope(scope):
    fitted = AutoencoderTransformer(2).fit(X - 0.5)
    with SCOPES[scope]():
        autoencoder = fitted.to_keras()[2]
    for weight, other in zip(
        autoencoder.get_weights(), fitted.to_keras()[2].get_weights(), strict=True
    ):
        assert_array_equal(weight, other)


@pytest.mark.parametrize("scope", ["graph", "function"])
def test_to_keras_says_that_a_graph_is_no_place_for_it(scope):
    fitted = AutoencoderTransformer(2).fit(X - 0.5)
    with SCOPES[scope](), pytest.raises(RuntimeError, match=r"Call this outside of tf\.function"):
        fitted.to_keras()


def test_variables_of_to_keras_are_those_of_the_strategy():
    """The models can then be trained further under the strategy."""
    fitted = AutoencoderTransformer(2).fit(X - 0.5)
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        encoder, _, _ = fitted.to_keras()
    assert isinstance(encoder.trainable_variables[0].value, tf.distribute.DistributedValues)


def test_tapes_go_on_behind_a_call():
    """Before and after the call, the caller's tape records as usual."""
    x = tf.Variable(3.0)
    with tf.GradientTape() as tape:
        y = x * x
        AutoencoderTransformer(2, epochs=1, loss="mae").fit(X)
        y = y * x
    assert float(tape.gradient(y, x)) == 27


def test_a_policy_of_the_user_counts_in_custom_networks_alone():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        network = functools.partial(custom)  # a new key in the cache of programs
        fitted = AutoencoderTransformer(2, network=network, epochs=1).fit(X)
        assert {array.dtype for array in fitted.weights_} == {np.dtype(np.float64)}
        assert AutoencoderTransformer(2, epochs=1).fit(X).weights_[0].dtype == np.float32
    finally:
        keras.config.set_dtype_policy(before)
