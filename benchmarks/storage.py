"""Measure fits of rows that are not in memory: their memory and time beside rows in memory.

    python benchmarks/storage.py                # 4 GB of float32: five minutes
    python benchmarks/storage.py --gigabytes 1  # HDF5, zarr and Parquet as well
    python benchmarks/storage.py --words        # sparse rows with 100,000 columns: one minute

Each fit runs in a process of its own, for one epoch, and its codes are written into a file. The
memory is the largest anonymous memory of the process beyond that before the fit, when TensorFlow
had trained a small network already. The rows lie in a temporary folder, which is removed.
"""

import argparse
import functools
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
from scipy import sparse

N_FEATURES = 784
BLOCK = 8192
KINDS = {
    "memory": lambda folder: np.load(folder / "rows.npy"),
    "memory map": lambda folder: np.load(folder / "rows.npy", mmap_mode="r"),
    "map of uint8": lambda folder: np.load(folder / "small.npy", mmap_mode="r"),
    "HDF5": lambda folder: __import__("h5py").File(folder / "rows.h5")["rows"],
    "zarr": lambda folder: __import__("zarr").open_array(folder / "rows.zarr", mode="r"),
    "Parquet": lambda folder: folder / "rows.parquet",
}


def blocks(n_rows, dtype):
    """Yield rows on a curved surface of eight dimensions, with noise."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(8, 32)) / 2, rng.normal(size=(32, N_FEATURES))
    for begin in range(0, n_rows, BLOCK):
        size = min(BLOCK, n_rows - begin)
        rows = np.tanh(rng.normal(size=(size, 8)) @ first) @ second
        rows += 0.1 * rng.normal(size=rows.shape)
        yield (
            slice(begin, begin + size),
            (rows if dtype != "uint8" else 128 + 5 * rows).astype(dtype),
        )


def write(kind, n_rows, folder):
    """Write what a kind of storage reads, unless it is there."""
    shape = n_rows, N_FEATURES
    if kind in ("memory", "memory map", "map of uint8"):
        dtype = "uint8" if kind == "map of uint8" else "float32"
        path = folder / ("small.npy" if dtype == "uint8" else "rows.npy")
        if not path.exists():
            out = np.lib.format.open_memmap(path, "w+", dtype, shape)
            for chosen, rows in blocks(n_rows, dtype):
                out[chosen] = rows
    elif kind == "Parquet":
        import pyarrow as pa
        import pyarrow.parquet

        names = [f"x{j}" for j in range(N_FEATURES)]
        schema = pa.schema([(name, pa.float32()) for name in names])
        with pyarrow.parquet.ParquetWriter(folder / "rows.parquet", schema) as writer:
            for _, rows in blocks(n_rows, "float32"):
                table = pa.table(list(rows.T.copy()), schema=schema)
                writer.write_table(table, row_group_size=4096)  # readers hold a part of a group
    else:
        import h5py
        import zarr

        if kind == "HDF5":
            file = h5py.File(folder / "rows.h5", "w")
            out = file.create_dataset("rows", shape, "float32", chunks=(512, N_FEATURES))
        else:
            out = zarr.create_array(
                folder / "rows.zarr", shape=shape, dtype="float32", chunks=(512, N_FEATURES)
            )
        for chosen, rows in blocks(n_rows, "float32"):
            out[chosen] = rows


class Peak:
    """The largest anonymous memory of this process while it is open, beyond that at its start."""

    def __enter__(self):
        self._begin, self.most, self._done = anonymous(), 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def _watch(self):
        while not self._done.wait(0.005):
            self.most = max(self.most, anonymous() - self._begin)


def anonymous():
    """Return the anonymous memory of this process in MB, as Linux reports it."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def measure(kind, folder):
    """Print the seconds of a fit and of encoding, and their memory in MB."""
    from skae import AutoencoderTransformer

    make = functools.partial(
        AutoencoderTransformer, 8, hidden_layer_sizes=(128,), epochs=1, random_state=0
    )
    X = KINDS[kind](folder)
    make().fit(np.random.default_rng(0).normal(size=(2000, N_FEATURES)).astype("float32"))
    with Peak() as fitting:
        begin = time.perf_counter()
        estimator = make().fit(X)
        seconds = time.perf_counter() - begin
    with Peak() as encoding:
        begin = time.perf_counter()
        estimator.transform_into(X, folder / "codes.npy")
        encoded = time.perf_counter() - begin
    print(
        seconds,
        fitting.most,
        encoded,
        encoding.most,
        estimator.score_samples(X[:2000]).mean() if kind != "Parquet" else np.nan,
    )


def compare(gigabytes, kinds):
    n_rows = int(gigabytes * 2**30 / 4 / N_FEATURES)
    print(f"{n_rows:,} rows of {N_FEATURES} columns, {gigabytes:g} GB as float32, one epoch\n")
    print("| rows in | seconds of fit | MB | seconds of encoding | MB | mean loss |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for kind in kinds:
            write(kind, n_rows, folder)
            command = [sys.executable, __file__, "--measure", kind, "--folder", name]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr[-2000:])
            fit, most, encode, most_then, loss = map(float, done.stdout.split())
            print(
                f"| {kind} | {fit:.1f} | {most:.0f} | {encode:.1f} | {most_then:.0f} "
                f"| {-loss:.4f} |",
                flush=True,
            )


def words():
    """Encode sparse rows, beside TruncatedSVD."""
    from sklearn.decomposition import TruncatedSVD

    from skae import AutoencoderTransformer

    X = sparse.random_array((10_000, 100_000), density=0.01, format="csr", dtype="float32", rng=0)
    ours = AutoencoderTransformer(32, random_state=0).fit(X[:2000])
    theirs = TruncatedSVD(32, random_state=0).fit(X[:2000])
    seconds = {ours: [], theirs: []}
    for _ in range(7):
        for side, times in seconds.items():
            begin = time.perf_counter()
            side.transform(X)
            times.append(time.perf_counter() - begin)
    with Peak() as encoding:
        ours.transform(X)
    ratio = np.median(np.divide(*seconds.values()))
    share = encoding.most * 2**20 / (X.shape[0] * X.shape[1] * 4)
    print(
        f"10,000 x 100,000, 1 % filled: transform takes {np.median(seconds[ours]):.2f} s, "
        f"{ratio:.2f} times TruncatedSVD's, and {share:.3%} of the dense rows' memory"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gigabytes", type=float)
    parser.add_argument("--words", action="store_true")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if arguments.measure:
        measure(arguments.measure, arguments.folder)
    elif arguments.words:
        words()
    elif arguments.gigabytes is None:
        compare(4, ["memory", "memory map"])
    else:
        compare(arguments.gigabytes, list(KINDS))


if __name__ == "__main__":
    main()
