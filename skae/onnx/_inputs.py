"""Inputs of an ONNX graph, with the names and types of the columns of X.

skl2onnx takes the precision of a graph from its first input, and changes names that are not
identifiers. The graph is therefore converted with inputs of one precision, and gets the names and
types of the columns of X afterwards.
"""

import itertools
from typing import Any, NamedTuple

import numpy as np
from onnx import GraphProto, TensorProto, helper
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from sklearn.utils import check_array


class Column(NamedTuple):
    """An input of a graph: one column of a frame, or a whole array."""

    name: str
    dtype: np.dtype
    width: int


def columns_of(X: Any) -> list[Column]:
    """Return the inputs that a graph has for rows like those of X."""
    if not hasattr(X, "columns"):
        X = check_array(X, dtype=None, accept_sparse=True, ensure_all_finite=False)[:1]
        X = X if isinstance(X, np.ndarray) else X.toarray()  # onnxruntime takes only dense rows
        return [Column("X", _dtype("X", X), X.shape[1])]
    names = [str(name) for name in X.columns]
    if "" in names or len(set(names)) < len(names):
        raise ValueError(
            "The inputs of a graph are named after the columns of X, so their names must differ "
            f"and can't be empty. Got {names!r}. Rename the columns, or give X as an array."
        )
    return [
        Column(name, _dtype(name, np.asarray(X[given][:1])), 1)
        for name, given in zip(names, X.columns, strict=True)
    ]


def _dtype(name, values):
    """Return the dtype in which a graph takes the values; str for strings."""
    kind = values.dtype.kind
    if kind in "biuf" and values.dtype.itemsize <= 8:
        return values.dtype.newbyteorder("=")
    if kind in "OUT" and all(isinstance(value, str) for value in values.flat):
        return np.dtype(str)
    if not _all_numbers(values):
        raise ValueError(
            f"An input of a graph must hold numbers or strings, and {name!r} has neither. Got "
            f"values such as {values.flat[0]!r}, of dtype {values.dtype}. Convert them first."
        )
    return np.dtype(np.float64)


def _all_numbers(values):
    """Return whether all values are numbers, even as objects, as they are with missing values."""
    try:
        values.astype(np.float64)
    except (TypeError, ValueError):
        return False
    return values.dtype.kind in "Of"


def initial_types(columns: list[Column]) -> list[tuple[str, Any]]:
    """Return the inputs for skl2onnx, with all numbers in the estimator's precision for X.

    It is float32 if float32 holds every value of every type exactly, else float64.
    """
    narrow = all(np.can_cast(column.dtype, np.float32) for column in columns if _numbers(column))
    numbers = FloatTensorType if narrow else DoubleTensorType
    return [
        (column.name, (numbers if _numbers(column) else StringTensorType)([None, column.width]))
        for column in columns
    ]


def _numbers(column):
    return column.dtype.kind != "U"


def restore(graph: GraphProto, columns: list[Column]) -> None:
    """Give the inputs of a converted graph the names and types of the columns."""
    names = _names(graph)
    taken = names.union(column.name for column in columns)
    renamed = {column.name: _free(column.name, taken) for column in columns if column.name in names}
    casts = []
    for given, column in zip(graph.input, columns, strict=True):
        tensor, element = given.type.tensor_type, _element_type(column)
        if tensor.elem_type == element:
            renamed[given.name] = column.name
            continue
        cast = renamed[given.name] = _free(column.name, taken)
        casts.append(helper.make_node("Cast", [column.name], [cast], to=tensor.elem_type))
        tensor.elem_type = element
    _rename(graph, renamed)
    for given, column in zip(graph.input, columns, strict=True):
        given.name = column.name
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _element_type(column):
    if not _numbers(column):
        return TensorProto.STRING
    return helper.np_dtype_to_tensor_dtype(column.dtype)


def _names(graph):
    """Return the names of all values in a graph and in the graphs inside its nodes."""
    names = {value.name for value in _values(graph)}
    for node in graph.node:
        names.update(node.input, node.output)
        for inner in _inner_graphs(node):
            names |= _names(inner)
    return names


def _values(graph):
    return itertools.chain(graph.input, graph.output, graph.initializer, graph.value_info)


def _inner_graphs(node):
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _free(name, taken):
    """Return a name that no value has, and mark it as taken."""
    free = next(f"{name}_{i}" for i in itertools.count(1) if f"{name}_{i}" not in taken)
    taken.add(free)
    return free


def _rename(graph, renamed):
    for value in _values(graph):
        value.name = renamed.get(value.name, value.name)
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
        for inner in _inner_graphs(node):
            _rename(inner, renamed)
