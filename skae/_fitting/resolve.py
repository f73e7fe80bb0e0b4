"""Turn the parameters of an estimator and its data into a network and how to train it."""

import math
from numbers import Integral
from typing import Any

from skae._data.noise import noise_of
from skae._data.rows import Rows
from skae._fitting.candidates import Candidate, Settings
from skae._fitting.units import POSITIVE
from skae._network import activations, losses
from skae._network.activations import SLOPE_ABOVE_ZERO
from skae._network.labels import Head
from skae._network.losses import describe
from skae._network.spec import NetworkSpec
from skae._parameters import check_parameters

# The hidden layers of hidden_layer_sizes="auto", the fewest rows to train them on, and the most
# features. CONTRIBUTING.md has the figures.
HIDDEN = (128,)
LEAST_ROWS = 50
MOST_FEATURES = 1024


def resolve(
    estimator: Any,
    rows: Rows,
    fitted: dict | None,
    head: Head | None = None,
    *,
    more: bool = False,
) -> Candidate:
    """Return the network and how to train it.

    `fitted` describes the network to continue from, or is None. `more` says that these rows are not
    all, so that their number decides nothing. The output activation may still be
    "auto", since it takes training to choose it.
    """
    hidden, image_shape = check_parameters(estimator, rows.n_features)
    if isinstance(estimator.hidden_layer_sizes, str):
        n_rows = math.inf if more else len(rows)
        hidden = fitted["hidden_layer_sizes"] if fitted else _hidden(estimator, rows, n_rows)
    code, output = (
        activations.canonical(getattr(estimator, f"{end}_activation")) for end in ("code", "output")
    )
    pca = estimator.init == "pca"
    if code == "auto":
        linear = (pca and not estimator.sparsity) or estimator.kl_weight
        code = "linear" if linear else "relu"
    if (estimator.sparsity or image_shape or more) and code in SLOPE_ABOVE_ZERO:
        pca = False  # nothing would raise such a code to where it is linear, on all rows
    wanted = {
        "n_features": rows.n_features,
        "n_components": _most_components(estimator.n_components, rows, more),
        "hidden_layer_sizes": hidden,
        "activation": activations.canonical(estimator.activation),
        "code_activation": code,
        "output_activation": output,
        "shortcut": bool(hidden) and pca and estimator.network is None,
        "dtype": rows.dtype.name,
        "sparsity": float(estimator.sparsity),
        "kl_weight": float(estimator.kl_weight),
        "image_shape": image_shape,
        "network": estimator.network,
        "output_unit": None,
        "label_kind": None if head is None else head.kind,
        "n_label_outputs": 0 if head is None else head.n_outputs,
    }
    if output == "auto":
        wanted |= _output(estimator, rows)
    if fitted is not None:
        if more:
            wanted["shortcut"] = fitted["shortcut"]  # that of a whole fit may be another
        if estimator.n_components == estimator._n_components_given:
            wanted["n_components"] = fitted["n_components"]
        wanted = _unchanged(wanted, fitted, chosen=output == "auto")
    return Candidate(NetworkSpec(**wanted), _settings(estimator, rows, output, pca))


def _hidden(estimator, rows, n_rows):
    """Return the widths of hidden layers for hidden_layer_sizes="auto".

    They are tried where the rows may carry them, where they are compared with PCA, and where they
    serve to lower the squared error. Training then takes a few seconds at most.
    """
    squared = describe(losses.canonical(estimator.loss)) == describe("mse")
    compared = estimator.init == "pca" and estimator.early_stopping and squared
    plain = estimator.noise is None and not (estimator.sparsity or estimator.kl_weight)
    drawn = estimator.image_shape is None and estimator.network is None
    carried = n_rows >= LEAST_ROWS and rows.n_features <= MOST_FEATURES
    return HIDDEN if compared and plain and drawn and carried else ()


def _most_components(given, rows, more):
    """Return the number of components, or the most that the data can decide for."""
    if isinstance(given, Integral):
        return int(given)
    return rows.n_features if more else min(len(rows), rows.n_features)


def _settings(estimator, rows, output, pca):
    """Return how to train; `pca` says whether training can start from it."""
    found_later = {"penalties", "seed", "progress", "filling", "trainer"}
    names = set(Settings._fields) - found_later
    given = {name: getattr(estimator, name) for name in names}
    if isinstance(given["n_components"], Integral):
        given["n_components"] = int(given["n_components"])
    given["loss"] = loss_of(estimator)
    if isinstance(estimator.optimizer, str):
        given["optimizer"] = estimator.optimizer.lower()
    given["init"] = "pca" if pca else "glorot_uniform"
    given["noise"] = noise_of(estimator.noise, rows.X)
    return Settings(**given)


def _output(estimator, rows):
    """Return what can be known of the output before training."""
    if estimator.network is not None:
        return {"output_activation": "linear"}  # any other is inside the decoder
    output = describe(estimator.loss).output or "auto"
    unit = POSITIVE * (float(rows.mean().mean()) or 1.0) if output == "squareplus" else None
    return {"output_activation": output, "output_unit": unit}


def loss_of(estimator: Any) -> Any:
    """Return the loss to train with, which adds no sigmoid if the network ends in one."""
    loss: Any = losses.canonical(estimator.loss)
    output = activations.canonical(estimator.output_activation)
    own = output != "linear" and estimator.network is None
    return losses.of_probabilities(loss) if own and losses.from_logits(loss) else loss


def _unchanged(wanted, fitted, *, chosen):
    """Return the description of the fitted network, if the parameters still describe it.

    `chosen` says whether its output activation was chosen by the fit.
    """
    if chosen:
        wanted |= {name: fitted[name] for name in ("output_activation", "output_unit")}
    fitted = NetworkSpec(**fitted).to_dict()
    # Rows may have another precision, and penalties other weights.
    same = {"dtype": wanted["dtype"], "sparsity": wanted["sparsity"]}
    if fitted["kl_weight"] and wanted["kl_weight"]:
        same["kl_weight"] = wanted["kl_weight"]
    different = [name for name, value in {**fitted, **same}.items() if value != wanted[name]]
    if different:
        others = {
            "shortcut": "init",
            "output_unit": "output_activation",
            "label_kind": "label_weight",
            "n_label_outputs": "y",
        }
        names = ", ".join(dict.fromkeys(others.get(name, name) for name in different))
        raise ValueError(
            "warm_start=True and partial_fit continue the training of the fitted network, whose "
            f"shape can't change. Got values that differ from the previous fit for: {names}. Clone "
            "the estimator to start anew, or call fit with warm_start=False."
        )
    return wanted
