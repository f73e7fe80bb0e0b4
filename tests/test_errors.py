"""Bad input is refused with a message, and changes nothing."""

import dataclasses
import re
import warnings

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from skae import AutoencoderTransformer
from skae._data.checks import warn_of_scales
from skae._data.rows import Rows

X = (load_digits().data[:200] / 16).astype(np.float32)
NAN, INFINITE = X.copy(), X.copy()
NAN[3, 5], INFINITE[3, 5] = np.nan, np.inf


def state(estimator):
    """Return everything that an estimator holds, with arrays by value."""
    return {
        name: [array.tobytes() for array in value] if name == "weights_" else value
        for name, value in vars(estimator).items()
    }


BAD_FITS = {
    "no value of a feature": (
        (np.where(np.arange(64) == 7, np.nan, X),),
        {},
        "Got 1 of 64 features without any, the first of which is number 7",
    ),
    "no value at all": ((np.full_like(X, np.nan),), {}, "Got 64 of 64 features without any"),
    "no weighted value of a feature": (
        (NAN[:4],),
        {"sample_weight": [0, 0, 0, 1]},
        "Got 1 of 64 features without any, the first of which is number 5",
    ),
    "NaN among the weights": (
        (NAN,),
        {"sample_weight": NAN[:, 5]},
        "Input sample_weight contains NaN",
    ),
    "sparse with NaN": ((sparse.csr_array(NAN),), {}, "missing values are filled in dense rows"),
    "infinity": ((INFINITE,), {}, "Input X contains infinity"),
    "empty": ((X[:0],), {}, r"Found array with 0 sample\(s\)"),
    "no features": ((X[:, :0],), {}, r"Found array with 0 feature\(s\)"),
    "one dimension": ((X[0],), {}, "Expected 2D array, got 1D array"),
    "three dimensions": ((X[None],), {}, "Found array with dim 3"),
    "complex": ((X * 1j,), {}, "Complex data not supported"),
    "text": ((np.full((4, 2), "a"),), {}, "could not convert string to float"),
    "zero weights": ((X,), {"sample_weight": np.zeros(200)}, "[Ss]ample weights"),
    "negative weights": ((X,), {"sample_weight": -np.ones(200)}, "Negative values in data"),
    "too few weights": ((X,), {"sample_weight": np.ones(3)}, "sample_weight.shape"),
    "NaN in X_val alone": ((X,), {"X_val": NAN}, "Input X_val contains NaN"),
    "no value in X_val": ((NAN,), {"X_val": NAN[3:4, :] * np.nan}, "X_val must have a value"),
    "infinity in X_val": ((NAN,), {"X_val": INFINITE}, "Input X_val contains infinity"),
    "width of X_val": ((X,), {"X_val": X[:, :5]}, "X has 5 features, but Autoenc.* expecting 64"),
}


@pytest.mark.parametrize(("args", "kwargs", "message"), BAD_FITS.values(), ids=BAD_FITS)
def test_bad_data_is_refused_and_the_fit_is_kept(args, kwargs, message):
    estimator = AutoencoderTransformer(4, epochs=2, early_stopping=False, random_state=0).fit(X)
    before = state(estimator)
    with pytest.raises(ValueError, match=message):
        estimator.fit(*args, **kwargs)
    assert state(estimator) == before


BAD_PARAMETERS = {
    "n_components": (
        0,
        r"must be an int in the range \[1, inf\), a float .* or None. Got 0 instead",
    ),
    "hidden_layer_sizes": ((8, -1), r"must hold ints in the range \[1, inf\). Got \(8, -1\)"),
    "activation": ("softmax", "must be a str among .* Got 'softmax' instead"),
    "code_activation": ("prelu", "must be a str among .* Got 'prelu' instead"),
    "output_activation": (None, "must be a str among .* Got None instead"),
    "loss": ("hinge", "must be a str among .* Got 'hinge' instead"),
    "optimizer": ("lbfgs", "must be a str among .* Got 'lbfgs' instead"),
    "learning_rate": (0.0, "Got 0.0 instead"),
    "init": ("random", "must be a str among .* Got 'random' instead"),
    "epochs": (0, "Got 0 instead"),
    "batch_size": (-3, "Got -3 instead"),
    "early_stopping": ("yes", "must be an instance of 'bool'.* Got 'yes' instead"),
    "validation_fraction": (1.0, r"must be a float in the range \(0.0, 1.0\). Got 1.0 instead"),
    "n_iter_no_change": (0, "Got 0 instead"),
    "tol": (-1.0, "Got -1.0 instead"),
    "verbose": ("loud", "Got 'loud' instead"),
    "random_state": ("seed", "Got 'seed' instead"),
}


@pytest.mark.parametrize("name", BAD_PARAMETERS)
def test_bad_parameters_are_named_with_what_is_allowed(name):
    value, message = BAD_PARAMETERS[name]
    pattern = f"The '{name}' parameter of AutoencoderTransformer {'.*' * (message[0] == 'G')}"
    with pytest.raises(ValueError, match=pattern + message):
        AutoencoderTransformer(**{name: value}).fit(X)


OBJECTS = {
    "optimizer": [keras.optimizers.Adam(), keras.optimizers.Adam],
    "loss": [keras.losses.Huber(), keras.losses.Huber, keras.losses.mean_squared_error],
    "activation": [keras.activations.relu, keras.layers.ReLU()],
    "code_activation": [keras.activations.relu, np.tanh],
    "output_activation": [keras.activations.sigmoid, keras.layers.ReLU],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in OBJECTS.items() for value in values]
)
def test_objects_of_keras_are_refused_with_what_to_give_instead(name, value):
    way_out = {"optimizer": "keras.optimizers.serialize", "loss": "keras.losses.serialize"}
    words = way_out.get(name, "the name of an activation and not a function or a layer")
    with pytest.raises(ValueError, match=f"'{name}' parameter .* must be a str among .*{words}"):
        AutoencoderTransformer(**{name: value}).fit(X)


@pytest.mark.parametrize("rate", [0, -1e-3, float("nan"), float("inf"), True, None, "fast"])
def test_learning_rates_in_configurations_are_positive_numbers(rate):
    optimizer = {"class_name": "Adam", "config": {"learning_rate": rate}}
    words = rf"must be a number: .* range \(0, inf\). Got {rate!r} instead"
    with pytest.raises(ValueError, match=words):
        AutoencoderTransformer(4, optimizer=optimizer).fit(X)


IMAGES = X.reshape(200, 8, 8)


@pytest.mark.parametrize(
    ("images", "n_dimensions"), [(IMAGES, 3), (IMAGES[..., None], 4), (list(IMAGES), 3)]
)
def test_images_with_all_of_their_dimensions_are_told_to_be_rows(images, n_dimensions):
    estimator = AutoencoderTransformer(
        2, image_shape=(8, 8), hidden_layer_sizes=2, epochs=1, early_stopping=False
    ).fit(X)
    words = rf"Got {n_dimensions} dimensions .*Pass X\.reshape\(len\(X\), -1\)"
    for method in ("fit", "transform", "reconstruct", "score"):
        with pytest.raises(ValueError, match=words):
            getattr(estimator, method)(images)
    with pytest.raises(ValueError, match=r"Pass X_val\.reshape\(len\(X_val\), -1\)"):
        estimator.fit(X, X_val=images)


class Elsewhere:
    """An array on an accelerator, like those of PyTorch and CuPy."""

    shape, ndim = X.shape, 2

    def __len__(self):
        return len(X)

    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert cuda:0 device type tensor to numpy.")


class Symbolic(Elsewhere):
    def __array__(self, dtype=None, copy=None):
        raise NotImplementedError("numpy() is only available when eager execution is enabled.")


@pytest.mark.parametrize("array", [Elsewhere(), Symbolic(), tf.sparse.from_dense(X)])
def test_arrays_that_numpy_can_not_read_are_refused_with_a_way_out(array):
    estimator = AutoencoderTransformer(4).fit(X - 0.5)
    words = (
        rf"{{}} must be an array .* Got {type(array).__name__}: .*\.cpu\(\)\.numpy\(\) .*np.asarray"
    )
    for method in ("fit", "transform", "inverse_transform", "reconstruct", "score"):
        with pytest.raises(TypeError, match=words.format("X")):
            getattr(estimator, method)(array)
    for name in ("X_val", "sample_weight"):
        with pytest.raises(TypeError, match=words.format(name)):
            estimator.fit(X, **{name: array})


def test_tensors_that_numpy_can_read_are_data():
    estimator = AutoencoderTransformer(4, random_state=0).fit(tf.constant(X - 0.5))
    expected = AutoencoderTransformer(4, random_state=0).fit(X - 0.5).transform(X)
    assert_array_equal(estimator.transform(tf.Variable(X)), expected)


def test_a_network_that_can_be_no_key_is_refused():
    @dataclasses.dataclass  # it compares by value, so it has no hash
    class Network:
        def __call__(self, spec):
            raise AssertionError

    with pytest.raises(ValueError, match=r"must be hashable.*Got Network .*make it frozen"):
        AutoencoderTransformer(network=Network()).fit(X)


@pytest.mark.parametrize("learning_rate", [1e30, 1e37])
def test_the_last_step_must_not_diverge_unseen(learning_rate):
    """There is only one step, so no loss is computed after it."""
    estimator = AutoencoderTransformer(
        4, hidden_layer_sizes=(8,), output_activation="linear", epochs=1, batch_size=200,
        early_stopping=False, learning_rate=learning_rate, random_state=0,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"X overflows: training diverged .* learning_rate=1e\+"):
        estimator.fit(X)
    assert not hasattr(estimator, "weights_")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"optimizer": {"name": "Adam"}}, "must name a class if it is a dict.*'AdamW'"),
        (
            {"optimizer": {"class_name": "Adma", "config": {}}},
            "object of keras.optimizers. Got .*'Adma'",
        ),
        (
            {"optimizer": {"class_name": "Adam", "config": {"beta_3": 1}}},
            "object of keras.optimizers. Got .*Keras says: .*beta_3",
        ),
        ({"optimizer": {"class_name": "Adam", "config": None}}, "must name a class if .*'config'"),
        (
            {"optimizer": {"class_name": "Adam", "config": {"learning_rate": {"class_name": "C"}}}},
            "must be a number: the peak of .*'C'.*learning_rate='one_cycle'",
        ),
        ({"loss": {"class_name": "Hinges", "config": {}}}, "object of keras.losses. Got .*Hinges"),
        (
            {"loss": {"class_name": "Dice", "config": {}}},
            r"one value per row. Got .*Dice.* of shape \(\)",
        ),
        ({"loss": {"class_name": "CTC", "config": {}}}, "Got .*CTC.* Keras says: .*Use loss='mse'"),
        (
            {"optimizer": {"class_name": "LossScaleOptimizer", "config": {}}},
            "object of keras.optimizers. Got .*Keras says: 'inner_optimizer'",
        ),
        (
            {"optimizer": {"class_name": "Adam", "config": {"beta_1": object()}}},
            "must hold plain numbers",
        ),
    ],
)
def test_bad_configurations_are_refused_in_our_words(parameters, message):
    with pytest.raises(ValueError, match=message):
        AutoencoderTransformer(4, epochs=2, **parameters).fit(X)


def test_an_optimizer_of_another_precision_is_refused_with_a_way_out():
    """Keras' Muon currently multiplies by a number in float32."""
    estimator = AutoencoderTransformer(4, optimizer="muon", epochs=1)
    with pytest.raises(
        ValueError, match=r'float64 with optimizer="muon".* float32, or use another'
    ):
        estimator.fit(X.astype(np.float64))
    estimator.fit(X)


@pytest.mark.parametrize(
    ("loss", "data", "bounds"),
    [
        ("binary_crossentropy", X * 2, "[0, 1]"),
        ("binary_crossentropy", X - 1, "[0, 1]"),
        ("poisson", X - 1, "[0, inf)"),
    ],
)
def test_data_outside_the_range_of_the_loss(loss, data, bounds):
    start = "Negative values in data: " if data.min() < 0 else ""  # as scikit-learn says it
    message = "^" + re.escape(
        f"{start}loss='{loss}' needs X in the range {bounds}. Got values from"
    )
    with pytest.raises(ValueError, match=message):
        AutoencoderTransformer(4, loss=loss).fit(data)
    with pytest.raises(ValueError, match="needs X_val in the range"):
        AutoencoderTransformer(4, loss=loss).fit(X, X_val=data)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("mse", False),
        ("poisson", True),
        ("binary_crossentropy", True),
        ({"class_name": "Poisson", "config": {}}, True),
        ({"class_name": "Huber", "config": {}}, False),
        # Losses that `fit` refuses have tags too, since scikit-learn asks for tags before.
        ("median", False),
        ({}, False),
        (None, False),
    ],
)
def test_tags_say_where_the_loss_needs_positive_data(loss, expected):
    assert get_tags(AutoencoderTransformer(loss=loss)).input_tags.positive_only is expected
    assert get_tags(make_pipeline(AutoencoderTransformer(loss=loss))).input_tags.sparse


def test_unfitted():
    for method in ("transform", "inverse_transform", "reconstruct", "score"):
        with pytest.raises(NotFittedError, match="This AutoencoderTransformer instance is not"):
            getattr(AutoencoderTransformer(), method)(X)
    with pytest.raises(NotFittedError):
        AutoencoderTransformer().to_keras()


@pytest.mark.parametrize("data", [NAN, INFINITE, -INFINITE], ids=["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "settings", [{}, {"hidden_layer_sizes": (8,)}, {"code_activation": "relu"}]
)
def test_non_finite_rows_are_refused_by_every_method(data, settings):
    estimator = AutoencoderTransformer(4, epochs=1, random_state=0, **settings).fit(X)
    for method in ("transform", "reconstruct", "impute", "score", "score_samples"):
        with pytest.raises(ValueError, match="Input X contains"):
            getattr(estimator, method)(data)
    if np.isnan(data).any():
        return  # see tests/test_missing.py
    for weights in (None, np.isfinite(data).all(axis=1)):
        with pytest.raises(ValueError, match="Input X contains infinity"):
            estimator.fit(data, sample_weight=weights)


def test_frames_that_are_not_finite_are_refused_without_a_warning(recwarn):
    frame = pd.DataFrame(INFINITE, columns=[f"pixel{i}" for i in range(64)])
    with pytest.raises(ValueError, match="Input X contains infinity"):
        AutoencoderTransformer(4).fit(frame)
    assert not recwarn.list


def test_wrong_width_and_names():
    frame = pd.DataFrame(X, columns=[f"pixel{i}" for i in range(64)])
    estimator = AutoencoderTransformer(4, epochs=1, random_state=0).fit(frame)
    with (
        pytest.raises(ValueError, match=r"X has 63 features, but .* expecting 64"),
        pytest.warns(UserWarning, match="X does not have valid feature names"),
    ):
        estimator.transform(X[:, 1:])
    with pytest.raises(ValueError, match="feature names should match"):
        estimator.transform(frame.rename(columns={"pixel0": "border"}))
    with pytest.raises(ValueError, match=r"X has 64 columns, but .* n_components=4"):
        estimator.inverse_transform(X)


def test_divergence_says_what_to_do_and_keeps_the_fit():
    estimator = AutoencoderTransformer(
        4,
        output_activation="linear",
        init="glorot_uniform",
        optimizer="sgd",
        learning_rate=1e-3,
        epochs=5,
        early_stopping=False,
        random_state=0,
    ).fit(X)
    before = state(estimator)
    with pytest.raises(ValueError, match=r"diverged. Got learning_rate=1000000.0 .* or scale X"):
        estimator.set_params(learning_rate=1e6).fit(X)
    assert state(estimator.set_params(learning_rate=1e-3)) == before


NORMAL = np.random.default_rng(0).normal(size=(200, 8))
SWAMPED = NORMAL * [1, 1, 1e6, 1, 1, 1, 1, 1]
SWAMPED_BY_THREE = NORMAL * [2e6, 1, 1, 4e6, 1, 1, 1, 8e6]
FAR = (NORMAL + 1e6).astype(np.float32)
SWAMPS = r"Columns \(standard deviations\): 2 \(9.*e\+05\), against a median of .*StandardScaler"
IS_FAR = "far from zero for float32: the largest mean of a column is 1e.06.*StandardScaler.*float64"


SPOILING = {
    "one column": (SWAMPED, None, SWAMPS),
    "sparse": (sparse.csr_array(SWAMPED.astype(np.float32)), None, SWAMPS),
    "weighted": (SWAMPED, NORMAL[:, 0] ** 2, SWAMPS),
    "sampled": (np.repeat(SWAMPED, 100, axis=0), None, SWAMPS),
    "beside constants": (
        np.hstack([np.zeros((200, 20)), SWAMPED[:, 2:]]),
        None,
        r"20 \(9.*e\+05\), against",
    ),
    "three columns": (SWAMPED_BY_THREE, None, r": 7 \(.*\), 3 \(.*\), 0 \(.*\), against"),
    "four columns": (
        np.hstack([SWAMPED_BY_THREE, SWAMPED]),
        None,
        r": 7 \(.*\), 3 \(.*\), 0 \(.*\) and 1 more, against",
    ),
    "far": (FAR, None, IS_FAR),
    "far below": (-FAR, None, IS_FAR),
    "far, sparse, weighted": (sparse.csr_array(FAR), NORMAL[:, 0] ** 2, IS_FAR),
}


@pytest.mark.parametrize(("data", "weights", "message"), SPOILING.values(), ids=SPOILING)
def test_scales_that_spoil_a_fit_warn(data, weights, message):
    with pytest.warns(UserWarning, match=message) as caught:
        warn_of_scales(Rows(data, weights))
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("data", "message"), [(SWAMPED, SWAMPS), (FAR, IS_FAR)], ids=["swamped", "far"]
)
def test_fit_warns_of_scales(data, message):
    with pytest.warns(UserWarning, match=message):
        AutoencoderTransformer(2, random_state=0).fit(data)


CONSTANT = np.full((50, 4), 0.1)
HARMLESS = {
    "digits": load_digits().data,
    "digits, float32": load_digits().data.astype(np.float32),
    "digits, sparse": sparse.csr_array(load_digits().data),
    "iris": load_iris().data,
    "iris, float32": load_iris().data.astype(np.float32),
    "diabetes": load_diabetes(scaled=False).data,
    "one row": NORMAL[:1],
    "constant": CONSTANT,
    "constant and far": CONSTANT.astype(np.float32) * 1e9,
    "far columns are constant": np.hstack([1e9 * np.ones((200, 2)), NORMAL]).astype(np.float32),
    "all but one constant": np.hstack([np.zeros((200, 9)), 1e9 * NORMAL[:, :1]]),
    "constant but for rounding": np.hstack([NORMAL[:, :3], 0.1 + 2.0**-56 * (NORMAL[:, 3:] > 0)]),
    "half of them wide": NORMAL * ([1] * 4 + [1e9] * 4),
    "far, float64": NORMAL + 1e6,
    "near, float32": (NORMAL + 1e3).astype(np.float32),
    "squares underflow": NORMAL * 1e-300,
    "squares overflow": NORMAL * 1e160,
    "sums of squares overflow": NORMAL * 1e300,
}


@pytest.mark.parametrize("data", HARMLESS.values(), ids=HARMLESS)
def test_other_scales_do_not_warn(data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_scales(Rows(data))


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_numbers_whose_squares_overflow_are_refused(kind):
    """They are refused before SciPy says that an array is not finite."""
    data = kind(NORMAL * 1e200)
    with pytest.raises(ValueError, match=r"X has values as large as 3.*e\+200, .*MaxAbsScaler"):
        AutoencoderTransformer(2).fit(data)
    with pytest.raises(ValueError, match="X_val has values as large as"):
        AutoencoderTransformer(2).fit(NORMAL, X_val=-data)


def test_fit_does_not_warn_of_digits_iris_or_constant_columns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for data in (X, load_iris().data, np.hstack([1e9 * np.ones((200, 2)), NORMAL])):
            AutoencoderTransformer(2, epochs=2, random_state=0).fit(data)


def test_training_that_never_helps_warns():
    """At so large a learning rate even the random start is better. It is kept, with a warning."""
    estimator = AutoencoderTransformer(
        4, init="glorot_uniform", learning_rate=10.0, epochs=3, random_state=0
    )
    with pytest.warns(ConvergenceWarning, match="did not reduce the validation loss"):
        estimator.fit(X)


def test_warm_start_refuses_another_shape():
    estimator = AutoencoderTransformer(4, epochs=1, warm_start=True, random_state=0).fit(X)
    with pytest.raises(ValueError, match="differ from the previous fit for: n_components"):
        estimator.set_params(n_components=5).fit(X)
    with pytest.raises(ValueError, match="X has 63 features"):
        estimator.set_params(n_components=4).fit(X[:, 1:])


@pytest.mark.filterwarnings("error::RuntimeWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    "network", [{}, {"image_shape": (3, 3), "hidden_layer_sizes": (2,)}], ids=["dense", "images"]
)
def test_exponentials_that_overflow_are_refused(network):
    """They are refused with a message, and not with NumPy's warnings or infinite rows.

    Rows that are held out may overflow. Huber's loss has a scale of its own, so rows are trained on
    as they are.
    """
    X = (np.random.default_rng(0).normal(size=(7, 9)) * 8000).astype(np.float32)
    estimator = AutoencoderTransformer(1, output_activation="exponential", random_state=0)
    estimator.set_params(validation_fraction=0.9, loss="huber", **network)
    with pytest.raises(ValueError, match=r"X overflows: .* Got values from -18600"):
        estimator.fit(X)
    estimator.fit(X / np.abs(X).max())
    assert np.isfinite(estimator.reconstruct(X / np.abs(X).max())).all()
