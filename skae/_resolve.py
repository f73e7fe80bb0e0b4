"""From the parameters of an estimator and its data to a network and how it is trained."""

import math
import warnings
from numbers import Integral
from typing import Any

from skae import _activations, _losses
from skae._activations import SLOPE_ABOVE_ZERO
from skae._fitting import Settings
from skae._losses import describe
from skae._noise import check_noise, corruption
from skae._parameters import check_config, widths
from skae._rows import Rows
from skae._spec import NetworkSpec
from skae._units import POSITIVE


def resolve(estimator: Any, rows: Rows, fitted: dict | None) -> tuple[NetworkSpec, Settings]:
    """The network and the settings; `fitted` describes the network to go on from, or is None.

    The spec's output activation may still be "auto": that takes training to find out.
    """
    hidden, image_shape = check_parameters(estimator, rows.n_features)
    code, output = (
        _activations.canonical(getattr(estimator, f"{end}_activation"))
        for end in ("code", "output")
    )
    pca = estimator.init == "pca"
    if code == "auto":
        linear = (pca and not estimator.sparsity) or estimator.kl_weight
        code = "linear" if linear else "relu"
    if (estimator.sparsity or image_shape) and code in SLOPE_ABOVE_ZERO:
        pca = False  # nothing raises such a code until it is as good as linear
    wanted = {
        "n_features": rows.n_features,
        "n_components": int(estimator.n_components),
        "hidden_layer_sizes": hidden,
        "activation": _activations.canonical(estimator.activation),
        "code_activation": code,
        "output_activation": output,
        "shortcut": bool(hidden) and pca and estimator.network is None,
        "dtype": rows.dtype.name,
        "sparsity": float(estimator.sparsity),
        "kl_weight": float(estimator.kl_weight),
        "image_shape": image_shape,
        "network": estimator.network,
        "output_unit": None,
    }
    if output == "auto":
        wanted |= _output(estimator, rows)
    if fitted is not None:
        wanted = _unchanged(wanted, fitted, chosen=output == "auto")
    elif estimator.network is None:
        _warn_of_rank(wanted["n_components"], min(len(rows), rows.n_features))
    names = set(Settings._fields) - {"penalties"}  # which take PCA to find out
    given = {name: getattr(estimator, name) for name in names}
    given["loss"] = _loss_of(estimator, output)
    if isinstance(estimator.optimizer, str):
        given["optimizer"] = estimator.optimizer.lower()
    given["init"] = "pca" if pca else "glorot_uniform"
    given["noise"] = corruption(estimator.noise, rows.X)
    return NetworkSpec(**wanted), Settings(**given)


def _output(estimator, rows):
    """What of the output can be told before training."""
    if estimator.network is not None:
        return {"output_activation": "linear"}  # whatever it is, it is inside the decoder
    output = describe(estimator.loss).output or "auto"
    unit = POSITIVE * (float(rows.mean().mean()) or 1.0) if output == "squareplus" else None
    return {"output_activation": output, "output_unit": unit}


def check_parameters(estimator, n_features):
    """Refuse parameters that the table of constraints can't; return hidden widths, image shape."""
    for name in ("loss", "optimizer"):
        check_config(name, getattr(estimator, name))
    check_noise(estimator.noise)
    image_shape = _image_shape(estimator, n_features)
    _check_variants(estimator)
    return widths(estimator.hidden_layer_sizes), image_shape


def _loss_of(estimator, output):
    """The loss as the network needs it: behind a sigmoid of the network's it must add none."""
    loss: Any = _losses.canonical(estimator.loss)
    own = output != "linear" and estimator.network is None
    return _losses.of_probabilities(loss) if own and _losses.from_logits(loss) else loss


def _image_shape(estimator, n_features):
    """Height, width and channels, checked against the data, or None."""
    if estimator.image_shape is None:
        return None
    shape = tuple(estimator.image_shape)
    if not (len(shape) in (2, 3) and all(isinstance(n, Integral) and int(n) > 0 for n in shape)):
        raise ValueError(
            "The 'image_shape' parameter of AutoencoderTransformer must be (height, width) or "
            f"(height, width, channels), ints in the range [1, inf). Got {shape!r} instead."
        )
    if math.prod(shape) != n_features:
        raise ValueError(
            f"image_shape={shape!r} has {math.prod(shape)} entries, but X has {n_features} "
            "features. Each row of X must be one image, flattened in C order."
        )
    if not widths(estimator.hidden_layer_sizes):
        raise ValueError(
            "image_shape needs hidden_layer_sizes, the filters of its convolutions. Got "
            f"hidden_layer_sizes={estimator.hidden_layer_sizes!r} instead. Give "
            "hidden_layer_sizes=(16, 32) for example."
        )
    height, width, *channels = (int(n) for n in shape)
    return (height, width, *(channels or [1]))


def _check_variants(estimator):
    """Refuse what does not go together."""
    try:
        hash(estimator.network)
    except TypeError as error:
        raise ValueError(
            "The callable given as 'network' must be hashable, to find what was compiled for it. "
            f"Got {type(estimator.network).__name__} ({error}) instead. Give a function, or "
            "if it is a dataclass, make it frozen."
        ) from error
    if estimator.network is not None and estimator.kl_weight:
        raise ValueError(
            "kl_weight needs a network that skae builds, to give it a variance beside the mean. "
            "Got kl_weight and network together. Set kl_weight=0, and let a layer of the encoder "
            "add the divergence with add_loss."
        )
    if estimator.network is not None and estimator.image_shape is not None:
        raise ValueError(
            "Got image_shape and network together, but network says what the layers are. Set "
            "image_shape=None, and let the encoder begin with keras.layers.Reshape."
        )
    output = _activations.canonical(estimator.output_activation)
    logits = _losses.from_logits(estimator.loss) and estimator.network is None
    if logits and output not in ("auto", "sigmoid", "linear"):
        raise ValueError(
            "With from_logits=True a loss takes the output through a sigmoid. Got loss="
            f"{estimator.loss!r} and output_activation={estimator.output_activation!r}. Set "
            "output_activation='auto' to reconstruct probabilities, or 'linear' for logits."
        )
    code = _activations.canonical(estimator.code_activation)
    if estimator.kl_weight and code not in ("auto", "linear"):
        raise ValueError(
            "A variational code is the mean of a normal distribution, so it has to be linear. Got "
            f"kl_weight={estimator.kl_weight!r} and code_activation="
            f"{estimator.code_activation!r}. Set code_activation='auto', or kl_weight=0."
        )


def _unchanged(wanted, fitted, *, chosen):
    """The fitted network, if the parameters still describe it; `chosen` if its output was."""
    if chosen:
        wanted |= {name: fitted[name] for name in ("output_activation", "output_unit")}
    fitted = NetworkSpec(**fitted).to_dict()
    # Rows of another precision are welcome, and so are other weights of the penalties.
    same = {"dtype": wanted["dtype"], "sparsity": wanted["sparsity"]}
    if fitted["kl_weight"] and wanted["kl_weight"]:
        same["kl_weight"] = wanted["kl_weight"]
    different = [name for name, value in {**fitted, **same}.items() if value != wanted[name]]
    if different:
        others = {"shortcut": "init", "output_unit": "output_activation"}
        names = ", ".join(dict.fromkeys(others.get(name, name) for name in different))
        raise ValueError(
            "warm_start=True continues the training of the fitted network, whose shape can't "
            f"change. Got different values than before of: {names}. Set warm_start=False to "
            "start anew, or clone the estimator."
        )
    return wanted


def _warn_of_rank(n_components, most):
    if n_components > most:
        warnings.warn(
            f"n_components={n_components} is more than min(n_samples, n_features)={most}, "
            "which is all that a linear code could use. The units beyond that are kept; give "
            f"n_components={most} or less to be without them.",
            UserWarning,
            stacklevel=2,
        )
