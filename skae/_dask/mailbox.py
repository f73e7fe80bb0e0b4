"""Messages between the client and the tasks."""

import queue
import threading
from typing import Any

from distributed import Queue

CLOSED = "closed"


class Mailbox:
    """A queue of Dask. One process puts messages into it, and another gets them.

    A thread waits for them, since Dask's queue has to be asked without a timeout: the scheduler
    logs each one as an error.
    """

    def __init__(self, name: str, client: Any = None) -> None:
        self.name = name
        self._queue = Queue(name, client=client)
        self._come: queue.SimpleQueue = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def put(self, message: Any) -> None:
        self._queue.put(message)

    def get(self, seconds: float) -> Any:
        """Return the next message, or raise TimeoutError if none comes within so many seconds."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._wait, daemon=True)
            self._thread.start()
        try:
            message = self._come.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(message, Exception):
            raise message
        return message

    def _wait(self):
        message = None
        while not isinstance(message, Exception):
            try:
                message = self._queue.get()
            except Exception as error:  # the scheduler has gone
                message = error
            if isinstance(message, str) and message == CLOSED:
                return
            self._come.put(message)

    def close(self) -> None:
        """Let go of the queue. Only its own thread may wait for messages by then."""
        if self._thread is not None:
            self.put(CLOSED)
            self._thread.join()
        self._queue.close()
