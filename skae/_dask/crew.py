"""The ranks of a fit as the client sees them: start them, talk to them, and end them all."""

import contextlib
import time
import uuid
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

from skae._dask.mailbox import Mailbox
from skae._dask.task import attend
from skae._version import __version__

MEETING = 60.0  # seconds in which all ranks have to start, and as many to connect to each other
ENDING = 10.0  # seconds to wait for ranks to end
# Seconds after a failure to wait for others. The ranks that are left fail as well, and what they
# say is not the cause.
CAUSES = 1.5
POLL, SHORT = 0.5, 0.1
# What may happen to a rank, with the way out. The first of these that is found is the cause.
WAYS_OUT = {
    "lost": "The log of the worker may say why it ended.",
    "killed": "After SIGKILL the machine may lack memory: use more machines or fewer workers on "
    "each. The log of the worker has what the rank wrote.",
    "stopped": "Look for what stopped it, such as a debugger or a batch system.",
    "raised": "It does so again unless its cause is removed.",
    "peer": "It lost the connection to another rank, so look at the network between the workers.",
}


class Failure(NamedTuple):
    rank: int
    kind: str  # a key of WAYS_OUT
    text: str


class Crew:
    """One rank beside each worker, in a `with` block at whose end they have ended."""

    def __init__(self, client: Any, workers: list[str]) -> None:
        self._client, self._workers = client, workers
        name = f"skae-{uuid.uuid4().hex}"
        self._up = Mailbox(f"{name}-up", client)
        self._down = [Mailbox(f"{name}-{rank}", client) for rank in range(len(workers))]
        self._heard: list[deque] = [deque() for _ in workers]
        self._tasks: list = []
        self._begun: set[int] = set()  # ranks whose tasks run or have run
        self._ended: set[int] = set()
        self._failures: list[Failure] = []
        self._met = False
        self.pieces: dict = {}  # futures of rows, with the ranks that they are for

    def __len__(self) -> int:
        return len(self._workers)

    def __enter__(self) -> Self:
        try:
            for rank in range(len(self._workers)):
                self._tasks.append(self._start(rank))
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self, rank):
        worker, names = self._workers[rank], (self._up.name, self._down[rank].name)
        where = {"workers": [worker], "allow_other_workers": False, "priority": 10}
        return self._client.submit(attend, rank, *names, pure=False, retries=0, **where)

    def __exit__(self, *_: Any) -> None:
        # The scheduler may have gone, and with it the workers, whose ranks end by themselves.
        with contextlib.suppress(Exception):
            self._client.cancel(self._tasks)
            deadline = time.monotonic() + ENDING
            while self._take(SHORT) or (self._begun - self._ended) & self._living():
                if time.monotonic() > deadline:
                    break
            for mailbox in (self._up, *self._down):
                mailbox.close()

    def meet(self) -> None:
        """Wait until all ranks have started and are connected to each other, if they are not."""
        if self._met:
            return
        started = self.hear_all(
            "start. A worker may be busy with other tasks, or have no connection to the scheduler"
        )
        addresses, versions = zip(*started, strict=True)
        self._compare(versions)
        self.tell_all(list(addresses))
        self.hear_all(
            "connect to the others. Workers must reach each other at any port, and a firewall may "
            "be in the way"
        )
        self._met = True

    def _compare(self, versions):
        """Raise unless all ranks have the same versions as this process."""
        import tensorflow as tf

        here = __version__, tf.__version__
        for worker, there in zip(self._workers, versions, strict=True):
            if tuple(there) != here:
                raise RuntimeError(
                    "Workers need the versions of skae and TensorFlow that the client has, "
                    f"{here[0]} and {here[1]}. The worker {worker} has {there[0]} and {there[1]}."
                )

    def tell(self, rank: int, message: Any) -> None:
        self._down[rank].put(message)

    def give(self, rank: int, job: bytes) -> None:
        """Send a job to the worker of a rank, and tell the rank of it."""
        with self.needing_workers():
            future = self._client.scatter(job, workers=[self._workers[rank]], hash=False)
        self.tell(rank, future)

    def tell_all(self, message: Any) -> None:
        for mailbox in self._down:
            mailbox.put(message)

    def hear(self, rank: int) -> tuple[str, Any]:
        """Return the next message of a rank, as its kind and content."""
        while not self._heard[rank]:
            self.look_after(POLL)
        return self._heard[rank].popleft()

    def hear_all(self, deed: str | None = None) -> list:
        """Return what all ranks say next. With a deed to be done, they have `MEETING` seconds."""
        deadline = time.monotonic() + MEETING
        while not all(self._heard):
            self.look_after(POLL)
            if deed is not None and time.monotonic() > deadline:
                raise self._missing(deed)
        return [heard.popleft()[1] for heard in self._heard]

    def _missing(self, deed):
        missing = [
            f"rank {rank} on the worker {worker}"
            for rank, worker in enumerate(self._workers)
            if not self._heard[rank]
        ]
        return RuntimeError(
            "Training on the Dask cluster can't begin, since not all ranks are there: after "
            f"{MEETING:g} seconds {', '.join(missing)} did not {deed}. All ranks were ended. Call "
            "fit again when all workers are free, or on a client of other workers."
        )

    def look_after(self, seconds: float) -> None:
        """Wait for a message, for so many seconds at most, and raise if anything has failed."""
        broken = [piece for piece in self.pieces if piece.status not in ("pending", "finished")]
        if not self._take(seconds) or broken:
            self._check()
        if self._failures:
            raise self._failed()
        if broken:
            raise broken[0].exception()

    def _take(self, seconds):
        """Take one message, and return whether there was one."""
        try:
            rank, kind, content = self._up.get(seconds)
        except TimeoutError:
            return False
        if kind == "ended":
            self._ended.add(rank)
        elif kind == "failed":
            self._failures.append(Failure(rank, *content))
        elif kind == "begun" and rank in self._begun:
            self._failures.append(Failure(rank, "lost", "was lost, since its worker was restarted"))
        elif kind == "begun":
            self._begun.add(rank)
        else:
            self._heard[rank].append((kind, content))
        return True

    def _living(self):
        """Return the ranks whose workers belong to the cluster."""
        workers = self._client.nthreads()
        return {rank for rank, worker in enumerate(self._workers) if worker in workers}

    def _check(self):
        """Look for ranks that can't say that they have failed."""
        living, known = self._living(), {failure.rank for failure in self._failures}
        for rank, task in enumerate(self._tasks):
            if rank in known:
                continue
            if rank not in living:
                failure = Failure(rank, "lost", "was lost, since its worker has left the cluster")
                self._failures.append(failure)
            elif task.status == "error":
                error = task.exception()
                text = f"could not be started: {type(error).__name__}: {error}"
                self._failures.append(Failure(rank, "raised", text))
            elif task.status in ("cancelled", "lost") or rank in self._ended:
                failure = Failure(rank, "lost", "was lost, since its task was cancelled")
                self._failures.append(failure)

    @contextlib.contextmanager
    def needing_workers(self) -> Iterator[None]:
        """Tell the cause if a call of the client fails, as it does if a worker has just left."""
        try:
            yield
        except Exception as error:
            self._wait_for_causes()
            if self._failures:
                raise self._failed() from error
            raise

    def _wait_for_causes(self):
        deadline = time.monotonic() + CAUSES
        while time.monotonic() < deadline:
            if not self._take(SHORT):
                self._check()
            if {"lost", "killed", "stopped"} & {failure.kind for failure in self._failures}:
                break

    def _failed(self):
        """Return an error with the cause of the first failure."""
        self._wait_for_causes()
        order = list(WAYS_OUT)
        cause = min(self._failures, key=lambda failure: order.index(failure.kind))
        return RuntimeError(
            f"Training on the Dask cluster failed: rank {cause.rank} of {len(self._workers)}, on "
            f"the worker {self._workers[cause.rank]}, {cause.text}. {WAYS_OUT[cause.kind]} All "
            "ranks were ended, and the estimator is as it was before. Call fit again to train on "
            "the workers that the cluster has then."
        )
