"""Measure training on a Dask cluster of local processes, and plan for larger ones.

    python benchmarks/clusters.py    # ten minutes on 2 cores

Fits with one epoch and with more tell the seconds of a step and those before the first one. A model
with five constants is fitted to the steps of 1, 2 and 4 processes, batches of 256 and 1,024, and
two networks, and printed beside what was measured. Then it says how long a step would take on
machines of their own, by their number and the bandwidth of their network.
"""

import argparse
import os
import time
import warnings

import dask.array
import numpy as np
from distributed import Client, LocalCluster
from scipy.optimize import nnls

from skae import AutoencoderTransformer

N_ROWS, N_FEATURES = 20_480, 784
NETWORKS = {"784-32-784": (), "784-128-32-128-784": (128,)}
BATCHES = 256, 1024
RANKS = 1, 2, 4
EPOCHS = {256: (1, 11), 1024: (1, 31)}
BANDWIDTHS = 1, 10, 100  # gigabits per second
MACHINES = 1, 2, 4, 8, 16, 32
ROUND_TRIP = 1e-4  # seconds between two machines


def seconds(X, hidden, batch_size, epochs):
    estimator = AutoencoderTransformer(
        32,
        hidden_layer_sizes=hidden,
        early_stopping=False,
        output_activation="linear",
        epochs=epochs,
        batch_size=batch_size,
        random_state=0,
    )
    begin = time.perf_counter()
    estimator.fit(X)
    return time.perf_counter() - begin, sum(array.size for array in estimator.weights_)


def step(X, hidden, batch_size):
    """Return the seconds of a step, those before the first one, and the number of weights."""
    few, many = EPOCHS[batch_size]
    steps = N_ROWS // batch_size
    (short, n_weights), (long, _) = (seconds(X, hidden, batch_size, n) for n in (few, many))
    each = (long - short) / (steps * (many - few))
    return each, short - few * steps * each, n_weights


def measure():
    """Return the number of ranks, network, batch, and what `step` returns, for each case."""
    X = np.random.default_rng(0).uniform(size=(N_ROWS, N_FEATURES)).astype("float32")
    found = []
    seconds(X[:1000], (), 256, 1)  # starts TensorFlow
    print("| ranks | network | batch | ms a step | s before |\n|---|---|---|---|---|")
    for ranks in (0, *RANKS):  # 0 stands for this process
        options = {"n_workers": ranks, "threads_per_worker": 1, "dashboard_address": ":0"}
        cluster = LocalCluster(**options, host="127.0.0.1") if ranks else None
        client = Client(cluster) if ranks else None
        rows = dask.array.from_array(X, chunks=(N_ROWS // 8, N_FEATURES)) if ranks else X
        for name, hidden in NETWORKS.items():
            for batch_size in BATCHES:
                case = ranks, name, batch_size, *step(rows, hidden, batch_size)
                found.append(case)
                shown = ranks or "this process"
                print(
                    f"| {shown} | {name} | {batch_size} | {1e3 * case[3]:.2f} | {case[4]:.1f} |",
                    flush=True,
                )
        if ranks:
            client.close()
            cluster.close()
    return [case for case in found if case[0]]


def terms(ranks, cores, name, batch_size, n_weights):
    """Return what the constants are multiplied by: rows of each network, step, sum, bytes."""
    rows = batch_size / min(ranks, cores)
    several = ranks > 1
    per_network = [rows * (name == other) for other in NETWORKS]
    return [*per_network, 1.0, several * (ranks - 1), several * (ranks - 1) / ranks * 8 * n_weights]


def fitted(cases):
    """Fit the constants to what was measured, in relative errors, and print both."""
    cores = os.cpu_count()
    matrix = np.array([terms(c[0], cores, *c[1:3], c[5]) for c in cases])
    times = np.array([case[3] for case in cases])
    constants, _ = nnls(matrix / times[:, np.newaxis], np.ones(len(times)))
    print("\n| ranks | network | batch | measured ms | model |\n|---|---|---|---|---|")
    for case, model in zip(cases, matrix @ constants, strict=True):
        print(f"| {case[0]} | {case[1]} | {case[2]} | {1e3 * case[3]:.2f} | {1e3 * model:.2f} |")
    *per_row, each, joining, per_byte = constants
    print(
        f"\na row: {', '.join(f'{1e6 * c:.2f}' for c in per_row)} us; a step: {1e3 * each:.2f} ms; "
        f"each further rank: {1e3 * joining:.2f} ms; a byte: {1e9 * per_byte:.2f} ns"
    )
    return per_row, each, joining


def plan(per_row, each, joining, n_weights):
    """Print the milliseconds of a step on machines of their own.

    A sum takes what a second rank adds here, and the time in the network.
    """
    print("\n| network | batch | Gbit/s |", " | ".join(map(str, MACHINES)), "|")
    print("|---" * (3 + len(MACHINES)) + "|")
    for (name, size), row in zip(n_weights.items(), per_row, strict=True):
        for batch_size in (*BATCHES, 16_384):
            for bandwidth in BANDWIDTHS:
                times = [
                    row * batch_size / n
                    + each
                    + (n > 1) * (joining + (n - 1) * ROUND_TRIP)
                    + (n - 1) / n * 8 * size * 8e-9 / bandwidth
                    for n in MACHINES
                ]
                shown = [
                    f"**{1e3 * t:.1f}**" if t == min(times) else f"{1e3 * t:.1f}" for t in times
                ]
                print(f"| {name} | {batch_size} | {bandwidth} |", " | ".join(shown), "|")


def main():
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    warnings.simplefilter("ignore")
    cases = measure()
    n_weights = {name: next(c[5] for c in cases if c[1] == name) for name in NETWORKS}
    plan(*fitted(cases), n_weights)


if __name__ == "__main__":
    main()
