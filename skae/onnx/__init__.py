"""Convert fitted estimators, and Pipelines that contain them, to ONNX graphs with skl2onnx.

skl2onnx converts the parts from scikit-learn. This module converts
:class:`~skae.AutoencoderTransformer` inside them from its arrays alone, without Keras or tracing.
Its functions reach skl2onnx as arguments of a single call, so the global registries of skl2onnx do
not change unless :func:`register` is called.
"""

import numpy as np
from sklearn.base import BaseEstimator, is_classifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from skae._autoencoder import AutoencoderTransformer
from skae._data.filling import filling_of
from skae._network.operators import decode, encode
from skae._network.spec import NetworkSpec

try:
    from onnx import ModelProto, numpy_helper
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
        "skae.onnx needs skl2onnx, which is not installed or is incomplete. Install it with: "
        'pip install "skae[onnx]"'
    ) from error

__all__ = ["register", "to_onnx"]

METHODS = ("auto", "inverse_transform", "reconstruct")
# Types whose values float32 holds exactly.
NARROW = (BooleanTensorType, FloatTensorType, Int8TensorType, UInt8TensorType)
# Steps whose inverse scales and shifts each column.
SCALERS = (MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler)


def to_onnx(model, X, *, method="auto", options=None, target_opset=None) -> ModelProto:
    """Convert a fitted estimator or Pipeline to an ONNX model.

    Parameters
    ----------
    model : estimator
        A fitted :class:`~skae.AutoencoderTransformer`, or an estimator that contains one and whose
        other parts skl2onnx can convert: a Pipeline, FeatureUnion, ColumnTransformer or grid
        search.

    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        One or more rows of the data that the graph will be given. Only their dtype and width are
        used. For ``method="inverse_transform"`` these are codes, of shape (n_samples,
        n_components).

        The graph computes in float32 if float32 holds every value of the types in X exactly
        (float16, float32, bool, integers of 8 and 16 bits), and in float64 otherwise. The sums of
        dense layers are computed in float64 in either case, and then rounded.

        An array becomes one input, "X", with any number of rows. Each column of a pandas or polars
        frame becomes an input with the name and type of the column. If an output would have the
        name of a column, a number is added to the name of the output.

    method : {"auto", "inverse_transform", "reconstruct"}, default="auto"
        What the graph computes. "auto" computes `transform` of a transformer, the label and
        probabilities of a classifier, and `predict` of a regressor. "reconstruct" computes
        `transform` followed by `inverse_transform`. "inverse_transform" and "reconstruct" are
        available for the estimator itself, and for a Pipeline of it with MaxAbsScaler,
        MinMaxScaler, RobustScaler and StandardScaler.

    options : dict or None, default=None
        Options of skl2onnx. For a classifier, None means ``{"zipmap": False}``: probabilities are
        an array of shape (n_samples, n_classes), as returned by `predict_proba`, while skl2onnx
        returns a list of dicts by default.

    target_opset : int, dict or None, default=None
        Highest version of the ONNX operators to use. None means the version that skl2onnx is
        tested with.

    Returns
    -------
    onnx_model : onnx.ModelProto
        The graph. ``onnx_model.SerializeToString()`` returns the bytes for a file or for
        onnxruntime.

    See Also
    --------
    register : Let skl2onnx convert the estimator in calls of your own.

    Notes
    -----
    The code of a variational autoencoder is its mean, as in `transform`. Unlike `transform`, a
    graph does not refuse NaN and infinity: they pass through it. It does not fill missing values
    either, so an estimator that was fitted to rows with NaN is refused, unless its
    `inverse_transform` is converted.

    In float64, onnxruntime does not support the "gelu" activation and convolutions; converting
    them raises an error. Export a custom network with Keras instead.

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

    Convert codes back to digits:

    >>> codes = pipe[:-1].transform(X)
    >>> decoder = to_onnx(pipe[:-1], codes[:1], method="inverse_transform")
    """
    if method not in METHODS:
        raise ValueError(
            f"The 'method' parameter of to_onnx must be one of {METHODS}. Got {method!r} instead."
        )
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


def register() -> None:
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
    """The inverse of one step, as a step of a Pipeline."""

    def __init__(self, step):
        self.step = step


def _inverses(model):
    """Return the inverses of the steps of a model, last step first."""
    if isinstance(model, Pipeline):
        return [inverse for _, step in model.steps[::-1] for inverse in _inverses(step)]
    if model is None or model == "passthrough":
        return []
    if isinstance(model, (AutoencoderTransformer, *SCALERS)):
        return [_Inverse(model)]
    raise ValueError(
        "The inverse can be converted only for AutoencoderTransformer, MaxAbsScaler, MinMaxScaler, "
        f"RobustScaler, StandardScaler and Pipelines of them. Got {type(model).__name__}. Convert "
        "a part of the Pipeline without it, for example pipe[:-1], or the autoencoder alone."
    )


def _set_shape(operator):
    """Set the type and shape of a step's output, which skl2onnx asks for first."""
    n_in, n_out = _widths(operator.raw_operator)
    given = [variable.get_second_dimension() for variable in operator.inputs]
    if None not in given and sum(given) != n_in:
        raise ValueError(
            f"X has {sum(given)} columns, but the model takes {n_in}: features, or components if "
            "method='inverse_transform'. Give one or more rows of the data that the graph will get."
        )
    output = operator.outputs[0]
    narrow = all(isinstance(variable.type, NARROW) for variable in operator.inputs)
    shape = [operator.inputs[0].get_first_dimension(), n_out]
    output.type = (FloatTensorType if narrow else DoubleTensorType)(shape)


def _convert(scope, operator, container):
    """Add the operators of a step to the graph."""
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
        _refuse_filling(model)
        result = encode(op, _spec(model, op.dtype, "code"), model.weights_, X)
    elif isinstance(model.step, AutoencoderTransformer):
        model = model.step
        result = decode(op, _spec(model, op.dtype, "output"), model.weights_, X)
    else:
        # The inverses of zero and one give the shift and the scale of each column.
        zero = model.step.inverse_transform(np.zeros((1, model.step.n_features_in_)))
        one = model.step.inverse_transform(np.ones((1, model.step.n_features_in_)))
        result = op("Add", op("Mul", X, one - zero), zero)
    op("Identity", result, output=output.full_name)


def _refuse_filling(model):
    """Refuse an estimator that fills missing entries before it encodes, which no graph does."""
    if filling_of(model) is not None:
        raise ValueError(
            "This AutoencoderTransformer was fitted to rows with missing values, and fills NaN "
            "before it encodes, which an ONNX graph does not. Fit it to estimator.impute(X), and "
            "convert that. Its inverse_transform can be converted as it is."
        )


def _widths(model):
    """Return the numbers of columns of a step's input and output."""
    if isinstance(model, _Inverse):
        return _widths(model.step)[::-1]
    if isinstance(model, AutoencoderTransformer):
        return model.network_["n_features"], model.network_["n_components"]
    return model.n_features_in_, model.n_features_in_


def _spec(estimator, dtype, end):
    """Return the description of a network, checked for what a graph can compute.

    `end` is "code" or "output".
    """
    spec = NetworkSpec(**estimator.network_)
    if spec.network is not None:
        raise ValueError(
            "A custom network can't be converted from its weights, because only Keras knows its "
            f"layers. Got network={spec.network!r}. Get encoder and decoder from to_keras(), and "
            "export them with Keras: encoder.export('encoder.onnx', format='onnx')."
        )
    names = {getattr(spec, f"{end}_activation")}
    if spec.hidden_layer_sizes:
        names.add(spec.activation)
    lacking = ["activation 'gelu'"] if "gelu" in names else []
    lacking += ["convolutions"] if spec.image_shape else []
    if dtype == np.float64 and lacking:
        raise ValueError(
            f"onnxruntime does not compute this in float64: {', '.join(lacking)}. Give X as "
            "float32, for example as X.astype('float32'): the graph then computes in float32, "
            "whatever dtype the model was fitted on."
        )
    return spec


class _Operators:
    """Add operators to a graph that skl2onnx is making."""

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
        if array.dtype.kind == "f":  # integers are shapes and positions, and keep their dtype
            array = array.astype(self.dtype)
        tensor = numpy_helper.from_array(np.ascontiguousarray(array))
        name = self.scope.get_unique_variable_name("constant")
        self.container.add_initializer(name, None, None, tensor)
        return name
