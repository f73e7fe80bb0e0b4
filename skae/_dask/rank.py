"""A rank: the process beside a worker in which TensorFlow trains, `python -m skae._dask.rank`.

It is a process of its own, since TensorFlow joins a group of processes only before it computes
anything, and only once. It does one job after another, and keeps its rows for the next one. It ends
with its worker: Linux kills it then, and elsewhere the end of its standard input does. All it reads
and writes goes through one connection to the worker.
"""

import contextlib
import ctypes
import functools
import os
import pickle
import signal
import socket
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from skae._dask.shares import Share
from skae._data.rows import Rows
from skae._framework import without_start_up_lines
from skae._version import __version__

PR_SET_PDEATHSIG = 1
# What TensorFlow raises in a rank if another one has ended.
LOST_PEER = {"UnavailableError", "CancelledError", "AbortedError", "DeadlineExceededError"}


class Job(NamedTuple):
    """What a rank trains. It holds objects of Keras' half, so only a rank unpickles it."""

    share: Share
    spec: bytes  # pickled, so that a rank can tell whether it is the one of the job before
    recipe: Any
    weights: list[np.ndarray]
    units: tuple  # the origin and the scale of the rows
    rows: "RowsToCome | None"  # None for those of the job before


class RowsToCome(NamedTuple):
    """What is known of the rows of a rank before they come."""

    n_features: int
    dtype: str
    weights: np.ndarray | None
    labels: np.ndarray | None


def main() -> None:
    connection = Connection(int(sys.argv[1]))
    try:
        with without_start_up_lines():
            end_with(int(sys.argv[2]))
            rank = _join(connection)
        _train(connection, rank)
    except BaseException as error:  # whatever the user's layers and losses may raise
        with contextlib.suppress(OSError):
            name, text = type(error).__name__, " ".join(str(error).split())
            found = "peer" if name in LOST_PEER else "raised"
            connection.send(("failed", (found, f"raised {name}: {text}")))
    os._exit(0)  # at a normal exit TensorFlow would wait for the other ranks


def end_with(parent: int) -> None:
    """End this process when the one that has started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    threading.Thread(target=_end_with_input, daemon=True).start()


def _end_with_input():
    os.read(0, 1)  # nothing is ever written to it
    os.kill(os.getpid(), signal.SIGKILL)


def _join(connection):
    """Start TensorFlow, join the other ranks, and return the number of this one."""
    rank, host = connection.recv()
    import tensorflow as tf

    place = _free_port(host)
    port = place.getsockname()[1]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    connection.send(("started", (address, (__version__, tf.__version__))))
    addresses = connection.recv()
    place.close()
    if len(addresses) > 1:
        _connect(tf, addresses, rank)
    from skae._keras import ranks  # after that, since its import starts TensorFlow

    ranks.total(0, len(addresses))
    connection.send(("joined", None))
    return rank


def _train(connection, rank):
    """Do one job after another, until this process is ended."""
    from skae._keras import ranks

    rows: Any = None
    while True:
        job = pickle.loads(connection.recv_bytes())
        share = job.share
        if job.rows is not None:
            rows = None  # before others take memory
            rows = _empty(job)
        _fill(connection, rows.X, share)
        connection.send(("filled", None))
        sizes = share.batch_size, share.batch_rows, share.n_batches
        place, given = ranks.Place(rank, share.n_ranks, *sizes), rows.in_units(*job.units)
        watch = _Watch(connection)
        weights = ranks.train(place, _spec(job.spec), given, job.weights, job.recipe, watch)
        connection.send(("trained", pickle.dumps(weights) if rank == 0 else None))


def _free_port(host):
    """Return a socket that keeps a free port of this machine until TensorFlow takes it."""
    place = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    place.bind(("", 0))  # not to the host, which may be an address that others translate
    return place


def _connect(tf, addresses, rank):
    """Connect TensorFlow to the other ranks. It waits for all of them, however long it takes."""
    distribute = tf.distribute
    resolver = distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": addresses}),
        task_type="worker",
        task_id=rank,
        rpc_layer="grpc",
    )
    # Only for what it sets up. Training does not use the strategy, which fails with Keras 3.
    distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)


# The same object for the same network: a custom one is compiled again if it is another.
_spec = functools.lru_cache(1)(pickle.loads)


def _empty(job):
    X = np.empty((job.share.n_own, job.rows.n_features), job.rows.dtype)
    return Rows(X, job.rows.weights, labels=job.rows.labels)


def _fill(connection, X, share):
    """Put the rows of this rank into X as they come, in pieces."""
    while (piece := connection.recv()) is not None:
        places, values = piece
        X[share.positions(places)] = values


class _Watch:
    """The monitor of a fit, which is in the client."""

    def __init__(self, connection):
        self._connection = connection

    def advance(self, n_epochs):
        self._connection.send(("advanced", n_epochs))

    def __call__(self, losses, get_weights):
        self._connection.send(("losses", pickle.dumps(losses)))
        while (answer := self._connection.recv()) == "weights":
            self._connection.send(("weights", pickle.dumps(get_weights())))
        return answer == "stop"


if __name__ == "__main__":
    main()
