"""Networks as ONNX operators, which compute what `skae._network.inference` does.

Every function takes `op(name, *inputs, **attributes)`, which adds an operator to a graph and
returns the name of its output. Its inputs are such names, or arrays and numbers. `op.dtype` is the
dtype of the rows.

Activations are composed of the few operators that onnxruntime supports in float64 too. ONNX has an
operator for nearly every activation, but onnxruntime supports those in float32 alone.
"""

import numpy as np

from skae._network.activations import SELU_ALPHA, SELU_SCALE

IMAGE_FIRST = (0, 3, 1, 2)  # from Keras' (rows, height, width, channels) to ONNX' channels first
IMAGE_LAST = (0, 2, 3, 1)
# Keras' kernels are (height, width, inputs, outputs), and those of transposed convolutions (height,
# width, outputs, inputs). ONNX swaps these two as well, so one permutation suits both.
KERNEL = (3, 2, 0, 1)
# The numbers of types in ONNX: `TensorProto.FLOAT` and `TensorProto.DOUBLE`.
FLOAT32, FLOAT64 = 1, 11


def encode(op, spec, weights, X):
    """Add the operators that map rows to codes, or to the means of variational codes."""
    arrays = weights[: len(spec.half_shapes()[0])]
    layers = _dense if spec.image_shape is None else _image_to_code
    return _half(op, spec, arrays, X, layers, spec.code_activation)


def decode(op, spec, weights, codes):
    """Add the operators that map codes to rows."""
    n_encoder, n_decoder = map(len, spec.half_shapes())
    arrays = weights[n_encoder : n_encoder + n_decoder]
    layers = _dense if spec.image_shape is None else _code_to_image
    rows = _half(op, spec, arrays, codes, layers, spec.output_activation)
    if spec.output_unit is None:
        return rows
    return op("Mul", op("Add", rows, 1.0), spec.output_unit)


def _half(op, spec, arrays, X, layers, last_activation):
    end = len(arrays) - spec.shortcut * (1 if spec.image_shape is None else 2)
    kernels, biases = arrays[:end:2], arrays[1:end:2]
    outputs = layers(op, spec, kernels, biases, X)
    if spec.shortcut:
        outputs = op("Add", outputs, _product(op, X, *arrays[end:]))
    return ACTIVATIONS[last_activation](op, outputs)


def _product(op, *matrices):
    """Add X @ kernel, plus a bias if one is given, summed in float64.

    In float32 a code of magnitude 40 is already off by 1e-5, in NumPy and in onnxruntime alike, and
    a classifier multiplies that error: its probabilities differed by more than 1e-5. Kernels stay
    float32 in the file. onnxruntime converts them once, when it loads the file.
    """
    if op.dtype == np.float64:
        return op("Gemm", *matrices)
    wide = [op("Cast", matrix, to=FLOAT64) for matrix in matrices]
    return op("Cast", op("Gemm", *wide), to=FLOAT32)


def _dense(op, spec, kernels, biases, X):
    activate = ACTIVATIONS[spec.activation]
    for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
        X = activate(op, _product(op, X, kernel, bias))
    return _product(op, X, kernels[-1], biases[-1])


def _image_to_code(op, spec, kernels, biases, X):
    height, width, channels = spec.image_shape
    # In ONNX, 0 means that a size stays as it is, here the number of rows.
    image = op("Transpose", op("Reshape", X, [0, height, width, channels]), perm=IMAGE_FIRST)
    for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
        # TensorFlow pads an even size only at its end.
        pads = [height % 2, width % 2, 1, 1]
        image = op("Conv", image, kernel.transpose(KERNEL), bias, pads=pads, strides=[2, 2])
        image = ACTIVATIONS[spec.activation](op, image)
        height, width = -(-height // 2), -(-width // 2)
    flat = op("Reshape", op("Transpose", image, perm=IMAGE_LAST), [0, len(kernels[-1])])
    return _product(op, flat, kernels[-1], biases[-1])


def _code_to_image(op, spec, kernels, biases, codes):
    height, width, _ = spec.image_shape
    activate = ACTIVATIONS[spec.activation]
    rounded, filters = 2 ** len(spec.hidden_layer_sizes), spec.hidden_layer_sizes[-1]
    small = [0, -(-height // rounded), -(-width // rounded), filters]
    maps = op("Reshape", activate(op, _product(op, codes, kernels[0], biases[0])), small)
    image = op("Transpose", maps, perm=IMAGE_FIRST)
    for kernel, bias in zip(kernels[1:-1], biases[1:-1], strict=True):
        options = {"pads": [0, 0, 1, 1], "strides": [2, 2]}
        image = activate(op, op("ConvTranspose", image, kernel.transpose(KERNEL), bias, **options))
    image = op("Conv", image, kernels[-1].transpose(KERNEL), biases[-1], pads=[1, 1, 1, 1])
    image = op("Slice", image, [0, 0], [height, width], [2, 3])
    return op("Reshape", op("Transpose", image, perm=IMAGE_LAST), [0, spec.n_features])


def _elu(op, x, alpha=1.0):
    tail = op("Mul", op("Sub", op("Exp", op("Min", x, 0.0)), 1.0), alpha)
    return op("Add", op("Relu", x), tail)


def _gelu(op, x):
    return op("Mul", op("Mul", x, 0.5), op("Add", op("Erf", op("Mul", x, np.sqrt(0.5))), 1.0))


def _hard_sigmoid(op, x):
    return op("Clip", op("Add", op("Div", x, 6.0), 0.5), 0.0, 1.0)


def _squareplus(op, x):
    # As in `skae._network.activations`, the smaller of two roots is 1 over the larger.
    size = op("Abs", x)
    larger = op("Div", op("Add", size, op("Sqrt", op("Add", op("Mul", x, x), 4.0))), 2.0)
    return op("Where", op("Greater", x, 0.0), larger, op("Div", 1.0, larger))


def _silu(op, x):
    # Not a product with Sigmoid: onnxruntime 1.20 fuses that into an operator it lacks in float64.
    return op("Div", x, op("Add", op("Exp", op("Neg", x)), 1.0))


def _softplus(op, x):
    # The exponential is of a negative number only, since that of a large one overflows.
    small = op("Log", op("Add", op("Exp", op("Neg", op("Abs", x))), 1.0))
    return op("Add", op("Relu", x), small)


ACTIVATIONS = {
    "elu": _elu,
    "exponential": lambda op, x: op("Exp", x),
    "gelu": _gelu,
    "hard_sigmoid": _hard_sigmoid,
    "leaky_relu": lambda op, x: op("Max", x, op("Mul", x, 0.2)),
    "linear": lambda op, x: x,
    "mish": lambda op, x: op("Mul", x, op("Tanh", _softplus(op, x))),
    "relu": lambda op, x: op("Relu", x),
    "relu6": lambda op, x: op("Clip", x, 0.0, 6.0),
    "selu": lambda op, x: op("Mul", _elu(op, x, SELU_ALPHA), SELU_SCALE),
    "sigmoid": lambda op, x: op("Sigmoid", x),
    "silu": _silu,
    "softplus": _softplus,
    "softsign": lambda op, x: op("Div", x, op("Add", op("Abs", x), 1.0)),
    "squareplus": _squareplus,
    "tanh": lambda op, x: op("Tanh", x),
}
