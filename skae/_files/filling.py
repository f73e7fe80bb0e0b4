"""What an estimator fills missing entries with, as a file holds it."""

import numpy as np

from skae._files.format import DTYPES, Tensor
from skae._network.spec import NetworkSpec

# The arrays of a `Filling`, in its order. Files up to format 5 lack them.
NAMES = ("filling.mean", "filling.loadings", "filling.noise")


def filling_tensors(attributes: dict) -> dict[str, np.ndarray]:
    """Return the tensors of an estimator's attributes; none if it was fitted to complete rows."""
    return dict(zip(NAMES, attributes.get("_filling", []), strict=False))


def declared_filling(tensors: dict[str, Tensor], spec: NetworkSpec) -> dict[str, Tensor]:
    """Return the tensors as they have to be declared, of those that a header declares."""
    if not tensors.keys() & {*NAMES}:
        return {}
    shape = tensors[NAMES[1]].shape if NAMES[1] in tensors else ()
    n_factors = min(shape[0], spec.n_features) if shape else 1
    shapes = [(spec.n_features,), (n_factors, spec.n_features), (spec.n_features,)]
    return {name: Tensor(DTYPES["F64"], shape) for name, shape in zip(NAMES, shapes, strict=True)}


def filling_attribute(tensors: dict) -> dict[str, list[np.ndarray]]:
    """Return the attribute that the tensors of a file hold, if they hold it."""
    if NAMES[0] not in tensors:
        return {}
    arrays = [tensors[name] for name in NAMES]
    if not all(np.isfinite(array).all() for array in arrays) or arrays[-1].min() <= 0:
        raise ValueError("what it fills missing entries with is not valid.")
    return {"_filling": arrays}
