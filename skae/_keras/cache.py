"""A cache of values that take long to make."""

import collections
import threading
from collections.abc import Callable, Hashable
from typing import Any


class Cache:
    """The `size` most recently used values.

    Threads that want the same value wait for it. Making a value may ask the cache for others, since
    a custom network may fit or transform an estimator of skae.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: collections.OrderedDict = collections.OrderedDict()
        self._making: dict[Hashable, threading.RLock] = {}
        self._lock = threading.Lock()  # never held while a value is made

    def get(self, key: Hashable, make: Callable) -> Any:
        """Return the value of a key, made by `make()` if the cache has none."""
        with self._lock:
            making = self._making.setdefault(key, threading.RLock())
        with making:
            with self._lock:
                if key in self._values:
                    self._values.move_to_end(key)
                    return self._values[key]
            value = make()
            with self._lock:
                self._values[key] = value
                if len(self._values) > self._size:
                    dropped, _ = self._values.popitem(last=False)
                    self._making.pop(dropped, None)
        return value

    def values(self) -> list:
        return list(self._values.values())

    def clear(self) -> None:
        with self._lock:
            self._values.clear()
