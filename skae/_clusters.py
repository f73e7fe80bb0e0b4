"""Recognize the objects of Dask and its cluster without an import of Dask."""

import sys
from typing import Any

COLLECTIONS = ("dask.array", "dask.dataframe", "dask_expr")


def is_dask(X: Any) -> bool:
    """Return whether X is an array or frame of Dask."""
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
