"""Compare what skae costs with what users would pick instead, and print a Markdown table.

    python benchmarks/speed.py --mnist mnist.npz   # about 15 minutes
    python benchmarks/speed.py --quick             # under two, on 5,000 digits

Both sides of a row are timed in one run, in turns. The table shows medians.
"""

import argparse
import os
import platform
import subprocess
import sys
import textwrap
import time
import warnings

import numpy as np
from data import error, load
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neural_network import MLPRegressor

from skae import AutoencoderTransformer

PLAIN = {
    "init": "glorot_uniform",
    "learning_rate": 1e-3,
    "batch_size": 256,
    "early_stopping": False,
    "random_state": 0,
}


def medians(*sides, repeats=7, calls=1):
    """Return the median seconds of each side, timed in turns."""
    times = [[] for _ in sides]
    for _ in range(repeats):
        for side, measured in zip(sides, times, strict=True):
            time.sleep(0.2)  # idle OpenBLAS threads spin for half as long, in the next side's way
            start = time.perf_counter()
            for _ in range(calls):
                side()
            measured.append((time.perf_counter() - start) / calls)
    return [float(np.median(measured)) for measured in times]


def once(side):
    start = time.perf_counter()
    result = side()
    return time.perf_counter() - start, result


def row(label, ours, theirs, ratio, goal):
    print(f"| {label} | {ours} | {theirs} | {ratio} | {goal} |", flush=True)


def seconds(value):
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def compare(label, ours, theirs, goal, *, inverse=False):
    ratio = theirs / ours if inverse else ours / theirs
    row(label, seconds(ours), seconds(theirs), f"{ratio:.2f}", goal)


def two_fits(path, dtype, hidden=()):
    """Return the seconds of two fits in a new process; the first compiles, and neither imports."""
    code = """
        import sys, time
        import skae._keras.training
        from data import load
        from skae import AutoencoderTransformer
        X = load(sys.argv[1] or None)[0].astype(sys.argv[2])
        for seed in range(2):
            start = time.perf_counter()
            AutoencoderTransformer(hidden_layer_sizes=eval(sys.argv[3]), random_state=seed).fit(X)
            print(time.perf_counter() - start)
    """
    return fresh(code, path or "", dtype, repr(hidden))


def next_fit(label, seconds_of_all, goal):
    row(f"the next fit of {label}", seconds(np.median(seconds_of_all, axis=0)[1]), "", "", goal)


def whole_fit(path, epochs, dtype):
    """Time fits to their end, five times, before and after the plain program to its end.

    The default network follows, with its hidden layer.
    """
    import plain_keras

    X, X_test = (part.astype(dtype) for part in load(path))
    fits = [two_fits(path, dtype) for _ in range(3)]
    model = plain_keras.build(X.shape[1], 32, dtype)
    theirs, _ = once(lambda: plain_keras.fit(model, X, X_test, epochs))
    fits += [two_fits(path, dtype) for _ in range(2)]
    ours = float(np.median(fits, axis=0)[0])
    estimator = AutoencoderTransformer(hidden_layer_sizes=(), random_state=0).fit(X)
    label = f"no hidden layers, {len(X):,} digits, {dtype}; plain Keras, {epochs} epochs"
    predicted = model.predict(X_test, verbose=0)
    ends = error(estimator.reconstruct(X_test), X_test), error(predicted, X_test)
    row(
        label,
        f"{seconds(ours)}, error {ends[0]:.5f}",
        f"{seconds(theirs)}, error {ends[1]:.5f}",
        f"{theirs / ours:.1f}",
        ">= 40",
    )
    next_fit("the same", fits, "<= 1.0 s" if dtype == "float32" else "")
    fits = [two_fits(path, dtype, "auto") for _ in range(3)]
    deep = float(np.median(fits, axis=0)[0])
    default = AutoencoderTransformer(random_state=0).fit(X)
    loss = error(default.reconstruct(X_test), X_test)
    row("the default, with a hidden layer", f"{seconds(deep)}, error {loss:.5f}", "", "", "<= 5 s")
    next_fit("the default", fits, "<= 4 s" if dtype == "float32" else "")


def one_epoch(X):
    import plain_keras

    model = plain_keras.fit(plain_keras.build(X.shape[1], 32), X, epochs=1)

    def skae_epochs(n):
        return lambda: AutoencoderTransformer(epochs=n, **PLAIN).fit(X)

    skae_epochs(1)()
    W, V = np.ones((X.shape[1], 32), X.dtype), np.ones((32, X.shape[1]), X.dtype)
    order = np.random.default_rng(0).permutation(len(X))

    def floor():
        for begin in range(0, len(X), 256):
            batch = X[order[begin : begin + 256]]
            code = batch @ W
            output = code @ V
            code.T @ output
            batch.T @ (output @ V.T)

    theirs, eleven, one, products = medians(
        lambda: plain_keras.fit(model, X, epochs=1),
        skae_epochs(11),
        skae_epochs(1),
        floor,
        repeats=5,
    )
    ours = (eleven - one) / 10
    compare("one epoch, batch 256; `Model.fit`", ours, theirs, ">= 3.5", inverse=True)
    compare("the same; its products and gather in NumPy", ours, products, "<= 1.4")


def variants(X):
    """Time a training step of each variant beside one of the plain network of the same layers."""
    settings = {**PLAIN, "hidden_layer_sizes": (128,), "code_activation": "linear"}

    def epochs(n, parameters):
        return lambda: AutoencoderTransformer(32, epochs=n, **settings, **parameters).fit(X)

    for label, parameters, goal in (
        ("sparse", {"sparsity": 1e-3}, "<= 1.5"),
        ("variational", {"kl_weight": 1.0}, "<= 1.5"),
        ("masking", {"noise": 0.3}, "<= 2"),
        ("Gaussian noise", {"noise": ("gaussian", 0.2)}, "<= 3"),
    ):
        sides = [epochs(n, given) for given in (parameters, {}) for n in (1, 3)]
        one, three, plain_one, plain_three = medians(*sides, repeats=3)
        ours, theirs = (three - one) / 2, (plain_three - plain_one) / 2
        compare(f"one epoch, {label}; the plain network of the same layers", ours, theirs, goal)


# This runs in a new process, since what earlier fits have set up would make it faster.
FIRST_FIT = """
    import time
    import numpy as np
    from sklearn.datasets import load_digits
    import skae._keras.training
    from skae import AutoencoderTransformer
    X = (load_digits().data / 16).astype(np.float32)
    start = time.perf_counter()
    AutoencoderTransformer(32, **{}).fit(X)
    print(time.perf_counter() - start)
"""


def small_fits():
    X = (load_digits().data / 16).astype(np.float32)
    settings = {**PLAIN, "epochs": 50}
    first = np.median([fresh(FIRST_FIT.format(settings)) for _ in range(5)])
    row("50 epochs of digits, first fit", seconds(first), "", "", "<= 1.0 s")
    ours, theirs = medians(
        lambda: AutoencoderTransformer(32, **settings).fit(X),
        lambda: MLPRegressor(
            hidden_layer_sizes=(32,), batch_size=256, max_iter=50, n_iter_no_change=50
        ).fit(X, X),
    )
    compare("50 epochs of digits, refit; `MLPRegressor`", ours, theirs, "<= 1.0")


def transforms(X):
    ours = AutoencoderTransformer(hidden_layer_sizes=(), random_state=0).fit(X)
    pca = PCA(32).fit(X)
    W, b = ours.weights_[:2]
    pair = medians(lambda: ours.transform(X[:1]), lambda: pca.transform(X[:1]), calls=500)
    compare("`transform` of one row; PCA", *pair, "<= 1.0")
    mine, theirs, product = medians(
        lambda: ours.transform(X), lambda: pca.transform(X), lambda: np.maximum(X @ W + b, 0)
    )
    compare(f"`transform` of {len(X):,} rows; PCA", mine, theirs, "<= 0.65")
    compare("the same; `np.maximum(X @ W + b, 0)`", mine, product, "<= 1.2")


# This is not ru_maxrss, since a process inherits that from the one that started it.
PEAK = """
def peak():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
"""


def fresh(code, *arguments):
    """Run a program in a process of its own, and return the numbers that it prints."""
    command = [sys.executable, "-c", PEAK + textwrap.dedent(code), *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return [float(line) for line in done.stdout.split()]


def processes():
    importing = """
        import time
        import sklearn.base
        start = time.perf_counter()
        import skae
        print(time.perf_counter() - start)
    """
    value = float(np.median([fresh(importing) for _ in range(5)]))
    row("`import skae` beyond `sklearn.base`", seconds(value), "", "", "<= 50 ms")
    (peak,) = fresh("""
        import pickle, subprocess, sys
        train = '''if True:
            import pickle, sys
            import numpy as np
            from skae import AutoencoderTransformer
            X = np.random.default_rng(0).uniform(size=(500, 784)).astype(np.float32)
            settings = {'hidden_layer_sizes': (), 'random_state': 0}
            fitted = AutoencoderTransformer(epochs=1, **settings).fit(X)
            sys.stdout.buffer.write(pickle.dumps(fitted))
        '''
        done = subprocess.run([sys.executable, "-c", train], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
        estimator = pickle.loads(done.stdout)
        import numpy as np
        estimator.transform(np.zeros((1000, 784), np.float32))
        print(peak())
    """)
    row("peak memory of unpickling and encoding", f"{peak:.0f} MB", "", "", "<= 200 MB")
    (growth,) = fresh("""
        import numpy as np
        from skae import AutoencoderTransformer
        linear = AutoencoderTransformer(hidden_layer_sizes=(), epochs=1, random_state=0)
        linear.fit(np.random.default_rng(0).uniform(size=(500, 784)))
        X = np.random.default_rng(0).random((60000, 784), dtype=np.float32)
        before = peak()
        linear.fit(X)
        print(peak() - before)
    """)
    size = 60000 * 784 * 4 / 2**20
    row(
        "peak memory of `fit`, 60,000 x 784",
        f"{growth:.0f} MB",
        f"X: {size:.0f} MB",
        "",
        f"<= {100 + size:.0f} MB",
    )


def grid_search(n_epochs):
    import plain_keras

    X = (load_digits().data / 16).astype(np.float32)
    sizes, seeds, folds = (2, 8, 16, 32), (0, 1, 2), KFold(3)
    search = GridSearchCV(
        AutoencoderTransformer(hidden_layer_sizes=()),
        {"n_components": sizes, "random_state": seeds},
        cv=folds,
    )
    ours, _ = once(lambda: search.fit(X))

    def loop():
        for size in sizes:
            for _ in seeds:
                for train, test in folds.split(X):
                    model = plain_keras.fit(plain_keras.build(64, size), X[train], epochs=n_epochs)
                    error(model.predict(X[test], verbose=0), X[test])

    theirs, _ = once(loop)
    compare("grid search, 36 fits on digits; plain Keras", ours, theirs, ">= 20", inverse=True)


def growth():
    """Time fits of fixed epochs on growing data, without tracing."""
    rng = np.random.default_rng(0)

    def fit(n_rows, n_features, n_components):
        X = rng.uniform(size=(n_rows, n_features)).astype(np.float32)
        estimator = AutoencoderTransformer(n_components, epochs=2, **PLAIN)
        estimator.fit(X[:300])
        return once(lambda: estimator.fit(X))[0]

    for label, cases in {
        "rows": [(n, 64, 16) for n in (1_000, 10_000, 100_000, 1_000_000)],
        "features": [(5_000, n, 16) for n in (16, 128, 1_024, 16_384)],
        "components": [(10_000, 512, n) for n in (2, 32, 128, 512)],
    }.items():
        axis = {"rows": 0, "features": 1, "components": 2}[label]
        shown = ", ".join(f"{case[axis]:,}: {seconds(fit(*case))}" for case in cases)
        row(f"2 epochs against {label}", shown, "", "", "linear")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", metavar="PATH", help="an npz file with Keras' MNIST arrays")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller rows")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    import keras
    import tensorflow as tf

    import skae._keras.training  # noqa: F401 (no figure includes this import)

    print(
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores ({platform.machine()}), "
        f"Python {platform.python_version()}, TensorFlow {tf.__version__}, "
        f"Keras {keras.__version__}, NumPy {np.__version__}\n"
    )
    print("| figure; the other side | skae | other | ratio | goal |\n|---|---|---|---|---|")
    X, _ = load(arguments.mnist)
    whole_fit(arguments.mnist, 5 if arguments.quick else 50, "float32")
    if not arguments.quick:
        whole_fit(arguments.mnist, 50, "float64")
    one_epoch(X)
    if not arguments.quick:  # on 5,000 digits the differences are milliseconds, which is noise
        variants(X)
    small_fits()
    transforms(X)
    processes()
    if not arguments.quick:
        grid_search(50)
        growth()


if __name__ == "__main__":
    main()
