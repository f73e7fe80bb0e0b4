"""Measure what each kind of network reaches on all of MNIST, and print a Markdown table.

    python benchmarks/mnist.py --mnist mnist.npz   # about 10 minutes on 2 cores

Errors are mean squared errors on the 10,000 test digits, scaled to [0, 1]. They are per pixel, or
per digit (784 pixels) where Hinton & Salakhutdinov ("Reducing the dimensionality of data with
neural networks", Science, 2006) report theirs per digit: 13.87 for PCA with 30 components and 3.00
for their network.
"""

import argparse
import time

import numpy as np
from data import error, load
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPClassifier

from skae import AutoencoderTransformer


def fit(X, n_components, **parameters):
    """Return a fitted estimator, with its parameters and time for the table."""
    start = time.perf_counter()
    estimator = AutoencoderTransformer(n_components, random_state=0, **parameters).fit(X)
    taken = f"{time.perf_counter() - start:.0f} s"
    given = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
    return estimator, f"`({n_components}{', ' * bool(given)}{given})`", taken


def row(*cells):
    print(f"| {' | '.join(cells)} |", flush=True)


def reconstruction(X, X_test):
    plain, call, taken = fit(X, 32)
    reached = error(plain.reconstruct(X_test), X_test)
    row("plain", call, taken, f"error {reached:.5f}", "<= 0.0093")
    parameters = {
        "hidden_layer_sizes": (1000, 500, 250),
        "activation": "gelu",
        "optimizer": {"class_name": "AdamW", "config": {"weight_decay": 0.1}},
        "epochs": 15,
        "batch_size": 256,
    }
    deep, call, taken = fit(X, 30, **parameters)
    reached = 784 * error(deep.reconstruct(X_test), X_test)
    row("deep, as Hinton's", call, taken, f"error per digit {reached:.2f}", "<= 2.9")
    parameters = {"image_shape": (28, 28), "hidden_layer_sizes": (16, 32), "epochs": 3}
    convolutional, call, taken = fit(X, 32, **parameters)
    reached = error(convolutional.reconstruct(X_test), X_test)
    row("convolutional", call, taken, f"error {reached:.5f}", "<= 0.0045")


def denoising(X, X_test):
    """Reconstruct digits from copies with 30% of the pixels masked."""
    rng = np.random.default_rng(0)
    masked, masked_test = (
        np.where(rng.random(part.shape) < 0.3, 0, part).astype(part.dtype) for part in (X, X_test)
    )
    pca = PCA(32).fit(X)
    by_pca = error(pca.inverse_transform(pca.transform(masked_test)), X_test)
    by_ridge = error(Ridge().fit(masked, X).predict(masked_test), X_test)
    parameters = {"noise": 0.3, "hidden_layer_sizes": (512,), "epochs": 10}
    estimator, call, taken = fit(X, 32, **parameters)
    reached = error(estimator.reconstruct(masked_test), X_test)
    ratios = f"{reached / by_pca:.2f} of PCA's, {reached / by_ridge:.2f} of a ridge regression's"
    row("denoising", call, taken, f"error {reached:.5f}: {ratios}", "<= 0.5, 0.7")


def generation(X, X_test, y, y_test):
    classifier = MLPClassifier((128,), max_iter=12, random_state=0).fit(X, y)
    parameters = {"kl_weight": 18.0, "hidden_layer_sizes": (512, 256), "epochs": 20}
    estimator, call, taken = fit(X, 16, **parameters)
    probabilities = classifier.predict_proba(estimator.sample(5000, random_state=0))
    rarest = np.bincount(probabilities.argmax(axis=1), minlength=10).min() / 5000
    reached = (
        f"confidence {probabilities.max(axis=1).mean():.3f}, rarest class {rarest:.1%}, by a "
        f"classifier of {classifier.score(X_test, y_test):.1%}"
    )
    row("variational, sampled", call, taken, reached, "> 0.85, >= 4 %")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", metavar="PATH", required=True, help="Keras' npz file")
    arguments = parser.parse_args()
    X, X_test = load(arguments.mnist)
    with np.load(arguments.mnist) as arrays:
        y, y_test = arrays["y_train"], arrays["y_test"]
    print("| network | `AutoencoderTransformer...` | fit | test | goal |\n|---|---|---|---|---|")
    reconstruction(X, X_test)
    denoising(X, X_test)
    generation(X, X_test, y, y_test)


if __name__ == "__main__":
    main()
