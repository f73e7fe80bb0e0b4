"""Where training in parts stands, as a file holds it: numbers among the metadata, and arrays."""

import re
from typing import Any

import numpy as np

from skae._files.format import DTYPES, Tensor
from skae._files.network import check_keys
from skae._network.spec import NetworkSpec, Penalties

# The plain values of a stream. Files up to format 5 lack them.
PLAIN = {"n_rows", "n_steps", "optimizer", "penalties", "scale"}
# The units of rows and of labels that are numbers.
UNITS = {"stream.mean": "mean", "stream.label_mean": "label_mean"}
UNITS |= {"stream.label_scale": "label_scale"}
ARRAY = re.compile(r"stream\.array\.(\d{1,3})")
MOST_TEXT = 10_000


def described_stream(attributes: dict) -> dict | None:
    """Return the plain values of an estimator's stream, or None if it was not fitted in parts."""
    stream = attributes.get("_stream")
    if stream is None:
        return None
    penalties = [float(weight) for weight in stream["penalties"]]
    plain = {name: stream[name] for name in PLAIN}
    return plain | {"penalties": penalties, "scale": float(stream["scale"])}


def stream_tensors(attributes: dict) -> dict[str, np.ndarray]:
    """Return the arrays of an estimator's stream; those that count steps become floats."""
    stream = attributes.get("_stream")
    if stream is None:
        return {}
    tensors = {name: stream[key] for name, key in UNITS.items() if key in stream}
    for i, array in enumerate(stream["arrays"]):
        tensors[f"stream.array.{i}"] = array if array.dtype.kind == "f" else array.astype(float)
    return tensors


def check_stream(found: Any) -> None:
    """Check the stream among the metadata of a file."""
    if found is None:
        return
    check_keys("stream", found, PLAIN)
    counts = found["n_rows"], found["n_steps"]
    weights, scale, optimizer = found["penalties"], found["scale"], found["optimizer"]
    right = all(type(count) is int and 0 < count < 2**53 for count in counts)
    right = right and type(optimizer) is str and len(optimizer) <= MOST_TEXT
    right = right and type(scale) is float and 0 < scale < np.inf
    right = right and isinstance(weights, list) and len(weights) == len(Penalties._fields)
    if not right or not all(type(w) is float and 0 <= w < np.inf for w in weights):
        raise ValueError("its state of training in parts is not valid.")


def declared_stream(
    found: dict | None, tensors: dict[str, Tensor], spec: NetworkSpec
) -> dict[str, Tensor]:
    """Return the tensors as they have to be declared, of those that a header declares."""
    if found is None:
        return {}
    float64 = DTYPES["F64"]
    declared = {"stream.mean": Tensor(float64, (spec.n_features,))}
    if spec.label_kind == "numbers":
        for name in ("stream.label_mean", "stream.label_scale"):
            declared[name] = Tensor(float64, (spec.n_label_outputs,))
    # What an optimizer keeps, only Keras knows. Training refuses arrays of another shape.
    arrays = [name for name in tensors if ARRAY.fullmatch(name)]
    if not arrays:
        raise ValueError("its state of training in parts is not valid.")
    for i in range(len(arrays)):
        name = f"stream.array.{i}"
        given = tensors.get(name, Tensor(float64, ()))
        dtype = given.dtype if given.dtype != DTYPES["U8"] else float64
        declared[name] = Tensor(dtype, given.shape)
    return declared


def stream_attributes(found: dict | None, tensors: dict) -> dict[str, Any]:
    """Return the attributes that a file holds of a stream, if it holds one."""
    if found is None:
        return {}
    named = {key: tensors[name] for name, key in UNITS.items() if name in tensors}
    n_arrays = sum(bool(ARRAY.fullmatch(name)) for name in tensors)
    arrays = [tensors[f"stream.array.{i}"] for i in range(n_arrays)]
    if not all(np.isfinite(array).all() for array in [*named.values(), *arrays]):
        raise ValueError("its state of training in parts is not finite.")
    stream = {**found, **named, "arrays": arrays}
    return {"_stream": stream, "n_samples_seen_": found["n_rows"]}
