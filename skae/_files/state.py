"""The state of an estimator that a file holds, and the checks of a file's content."""

import sys
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import sklearn
from sklearn.exceptions import InconsistentVersionWarning

from skae._files.filling import declared_filling, filling_attribute, filling_tensors
from skae._files.findings import (
    CURVES,
    FINDINGS,
    check_found,
    found_attributes,
    found_tensors,
)
from skae._files.format import DTYPES, Header, Tensor, canonical
from skae._files.network import check_keys, check_network, matches
from skae._files.stream import (
    check_stream,
    declared_stream,
    described_stream,
    stream_attributes,
    stream_tensors,
)
from skae._network.spec import NetworkSpec
from skae._parameters import CONSTRAINTS, OPTIMIZERS, check_parameters
from skae._scikit_learn import validate_parameter_constraints
from skae._version import __version__

# All attributes that a fitted estimator has besides its parameters.
ATTRIBUTES = {
    "weights_",
    "head_",
    "classes_",
    "network_",
    "n_components_",
    "_n_components_given",
    "n_iter_",
    "loss_curve_",
    "validation_loss_curve_",
    "validation_epochs_",
    "gain_over_pca_",
    "feature_errors_",
    "_explained_variance_ratio",
    "_filling",
    "_stream",
    "n_samples_seen_",
    "n_features_in_",
    "feature_names_in_",
    "_sklearn_output_config",
    "_metadata_request",
}
# Attributes that scikit-learn sets to follow a fit. A file leaves them out, because they belong to
# a process and only `fit` uses them.
CALLBACKS = {
    "_skl_callbacks",
    "_skl_callbacks_to_teardown",
    "_callback_fit_ctx",
    "_parent_callback_ctx",
}
PARAMETERS = sorted(CONSTRAINTS)
KEYS = {"found", "labels", "network", "output", "parameters", "requests", "stream", "versions"}
SEQUENCES = {"hidden_layer_sizes", "image_shape", "noise"}
# Only classes that Keras makes from a name alone: a configuration may also name modules.
CONFIGURED = {
    "optimizer": OPTIMIZERS,  # Keras ignores the case of these names
    "loss": {
        "BinaryCrossentropy",
        "BinaryFocalCrossentropy",
        "CategoricalCrossentropy",
        "CategoricalFocalCrossentropy",
        "CategoricalHinge",
        "CosineSimilarity",
        "Hinge",
        "Huber",
        "KLDivergence",
        "LogCosh",
        "MeanAbsoluteError",
        "MeanAbsolutePercentageError",
        "MeanSquaredError",
        "MeanSquaredLogarithmicError",
        "Poisson",
        "SquaredHinge",
    },
}
# Options that Keras loops over or divides by, and their largest allowed values.
COUNTS = {"gradient_accumulation_steps": 2**31, "ema_overwrite_frequency": 2**31, "ns_steps": 100}
MODULES = {"optimizer": "keras.optimizers", "loss": "keras.losses"}
# The metadata that each method can request.
REQUESTS = {
    "fit": {"X_val", "sample_weight", "y_val"},
    "partial_fit": {"sample_weight"},
    "score": {"sample_weight"},
}
MAX_CLASSES_BYTES = 100_000
# The memory that names and losses may take as Python objects, besides their bytes in the file. It
# is enough for a hundred thousand names.
MAX_OBJECT_BYTES = 9 * 2**20


class State(NamedTuple):
    """The state of an estimator, apart from its class."""

    attributes: dict  # parameters and fitted attributes, by name
    output: str | None  # the container chosen with `set_output`
    requests: dict  # the requested metadata, by method


def describe(state: State) -> tuple[dict, dict]:
    """Return the metadata and tensors of a fitted estimator; refuse what they can't hold."""
    attributes = state.attributes
    _refuse_to_lose(attributes)
    network = dict(attributes["network_"])
    _refuse_code("network", network.pop("network"))
    metadata = {
        "found": {
            "gain_over_pca": attributes["gain_over_pca_"],
            "n_components": _plain("n_components", attributes["_n_components_given"]),
        },
        "labels": _class_list(attributes.get("classes_")),
        "network": network,
        "output": state.output,
        "parameters": {name: _plain(name, attributes[name]) for name in PARAMETERS},
        "requests": state.requests,
        "stream": described_stream(attributes),
        "versions": {
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
            "skae": __version__,
        },
    }
    weights = [*attributes["weights_"], *attributes.get("head_", [])]
    tensors = {f"weights.{i}": array for i, array in enumerate(weights)}
    tensors |= found_tensors(attributes) | filling_tensors(attributes)
    tensors |= stream_tensors(attributes)
    if "feature_names_in_" in attributes:
        tensors["feature_names"] = _text(attributes["feature_names_in_"])
    return metadata, tensors


def _refuse_to_lose(attributes):
    unknown = sorted(attributes.keys() - ATTRIBUTES - CALLBACKS - set(PARAMETERS))
    if unknown:
        raise ValueError(
            "A file can't hold attributes that skae does not set. Got "
            f"{', '.join(unknown)}. Delete them, or pickle the estimator."
        )
    if attributes["n_iter_"] != len(attributes["loss_curve_"]):
        raise ValueError(
            "n_iter_ is no longer the length of loss_curve_: one of them was changed after the "
            "fit. Fit the estimator again."
        )


def _plain(name, value):
    """Return a parameter as a value that JSON has."""
    _refuse_code(name, value)
    if isinstance(value, np.random.RandomState):
        raise ValueError(
            "A file can't hold a RandomState as the 'random_state' parameter. Give an int instead: "
            "set_params(random_state=0)."
        )
    if isinstance(value, dict) and name in CONFIGURED:
        _check_config(name, value)
        return value
    if name in SEQUENCES and hasattr(value, "__len__") and not isinstance(value, str):
        return [_plain(name, entry) for entry in value]
    value = value.item() if isinstance(value, np.generic) else value
    if name == "missing_label" and value != value:
        return None  # NaN means missing in any case
    if value is not None and type(value) not in (bool, int, float, str):
        raise ValueError(
            f"A file can hold only plain numbers and strings. Got {value!r} in the {name!r} "
            "parameter. Convert it, or pickle the estimator."
        )
    return value


def _class_list(classes):
    """Return the classes of labels as values that JSON has, or None without classes."""
    if classes is None:
        return None
    listed = classes.tolist()
    if not _are_classes(listed):
        raise ValueError(
            "A file can hold classes that are all strings, ints, bools or floats, and up to "
            f"{MAX_CLASSES_BYTES} bytes of them. Got {len(listed)}, such as {listed[0]!r}. Pickle "
            "the estimator, or fit it to y.astype(str)."
        )
    return listed


def _are_classes(listed):
    kinds = {type(label) for label in listed}
    plain = len(kinds) == 1 and kinds <= {str, int, bool, float}
    return plain and len(set(listed)) == len(listed) and len(canonical(listed)) <= MAX_CLASSES_BYTES


def _check_classes(listed, spec):
    if spec.label_kind != "classes":
        right = listed is None
    else:
        right = isinstance(listed, list) and len(listed) == spec.n_label_outputs
        right = right and _are_classes(listed)
    if not right:
        raise ValueError("its classes are not those of its network.")


def _refuse_code(name, value):
    if not callable(value):
        return
    way_out = (
        "save the models that to_keras() returns"
        if name == "network"
        else f"call set_params({name}=None) before saving, and set it again after loading: only "
        "training needs it"
    )
    raise ValueError(
        f"A file can't hold the callable {value!r} that is the {name!r} parameter, because "
        f"loading it would run code. To save without it, {way_out}. Or pickle the estimator."
    )


def _text(names):
    """Return the names as one text, with a null character after each."""
    if any("\0" in name for name in names):
        raise ValueError(
            "A file can't hold a feature name with a null character. Rename the feature, and fit "
            "the estimator again."
        )
    return "".join(f"{name}\0" for name in names).encode()


def check(header: Header) -> tuple[State, NetworkSpec]:
    """Return the state, without what was fitted, and the network that a header describes.

    The data can be read after this check, because they have the size that the network implies.
    """
    metadata = header.metadata
    check_keys("metadata", metadata, KEYS)
    spec = check_network(metadata["network"], len(header.tensors))
    _check_classes(metadata["labels"], spec)
    check_found(metadata["found"], spec)
    check_stream(metadata["stream"])
    parameters = _parameters(metadata["parameters"])
    check_parameters(SimpleNamespace(**parameters), spec.n_features)
    _check_output(metadata["output"])
    _check_requests(metadata["requests"])
    check_keys("versions", metadata["versions"], {"numpy", "scikit-learn", "skae"})
    if not all(matches(r"\d[\w.+-]{0,31}", version) for version in metadata["versions"].values()):
        raise ValueError("its metadata have a version that is not valid.")
    _check_tensors(header.tensors, spec, metadata["stream"])
    attributes = {
        **parameters,
        "gain_over_pca_": metadata["found"]["gain_over_pca"],
        "_n_components_given": metadata["found"]["n_components"],
        "_stream": metadata["stream"],
    }
    if metadata["labels"] is not None:
        attributes["classes_"] = np.array(metadata["labels"])
    return State(attributes, metadata["output"], metadata["requests"]), spec


def restore(state: State, spec: NetworkSpec, tensors: dict) -> State:
    """Return the state that `check` returned, with the fitted attributes added."""
    weights = [tensors[f"weights.{i}"] for i in range(len(spec.shapes()))]
    # Looks at the extremes, which are NaN if any value is: a mask would take memory.
    if not all(np.isfinite([array.min(), array.max()]).all() for array in weights):
        raise ValueError("its weights are not finite.")
    found = found_attributes(tensors)
    attributes = dict(state.attributes)
    stream = stream_attributes(attributes.pop("_stream"), tensors)
    head = {"head_": weights[-2:]} if spec.label_kind else {}
    fitted = {
        "weights_": weights[:-2] if head else weights,
        **head,
        "network_": spec.to_dict(),
        "n_components_": spec.n_components,
        "n_iter_": len(found["loss_curve_"]),
        **found,
        **filling_attribute(tensors),
        **stream,
        "n_features_in_": spec.n_features,
    }
    if "feature_names" in tensors:
        n_losses = sum(len(found[f"{name}_"]) for name in CURVES)
        room = _room_for_names(n_losses, spec.n_features)
        fitted["feature_names_in_"] = _names(tensors["feature_names"], spec.n_features, room)
    return state._replace(attributes={**attributes, **fitted})


class FileVersionWarning(InconsistentVersionWarning):
    """Warning that another version of skae wrote a file, of scikit-learn's own category."""

    def __init__(self, version: str) -> None:
        super().__init__(
            estimator_name="AutoencoderTransformer",
            current_sklearn_version=__version__,
            original_sklearn_version=version,
        )

    def __str__(self):
        return (
            f"Loading a skae file from version {self.original_sklearn_version} when using "
            f"version {__version__}. Its results may differ. Compare some codes with earlier ones, "
            "and fit and save the estimator again if they differ."
        )


def _parameters(parameters):
    check_keys("parameters", parameters, PARAMETERS)
    values = {}
    for name, value in parameters.items():
        if isinstance(value, dict) and name in CONFIGURED:
            _check_config(name, value)
        elif isinstance(value, list) and name in SEQUENCES:
            value = tuple(value)
        entries = value if isinstance(value, tuple) else (value,) * (name not in CONFIGURED)
        if any(isinstance(entry, dict | list) for entry in entries):
            raise ValueError(f"A file can't hold {value!r} as the {name!r} parameter.")
        values[name] = value
    validate_parameter_constraints(CONSTRAINTS, values, caller_name="AutoencoderTransformer")
    return values


def _check_config(name, config):
    """Accept only a configuration of Keras' own classes with plain numbers."""
    options = config.get("config", {})
    class_name = str(config.get("class_name"))
    allowed = CONFIGURED[name]
    right = (
        (class_name.lower() if name == "optimizer" else class_name) in allowed
        and config.keys() <= {"class_name", "config", "module", "registered_name"}
        # The two keys as keras.optimizers.serialize writes them.
        and config.get("module", MODULES[name]) == MODULES[name]
        and config.get("registered_name") is None
        and isinstance(options, dict)
        and all(_is_option(key, value) for key, value in options.items())
    )
    if not right:
        raise ValueError(
            f"A file can hold a configuration as the {name!r} parameter only if it names one of "
            f"Keras' own classes and its options are plain numbers. Got {config!r}. The classes "
            f"are {', '.join(sorted(allowed))}."
        )


def _is_option(key, value):
    if key in ("name", "reduction"):
        return matches(r"[a-z]\w{0,63}", value)
    if key in COUNTS and value is not None:
        return type(value) is int and 0 < value <= COUNTS[key]
    return isinstance(key, str) and (value is None or isinstance(value, bool | int | float))


def _check_output(container):
    if container not in (None, "default", "pandas", "polars"):
        raise ValueError(
            f"set_output was called with {container!r}, but a file can hold only 'default', "
            "'pandas' or 'polars'."
        )


def _check_requests(requests):
    if not isinstance(requests, dict) or not requests.keys() <= REQUESTS.keys():
        raise ValueError("metadata are requested for a method that takes none.")
    for method, values in requests.items():
        if not isinstance(values, dict) or not values.keys() <= REQUESTS[method]:
            raise ValueError(f"metadata are requested that {method} does not take.")
        if not all(type(v) is bool or matches(r"[A-Za-z_]\w{0,63}", v) for v in values.values()):
            raise ValueError(f"a metadata request of {method} is neither a bool nor a name.")


def _check_tensors(tensors, spec, stream):
    dtype = DTYPES["F32" if spec.dtype == "float32" else "F64"]
    expected = {f"weights.{i}": Tensor(dtype, shape) for i, shape in enumerate(spec.shapes())}
    for name in tensors.keys() & {*CURVES, "feature_names"}:
        kind = "U8" if name == "feature_names" else "F64"
        expected[name] = Tensor(DTYPES[kind], tensors[name].shape[:1])
    expected |= declared_filling(tensors, spec) | declared_stream(stream, tensors, spec)
    for name in tensors.keys() & FINDINGS.keys():
        expected[name] = Tensor(DTYPES["F64"], (getattr(spec, FINDINGS[name]),))
    if tensors != expected:
        raise ValueError("its tensors are not those of its network.")
    losses = sum(tensors[name].shape[0] for name in tensors.keys() & {*CURVES})
    _room_for_names(losses, spec.n_features if "feature_names" in tensors else 0)


def _room_for_names(n_losses, n_names):
    """Return the bytes left for names, where a loss takes 32 bytes and a pointer to a name 8."""
    left = MAX_OBJECT_BYTES - 32 * n_losses - 8 * n_names
    _check_room(left)
    return left


def _check_room(left):
    if left < 0:
        raise ValueError(
            "the feature names or loss curves are too long for a file: as Python objects they "
            f"would take more than {MAX_OBJECT_BYTES} bytes. Pickle the estimator, or fit it to an "
            "array, which has no names."
        )


def _names(text, n_features, room):
    if text.count(0) != n_features or text[-1]:
        raise ValueError("it does not have exactly one name for each feature.")
    return np.fromiter(_split(text, room), dtype=object, count=n_features)


def _split(text, room):
    # Decodes one name at a time, since the whole text may take four bytes for each character.
    begin = 0
    while begin < len(text):
        end = text.index(0, begin)
        name = text[begin:end].decode()
        room -= sys.getsizeof(name) + 8  # allocations are multiples of 16, which adds 8 on average
        _check_room(room)
        yield name
        begin = end + 1
