"""Dask: training on a cluster, and lazy results.

The client, which is the process that calls `fit`, starts a task on each worker, and each task
starts a process, a rank, in which TensorFlow trains.
"""

import functools
from collections.abc import Callable
from typing import Any

from skae._clusters import is_dask


def lazy(method: Callable) -> Callable:
    """Let a method return a lazy result for an array or frame of Dask.

    scikit-learn wraps the results of `transform` in the containers that `set_output` asks for, and
    would compute them for that. So this has to come around its wrapper, after the class is made.
    """

    @functools.wraps(method)
    def call(self: Any, X: Any, **options: Any) -> Any:
        if not is_dask(X):
            return method(self, X, **options)
        from skae._dask.results import lazily

        return lazily(self, method.__name__, X, **options)

    return call
