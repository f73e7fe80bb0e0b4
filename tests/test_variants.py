"""Each variant does what it says. Every test here fails if the parameter does nothing."""

import functools
import pickle

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer


@pytest.fixture(scope="module")
def digits():
    """Return training and test rows, and their labels."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    return X[:1200], X[1200:], y[:1200], y[1200:]


def error(estimator, X):
    return float(np.mean((estimator.reconstruct(X) - X) ** 2))


def half_of_the_pixels(batch, rng):
    """Remove every other column, like a sensor with missing columns."""
    batch[:, ::2] = 0
    return batch


def small_network(spec):
    def dense(n, activation=None, seed=0):
        initializer = keras.initializers.GlorotUniform(seed=seed)
        return keras.layers.Dense(n, activation, kernel_initializer=initializer, dtype=spec.dtype)

    encoder = keras.Sequential(
        [keras.Input((spec.n_features,)), dense(48, "relu"), dense(spec.n_components)]
    )
    decoder = keras.Sequential(
        [keras.Input((spec.n_components,)), dense(48, "relu"), dense(spec.n_features, "sigmoid")]
    )
    return encoder, decoder


VARIANTS = {
    "masking": {"noise": 0.3},
    "gaussian": {"noise": ("gaussian", 0.2)},
    "salt and pepper": {"noise": ("salt_and_pepper", 0.1)},
    "swap": {"noise": ("swap", 0.2)},
    "callable": {"noise": half_of_the_pixels},
    "sparse": {"sparsity": 1e-3},
    "variational": {"kl_weight": 0.1},
    "deep denoising sparse": {"noise": 0.2, "sparsity": 1e-3, "hidden_layer_sizes": (24,)},
    "deep variational": {"kl_weight": 0.1, "hidden_layer_sizes": (24,)},
    "sparse variational": {"kl_weight": 0.1, "sparsity": 1e-3},
    "convolutional": {"image_shape": (8, 8), "hidden_layer_sizes": (4, 8)},
    "convolutional variational": {
        "image_shape": (8, 8),
        "hidden_layer_sizes": (4,),
        "kl_weight": 0.1,
    },
    "convolutional from random weights": {
        "image_shape": (8, 8, 1),
        "hidden_layer_sizes": (4,),
        "init": "glorot_uniform",
        "noise": 0.1,
    },
    "custom": {"network": small_network},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_promises_of_the_plain_network_hold(digits, name):
    """Fits repeat, pickles need no Keras, and the code of a row does not depend on other rows."""
    X = digits[0][:300]
    estimator = AutoencoderTransformer(4, epochs=3, random_state=0, **VARIANTS[name])
    codes = estimator.fit(X).transform(X)
    assert codes.shape == (300, 4)
    assert codes.dtype == np.float32
    assert_array_equal(clone(estimator).fit(X).transform(X), codes)
    dumped = pickle.dumps(estimator)
    assert b"keras" not in dumped
    assert_array_equal(pickle.loads(dumped).transform(X), codes)
    one_by_one = np.concatenate([estimator.transform(X[i : i + 1]) for i in range(5)])
    assert_allclose(one_by_one, codes[:5], rtol=1e-4, atol=1e-5)
    assert estimator.inverse_transform(codes).shape == X.shape
    assert hasattr(estimator, "sample") == ("kl_weight" in VARIANTS[name])
    encoder, decoder, autoencoder = estimator.to_keras()
    assert_allclose(encoder(X).numpy(), codes, rtol=1e-3, atol=1e-4)
    assert_allclose(decoder(codes).numpy(), estimator.inverse_transform(codes), atol=1e-4)
    assert_allclose(autoencoder(X).numpy(), estimator.reconstruct(X), atol=1e-3)


@pytest.mark.parametrize("name", ["masking", "sparse", "deep variational", "convolutional"])
def test_warm_start_goes_on(digits, name):
    X = digits[0][:300]
    estimator = AutoencoderTransformer(
        4, epochs=2, random_state=0, warm_start=True, early_stopping=False, **VARIANTS[name]
    ).fit(X)
    before = [array.copy() for array in estimator.weights_]
    estimator.fit(X)
    assert estimator.n_iter_ == 4
    assert any(np.any(a != b) for a, b in zip(before, estimator.weights_, strict=True))


def test_weights_have_the_shapes_of_the_description(digits):
    """The shapes that follow from the description alone are those that Keras builds."""
    for name, parameters in VARIANTS.items():
        if name == "custom":
            continue
        estimator = AutoencoderTransformer(4, epochs=1, **parameters).fit(digits[0][:100])
        shapes = [array.shape for array in estimator.weights_]
        assert shapes == estimator._spec().shapes(), name


def test_sparsity_lowers_the_mean_activation(digits):
    train, test, *_ = digits
    means = [
        AutoencoderTransformer(
            16, sparsity=sparsity, init="glorot_uniform", epochs=40, random_state=0
        )
        .fit(train)
        .transform(test)
        .mean()
        for sparsity in (0, 1e-4, 1e-3, 4e-3)
    ]
    assert means == sorted(means, reverse=True)
    assert means[-1] < 0.5 * means[0]


def test_sample_weight_is_copies_for_a_sparse_code():
    """The penalty is weighted as the rows are, and padding adds nothing to it."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 5))
    weights = rng.integers(1, 4, 40)
    estimator = AutoencoderTransformer(
        2, sparsity=1e-2, epochs=20, batch_size=256, early_stopping=False, random_state=0
    )
    weighted = clone(estimator).fit(X, sample_weight=weights).transform(X)
    copies = clone(estimator).fit(np.repeat(X, weights, axis=0)).transform(X)
    assert_allclose(weighted, copies, atol=1e-7)


@pytest.mark.parametrize("parameters", [{"noise": 0.3}, {"kl_weight": 0.3}])
def test_sample_weight_counts_where_rows_are_drawn(digits, parameters):
    """Weights still count if a weight of 2 is not two copies, as with draws for each row.

    Rows that weigh 50 are reconstructed better than without weights.
    """
    train, _, y, _ = digits
    weights = np.where(y == 1, 50.0, 1.0)
    estimator = AutoencoderTransformer(2, random_state=0, **parameters)
    ones = train[y == 1]
    unweighted = error(clone(estimator).fit(train), ones)
    assert error(clone(estimator).fit(train, sample_weight=weights), ones) < 0.8 * unweighted


def test_convolution_beats_the_dense_network_on_shifted_digits(digits):
    """The networks have about the same size. The digits lie at random places of a larger image."""
    rng = np.random.default_rng(0)
    images = np.zeros((1200, 14, 14), np.float32)
    for image, digit, (i, j) in zip(
        images, digits[0], rng.integers(7, size=(1200, 2)), strict=True
    ):
        image[i : i + 8, j : j + 8] = digit.reshape(8, 8)
    X = images.reshape(1200, -1)
    train, test = X[:1000], X[1000:]
    settings = {"epochs": 40, "batch_size": 32, "early_stopping": False, "random_state": 0}
    convolutional = AutoencoderTransformer(
        16, image_shape=(14, 14), hidden_layer_sizes=(12, 24), **settings
    ).fit(train)
    dense = AutoencoderTransformer(16, hidden_layer_sizes=(32,), **settings).fit(train)
    sizes = [sum(a.size for a in e.weights_) for e in (convolutional, dense)]
    assert sizes[0] < 1.3 * sizes[1]
    assert error(convolutional, test) < error(dense, test)


@pytest.mark.parametrize("shape", [(7, 9), (5, 3, 3), (1, 10)])
def test_any_height_and_width(shape):
    X = np.random.default_rng(0).uniform(size=(60, int(np.prod(shape)))).astype(np.float32)
    estimator = AutoencoderTransformer(
        3, image_shape=shape, hidden_layer_sizes=(2, 3), epochs=1, random_state=0
    ).fit(X)
    assert estimator.reconstruct(X).shape == X.shape


def test_convolutional_network_starts_as_pca(digits):
    train, test, *_ = digits
    estimator = AutoencoderTransformer(
        8,
        image_shape=(8, 8),
        hidden_layer_sizes=(4,),
        output_activation="linear",
        early_stopping=False,
        epochs=1,
        learning_rate=1e-12,
    ).fit(train)
    pca = PCA(8).fit(train)
    expected = np.mean((pca.inverse_transform(pca.transform(test)) - test) ** 2)
    assert error(estimator, test) == pytest.approx(expected, rel=1e-3)


def test_custom_network_trains(digits):
    train, test, *_ = digits
    estimator = AutoencoderTransformer(8, network=small_network, random_state=0).fit(train)
    untrained = clone(estimator).set_params(epochs=1, learning_rate=1e-12).fit(train)
    assert error(estimator, test) < 0.5 * error(untrained, test)


def test_training_starts_from_what_a_custom_network_is(digits):
    """This also holds if every call returns the same models, since compiling changes nothing."""
    X = digits[0][:200]
    halves = small_network(AutoencoderTransformer(8, network=small_network).fit(X)._spec())
    before = [variable.numpy() for half in halves for variable in half.variables]
    AutoencoderTransformer(8, network=lambda spec: halves, learning_rate=1e-12, epochs=1).fit(X)
    for array, half in zip(before, [v for h in halves for v in h.variables], strict=True):
        assert_allclose(half.numpy(), array, atol=1e-6)


def test_a_custom_network_may_return_the_same_models_each_time(digits):
    """Every run of a fit starts from the models as they came, not from the end of the last run."""
    X = digits[0][:200]
    ends = []
    for network in (small_network, functools.cache(small_network)):
        fitted = AutoencoderTransformer(8, network=network, epochs=3, random_state=0).fit(X)
        ends.append((fitted.loss_curve_, *fitted.weights_))
    for one, other in zip(*ends, strict=True):
        assert_array_equal(one, other)


def test_a_custom_network_sees_no_rows_but_those_of_X():
    """Batches are filled up, but layers may look at a whole batch, or divide by a norm."""
    X = np.random.default_rng(0).normal(5, 1, size=(50, 6)).astype(np.float32)

    def normalised(spec):
        inputs = keras.Input((spec.n_features,))
        hidden = keras.layers.BatchNormalization(momentum=0.5)(inputs)
        length = keras.ops.norm(inputs, axis=1, keepdims=True)
        code = keras.layers.Dense(spec.n_components)(keras.ops.divide(hidden, length))
        decoder = keras.Sequential(
            [keras.Input((spec.n_components,)), keras.layers.Dense(spec.n_features)]
        )
        return keras.Model(inputs, code), decoder

    settings = {"early_stopping": False, "batch_size": 300, "epochs": 20, "random_state": 0}
    fitted = AutoencoderTransformer(2, network=normalised, **settings).fit(X)
    moving_mean, moving_variance = fitted.weights_[2:4]
    assert_allclose(moving_mean, X.mean(axis=0), atol=0.1)
    assert_allclose(moving_variance, X.var(axis=0), rtol=0.2)


class Half(keras.Model):
    """A half as users write it, without a shape before its first call."""

    def __init__(self, n_outputs, *, numpy=False):
        super().__init__()
        self.numpy = numpy
        self.dense = keras.layers.Dense(
            n_outputs, kernel_initializer=keras.initializers.GlorotUniform(seed=0)
        )

    def call(self, rows):
        return np.tanh(rows) if self.numpy else self.dense(rows)


def called(half, n_inputs):
    half(np.zeros((1, n_inputs), np.float32))
    return half


@pytest.mark.parametrize("prepare", [lambda half, _: half, called])
def test_halves_may_subclass_model(digits, prepare):
    """They train to the same results as the same layers in keras.Sequential."""
    X = digits[0][:200]

    def network(spec):
        return prepare(Half(spec.n_components), 64), prepare(Half(64), spec.n_components)

    def sequential(spec):
        sizes = (spec.n_components, 64)
        return [keras.Sequential([Half(size).dense]) for size in sizes]

    settings = {"epochs": 100, "random_state": 0}
    fitted = AutoencoderTransformer(4, network=network, **settings).fit(X)
    same = AutoencoderTransformer(4, network=sequential, **settings).fit(X)
    assert_array_equal(fitted.transform(X), same.transform(X))
    assert fitted.score(X) > 0.1
    encoder, _, autoencoder = fitted.to_keras()
    assert_allclose(encoder(X), fitted.transform(X), atol=1e-5)
    assert_allclose(autoencoder(X), fitted.reconstruct(X), atol=1e-5)


def test_frozen_layers_of_a_custom_network_stay(digits):
    """Layers that are pretrained and marked as not trainable are used as they are."""

    def frozen(spec):
        encoder, decoder = small_network(spec)
        encoder.layers[0].trainable = False
        return encoder, decoder

    fitted = AutoencoderTransformer(4, network=frozen, epochs=2).fit(digits[0][:200])
    spec = fitted._spec()
    start = [variable.numpy() for variable in frozen(spec)[0].variables]
    assert_array_equal(fitted.weights_[0], start[0])
    assert np.any(fitted.weights_[2] != start[2])


def regularised_network(spec, rate=0.5):
    """Return a network with layers that act differently in training and have a state."""
    layers = keras.layers
    encoder, decoder = small_network(spec)
    hidden = [layers.BatchNormalization(), layers.Dropout(rate, seed=2**40 + 1)]
    inputs = keras.Input((spec.n_features,))
    outputs = inputs
    for layer in (encoder.layers[0], *hidden, encoder.layers[1]):
        outputs = layer(outputs)
    return keras.Model(inputs, outputs), decoder


class Scaled(keras.layers.Layer):
    """A layer whose only weight is a number."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, inputs):
        return self.scale * inputs


def test_custom_layers_may_have_a_number_as_weight(digits):
    X = digits[0][:200]

    def network(spec):
        encoder, decoder = small_network(spec)
        inputs = keras.Input((spec.n_features,))
        return keras.Model(inputs, Scaled()(encoder(inputs))), decoder

    fitted = AutoencoderTransformer(4, network=network, epochs=2, random_state=0).fit(X)
    scale = next(array for array in fitted.weights_ if array.shape == ())
    assert scale != 1
    assert_allclose(fitted.to_keras()[0](X), fitted.transform(X), rtol=1e-5, atol=1e-6)


def test_custom_layers_with_a_state(digits):
    """Seeds of layers are kept to the last bit, and moving averages move."""
    X = digits[0][:200]
    estimator = AutoencoderTransformer(4, network=regularised_network, epochs=5, random_state=0)
    codes = estimator.fit(X).transform(X)
    assert_array_equal(clone(estimator).fit(X).transform(X), codes)
    assert_array_equal(estimator.transform(X), codes)
    seeds = [array for array in estimator.weights_ if array.dtype.kind in "iu"]
    start = [v.numpy() for v in regularised_network(estimator._spec())[0].variables]
    assert [array.dtype for array in seeds] == [v.dtype for v in start if v.dtype.kind in "iu"]
    assert any(np.any(a != b) for a, b in zip(estimator.weights_[4:6], start[4:6], strict=True))


def test_custom_network_of_another_precision_than_the_rows(digits):
    """Keras' layers are float32 unless told otherwise, and tables are float64."""

    def usual(spec):
        encoder = keras.Sequential([keras.Input((64,)), keras.layers.Dense(4)])
        return encoder, keras.Sequential([keras.Input((4,)), keras.layers.Dense(64)])

    X = digits[0][:100].astype(np.float64)
    estimator = AutoencoderTransformer(4, network=usual, epochs=2).fit(X)
    assert estimator.transform(X).dtype == np.float64


def test_warm_start_keeps_a_callable_that_is_no_function(digits):
    network = functools.partial(regularised_network, rate=0.1)
    estimator = AutoencoderTransformer(4, network=network, epochs=2, warm_start=True)
    assert estimator.fit(digits[0][:100]).fit(digits[0][:100]).n_iter_ == 4


def test_losses_with_their_output_activation(digits):
    train = digits[0][:200]
    for loss, X, output in (
        ("binary_crossentropy", train, "sigmoid"),
        ("poisson", np.round(16 * train), "squareplus"),
        ("mae", train, None),
        ("huber", train, None),
    ):
        estimator = AutoencoderTransformer(4, loss=loss, noise=0.1, sparsity=1e-4, epochs=3).fit(X)
        assert output in (None, estimator.network_["output_activation"])
        assert np.isfinite(estimator.reconstruct(X)).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"noise": ("gauss", 0.1)}, "'salt_and_pepper', fraction"),
        ({"noise": ("swap", 1.5)}, r"or \('swap', fraction\).*Got \('swap', 1.5\)"),
        ({"noise": ("masking", 1.5)}, r"Got \('masking', 1.5\)"),
        ({"noise": (0.1, 0.2, 0.3)}, "must be the fraction"),
        ({"noise": "gaussian"}, r"pair \('masking', fraction\).*Got 'gaussian'"),
        ({"noise": 1.5}, r"in \[0, 1\].*Got 1.5"),
        ({"noise": True}, "Got True"),
        ({"noise": lambda batch, rng: batch[:, :3]}, r"shape of the batch.*shape \(.*, 3\)"),
        ({"noise": lambda batch, rng: batch * np.nan}, "nan or infinite"),
        ({"image_shape": (5, 5), "hidden_layer_sizes": 4}, "25 entries, but X has 64"),
        ({"image_shape": (8, 8)}, "filters of its convolutions"),
        ({"image_shape": (8,), "hidden_layer_sizes": 4}, r"\(height, width, channels\)"),
        ({"kl_weight": 1, "code_activation": "relu"}, "has to be linear"),
        ({"kl_weight": 1, "network": small_network}, "add_loss"),
        ({"image_shape": (8, 8), "hidden_layer_sizes": 4, "network": small_network}, "Reshape"),
        ({"network": lambda spec: None}, r"\(encoder, decoder\).*NoneType"),
        ({"network": lambda spec: small_network(spec)[::-1]}, "rows of 64 numbers to rows of 4"),
        (
            {"network": lambda spec: (Half(4), Half(63))},
            r"to rows of 64. Got Half, .* \(None, 63\)",
        ),
        (
            {"network": lambda spec: (Half(4, numpy=True), Half(64))},
            "encoder .* to rows of 4. Got Half, which Keras can't call on them: ",
        ),
        ({"network": lambda spec: (len, len)}, "encoder .* must be a keras.Model. Got builtin_fun"),
    ],
)
def test_errors(digits, parameters, message):
    estimator = AutoencoderTransformer(4, **parameters)
    with pytest.raises(ValueError, match=message):
        estimator.fit(digits[0][:50])
    assert not hasattr(estimator, "weights_")


class Failing(keras.layers.Layer):
    """A layer with an error that shows only in training."""

    def call(self, inputs, training=False):
        if training:
            raise TypeError("no training today")
        return inputs


def test_errors_of_a_layer_reach_the_user(digits):
    """This includes errors of a model that Keras has not built yet."""

    def network(spec):
        encoder = keras.Sequential([keras.layers.Dense(spec.n_components), Failing()])
        return encoder, keras.Sequential([keras.layers.Dense(spec.n_features)])

    with pytest.raises(TypeError, match="no training today"):
        AutoencoderTransformer(2, network=network, epochs=1).fit(digits[0][:50].astype(np.float64))
