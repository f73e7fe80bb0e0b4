"""Networks are trained on rows in other units, so that training is the same at any scale."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skae import AutoencoderTransformer
from skae._data.rows import Rows
from skae._fitting.initial import glorot_start
from skae._fitting.units import Units, in_units, may_centre, may_scale, order_code, units_for
from skae._network.inference import decode, encode
from skae._network.losses import describe
from skae._network.spec import NetworkSpec

RNG = np.random.default_rng(0)
CURVED = np.tanh(RNG.normal(size=(400, 3)) @ RNG.normal(size=(3, 12)))
CURVED += 0.05 * RNG.normal(size=(400, 12))
PLAIN = NetworkSpec(
    n_features=12, n_components=3, hidden_layer_sizes=(), activation="gelu",
    code_activation="linear", output_activation="linear", shortcut=False, dtype="float64",
)  # fmt: skip
DEEP = {"hidden_layer_sizes": (5, 4), "shortcut": True}
IMAGE = {**DEEP, "image_shape": (3, 2, 2)}
NETWORKS = {
    "shallow": {},
    "rectified code": {"code_activation": "relu"},
    "curved code": {"code_activation": "tanh"},
    "deep": DEEP,
    "deep without shortcut": {**DEEP, "shortcut": False},
    "variational": {"kl_weight": 1.0},
    "deep variational": {**DEEP, "kl_weight": 1.0},
    "rectified output": {**DEEP, "output_activation": "relu"},
    "exponential output": {**DEEP, "output_activation": "exponential"},
    "counts": {**DEEP, "output_activation": "squareplus", "output_unit": 0.05 * 40},
    "image": IMAGE,
    "image without shortcut": {**IMAGE, "shortcut": False},
    "exponential image": {**IMAGE, "output_activation": "exponential"},
    "variational image": {**IMAGE, "kl_weight": 1.0},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_folded_networks_are_the_same(name):
    """A folded network makes of raw rows what the other network makes of rows in their unit."""
    spec = dataclasses.replace(PLAIN, **NETWORKS[name])
    loss = describe("poisson" if name == "counts" else "mse")
    assert may_scale(spec, loss)
    mean = RNG.normal(size=12) if may_centre(spec, loss) else np.zeros(12)
    units = Units(mean, 40.0)
    inside = in_units(spec)
    weights = [0.3 * RNG.normal(size=shape) for shape in spec.shapes()]
    folded = units.fold(spec, weights)
    X = RNG.normal(size=(6, 12))
    codes, raw_codes = encode(inside, weights, X), encode(spec, folded, mean + 40 * X)
    in_unit_of_rows = not spec.kl_weight and spec.code_activation in ("linear", "relu")
    assert_allclose(raw_codes, codes * (40 if in_unit_of_rows else 1), rtol=1e-6, atol=1e-9)
    rows = mean + 40 * decode(inside, weights, codes)
    assert_allclose(decode(spec, folded, raw_codes), rows, rtol=1e-6, atol=1e-9)
    for array, again in zip(weights, units.unfold(spec, folded), strict=True):
        assert_allclose(again, array, rtol=1e-9, atol=1e-12)
    if spec.kl_weight and spec.dense and not spec.hidden_layer_sizes:
        before, after = X @ weights[-2] + weights[-1], (mean + 40 * X) @ folded[-2] + folded[-1]
        assert_allclose(after, before)


@pytest.mark.parametrize(
    ("parameters", "loss"),
    [
        ({"output_activation": "sigmoid"}, "mse"),
        ({"output_activation": "tanh"}, "mse"),
        ({}, "huber"),
        ({}, "binary_crossentropy"),
        ({"network": print}, "mse"),
    ],
)
def test_what_does_not_fold_is_trained_as_it_is(parameters, loss):
    spec = dataclasses.replace(PLAIN, **parameters)
    units = units_for(spec, describe(loss), Rows(CURVED + 5))
    assert units.scale == 1
    assert not units.mean.any()


WARM = {
    "deep": {"hidden_layer_sizes": (32,), "learning_rate": 1e-3},
    "sparse": {"sparsity": 1e-2, "epochs": 60},
    "from random weights": {"init": "glorot_uniform", "hidden_layer_sizes": (32,), "epochs": 60},
    "absolute error": {"loss": "mae", "hidden_layer_sizes": (32,), "epochs": 60},
    "variational": {"kl_weight": 0.5, "hidden_layer_sizes": (32,), "epochs": 60},
    "rectified": {"code_activation": "relu", "hidden_layer_sizes": (32,), "epochs": 60},
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", WARM)
def test_warm_starts_train_alike_at_any_scale(name):
    """Four fits score the same. Before, the scores of rows 1,000 times as large fell to a fifth."""
    scores = []
    for scale, offset in ((1, 0), (1000, 0), (1e-3, 0), (1, 50)):
        settings = dict(WARM[name])
        if "sparsity" in settings:  # it is weighed against the unit of the rows squared
            settings["sparsity"] *= scale
        estimator = AutoencoderTransformer(
            3, warm_start=True, early_stopping=False, random_state=0, **settings
        )
        X = CURVED * scale + offset
        scores.append([estimator.fit(X).score(X) for _ in range(4)])
    assert_allclose(scores[1:], np.tile(scores[0], (3, 1)), rtol=1e-3)
    assert scores[0][-1] > 0.8


def test_warm_starts_order_the_code_again():
    estimator = AutoencoderTransformer(
        3, hidden_layer_sizes=(32,), warm_start=True, epochs=30, random_state=0
    )
    for _ in range(2):
        codes = estimator.fit(CURVED).transform(CURVED)
        assert_allclose(np.corrcoef(codes.T), np.eye(3), atol=1e-9)
        assert (np.diff(codes.var(axis=0)) < 0).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_codes_are_uncorrelated_on_all_training_rows(dtype):
    """This also holds with weights, and above 2,500 rows, where the order comes from a sample."""
    rng = np.random.default_rng(0)
    X = np.tanh(rng.normal(size=(6000, 3)) @ rng.normal(size=(3, 12))).astype(dtype) + 3
    weight = rng.integers(1, 4, size=len(X))
    estimator = AutoencoderTransformer(3, hidden_layer_sizes=(16,), epochs=4, random_state=0)
    codes = estimator.fit(X, sample_weight=weight).transform(X).astype(np.float64)
    assert estimator.n_iter_ > 0
    mean = np.average(codes, axis=0, weights=weight)
    covariance = np.cov(codes.T, fweights=weight)
    deviation = np.sqrt(np.diag(covariance))
    tolerance = 1e-9 if dtype == "float64" else 1e-4
    assert_allclose(mean / deviation, 0, atol=tolerance)
    assert_allclose(covariance / np.outer(deviation, deviation), np.eye(3), atol=tolerance)


def test_order_of_a_code_with_fewer_dimensions_is_left():
    spec = dataclasses.replace(PLAIN, n_components=4)
    weights = glorot_start(spec, np.random.default_rng(0))
    weights[0][:, 3] = weights[0][:, 2]
    rows = Rows(CURVED)
    left, explained = order_code(spec, weights, rows, lambda: np.eye(2))
    assert left is weights
    assert explained is None
