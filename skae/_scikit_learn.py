"""The one place that imports what scikit-learn keeps private, though third parties rely on it."""

from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils._set_output import ADAPTERS_MANAGER, _get_output_config
from sklearn.utils.validation import _check_sample_weight

__all__ = [
    "Interval",
    "StrOptions",
    "_check_sample_weight",
    "_fit_context",
    "in_container",
]


def in_container(estimator, array, original, columns):
    """Wrap an array as `set_output` says. scikit-learn does so for `transform` alone."""
    container = _get_output_config("transform", estimator)["dense"]
    if container == "default":
        return array
    adapter = ADAPTERS_MANAGER.adapters[container]
    return adapter.create_container(array, original, columns=columns)
