"""Messages between the client and the tasks."""

import time
from collections import deque
from typing import Any

from distributed import Queue

SHORTEST, LONGEST = 0.005, 0.25  # seconds between two looks


class Mailbox:
    """A queue of Dask, from which messages are taken without one that waits in vain.

    Dask's `get` with a timeout works too, but the scheduler logs each timeout as an error.
    """

    def __init__(self, name: str, client: Any = None) -> None:
        self.name = name
        self._queue = Queue(name, client=client)
        self._taken: deque = deque()

    def put(self, message: Any) -> None:
        self._queue.put(message)

    def get(self, seconds: float) -> Any:
        """Return the next message, or raise TimeoutError if none comes within so many seconds."""
        deadline, pause = time.monotonic() + seconds, SHORTEST
        while not self._taken:
            self._taken.extend(self._queue.get(batch=True))
            if not self._taken:
                if time.monotonic() >= deadline:
                    raise TimeoutError
                time.sleep(pause)
                pause = min(2 * pause, LONGEST)
        return self._taken.popleft()

    def close(self) -> None:
        self._queue.close()
