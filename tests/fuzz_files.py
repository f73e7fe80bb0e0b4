"""Attack skae.load, and exit with an error if a promise is broken.

    python tests/fuzz_files.py          # more than a hundred thousand files: about half an hour
    python tests/fuzz_files.py --quick  # what the tests run

For any file, load raises ModelFileError or returns an estimator whose methods all work. It computes
for less than a second, and takes at most 10 MB more memory than the file has bytes. It imports and
runs nothing, and opens and writes no other file. The process may have 512 MB of data (RLIMIT_DATA,
which does not count mapped libraries).
"""

import argparse
import collections
import os
import pathlib
import pickle
import random
import resource
import signal
import subprocess
import sys
import tempfile
import tracemalloc
import warnings

import hostile_files
import hypothesis
import numpy as np
import pandas as pd  # noqa: F401 (before memory is limited and imports are watched)
import polars as pl  # noqa: F401 (likewise)
from hostile_files import DENSE, GOLDEN, sealed
from hypothesis import strategies as st
from sklearn.base import clone

import skae

MEMORY = 512 * 2**20
MARGIN = 10 * 2**20
FORBIDDEN = ("import", "exec", "compile", "socket.", "subprocess.", "os.", "shutil.", "ctypes.")
FORBIDDEN += ("pickle.", "marshal.", "open", "tempfile.", "mmap.")


class Attack:
    """Load files, and count the outcomes."""

    def __init__(self, folder):
        self.folder = folder
        self.path = os.path.join(folder, "file")
        self.counts = collections.defaultdict(collections.Counter)
        self.broken = []
        self.peak = 0
        self.watching = False
        self.accepted = []
        skae.load(GOLDEN / "format_1_dense.safetensors").score(np.zeros((2, 5)))
        sys.addaudithook(self.see)
        # Allow one second of computing, which does not depend on what else the machine does, and
        # ten seconds of waiting.
        self.timers = {signal.ITIMER_PROF: 1.0, signal.ITIMER_REAL: 10.0}
        signal.signal(signal.SIGPROF, self.late)
        signal.signal(signal.SIGALRM, self.late)

    def see(self, event, arguments):
        if not self.watching or not event.startswith(FORBIDDEN):
            return
        if event == "open" and arguments[0] == self.opened:
            return
        self.watching = False
        self.broken.append(f"{event} {arguments!r:.200}")

    def late(self, *_):
        raise TimeoutError("longer than a second")

    def bytes(self, kind, data, must_refuse=False):
        with open(self.path, "wb") as file:
            file.write(data)
        return self.load(kind, self.path, must_refuse)

    def load(self, kind, path, must_refuse=False):
        """Load a file, note the outcome, and try the estimator if there is one."""
        self.opened = path
        size = os.stat(path).st_size if os.path.isfile(path) else 0
        if not tracemalloc.is_tracing():  # not for each file, since a start leaks 10 kB
            tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for timer, seconds in self.timers.items():
            signal.setitimer(timer, seconds)
        estimator, outcome = None, "refused"
        self.watching = True
        try:
            estimator = skae.load(path)
            outcome = "accepted"
        except skae.ModelFileError:
            pass
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
        finally:
            self.watching = False
            for timer in self.timers:
                signal.setitimer(timer, 0)
        peak = tracemalloc.get_traced_memory()[1] - before - size
        if size > 2**20:
            tracemalloc.stop()  # tracing what such an estimator does would take memory itself
        self.peak = max(self.peak, peak)
        if peak > MARGIN:
            outcome += f", took {peak} bytes more than its size"
        if estimator is not None and must_refuse:
            outcome += ", though damaged"
        elif estimator is not None:
            try:
                self.exercise(estimator)
            except Exception as error:
                outcome += f", then {type(error).__name__}: {error}"
        self.counts[kind][outcome.split(",")[0].split(":")[0]] += 1
        if outcome not in ("refused", "accepted"):
            self.broken.append(f"{kind}: {outcome[:300]}")
        return estimator

    def report(self):
        """Print how many files there were of each kind, and exit with an error if one did harm."""
        for kind, counts in self.counts.items():
            print(f"{kind:<44}{dict(counts)}")
        total = sum(counts.total() for counts in self.counts.values())
        print(f"{total} files, at most {self.peak / 2**20:.2f} MB above their size")
        if self.broken:
            sys.exit("\n".join(self.broken[:20]))

    def exercise(self, estimator):
        """Call every method that needs no Keras."""
        if estimator.network_["image_shape"] is None:
            exercise(estimator)
        repr(estimator), estimator.get_feature_names_out(), clone(estimator)
        copied = pickle.loads(pickle.dumps(estimator))
        again = os.path.join(self.folder, "again")
        copied.save(again)
        assert repr(skae.load(again).get_params()) == repr(estimator.get_params())


def exercise(estimator):
    """Encode, decode, score and sample."""
    assert all(np.isfinite(array).all() for array in estimator.weights_)
    n_features, n_components = (estimator.network_[f"n_{of}"] for of in ("features", "components"))
    rows = np.linspace(0, 1, 3 * n_features).reshape(3, n_features)
    codes = estimator.transform(rows)
    assert codes.shape == (3, n_components)
    rebuilt = np.asarray(estimator.reconstruct(rows))
    assert rebuilt.shape == rows.shape
    if np.isfinite(np.asarray(codes)).all():
        assert estimator.inverse_transform(np.asarray(codes)).shape == rows.shape
    if np.isfinite(rebuilt).all() and np.abs(rebuilt).max() < 1e100:
        assert np.isscalar(estimator.score(rows))
    if hasattr(estimator, "sample"):
        assert estimator.sample(2, random_state=0).shape == (2, n_features)


def train(folder):
    """Warm-start accepted files and make Keras models of them, in a process of its own."""
    counts = collections.Counter()
    for path in sorted(pathlib.Path(folder).glob("accepted*")):
        estimator = skae.load(path)
        exercise(estimator)
        assert len(estimator.to_keras()) == 3
        rows = np.random.default_rng(0).uniform(size=(8, estimator.n_features_in_))
        estimator.set_params(warm_start=True, epochs=1, verbose=0)
        try:
            estimator.fit(rows.astype(estimator.network_["dtype"]))
            counts["fitted"] += 1
        except ValueError:  # the parameters describe another network, or training diverges
            counts["refused by fit"] += 1
    print(f"{'with Keras':<44}{dict(counts)}")


def damage(attack, quick):
    """Truncate files and flip bits, without and with a recomputed digest."""
    rng = random.Random(0)
    for begin in range(len(DENSE)):
        attack.bytes("truncated", DENSE[:begin], must_refuse=True)
        if not quick or not begin % 4:
            attack.bytes("truncated, sealed", sealed(DENSE[:begin]))
    for i in range(0, len(DENSE), 3 if quick else 1):
        for bit in rng.sample(range(8), 1) if quick else range(8):
            flipped = bytearray(DENSE)
            flipped[i] ^= 1 << bit
            attack.bytes("bit flipped", bytes(flipped), must_refuse=True)
            if not quick or not i % 2:
                attack.bytes("bit flipped, sealed", sealed(bytes(flipped)))


def splices(attack, n):
    """Cut out, double, move, overwrite and insert pieces."""
    rng = random.Random(1)
    for _ in range(n):
        changed = hostile_files.spliced(rng)
        attack.bytes("spliced", changed, must_refuse=True)
        attack.bytes("spliced, sealed", sealed(changed))


def json_mutations(attack, n, most=1000):
    """Load files in which only the JSON is wrong, and keep some that are accepted."""
    settings = hypothesis.settings(
        max_examples=most,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )

    def one(data):
        file = hostile_files.mutated(data.draw)
        if attack.bytes("JSON mutated, sealed", file) is not None and len(attack.accepted) < 60:
            attack.accepted.append(file)

    hypothesis.configuration.set_hypothesis_home_dir(attack.folder)  # not in the current folder
    # Run in rounds, since hypothesis remembers all examples of a round, at 10 kB each.
    for i in range(0, n, most):
        hypothesis.seed(i)(settings(hypothesis.given(st.data())(one)))()


def kinds(attack):
    """Load files of every other kind."""
    files = {
        **hostile_files.others(skae.load(GOLDEN / "format_1_dense.safetensors")),
        **hostile_files.floods(),
    }
    for kind, file in files.items():
        attack.bytes(kind, file, must_refuse=True)
    for kind, file in hostile_files.large().items():
        if attack.bytes(kind, file) is None:
            attack.broken.append(f"{kind}: refused")
    for write in (hostile_files.no_regular_files, hostile_files.write_large):
        for kind, path in write(attack.folder).items():
            attack.load(kind, path, must_refuse=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--train", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # printing them (other versions, overflow) reads source files
    if options.train:
        return train(options.train)
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, limits[1]))
    with tempfile.TemporaryDirectory() as folder:
        attack = Attack(folder)
        kinds(attack)
        json_mutations(attack, *((300, 300) if options.quick else (20_000,)))
        damage(attack, options.quick)
        splices(attack, 300 if options.quick else 100_000)
        attack.report()
        if options.quick:
            return None
        for i, file in enumerate(attack.accepted):
            pathlib.Path(folder, f"accepted{i}").write_bytes(file)
        resource.setrlimit(resource.RLIMIT_DATA, limits)  # TensorFlow alone takes more
        subprocess.run([sys.executable, __file__, "--train", folder], check=True)
    return None


if __name__ == "__main__":
    main()
