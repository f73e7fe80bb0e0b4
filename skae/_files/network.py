"""The network that a file describes, checked before any weight is read."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from skae._network.activations import ACTIVATIONS
from skae._network.labels import KINDS
from skae._network.spec import NetworkSpec

FIELDS = set(NetworkSpec.__dataclass_fields__) - {"network"}


def check_keys(name: str, value: Any, expected: Iterable[str]) -> None:
    if not isinstance(value, dict) or value.keys() != set(expected):
        raise ValueError(f"the keys of its {name} are not those that skae writes.")


def matches(pattern: str, value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and re.fullmatch(pattern, value) is not None


def check_network(fields: Any, n_tensors: int) -> NetworkSpec:
    """Return the network that a file describes, or raise an error if there is no such network."""
    check_keys("network", fields, FIELDS)
    hidden, image, code = (
        fields[name] for name in ("hidden_layer_sizes", "image_shape", "code_activation")
    )
    known = {*ACTIVATIONS}
    checks = {
        # Each layer has tensors, so there are no more layers than tensors.
        "hidden_layer_sizes": _counts(hidden) and len(hidden) <= n_tensors,
        "image_shape": image is None or (_counts(image) and len(image) == 3 and bool(hidden)),
        "n_features": _counts([fields["n_features"]]),
        "n_components": _counts([fields["n_components"]]),
        "shortcut": fields["shortcut"] is False or (fields["shortcut"] is True and bool(hidden)),
        "dtype": fields["dtype"] in ("float32", "float64"),
        "sparsity": type(fields["sparsity"]) is float and fields["sparsity"] >= 0,
        "label_kind": _label_kind(fields),
        "output_unit": fields["output_unit"] is None
        or (type(fields["output_unit"]) is float and 0 < fields["output_unit"] < np.inf),
        "kl_weight": type(fields["kl_weight"]) is float
        and (fields["kl_weight"] == 0 or (fields["kl_weight"] > 0 and code == "linear")),
        **{
            name: isinstance(fields[name], str) and fields[name] in known
            for name in ("activation", "code_activation", "output_activation")
        },
    }
    wrong = [name for name, right in checks.items() if not right]
    if wrong:
        raise ValueError(f"its network is not valid: {wrong[0]} is {fields[wrong[0]]!r}.")
    spec = NetworkSpec(
        **{**fields, "hidden_layer_sizes": tuple(hidden), "image_shape": image and tuple(image)}
    )
    if image:
        _check_image(spec)
    return spec


def _label_kind(fields):
    """Return whether there are labels and outputs for them, or neither."""
    kind, n_outputs = fields["label_kind"], fields["n_label_outputs"]
    if kind is None:
        return n_outputs == 0 and type(n_outputs) is int
    return isinstance(kind, str) and kind in KINDS and _counts([n_outputs])


def _check_image(spec):
    height, width, channels = spec.image_shape
    if height * width * channels != spec.n_features:
        raise ValueError("its network is not valid: image_shape does not have n_features entries.")
    # The decoder rounds images up to a multiple of this factor. Convolutions have few weights, so a
    # small file could describe a hundred layers for one pixel, whose maps no memory could hold.
    factor = 2 ** len(spec.hidden_layer_sizes)
    maps = -(-height // factor) * -(-width // factor) * factor**2
    if maps > 64 * height * width + 2**14:
        raise ValueError(
            f"its network is not valid: {len(spec.hidden_layer_sizes)} convolutions are too many "
            f"for images of shape {spec.image_shape}, which would be padded to {maps} pixels."
        )


def _counts(value):
    return isinstance(value, list) and all(type(n) is int and n > 0 for n in value)
