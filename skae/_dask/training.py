"""The client's side of training on a Dask cluster.

Dask places the rows and the processes, and TensorFlow's collectives sum the gradients. Client and
ranks talk through Dask's queues, since a worker can't always connect to the client.
"""

import contextlib
import pickle
from collections.abc import Iterator
from typing import Any, NamedTuple

import cloudpickle
import dask
import numpy as np
from distributed import Lock

from skae._dask.crew import Crew
from skae._dask.cutting import cut
from skae._dask.rank import Job
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


def train(
    client: Any,
    blocks: Blocks,
    spec: Any,
    weights: list[np.ndarray],
    recipe: Any,
    monitor: Any,
) -> list[np.ndarray]:
    """Train as `skae._keras.training.train` does, on all workers of a cluster."""
    n_rows = sum(int(np.count_nonzero(order >= 0)) for order in blocks.orders)
    with _one_fit_at_a_time(client):
        workers = _workers(client)
        plan = shares(len(workers), n_rows, recipe.batch_size)
        jobs = [_job(share, blocks, spec, recipe, weights) for share in plan]
        with Crew(client, workers[: len(plan)], jobs) as crew:
            crew.pieces = _pieces(client, blocks, plan, spec.n_features)
            crew.meet()
            _hand_out(crew)
            return _follow(crew, monitor)


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


def _job(share: Share, blocks: Blocks, spec: Any, recipe: Any, weights: list[np.ndarray]) -> bytes:
    rows = share.select(blocks.weights), share.select(blocks.labels)
    units = blocks.origin, blocks.scale
    job = Job(share, spec, recipe, weights, spec.n_features, str(blocks.dtype), *units, *rows)
    return cloudpickle.dumps(job)


def _pieces(client, blocks, plan, n_features):
    """Let the workers cut the parts; return futures of the pieces, with the rank each is for."""
    orders = client.scatter(blocks.orders, hash=False)
    cutting = dask.delayed(cut, nout=len(plan), pure=False)
    pieces = []
    for i, (part, order) in enumerate(zip(blocks.parts, orders, strict=True)):
        # Its name says in an error which part it is.
        pieces.extend(cutting(part, order, plan, n_features, str(blocks.dtype), f"part {i}"))
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
            return pickle.loads(content)
        if kind == "advanced":
            monitor.advance(content)
            continue
        stop = monitor(pickle.loads(content), lambda: _weights(crew))
        crew.tell(0, "stop" if stop else "go on")


def _weights(crew):
    crew.tell(0, "weights")
    return pickle.loads(crew.hear(0)[1])
