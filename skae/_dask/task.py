"""The task of a worker: start a rank beside it, and pass on what rank and client say."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from multiprocessing import Pipe
from typing import Any

import psutil
from distributed import get_worker, secede
from distributed.comm import get_address_host

from skae._dask.mailbox import Mailbox

POLL = 0.2  # seconds between two looks whether the rank lives and the client still wants it
STOPPED = 20.0  # seconds for which a rank may be stopped, as a debugger does


class CancelledError(Exception):
    """The client has gone, or no longer waits for the result."""


class StoppedError(Exception):
    """The rank is stopped, as by SIGSTOP, and has not gone on for a while."""


def attend(rank: int, up: str, down: str) -> None:
    """Start a rank and end it, whatever happens.

    The rank's messages go to the client through the mailbox `up`, as (rank, kind, content), and
    the client's come through the mailbox `down`.
    """
    # Other tasks may use this thread's place: the client may have rows to compute here.
    secede()
    messages, answers = Mailbox(up), Mailbox(down)
    messages.put((rank, "begun", None))
    try:
        with contextlib.closing(Process(get_worker())) as process:
            _attend(process, rank, messages, answers)
    except CancelledError:
        pass
    finally:
        with contextlib.suppress(Exception):  # the scheduler may have gone
            messages.put((rank, "ended", None))
            messages.close()
            answers.close()


def _attend(process, rank, messages, answers):
    """Pass messages on, and say it if the rank ends before it should."""
    try:
        _pass_on(process, rank, messages, answers)
    except CancelledError:
        raise
    except StoppedError:
        messages.put((rank, "failed", ("stopped", f"was stopped for {STOPPED:g} seconds")))
    except Exception as error:
        found = process.death() or ("raised", f"{type(error).__name__}: {error}")
        messages.put((rank, "failed", found))


def _pass_on(process, rank, messages, answers):
    worker = process.worker
    process.send((rank, get_address_host(worker.contact_address or worker.address)))
    while True:
        kind, content = process.receive()
        messages.put((rank, kind, content))
        if kind == "failed":
            return
        if kind in ("joined", "trained"):
            # A rank that has trained stays: others may still read the last sum from it.
            process.send_bytes(_result(process, _next(process, answers)))
            _pass_on_rows(process, answers)
        elif kind not in ("filled", "advanced"):
            process.send(_next(process, answers))


def _next(process, answers):
    """Return the next message of the client."""
    while True:
        process.check()
        with contextlib.suppress(TimeoutError):
            return answers.get(POLL)


def _pass_on_rows(process, answers):
    """Pass on pieces of rows, one at a time, until there are no more."""
    while (future := _next(process, answers)) is not None:
        process.send(_result(process, future))
    process.send(None)


def _result(process, future):
    """Return the result of a future.

    Large messages come as futures. So they move from worker to worker, not through the scheduler.
    """
    while not future.done():
        process.check()
        with contextlib.suppress(TimeoutError):
            future.result(timeout=1)
    return future.result()


class Process:
    """A rank as its worker sees it."""

    def __init__(self, worker: Any) -> None:
        self.worker = worker
        self._key = worker.get_current_task()
        self._connection, theirs = Pipe()
        self._thread = ThreadPoolExecutor(1)
        n_threads = str(worker.state.nthreads)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": n_threads,
            "TF_NUM_INTRAOP_THREADS": n_threads,
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # ranks may share a device
        }
        environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        fd = theirs.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "skae._dask.rank", str(fd), str(os.getpid())],
            stdin=subprocess.PIPE,
            pass_fds=[fd],
            env=environment,
            start_new_session=True,
        )
        theirs.close()
        self._seen = psutil.Process(self._process.pid)
        self._ran = time.monotonic()  # when it was last seen not to be stopped

    def send(self, message: Any) -> None:
        self._wait_for(self._connection.send, message)

    def send_bytes(self, message: bytes) -> None:
        self._wait_for(self._connection.send_bytes, message)

    def _wait_for(self, send, message):
        """Send in a thread: it takes as long as the rank does not read, as when it is stopped."""
        sent = self._thread.submit(send, message)
        while not wait([sent], POLL).done:
            self.check()
        sent.result()

    def receive(self) -> Any:
        """Return the next message of the rank."""
        while not self._connection.poll(POLL):
            self.check()
        return self._connection.recv()

    def check(self) -> None:
        """Raise if the rank has ended, or if nobody wants it any more."""
        task = self.worker.state.tasks.get(self._key)
        if task is None or task.state in ("cancelled", "released", "resumed"):
            raise CancelledError
        if self._process.poll() is None:
            self._check_that_it_runs()
        elif not self._connection.poll():
            raise EOFError

    def _check_that_it_runs(self):
        if self._seen.status() != psutil.STATUS_STOPPED:
            self._ran = time.monotonic()
        elif time.monotonic() - self._ran > STOPPED:
            raise StoppedError

    def death(self) -> tuple[str, str] | None:
        """Return how the rank has ended by itself, if it has."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(POLL)
            if code < 0:
                return "killed", f"was killed by {signal.Signals(-code).name}"
            return "killed", f"ended with exit code {code}"
        return None

    def close(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._thread.shutdown()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._connection.close()
