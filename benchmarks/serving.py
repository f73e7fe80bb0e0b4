"""Put the server of `examples/serve_pipeline.py` under load, beside the same Pipeline with PCA.

    python benchmarks/serving.py                # 30 s each, in slices of 5 s in turns
    python benchmarks/serving.py --seconds 5

Run this in an environment without PyTorch. skops imports PyTorch where it is installed, which takes
each worker 260 MB more.

Each Pipeline has four gunicorn workers. A separate process on the same machine sends one row per
request, over 64 connections at a time. An answer counts as an error if it is late, broken or not
the Pipeline's own label. Memory is read from /proc, so this runs on Linux.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import skops.io
from sklearn.datasets import load_digits

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"
TRUSTED = ["skae._autoencoder.AutoencoderTransformer"]
REDUCERS = {
    "autoencoder": "skae.AutoencoderTransformer(16, hidden_layer_sizes=(), random_state=0)",
    "PCA": "sklearn.decomposition.PCA(16, random_state=0)",
}
CONNECTIONS = 64
WORKERS = 4
SLICE = 5.0
TIMEOUT = 10.0


def fit(path, reducer):
    """Fit and store a Pipeline in a process of its own, so that TensorFlow ends with it."""
    code = f"import skae, sklearn.decomposition, serve_pipeline as s; s.fit_and_store({path!r}, "
    subprocess.run(
        [sys.executable, "-c", f"{code}{reducer})"],
        cwd=EXAMPLES,
        check=True,
        stderr=subprocess.DEVNULL,
    )


@contextlib.contextmanager
def server(path, folder):
    """Serve the Pipeline in a file, and yield the process and the port of the server."""
    log = pathlib.Path(f"{path}.log")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--preload"),
            *("--workers", str(WORKERS), "--chdir", str(EXAMPLES), "--error-logfile", str(log)),
            f"serve_pipeline:create_app({path!r})",
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HOME": folder},
    )
    try:
        started = time.monotonic()
        while not (found := log.exists() and re.search(r"127\.0\.0\.1:(\d+)", log.read_text())):
            if process.poll() is not None or time.monotonic() - started > 60:
                raise RuntimeError(f"The server did not start:\n{log.read_text()}")
            time.sleep(0.1)
        yield process, int(found[1])
    finally:
        process.terminate()
        process.wait(30)


async def ask(port, row):
    """Send one request over one connection, and return the label."""
    body = json.dumps([row]).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        head, _, answer = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    if not head.startswith(b"HTTP/1.1 200 "):
        raise OSError(head[:100].decode() or "no answer")
    return json.loads(answer)["labels"][0]


def load(port, seconds, rows, labels):
    """Ask over many connections at once, and return how this went.

    That is the seconds that each answer took, the errors, and the seconds that all of it took.
    """
    times, errors = [], []

    async def client(row, label):
        while time.monotonic() < begin + seconds:
            start = time.perf_counter()
            try:
                answer = await asyncio.wait_for(ask(port, row), TIMEOUT)
                if answer != label:
                    errors.append(f"label {answer} instead of {label}")
            except (OSError, ValueError, TimeoutError) as error:
                errors.append(repr(error))
            times.append(time.perf_counter() - start)

    async def clients():
        await asyncio.gather(*map(client, rows, labels))

    begin = time.monotonic()
    asyncio.run(clients())
    return times, errors, time.monotonic() - begin


def worker_state(process):
    """Return the peak megabytes of each worker, and whether one has mapped TensorFlow."""
    children = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    peaks, mapped = [], False
    for pid in children:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        peaks.append(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024)
        mapped |= "tensorflow" in pathlib.Path(f"/proc/{pid}/maps").read_text()
    assert len(peaks) == WORKERS
    return peaks, mapped


def measure(seconds, folder):
    """Measure both servers, with one of them under load at a time.

    Return the slices of load and the state of the workers of each.
    """
    rows = load_digits().data[-CONNECTIONS:]
    n_slices = max(1, round(seconds / SLICE))
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ProcessPoolExecutor(1, get_context("spawn")))
        servers, slices = {}, {name: [] for name in REDUCERS}
        for name, reducer in REDUCERS.items():
            path = os.path.join(folder, f"{name}.skops")
            fit(path, reducer)
            labels = skops.io.load(path, trusted=TRUSTED).predict(rows).tolist()
            servers[name] = *stack.enter_context(server(path, folder)), labels
        for _ in range(n_slices):
            for name, (_, port, labels) in servers.items():
                call = pool.submit(load, port, seconds / n_slices, rows.tolist(), labels)
                slices[name].append(call.result())
        return {
            name: (slices[name], worker_state(process)) for name, (process, _, _) in servers.items()
        }


def report(name, slices, workers):
    """Print one line of the table, and the errors, if any, to stderr."""
    times = np.concatenate([part[0] for part in slices])
    errors = [error for part in slices for error in part[1]]
    rate = len(times) / sum(part[2] for part in slices)
    peaks, mapped = workers
    print(
        f"| {name} | {rate:.0f} | {np.median(times) * 1000:.0f} ms "
        f"| {np.quantile(times, 0.99) * 1000:.0f} ms | {len(errors)} of {len(times):,} "
        f"| {max(peaks):.0f} MB | {'yes' if mapped else 'no'} |"
    )
    for error in sorted(set(errors))[:5]:
        print(f"    {error}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="under load, for each")
    arguments = parser.parse_args()
    print(
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores ({platform.machine()}), "
        f"Python {platform.python_version()}, {CONNECTIONS} connections, {WORKERS} workers\n"
    )
    print("| Pipeline | requests/s | median | 99 % | errors | memory per worker | TensorFlow |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, (slices, workers) in measure(arguments.seconds, folder).items():
            report(name, slices, workers)


if __name__ == "__main__":
    main()
