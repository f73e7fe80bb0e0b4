"""What a fit found of a network, as a file holds it: losses, shares of variance, usual errors."""

from typing import Any

import numpy as np

from skae._files.network import check_keys
from skae._network.spec import NetworkSpec

CURVES = ("loss_curve", "validation_loss_curve", "validation_epochs")
# Arrays with as many entries as this field of the network says. Files up to format 4 lack them.
FINDINGS = {"explained_variance_ratio": "n_components", "feature_errors": "n_features"}


def found_tensors(attributes: dict) -> dict[str, np.ndarray]:
    """Return the tensors of an estimator's attributes, without those that are empty."""
    curves = {name: attributes[f"{name}_"] for name in CURVES}
    tensors = {name: np.array(curve, np.float64) for name, curve in curves.items() if curve}
    for name in FINDINGS:
        array = attributes.get(_attribute(name))
        if array is not None:
            tensors[name] = array
    return tensors


def found_attributes(tensors: dict) -> dict[str, Any]:
    """Return the attributes that the tensors of a file hold."""
    found = {f"{name}_": tensors[name].tolist() if name in tensors else [] for name in CURVES}
    found["validation_epochs_"] = _epochs(
        found["validation_epochs_"], found["validation_loss_curve_"]
    )
    if "feature_errors" not in tensors and "explained_variance_ratio" in tensors:
        raise ValueError("its findings are not those of its network.")
    if "feature_errors" in tensors:
        found |= {_attribute(name): tensors.get(name) for name in FINDINGS}
        given = [found[_attribute(name)] for name in FINDINGS if name in tensors]
        if not all(np.isfinite(array).all() for array in given) or given[-1].min() < 0:
            raise ValueError("its findings are not valid.")
    return found


def _attribute(name):
    """Return the attribute of an array. A property stands before the shares of variance."""
    return "_explained_variance_ratio" if name == "explained_variance_ratio" else f"{name}_"


def check_found(found: Any, spec: NetworkSpec) -> None:
    """Check the findings among the metadata of a file."""
    check_keys("findings", found, {"gain_over_pca", "n_components"})
    gain, given = found["gain_over_pca"], found["n_components"]
    right = gain is None or (type(gain) is float and np.isfinite(gain))
    if type(given) is int:
        right = right and given >= spec.n_components
    elif given is not None:
        right = right and type(given) is float and 0 < given < 1
    if not right:
        raise ValueError("its findings are not those of its network.")


def _epochs(epochs, validation_losses):
    """Return the epochs of the validation losses; those of files up to format 3 are not known."""
    known = all(n >= 0 and n.is_integer() for n in epochs)
    if len(epochs) > len(validation_losses) or not known:
        raise ValueError("the epochs of its validation losses are not valid.")
    return [int(n) for n in epochs]
