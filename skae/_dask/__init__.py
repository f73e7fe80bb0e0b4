"""Dask: training on a cluster, and lazy results.

The client, which is the process that calls `fit`, starts a task on each worker, and each task
starts a process, a rank, in which TensorFlow trains.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

COLLECTIONS = ("dask.array", "dask.dataframe", "dask_expr")


def is_dask(X: Any) -> bool:
    """Return whether X is an array or frame of Dask, without an import of Dask."""
    return any(base.__module__.startswith(COLLECTIONS) for base in type(X).__mro__)


def active_client() -> Any:
    """Return the client of a Dask cluster that this process uses, or None.

    It is None in a task of a cluster too, as in a search over Dask: each fit stays where it is.
    """
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        distributed.get_worker()
    except ValueError:
        pass
    else:
        return None
    try:
        client = distributed.default_client()
    except ValueError:
        return None
    usable = client.status == "running" and not client.asynchronous
    return client if usable else None


def lazy(method: Callable) -> Callable:
    """Let a method return a lazy result for an array or frame of Dask.

    scikit-learn wraps the results of `transform` in the containers that `set_output` asks for, and
    would compute them for that. So this has to come around its wrapper, after the class is made.
    """

    @functools.wraps(method)
    def call(self: Any, X: Any, **options: Any) -> Any:
        if not is_dask(X):
            return method(self, X, **options)
        from skae._dask.lazy import lazily

        return lazily(self, method.__name__, X, **options)

    return call
