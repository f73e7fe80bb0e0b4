"""Build Keras models from the description of a network."""

import functools
from typing import NamedTuple

import keras
import numpy as np
from keras.layers import (
    Activation,
    Add,
    Conv2D,
    Conv2DTranspose,
    Cropping2D,
    Dense,
    Flatten,
    Rescaling,
    Reshape,
)

from skae._keras import apart, refuse_graphs
from skae._keras.layers import LabelledCode, PenalisedCode, SampledCode, SparseCode
from skae._network.spec import NetworkSpec, Penalties

WITH_KERNEL = (Dense, Conv2D, Conv2DTranspose)
# Given explicitly, since the user's settings of Keras would decide otherwise.
CHANNELS = {"data_format": "channels_last"}


class Network(NamedTuple):
    """Models that share their weights, and these weights in the order of the description."""

    encoder: keras.Model
    decoder: keras.Model
    autoencoder: keras.Model
    training: keras.Model  # the autoencoder with the inputs and layers that only training needs
    variables: list[keras.Variable]
    penalties: dict[str, PenalisedCode]  # by the names of the fields of `Penalties`
    n_targets: int  # columns of a label that `training` takes for each row, or 0
    n_draws: int  # standard normal numbers that `training` takes beside each row
    jit_compile: bool  # whether XLA compiles the training, as in `Model.compile`

    def weigh(self, penalties: Penalties) -> None:
        """Set the weights of the penalties for the next computations."""
        for name, layer in self.penalties.items():
            layer.weight = getattr(penalties, name)


def build(
    spec: NetworkSpec,
    weights: list[np.ndarray] | None = None,
    dense: type[Dense] = Dense,
) -> Network:
    """Build the models, with the given weight arrays or with zeros.

    `dense` is the class of the layers in a network of dense layers alone. Without `weights`, a
    custom network keeps those it was made with.
    """
    refuse_graphs()
    encoder, decoder, variables, features = _halves(spec, dense)
    inputs = keras.Input((spec.n_features,), dtype=spec.dtype, name="X")
    code = encoder(inputs)
    autoencoder = keras.Model(inputs, decoder(code), name="autoencoder")
    if spec.kl_weight:
        log_variance = _layer(dense, spec, "log_variance", units=spec.n_components)
        moments = keras.Model(encoder.inputs, [*encoder.outputs, log_variance(features)])
        code = moments(inputs)
        variables = [*variables, *log_variance.weights]
    code, penalties, others = _penalised(spec, code)
    training = autoencoder
    if penalties:
        training = keras.Model([inputs, *others.values()] if others else inputs, decoder(code))
    if spec.label_kind:
        variables = [*variables, *penalties["labels"].weights]
    network = Network(
        encoder,
        decoder,
        autoencoder,
        training,
        variables,
        penalties,
        n_targets=others["labels"].shape[1] if "labels" in others else 0,
        n_draws=others["draws"].shape[1] if "draws" in others else 0,
        # XLA compiles dense networks alone: on the CPU, it takes ten times as long for the
        # gradients of convolutions, and on a GPU some 20 s to compile them.
        jit_compile=spec.dense,
    )
    if weights is not None:
        assign(network.variables, weights)
    return network


def _halves(spec, dense):
    """Return both halves, their variables, and the input of the last layer of the encoder."""
    if spec.network is not None:
        encoder, decoder = _custom(spec)
        return encoder, decoder, encoder.variables + decoder.variables, None
    half = _convolutional_half
    if spec.image_shape is None:
        half = functools.partial(_dense_half, dense)
    encoder, encoder_variables, features = half("encoder", spec)
    decoder, decoder_variables, _ = half("decoder", spec)
    return encoder, decoder, encoder_variables + decoder_variables, features


def _penalised(spec, code):
    """Return the code behind its penalties, these layers, and what they take beside X.

    A variational code is given as its mean and log-variance.
    """
    penalties: dict[str, PenalisedCode] = {}
    others = {}
    if spec.kl_weight:
        others["draws"] = keras.Input((spec.n_components,), dtype=spec.dtype, name="draws")
        penalties["divergence"] = SampledCode(dtype=spec.dtype)
        code = penalties["divergence"]([*code, others["draws"]])
    if spec.sparsity:
        penalties["sparsity"] = SparseCode(dtype=spec.dtype)
        code = penalties["sparsity"](code)
    if spec.label_kind:
        n_columns = spec.head.n_targets + 1
        others["labels"] = keras.Input((n_columns,), dtype=spec.dtype, name="labels")
        penalties["labels"] = LabelledCode(*spec.head, dtype=spec.dtype)
        code = penalties["labels"]([code, others["labels"]])
    return code, penalties, others


@apart
def weights_as_made(spec: NetworkSpec) -> list[np.ndarray]:
    """Return the weights of the network that the user's callable makes."""
    return [variable.numpy().copy() for variable in build(spec).variables]


def assign(variables: list[keras.Variable], arrays: list[np.ndarray]) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _layer(layer, spec, name, **options):
    # Every start value comes from NumPy: an unseeded initializer of Keras would draw its seed
    # from Python's global generator. Without a dtype, the user's policy would decide.
    if issubclass(layer, WITH_KERNEL):
        options["kernel_initializer"] = "zeros"
    return layer(dtype=spec.dtype, name=name, **options)


def _dense_half(dense, name, spec):
    """Return one half of the autoencoder, its variables, and the input of its last layer."""
    widths = spec.encoder_widths if name == "encoder" else spec.decoder_widths
    inputs = hidden = keras.Input((widths[0],), dtype=spec.dtype, name=f"{name}_input")
    layers = []
    for i, width in enumerate(widths[1:-1]):
        options = {"units": width, "activation": spec.activation}
        layers.append(_layer(dense, spec, f"{name}_hidden_{i}", **options))
        hidden = layers[-1](hidden)
    layers.append(_layer(dense, spec, f"{name}_output", units=widths[-1]))
    return _finish(name, spec, inputs, hidden, layers[-1](hidden), layers)


def _convolutional_half(name, spec):
    """Return the same as `_dense_half` does, for images.

    Each convolution of the encoder halves height and width, rounding up. Its mirror in the decoder
    doubles them, and the surplus of the image is cut off.
    """
    height, width, channels = spec.image_shape
    filters = spec.hidden_layer_sizes
    options = {"kernel_size": 3, "padding": "same", **CHANNELS}
    strided = {**options, "strides": 2, "activation": spec.activation}
    encoding = name == "encoder"
    inputs = keras.Input(
        (spec.n_features if encoding else spec.n_components,),
        dtype=spec.dtype,
        name=f"{name}_input",
    )
    layers = []
    if encoding:
        hidden = _layer(Reshape, spec, "image", target_shape=spec.image_shape)(inputs)
        for i, n in enumerate(filters):
            layers.append(_layer(Conv2D, spec, f"{name}_hidden_{i}", filters=n, **strided))
            hidden = layers[-1](hidden)
        features = _layer(Flatten, spec, "features", **CHANNELS)(hidden)
        layers.append(_layer(Dense, spec, f"{name}_output", units=spec.n_components))
        return _finish(name, spec, inputs, features, layers[-1](features), layers)
    rounded = 2 ** len(filters)
    small = (-(-height // rounded), -(-width // rounded), filters[-1])
    units = small[0] * small[1] * small[2]
    layers.append(_layer(Dense, spec, "map", units=units, activation=spec.activation))
    hidden = _layer(Reshape, spec, "maps", target_shape=small)(layers[-1](inputs))
    for i, n in enumerate((*filters[-2::-1], filters[0])):
        layers.append(_layer(Conv2DTranspose, spec, f"{name}_hidden_{i}", filters=n, **strided))
        hidden = layers[-1](hidden)
    layers.append(_layer(Conv2D, spec, f"{name}_output", filters=channels, **options))
    image = layers[-1](hidden)
    surplus = ((0, image.shape[1] - height), (0, image.shape[2] - width))
    image = _layer(Cropping2D, spec, "cropped", cropping=surplus, **CHANNELS)(image)
    flat = _layer(Reshape, spec, "row", target_shape=(spec.n_features,))(image)
    return _finish(name, spec, inputs, hidden, flat, layers)


def _finish(name, spec, inputs, features, outputs, layers):
    """Add the shortcut and the last activation to a half and make it a model."""
    if spec.shortcut:
        # Convolutions have one bias per channel, so the shortcut of images has one per output.
        bias = spec.image_shape is not None
        units = outputs.shape[1]
        layers.append(_layer(Dense, spec, f"{name}_shortcut", units=units, use_bias=bias))
        outputs = _layer(Add, spec, f"{name}_sum")([outputs, layers[-1](inputs)])
    last = spec.code_activation if name == "encoder" else spec.output_activation
    outputs = _layer(Activation, spec, f"{name}_activation", activation=last)(outputs)
    if name == "decoder" and spec.output_unit is not None:
        options = {"scale": spec.output_unit, "offset": spec.output_unit}
        outputs = _layer(Rescaling, spec, f"{name}_unit", **options)(outputs)
    model = keras.Model(inputs, outputs, name=name)
    return model, [variable for layer in layers for variable in layer.weights], features


def _custom(spec):
    """Return the user's encoder and decoder, if they fit the data and each other."""
    halves = spec.network(spec)
    if not (isinstance(halves, tuple | list) and len(halves) == 2):
        raise ValueError(
            "The callable given as 'network' must return two Keras models, (encoder, decoder). "
            f"Got {type(halves).__name__} instead."
        )
    ends = (spec.n_features, spec.n_components, spec.n_features)
    for name, half, shape in zip(("encoder", "decoder"), halves, (ends[:2], ends[1:]), strict=True):
        if not isinstance(half, keras.Model):
            raise ValueError(
                f"The {name} that the callable given as 'network' returns must be a keras.Model. "
                f"Got {type(half).__name__} instead."
            )
        _check_half(name, half, shape, spec.dtype)
    return tuple(halves)


def _check_half(name, half, shape, dtype):
    """Call a half on rows, which builds it if needed, and check the shape of its outputs."""
    try:
        outputs = half(keras.Input((shape[0],), dtype=dtype))
        found = getattr(outputs, "shape", type(outputs).__name__)
        got = f"Got {type(half).__name__}, which maps them to {found}."
    except Exception as error:  # whatever the user's layers may raise
        found = None
        said = " ".join(str(error).split("\n\n")[0].split())
        got = f"Got {type(half).__name__}, which Keras can't call on them: {said}"
    if found != (None, shape[1]):
        raise ValueError(
            f"The {name} that the callable given as 'network' returns must map rows of {shape[0]} "
            f"numbers to rows of {shape[1]}. {got}"
        )
