"""Kill processes while they save, and check that the old or the new file is left, whole.

python tests/kill_saves.py      # 200 kills
python tests/kill_saves.py 10
"""

import collections
import os
import pathlib
import random
import signal
import sys
import tempfile
import time

import numpy as np

import skae


def kill(n, folder):
    """Kill processes that save over a file, and print how many were in the middle of it."""
    X = np.random.default_rng(0).normal(size=(300, 200)).astype(np.float32)
    estimators = [
        skae.AutoencoderTransformer(k, hidden_layer_sizes=(), random_state=0).fit(X)
        for k in (40, 80)
    ]
    path = os.path.join(folder, "file")
    whole = []
    for estimator in estimators:
        estimator.save(path)
        whole.append(pathlib.Path(path).read_bytes())
    rng = random.Random(2)
    caught, seen = 0, collections.Counter()
    for _ in range(n):
        child = os.fork()
        if child == 0:
            while True:
                for estimator in estimators:
                    estimator.save(path)
        time.sleep(rng.uniform(0.0, 0.06))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        seen[whole.index(pathlib.Path(path).read_bytes())] += 1  # ValueError if it is neither
        for name in os.listdir(folder):
            if name.endswith(".tmp"):
                caught += 1
                os.unlink(os.path.join(folder, name))
    assert skae.load(path).n_components in (40, 80)
    print(
        f"{n} kills: the old or the new file {sum(seen.values())} times, {dict(seen)}; "
        f"{caught} in the midst of writing"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        kill(int(sys.argv[1]) if len(sys.argv) > 1 else 200, folder)
