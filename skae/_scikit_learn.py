"""The one module that imports private names of scikit-learn, on which third parties rely."""

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from sklearn import config_context
from sklearn.base import _fit_context
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.utils import check_random_state, metaestimators
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils._param_validation import (
    Interval,
    RealNotInt,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils._set_output import ADAPTERS_MANAGER, _get_output_config
from sklearn.utils.validation import _check_sample_weight

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # before scikit-learn 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]  # for the import above
        """Stand-in where scikit-learn has no callbacks."""


__all__ = [
    "CallbackSupportMixin",
    "FitTask",
    "Interval",
    "RealNotInt",
    "StrOptions",
    "_check_sample_weight",
    "available_if",
    "check_matplotlib_support",
    "fit_context",
    "fit_task",
    "in_container",
    "request_metadata",
    "requested_metadata",
    "seed_of",
    "set_container",
    "validate_parameter_constraints",
    "visual_block",
    "warn_of_version",
]

# A decorator without types would hide those of the method from users.
Method = TypeVar("Method", bound=Callable[..., Any])


def fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[Method], Method]:
    """Return scikit-learn's decorator of `fit`."""
    return _fit_context(prefer_skip_nested_validation=prefer_skip_nested_validation)


def available_if(check: Callable[[Any], bool]) -> Callable[[Method], Method]:
    """Return scikit-learn's decorator of a method that not all estimators have."""
    return metaestimators.available_if(check)


def in_container(estimator, array, original):
    """Wrap an array as `set_output` says, which scikit-learn does for `transform` alone."""
    container = _get_output_config("transform", estimator)["dense"]
    if container == "default":
        return array
    columns = getattr(estimator, "feature_names_in_", None)
    if columns is None:
        columns = [f"x{i}" for i in range(estimator.n_features_in_)]
    adapter = ADAPTERS_MANAGER.adapters[container]
    return adapter.create_container(array, original, columns=columns)


class FitTask:
    """A fit as the root of the tasks that scikit-learn's callbacks follow.

    The root has a task for each training run, which has one for each validation. Callbacks may ask
    for the rows and for an estimator with what is fitted so far. Those that score need a `y`, and
    for an autoencoder without labels it is X.
    """

    def __init__(self, estimator, X, y, sample_weight):
        weights = None if sample_weight is None else {"sample_weight": sample_weight}
        # Made for the estimator itself and not for a copy, since its end is looked for there.
        self._given = {
            "estimator": estimator,
            "X": X,
            "y": X if y is None else y,
            "metadata": weights,
        }
        self._context = estimator._init_callback_context(max_subtasks=None)
        self._context.call_on_fit_task_begin(**self._given)

    def begin(self, name, n_checks):
        """Return the task of a run with at most `n_checks` validations."""
        run = object.__new__(FitTask)
        run._given = self._given
        run._context = self._context.subcontext(name, max_subtasks=n_checks)
        run._context.call_on_fit_task_begin(**self._given)
        return run

    def check(self, attributes):
        """Report a validation, and return whether a callback asks to stop."""
        step = self._context.subcontext("validation")
        step.call_on_fit_task_begin(**self._given)
        return step.call_on_fit_task_end(**self._given, reconstruction_attributes=attributes)

    def end(self, attributes=None):
        self._context.call_on_fit_task_end(**self._given, reconstruction_attributes=attributes)


def fit_task(estimator, X, y, sample_weight):
    """Return the task of a fit, or None if no callback of scikit-learn follows it."""
    # Those of a Pipeline or search, as far as they concern its steps, are among them.
    followed = getattr(estimator, "_skl_callbacks", None)
    return FitTask(estimator, X, y, sample_weight) if followed else None


def visual_block(estimator, caption):
    """Return how an estimator is drawn in a notebook, with a line below its name."""
    from sklearn.utils._repr_html.estimator import _VisualBlock

    return _VisualBlock(
        "single",
        estimator,
        names=type(estimator).__name__,
        name_details=str(estimator),
        name_caption=caption,
    )


def set_container(estimator, transform):
    """Do what `set_output` does, for an estimator that does not transform."""
    allowed = {"default", *ADAPTERS_MANAGER.supported_outputs}
    if transform is not None and transform not in allowed:
        raise ValueError(f"transform must be None or one of {sorted(allowed)}. Got {transform!r}.")
    if transform is not None:
        estimator._sklearn_output_config = {"transform": transform}


def seed_of(estimator):
    """Draw a seed from the `random_state` of an estimator."""
    if estimator.random_state is None:
        # Not from NumPy's global generator, which no method may change.
        return int(np.random.default_rng().integers(2**31))
    return int(check_random_state(estimator.random_state).randint(2**31 - 1))


def warn_of_version(name, pickled_by, version):
    """Warn if another version of skae pickled an estimator."""
    if pickled_by != version:
        warnings.warn(
            InconsistentVersionWarning(
                estimator_name=name,
                current_sklearn_version=version,
                original_sklearn_version=pickled_by,
            ),
            stacklevel=3,
        )


def requested_metadata(estimator):
    """Return the metadata requests that `set_fit_request` and those like it have made."""
    routing, requests = estimator.get_metadata_routing(), {}
    for method in ("fit", "partial_fit", "score"):
        given = getattr(routing, method).requests
        chosen = {name: value for name, value in given.items() if value is not None}
        if chosen:
            requests[method] = chosen
    return requests


def request_metadata(estimator, requests):
    """Request metadata as `set_fit_request` and those like it do."""
    # These methods need routing to be enabled. For other calls, that is the user's choice.
    with config_context(enable_metadata_routing=True):
        for method, values in requests.items():
            getattr(estimator, f"set_{method}_request")(**values)
