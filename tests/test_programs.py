"""One compiled program serves all networks of a shape, whatever their numbers."""

import tracemalloc

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits

from skae import AutoencoderTransformer
from skae._keras import training

X = (load_digits().data[:300] / 16).astype(np.float32)
SETTINGS = {
    "epochs": 2,
    "early_stopping": False,
    "output_activation": "sigmoid",
    "random_state": 0,
}


@pytest.fixture
def programs(monkeypatch):
    """Return the cache of the programs that the test has compiled."""
    cache = training.Cache(32)
    monkeypatch.setattr(training, "_programs", cache)
    return cache


def adamw(**config):
    return {"optimizer": {"class_name": "AdamW", "config": config}}


SEARCHES = {
    "kl_weight": [{"kl_weight": weight} for weight in (0.1, 1.0, 3.0)],
    "sparsity": [{"sparsity": weight} for weight in (1e-3, 1e-2, 0.1)],
    "weight_decay": [adamw(weight_decay=decay) for decay in (0.0, 0.1, 5.0)],
    "learning_rate": [adamw(learning_rate=rate) for rate in (1e-4, 1e-3, 1e-2)],
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_over_numbers_compiles_once(name, programs):
    """Each number still counts, since it leads to other weights."""
    fitted = [
        AutoencoderTransformer(4, hidden_layer_sizes=(8,), **SETTINGS, **parameters).fit(X)
        for parameters in SEARCHES[name]
    ]
    assert len(programs.values()) == 1
    kernels = [estimator.weights_[0].tobytes() for estimator in fitted]
    assert len(set(kernels)) == len(kernels)


def test_a_shared_program_computes_what_one_of_its_own_does(programs):
    parameters = {**SETTINGS, "kl_weight": 0.7, "sparsity": 0.01, **adamw(weight_decay=0.3)}
    alone = AutoencoderTransformer(4, **parameters).fit(X)
    programs.clear()
    others = {**parameters, "kl_weight": 2.0, "sparsity": 0.5, **adamw(weight_decay=3.0)}
    AutoencoderTransformer(4, **others).fit(X)
    shared = AutoencoderTransformer(4, **parameters).fit(X)
    assert len(programs.values()) == 1
    for array, other in zip(alone.weights_, shared.weights_, strict=True):
        assert_array_equal(array, other)


WIDTHS = {
    "noise and labels": {
        "noise": lambda batch, rng: batch * rng.integers(2, size=batch.shape),
        "label_weight": 1.0,
    },
    "missing values": {},
    "variational, with weight decay": {"kl_weight": 0.01, **adamw(weight_decay=0.1)},
}


@pytest.mark.parametrize("name", WIDTHS)
def test_tables_of_other_widths_share_a_program_and_train_as_in_one_of_their_own(
    name, programs, monkeypatch
):
    parameters = {**SETTINGS, "output_activation": "linear", **WIDTHS[name]}
    tables = [X[:, 18 : 18 + width].astype(float) for width in (11, 14)]
    if name == "missing values":
        for table in tables:
            table[::7, 3] = np.nan
    y, weights = load_digits().target[:300], np.arange(300) % 3

    def fitted():
        estimator = AutoencoderTransformer(3, hidden_layer_sizes=(8,), **parameters)
        return [estimator.fit(table, y, sample_weight=weights).weights_ for table in tables]

    together = fitted()
    assert len(programs.values()) == 1
    monkeypatch.setattr(training, "_roomy", lambda spec, *_: spec)
    programs.clear()
    for shared, own in zip(together, fitted(), strict=True):
        for a, b in zip(shared, own, strict=True):
            assert_allclose(a, b, atol=1e-9)
    assert len(programs.values()) == 2


def test_weight_decay_is_that_of_keras():
    """The test takes one step, with a decay and a learning rate large enough to show."""
    settings = {"init": "glorot_uniform", "code_activation": "relu", "batch_size": 300}
    optimizer = {"class_name": "SGD", "config": {"weight_decay": 0.5}}
    estimator = AutoencoderTransformer(
        4, learning_rate=0.1, warm_start=True, optimizer=optimizer,
        **{**SETTINGS, **settings, "epochs": 1},
    ).fit(X)  # fmt: skip
    _, _, autoencoder = estimator.to_keras()
    autoencoder.compile(keras.optimizers.SGD(0.1, weight_decay=0.5), "mse")
    autoencoder.fit(X, X, batch_size=300, epochs=1, verbose=0)
    for array, other in zip(estimator.fit(X).weights_, autoencoder.get_weights(), strict=True):
        assert_allclose(array, other, atol=1e-6)


def test_averaged_weights_are_returned_and_validated():
    """With `use_ema` Keras ends with the average of the weights, and so does a fit."""
    optimizer = {"class_name": "SGD", "config": {"use_ema": True, "ema_momentum": 0.5}}
    parameters = {
        **SETTINGS, "init": "glorot_uniform", "code_activation": "relu", "batch_size": 300,
        "learning_rate": 1.0,
    }  # fmt: skip
    start = AutoencoderTransformer(4, **{**parameters, "learning_rate": 1e-30, "epochs": 1}).fit(X)
    _, _, autoencoder = start.to_keras()
    autoencoder.compile(keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5), "mse")
    autoencoder.fit(X, X, batch_size=300, epochs=4, verbose=0, shuffle=False)
    averaged = AutoencoderTransformer(4, **{**parameters, "epochs": 4}, optimizer=optimizer)
    averaged.fit(X, X_val=X[:50])
    for array, other in zip(averaged.weights_, autoencoder.get_weights(), strict=True):
        assert_allclose(array, other, atol=1e-6)
    last = np.mean((averaged.reconstruct(X[:50]) - X[:50]) ** 2)
    assert averaged.validation_loss_curve_[-1] == pytest.approx(last, rel=1e-5)


@pytest.mark.parametrize("learning_rate", [3.0, "one_cycle"])
def test_long_plans_take_no_memory(learning_rate):
    """The rates of ten million epochs of four steps would take 320 MB. Few steps are run."""
    corrupted = []

    def noise(batch, rng):
        corrupted.append(len(batch))
        if len(corrupted) == 8:
            raise KeyError("enough")
        return batch

    estimator = AutoencoderTransformer(
        4, **{**SETTINGS, "epochs": 10_000_000}, learning_rate=learning_rate, noise=noise
    )
    tracemalloc.start()
    with pytest.raises(KeyError, match="enough"):
        estimator.fit(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * 2**20


@pytest.mark.parametrize(("epochs", "batch_size"), [(1, 5000), (3, 5000), (1, 100)])
def test_pilots_take_no_more_steps_than_training(epochs, batch_size, monkeypatch):
    """Two outputs are tried, with at most half of the steps each."""
    steps = []
    run = training._Program.run

    def counted(self, shard, n_steps):
        steps.append(n_steps)
        return run(self, shard, n_steps)

    rows = np.random.default_rng(0).uniform(size=(10_000, 8)).astype(np.float32)
    estimator = AutoencoderTransformer(
        3, hidden_layer_sizes=(8,), epochs=epochs, batch_size=batch_size, early_stopping=False
    )
    estimator.fit(rows)  # this compiles, and takes a step for it
    monkeypatch.setattr(training._Program, "run", counted)
    estimator.fit(rows)
    planned = epochs * 10_000 // batch_size
    assert planned < sum(steps) <= 2 * planned


def two_layers(spec, penalty=0.0):
    glorot = keras.initializers.GlorotUniform(seed=0)
    regularizer = keras.regularizers.L2(penalty) if penalty else None
    code = keras.layers.Dense(
        spec.n_components, kernel_initializer=glorot, activity_regularizer=regularizer
    )
    rows = keras.layers.Dense(spec.n_features, kernel_initializer=glorot)
    return (
        keras.Sequential([keras.Input((spec.n_features,)), code]),
        keras.Sequential([keras.Input((spec.n_components,)), rows]),
    )


def penalised(spec):
    return two_layers(spec, penalty=5.0)


def test_losses_of_layers_are_validated_as_they_are_trained():
    """On the training rows both curves are the same, except for the steps within an epoch."""
    estimator = AutoencoderTransformer(
        4, network=penalised, epochs=30, learning_rate=1e-3, random_state=0
    ).fit(X, X_val=X)
    plain = AutoencoderTransformer(
        4, network=two_layers, epochs=30, learning_rate=1e-3, random_state=0
    ).fit(X, X_val=X)
    assert estimator.validation_loss_curve_[-1] == pytest.approx(estimator.loss_curve_[-1], rel=0.1)
    codes = np.square(estimator.transform(X)).mean(), np.square(plain.transform(X)).mean()
    assert codes[0] < 0.5 * codes[1]


def nested(spec):
    """Return a network, and fit and use other estimators while it is made."""
    for parameters in ({"epochs": 1}, {"image_shape": (2, 4), "hidden_layer_sizes": 2}):
        inner = AutoencoderTransformer(2, random_state=0, early_stopping=False, **parameters)
        rows = np.random.default_rng(0).uniform(size=(30, 8)).astype(np.float32)
        inner.fit(rows).transform(rows)
    return two_layers(spec)


def test_a_network_may_use_estimators_while_it_is_made():
    """This holds when it is compiled for training and for inference. It never ended before."""
    settings = {**SETTINGS, "learning_rate": 1e-3, "epochs": 40}
    estimator = AutoencoderTransformer(4, network=nested, **settings).fit(X)
    expected = AutoencoderTransformer(4, network=two_layers, **settings).fit(X)
    assert_array_equal(estimator.transform(X), expected.transform(X))


COSINE = {"class_name": "CosineSimilarity", "config": {}}


@pytest.mark.parametrize("parameters", [{}, {"init": "glorot_uniform"}, {"batch_size": 128}])
def test_losses_below_zero_are_trained(parameters):
    """Cosine similarity is -1 at best, and improvements below zero count.

    Rows that fill up a batch must not make it nan.
    """
    estimator = AutoencoderTransformer(
        4, loss=COSINE, hidden_layer_sizes=(16,), random_state=0, **parameters
    ).fit(X)
    curve = estimator.validation_loss_curve_
    assert estimator.n_iter_ > 20
    assert min(curve) < curve[0] - 0.01
    made = estimator.reconstruct(X)
    norms = np.linalg.norm(X, axis=1) * np.linalg.norm(made, axis=1)
    assert np.mean((X * made).sum(axis=1) / norms) > 0.9


def test_patience_counts_improvements_of_losses_below_zero():
    """At a constant rate, training goes on while a loss below zero falls by more than `tol`."""
    estimator = AutoencoderTransformer(
        4, loss=COSINE, init="glorot_uniform", output_activation="linear", learning_rate=1e-3,
        epochs=60, n_iter_no_change=3, tol=1e-5, random_state=0,
    ).fit(X)  # fmt: skip
    assert len(estimator.validation_loss_curve_) > 20
