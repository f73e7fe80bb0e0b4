"""All names of a loss, an optimizer or an activation mean the same."""

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import skae
from skae import AutoencoderTransformer
from skae._network.losses import LOSSES, canonical, describe

X = np.random.default_rng(0).uniform(0.05, 0.95, size=(90, 8))
FUNCTION = {"module": "builtins", "class_name": "function", "config": "mean_squared_error"}
LOGITS = {"class_name": "BinaryCrossentropy", "config": {"from_logits": True}}


def fit(**parameters):
    return AutoencoderTransformer(2, epochs=2, random_state=0, **parameters).fit(X)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_known_by_all_of_their_names(name):
    """These are all of Keras' own names of a loss, and configurations without options."""
    class_name = LOSSES[name][0]
    loss = getattr(keras.losses, class_name)()
    spellings = [name, name.upper(), class_name, loss.name, keras.losses.serialize(loss)]
    for spelling in (*spellings, {"class_name": class_name, "config": {"reduction": "sum"}}):
        assert describe(spelling) == LOSSES[name][1]
        if not isinstance(spelling, dict) or not spelling["config"].keys() - {"name", "reduction"}:
            assert canonical(spelling) == name or spelling == "huber_loss"
    with_option = {"class_name": class_name, "config": {"axis": 1}}
    assert describe(with_option) == LOSSES[name][1]
    assert canonical(with_option) == with_option


def test_every_name_of_a_loss_that_keras_has_is_the_same_loss():
    """The names are those of Keras' functions that skae takes."""
    rows, others = np.float32([[0.2, 0.7]]), np.float32([[0.4, 0.5]])
    for alias in ("MSE", "mean_squared_error", "MAE", "mape", "msle", "bce", "kld", "log_cosh"):
        given, ours = keras.losses.get(alias), keras.losses.get(canonical(alias))
        assert_allclose(given(rows, others), ours(rows, others))


SAME = {
    "mse": [{"loss": loss} for loss in ("mse", "MeanSquaredError", FUNCTION)],
    "huber": [{"loss": loss} for loss in ("huber", {"class_name": "Huber", "config": {}})],
    "adam": [{"optimizer": name} for name in ("adam", "Adam")],
    "adamw": [{"optimizer": name} for name in ("adamw", "AdamW")],
    "silu": [{"activation": n, "hidden_layer_sizes": 5} for n in ("silu", "swish", "SiLU")],
    "relu": [{"code_activation": name} for name in ("relu", "ReLU")],
    "sigmoid": [{"output_activation": name} for name in ("sigmoid", "Sigmoid")],
    "variational": [{"code_activation": n, "kl_weight": 1.0} for n in ("linear", "Linear")],
}


@pytest.mark.parametrize("settings", SAME.values(), ids=SAME)
def test_all_names_fit_the_same_network(settings, tmp_path):
    """A file keeps this network, with the parameters as they were given."""
    first = fit(**settings[0])
    for other in settings[1:]:
        fitted = fit(**other)
        assert fitted.network_ == first.network_
        assert_array_equal(fitted.transform(X), first.transform(X))
        if other.get("loss") is FUNCTION:
            continue  # no file can hold this configuration
        fitted.save(tmp_path / "file")
        loaded = skae.load(tmp_path / "file")
        assert loaded.get_params() == fitted.get_params()
        assert_array_equal(loaded.transform(X), first.transform(X))


def test_squared_error_as_a_configuration_needs_no_training():
    """PCA is the optimum, whatever the loss is called."""
    for loss in ("mse", "MSE", {"class_name": "MeanSquaredError", "config": {}}):
        fitted = AutoencoderTransformer(2, hidden_layer_sizes=(), loss=loss).fit(X - 0.5)
        assert fitted.n_iter_ == 0


@pytest.mark.parametrize("output", ["auto", "sigmoid"])
def test_a_sigmoid_behind_the_output_is_counted_once(output):
    plain = fit(loss="binary_crossentropy", output_activation=output)
    fitted = fit(loss=LOGITS, output_activation=output)
    assert_array_equal(fitted.reconstruct(X), plain.reconstruct(X))


def test_logits_may_be_the_output():
    fitted = AutoencoderTransformer(4, loss=LOGITS, output_activation="linear", random_state=0)
    reconstructed = fitted.fit(X).reconstruct(X)
    assert reconstructed.min() < 0
    probabilities = 1 / (1 + np.exp(-reconstructed))
    assert np.mean((probabilities - X) ** 2) < 0.7 * X.var()
    with pytest.raises(
        ValueError, match=r"from_logits=True .*'softplus'.*output_activation='auto'"
    ):
        fit(loss=LOGITS, output_activation="softplus")
