"""Fit three networks on a GPU and on the CPU, and print a Markdown table of times and differences.

    python benchmarks/gpu.py                       # 4,000 digits of MNIST, 4 minutes on 2 cores
    python benchmarks/gpu.py --mnist mnist.npz     # all of MNIST
    python benchmarks/gpu.py --logical             # on two logical devices of the CPU

The first fit on a device compiles the network, and the second one uses it again. "Again" says
whether the second fit has the same bits. The differences are those of the reconstructions of the
test digits after one epoch from the same start, relative to the largest value. Where TensorFlow
sees no GPU, the second of two logical devices stands for it.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
import warnings

import numpy as np
from data import error, load
from sklearn.exceptions import ConvergenceWarning

from skae import AutoencoderTransformer

NETWORKS = {
    "plain": {"n_components": 32, "hidden_layer_sizes": ()},
    "default": {"n_components": 32},
    "deep": {
        "n_components": 30,
        "hidden_layer_sizes": (1000, 500, 250),
        "activation": "gelu",
        "epochs": 5,
        "batch_size": 256,
        "early_stopping": False,
    },
    "convolutional": {
        "n_components": 32,
        "image_shape": (28, 28),
        "hidden_layer_sizes": (16, 32),
        "epochs": 3,
        "early_stopping": False,
    },
}


def fit(X, parameters):
    """Return a fitted estimator and the seconds that it took."""
    start = time.perf_counter()
    estimator = AutoencoderTransformer(random_state=0, **parameters).fit(X)
    return estimator, time.perf_counter() - start


def measure(X, X_test, parameters):
    """Return the cells of a row that stand for one device alone."""
    (first, cold), (second, warm) = fit(X, parameters), fit(X, parameters)
    same = all(map(np.array_equal, first.weights_, second.weights_))
    reached = error(second.reconstruct(X_test), X_test)
    return f"{cold:.2f} s | {warm:.2f} s | {reached:.5f} | {'same' if same else 'other'}"


def one_epoch(X, X_test, parameters):
    """Return reconstructions of the test digits after one epoch, in float32 and in float64."""
    parameters = {**parameters, "epochs": 1, "early_stopping": False}
    return [
        fit(X.astype(dtype), parameters)[0].reconstruct(X_test.astype(dtype))
        for dtype in ("float32", "float64")
    ]


def compare(X, X_test, tf, devices):
    print("| network | device | first fit | second | test error | again | float32 | float64 |")
    print("|---|---|---|---|---|---|---|---|")
    for name, parameters in NETWORKS.items():
        expected = None
        for device in devices:
            with tf.device(device):
                cells = measure(X, X_test, parameters)
                rows = one_epoch(X[:4000], X_test[:1000], parameters)
            expected = expected or rows
            differences = [
                f"{np.abs(ours - theirs).max() / np.abs(theirs).max():.0e}"
                for ours, theirs in zip(rows, expected, strict=True)
            ]
            print(f"| {name} | {device} | {cells} | {' | '.join(differences)} |", flush=True)


def start(X, logical):
    """Start TensorFlow, and return it with the devices to compare, or None without a GPU."""
    begin = time.perf_counter()
    if logical:
        import tensorflow as tf

        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, halves)
    fit(
        X[:100],
        {"n_components": 1, "epochs": 1, "hidden_layer_sizes": (4,), "init": "glorot_uniform"},
    )
    import tensorflow as tf

    taken = time.perf_counter() - begin
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus and not logical:
        return tf, None
    shown = "two logical devices of the CPU"
    if not logical:
        shown = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "a GPU")
    print(
        f"{time.strftime('%Y-%m-%d')}, {shown}, {os.cpu_count()} cores ({platform.machine()}), "
        f"Python {platform.python_version()}, TensorFlow {tf.__version__}\n\n"
        f"{len(X)} digits. The start of TensorFlow and a small fit took {taken:.1f} s.\n"
    )
    return tf, ("CPU:0", "CPU:1" if logical else "GPU:0")


def main():
    warnings.simplefilter("ignore", ConvergenceWarning)  # one epoch is not meant to be enough
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", metavar="PATH", help="an npz file with Keras' MNIST arrays")
    parser.add_argument("--logical", action="store_true", help="use two logical CPU devices")
    arguments = parser.parse_args()
    X, X_test = load(arguments.mnist)
    tf, devices = start(X, arguments.logical)
    if devices is None:
        print("TensorFlow sees no GPU, so two logical devices of the CPU are compared.\n")
        # In another process, since TensorFlow has started in this one.
        sys.exit(subprocess.run([sys.executable, *sys.argv, "--logical"]).returncode)
    compare(X, X_test, tf, devices)
    if not arguments.logical:
        peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
        print(f"\nAt most {peak / 1e6:.0f} MB of the GPU's memory were in use.")


if __name__ == "__main__":
    main()
