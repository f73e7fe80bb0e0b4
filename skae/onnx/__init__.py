"""Fitted estimators, and Pipelines around them, as ONNX graphs, by skl2onnx.

skl2onnx converts scikit-learn; what is here converts :class:`~skae.AutoencoderTransformer` inside
it, from arrays alone: no Keras, no tracing. The functions reach skl2onnx as arguments of one call,
so its global registries stay as they are unless :func:`register` is called.
"""

import numpy as np
from sklearn.base import BaseEstimator, is_classifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from skae._autoencoder import AutoencoderTransformer
from skae._network.operators import decode, encode
from skae._network.spec import NetworkSpec

try:
    from onnx import numpy_helper
    from skl2onnx import convert_sklearn, update_registered_converter
    from skl2onnx.common.data_types import (
        BooleanTensorType,
        DoubleTensorType,
        FloatTensorType,
        Int8TensorType,
        UInt8TensorType,
        guess_numpy_type,
        guess_proto_type,
    )

    from skae.onnx._inputs import columns_of, initial_types, restore
except ImportError as error:
    raise ImportError(
        "skae.onnx needs skl2onnx, which is not installed or not whole. Install it with: "
        'pip install "skae[onnx]"'
    ) from error

__all__ = ["register", "to_onnx"]

METHODS = ("auto", "inverse_transform", "reconstruct")
# Types whose every value float32 holds exactly.
NARROW = (BooleanTensorType, FloatTensorType, Int8TensorType, UInt8TensorType)
# Steps whose inverse stretches each column and moves it.
SCALERS = (MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler)


def to_onnx(model, X, *, method="auto", options=None, target_opset=None):
    """Convert a fitted estimator or Pipeline to an ONNX model.

    Parameters
    ----------
    model : estimator
        A fitted :class:`~skae.AutoencoderTransformer`, or what contains one and skl2onnx knows
        otherwise: a Pipeline, FeatureUnion, ColumnTransformer or grid search.

    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        A row or more of what the model will be given, for their dtype and width: codes of shape
        (n_samples, n_components) for ``method="inverse_transform"``. The graph computes in
        float32 if that holds every value of the types in X exactly (float16, bool, integers of 8
        and 16 bits), else in float64; sums of dense layers are float64 in either case, then
        rounded. An array makes one input, "X", of any number of rows. A pandas or polars frame
        makes an input for each column, with its name and type. An output that a column has the
        name of gets a number.

    method : {"auto", "inverse_transform", "reconstruct"}, default="auto"
        What the graph computes. "auto" is `transform` of a transformer, label and probabilities
        of a classifier and `predict` of a regressor. "reconstruct" is `transform` and
        `inverse_transform` in sequence. Both ways back exist for the estimator itself and for a
        Pipeline of it with MaxAbsScaler, MinMaxScaler, RobustScaler and StandardScaler.

    options : dict or None, default=None
        Options of skl2onnx. None is ``{"zipmap": False}`` for a classifier: probabilities are an
        array of shape (n_samples, n_classes), as from `predict_proba`, where skl2onnx itself
        makes a list of dicts.

    target_opset : int, dict or None, default=None
        Highest version of ONNX' operators to use; None is what skl2onnx is tested with.

    Returns
    -------
    onnx_model : onnx.ModelProto
        The graph. ``onnx_model.SerializeToString()`` is what a file holds and onnxruntime takes.

    See Also
    --------
    register : For calling skl2onnx oneself.

    Notes
    -----
    A variational code is its mean, as in `transform`. Values that `transform` refuses, NaN and
    infinity, pass through a graph.

    In float64 onnxruntime has neither the "gelu" activation nor convolutions; these raise an
    error. Custom networks are Keras' to export.

    Examples
    --------
    >>> import onnxruntime
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> from skae import AutoencoderTransformer
    >>> from skae.onnx import to_onnx
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X.astype("float32")
    >>> pipe = make_pipeline(
    ...     MinMaxScaler(), AutoencoderTransformer(8), LogisticRegression(max_iter=1000)
    ... ).fit(X, y)
    >>> session = onnxruntime.InferenceSession(to_onnx(pipe, X[:1]).SerializeToString())
    >>> labels, probabilities = session.run(None, {"X": X})
    >>> float((labels == pipe.predict(X)).mean())
    1.0
    >>> probabilities.shape
    (1797, 10)

    And back, from codes to digits:

    >>> codes = pipe[:-1].transform(X)
    >>> decoder = to_onnx(pipe[:-1], codes[:1], method="inverse_transform")
    """
    if method not in METHODS:
        raise ValueError(f"The 'method' parameter must be one of {METHODS}. Got {method!r}.")
    check_is_fitted(model)
    columns = columns_of(X)
    if options is None and method == "auto" and is_classifier(model):
        options = {"zipmap": False}
    if method != "auto":
        steps = [model] if method == "reconstruct" else []
        model = make_pipeline(*steps, *_inverses(model))
    kinds = (AutoencoderTransformer, _Inverse)
    converted = convert_sklearn(
        model,
        name=type(model).__name__,
        initial_types=initial_types(columns),
        target_opset=target_opset,
        custom_conversion_functions=dict.fromkeys(kinds, _convert),
        custom_shape_calculators=dict.fromkeys(kinds, _set_shape),
        options=options,
    )
    restore(converted.graph, columns)
    return converted


def register():
    """Let skl2onnx convert AutoencoderTransformer wherever it is called in this process.

    :func:`to_onnx` does not need it, and nothing else in skae changes skl2onnx.

    See Also
    --------
    to_onnx : Convert without registering.

    Examples
    --------
    >>> import numpy as np
    >>> import skl2onnx
    >>> import skae.onnx
    >>> X = np.random.default_rng(0).uniform(size=(50, 4)).astype(np.float32)
    >>> estimator = skae.AutoencoderTransformer(2).fit(X)
    >>> skae.onnx.register()
    >>> onnx_model = skl2onnx.to_onnx(estimator, X[:1])
    """
    update_registered_converter(
        AutoencoderTransformer, "SkaeAutoencoderTransformer", _set_shape, _convert
    )


class _Inverse(BaseEstimator):
    """What stands in a Pipeline for the way back through one of its steps."""

    def __init__(self, step):
        self.step = step


def _inverses(model):
    """The way back through a model, last step first."""
    if isinstance(model, Pipeline):
        return [inverse for _, step in model.steps[::-1] for inverse in _inverses(step)]
    if model is None or model == "passthrough":
        return []
    if isinstance(model, (AutoencoderTransformer, *SCALERS)):
        return [_Inverse(model)]
    raise ValueError(
        "The way back is converted for AutoencoderTransformer, MaxAbsScaler, MinMaxScaler, "
        f"RobustScaler, StandardScaler and Pipelines of them. Got {type(model).__name__}. Convert "
        "the part of the Pipeline without it, pipe[:-1] for example, or the autoencoder alone."
    )


def _set_shape(operator):
    """Set type and shape of what a step gives; skl2onnx asks for them first."""
    n_in, n_out = _widths(operator.raw_operator)
    given = [variable.get_second_dimension() for variable in operator.inputs]
    if None not in given and sum(given) != n_in:
        raise ValueError(
            f"X has {sum(given)} columns, but the model takes {n_in}: features, or with "
            "method='inverse_transform' codes. Give a row or more of what it will be given."
        )
    output = operator.outputs[0]
    narrow = all(isinstance(variable.type, NARROW) for variable in operator.inputs)
    shape = [operator.inputs[0].get_first_dimension(), n_out]
    output.type = (FloatTensorType if narrow else DoubleTensorType)(shape)


def _convert(scope, operator, container):
    """Add the operators of a step."""
    output, model = operator.outputs[0], operator.raw_operator
    op = _Operators(scope, container, guess_numpy_type(output.type))
    columns = [
        variable.full_name
        if isinstance(variable.type, type(output.type))
        else op("Cast", variable.full_name, to=guess_proto_type(output.type))
        for variable in operator.inputs
    ]
    X = columns[0] if len(columns) == 1 else op("Concat", *columns, axis=1)
    if isinstance(model, AutoencoderTransformer):
        result = encode(op, _spec(model, op.dtype, "code"), model.weights_, X)
    elif isinstance(model.step, AutoencoderTransformer):
        model = model.step
        result = decode(op, _spec(model, op.dtype, "output"), model.weights_, X)
    else:
        # What becomes of zero and of one says how each column is moved and stretched.
        zero = model.step.inverse_transform(np.zeros((1, model.step.n_features_in_)))
        one = model.step.inverse_transform(np.ones((1, model.step.n_features_in_)))
        result = op("Add", op("Mul", X, one - zero), zero)
    op("Identity", result, output=output.full_name)


def _widths(model):
    """Numbers of columns that a step takes and gives."""
    if isinstance(model, _Inverse):
        return _widths(model.step)[::-1]
    if isinstance(model, AutoencoderTransformer):
        return model.network_["n_features"], model.network_["n_components"]
    return model.n_features_in_, model.n_features_in_


def _spec(estimator, dtype, end):
    """Description of a network that the graph can compute; `end` is "code" or "output"."""
    spec = NetworkSpec(**estimator.network_)
    if spec.network is not None:
        raise ValueError(
            "A custom network can't be converted from its weights: its layers are Keras'. Got "
            f"network={spec.network!r}. Take encoder and decoder from to_keras(), and export them "
            "with Keras: encoder.export('encoder.onnx', format='onnx')."
        )
    names = {getattr(spec, f"{end}_activation")}
    if spec.hidden_layer_sizes:
        names.add(spec.activation)
    lacking = ["activation 'gelu'"] if "gelu" in names else []
    lacking += ["convolutions"] if spec.image_shape else []
    if dtype == np.float64 and lacking:
        raise ValueError(
            f"onnxruntime does not compute this in float64: {', '.join(lacking)}. Give X as "
            "float32, X.astype('float32'): the graph then computes in float32, whatever the "
            "model was fitted on."
        )
    return spec


class _Operators:
    """Adds operators to a graph that skl2onnx is making."""

    def __init__(self, scope, container, dtype):
        self.scope = scope
        self.container = container
        self.dtype = dtype

    def __call__(self, name, *inputs, output=None, **attributes):
        output = output or self.scope.get_unique_variable_name(name)
        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        unique = self.scope.get_unique_operator_name(name)
        self.container.add_node(name, names, output, name=unique, **attributes)
        return output

    def _constant(self, value):
        array = np.asarray(value)
        if array.dtype.kind == "f":  # whole numbers are shapes and positions
            array = array.astype(self.dtype)
        tensor = numpy_helper.from_array(np.ascontiguousarray(array))
        name = self.scope.get_unique_variable_name("constant")
        self.container.add_initializer(name, None, None, tensor)
        return name
