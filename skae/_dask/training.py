"""The client's side of training on a Dask cluster.

Dask places the rows and the processes, and TensorFlow's collectives sum the gradients. Client and
ranks talk through Dask's queues, since a worker can't always connect to the client.
"""

import contextlib
import pickle
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import cloudpickle
import dask
import numpy as np
from distributed import Lock

from skae._dask.crew import Crew
from skae._dask.cutting import cut
from skae._dask.rank import Job, RowsToCome
from skae._dask.shares import Share, shares

POLL = 0.1  # seconds between two looks at tasks that take their time


class Blocks(NamedTuple):
    """Rows on a cluster, and what training needs to know of them."""

    parts: list  # delayed objects or futures of 2-D arrays or frames
    orders: list[np.ndarray]  # the place in the order of training of each row of a part, or -1
    dtype: str
    origin: Any
    scale: float
    weights: np.ndarray | None  # of all rows in the order of training
    labels: np.ndarray | None

    @property
    def n_rows(self) -> int:
        """The number of rows to train on."""
        return sum(int(np.count_nonzero(order >= 0)) for order in self.orders)


class Trainer:
    """Trains on all workers of a cluster, in a `with` block at whose end no rank is left.

    The ranks start at the first call of `train` and stay for the next ones, with their rows and
    programs. They end as soon as a call fails.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._crew: Crew | None = None
        self._n_workers = 0  # that there were when the ranks started
        self._held: tuple[list[Share], Blocks] | None = None  # the rows that the ranks have
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self._crew = self._held = None
        self._open.close()

    def train(
        self, blocks: Blocks, spec: Any, weights: list[np.ndarray], recipe: Any, monitor: Any
    ) -> list[np.ndarray]:
        """Train as `skae._keras.training.train` does."""
        try:
            crew, plan = self._crew_for(blocks.n_rows, recipe.batch_size)
            crew.look_after(0)
            held = self._held is not None and _same_rows(self._held, (plan, blocks))
            if not held:
                self._held = None
                with crew.needing_workers():
                    crew.pieces = _pieces(self._client, blocks, plan, spec.n_features)
            crew.meet()
            for share in plan:
                rows = None if held else _rows_to_come(share, blocks, spec)
                units = blocks.origin, blocks.scale
                job = Job(share, cloudpickle.dumps(spec), recipe, weights, units, rows)
                crew.give(share.rank, cloudpickle.dumps(job))
            _hand_out(crew)
            self._held = plan, blocks
            return _follow(crew, monitor)
        except BaseException:
            self.__exit__()
            raise

    def _crew_for(self, n_rows, batch_size):
        """Return the ranks for so many rows, and their shares of them."""
        if self._crew is not None:
            plan = shares(self._n_workers, n_rows, batch_size)
            if len(plan) == len(self._crew):
                return self._crew, plan
            self.__exit__()
        self._open.enter_context(_one_fit_at_a_time(self._client))
        workers = _workers(self._client)
        self._n_workers = len(workers)
        plan = shares(len(workers), n_rows, batch_size)
        self._crew = self._open.enter_context(Crew(self._client, workers[: len(plan)]))
        return self._crew, plan


def _same_rows(one, other):
    """Return whether two plans with their blocks give each rank the same rows."""
    (plan, blocks), (other_plan, others) = one, other
    if plan != other_plan or blocks.parts is not others.parts or blocks.dtype != others.dtype:
        return False
    ours = [*blocks.orders, blocks.weights, blocks.labels]
    return all(map(np.array_equal, ours, [*others.orders, others.weights, others.labels]))


def _rows_to_come(share, blocks, spec):
    rows = share.select(blocks.weights), share.select(blocks.labels)
    return RowsToCome(spec.n_features, blocks.dtype, *rows)


@contextlib.contextmanager
def _one_fit_at_a_time(client: Any) -> Iterator[None]:
    """Wait until no other fit trains on the cluster.

    Two fits could otherwise wait for each other. If a client dies, its lock is released after a
    while, which is why this is no MultiLock.
    """
    lock = Lock("skae", scheduler_rpc=client.scheduler, loop=client.loop)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _workers(client):
    """Return the addresses of all workers."""
    workers = sorted(client.nthreads())
    if not workers:
        raise RuntimeError(
            "The Dask cluster has no workers to train on. Start some, or wait for them with "
            "client.wait_for_workers."
        )
    return workers


def _pieces(client, blocks, plan, n_features):
    """Let the workers cut the parts; return futures of the pieces, with the rank each is for."""
    orders = client.scatter(blocks.orders, hash=False)
    cutting = dask.delayed(cut, nout=len(plan), pure=False)
    pieces = []
    for i, (part, order) in enumerate(zip(blocks.parts, orders, strict=True)):
        # Its name says in an error which part it is.
        pieces.extend(cutting(part, order, plan, n_features, blocks.dtype, f"part {i}"))
    futures = client.compute(pieces)
    return {future: i % len(plan) for i, future in enumerate(futures)}


def _hand_out(crew):
    """Send the pieces to their ranks as they are ready, and wait until all have arrived."""
    while crew.pieces:
        ready = [future for future in crew.pieces if future.status == "finished"]
        for future in ready:
            crew.tell(crew.pieces.pop(future), future)
        if not ready:
            crew.look_after(POLL)
    crew.tell_all(None)
    crew.hear_all()


def _follow(crew, monitor):
    """Let the monitor see the losses, and return the weights at the end of training."""
    while True:
        kind, content = crew.hear(0)
        if kind == "trained":
            break
        if kind == "advanced":
            monitor.advance(content)
            continue
        stop = monitor(pickle.loads(content), lambda: _weights(crew))
        crew.tell(0, "stop" if stop else "go on")
    for rank in range(1, len(crew)):
        crew.hear(rank)  # that it has trained, too
    return pickle.loads(content)


def _weights(crew):
    crew.tell(0, "weights")
    return pickle.loads(crew.hear(0)[1])
