"""From a description to Keras models."""

from typing import NamedTuple

import keras

from skae._spec import NetworkSpec


class Network(NamedTuple):
    """Three models that share their weights, and those weights in the order of the description."""

    encoder: keras.Model
    decoder: keras.Model
    autoencoder: keras.Model
    variables: list[keras.Variable]


def build(spec: NetworkSpec, weights=None) -> Network:
    """Build the models, with the given weight arrays or with zeros."""
    encoder, encoder_variables = _half("encoder", spec, spec.encoder_widths, spec.code_activation)
    decoder, decoder_variables = _half("decoder", spec, spec.decoder_widths, spec.output_activation)
    inputs = keras.Input((spec.n_features,), dtype=spec.dtype, name="X")
    autoencoder = keras.Model(inputs, decoder(encoder(inputs)), name="autoencoder")
    network = Network(encoder, decoder, autoencoder, encoder_variables + decoder_variables)
    if weights is not None:
        assign(network.variables, weights)
    return network


def assign(variables, arrays) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _half(name, spec, widths, last_activation):
    """One half of the autoencoder as a functional model."""

    def dense(n_units, label, **options):
        # Every start value comes from NumPy: an unseeded initializer of Keras would draw its seed
        # from Python's global generator. The dtype is named, or the user's policy would decide.
        return keras.layers.Dense(
            n_units,
            kernel_initializer="zeros",
            dtype=spec.dtype,
            name=f"{name}_{label}",
            **options,
        )

    inputs = hidden = keras.Input((widths[0],), dtype=spec.dtype, name=f"{name}_input")
    layers = []
    for i, width in enumerate(widths[1:-1]):
        layers.append(dense(width, f"hidden_{i}", activation=spec.activation))
        hidden = layers[-1](hidden)
    layers.append(dense(widths[-1], "output"))
    outputs = layers[-1](hidden)
    if spec.shortcut:
        layers.append(dense(widths[-1], "shortcut", use_bias=False))
        outputs = keras.layers.Add(dtype=spec.dtype, name=f"{name}_sum")(
            [outputs, layers[-1](inputs)]
        )
    outputs = keras.layers.Activation(last_activation, dtype=spec.dtype, name=f"{name}_activation")(
        outputs
    )
    model = keras.Model(inputs, outputs, name=name)
    return model, [variable for layer in layers for variable in layer.weights]
