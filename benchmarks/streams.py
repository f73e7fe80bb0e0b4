"""Compare training in parts with training on all rows at once, and print a Markdown table.

    python benchmarks/streams.py --mnist mnist.npz   # about two minutes

Each row is seen once. IncrementalPCA gets the same parts. Then the digits of a second half are
moved aside, part by part, and the table shows what is still known of digits in their old place.
"""

import argparse
import time

import numpy as np
from data import error, load
from sklearn.decomposition import IncrementalPCA

from skae import AutoencoderTransformer

SIZE = 1000


def timed(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def in_parts(estimator, X):
    for begin in range(0, len(X), SIZE):
        estimator.partial_fit(X[begin : begin + SIZE])
    return estimator


def one_pass(X, X_test):
    sides = {
        "`fit`, `epochs=1`": lambda: AutoencoderTransformer(epochs=1, random_state=0).fit(X),
        "`partial_fit`": lambda: in_parts(AutoencoderTransformer(random_state=0), X),
        "`IncrementalPCA`": lambda: in_parts(IncrementalPCA(32), X),
    }
    print(f"| one pass over {len(X):,} rows, 32 components | test error | seconds |\n|---|---|---|")
    for name, side in sides.items():
        seconds, fitted = timed(side)
        decoded = fitted.inverse_transform(fitted.transform(X_test))
        print(f"| {name} | {error(decoded, X_test):.5f} | {seconds:.1f} |", flush=True)


def forgetting(X, X_test):
    """Train on digits, and then on digits that move aside by up to three pixels."""
    first, second = np.array_split(X, 2)
    shifts = np.linspace(0, 3, len(second)).astype(int)
    images = second.reshape(len(second), 28, 28)
    drifted = np.stack([np.roll(image, n, axis=1) for image, n in zip(images, shifts, strict=True)])
    drifted = drifted.reshape(len(second), -1)
    parts = in_parts(in_parts(AutoencoderTransformer(random_state=0), first), drifted)
    warm = AutoencoderTransformer(random_state=0, warm_start=True).fit(first)
    for begin in range(0, len(drifted), SIZE):
        warm.fit(drifted[begin : begin + SIZE])
    print("\n| after a half that has drifted | R2 of digits as in the first half |\n|---|---|")
    print(f"| `partial_fit` | {parts.score(X_test):.3f} |")
    print(f"| `warm_start` over the same parts | {warm.score(X_test):.3f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", metavar="PATH", help="an npz file with Keras' MNIST arrays")
    X, X_test = load(parser.parse_args().mnist)[:2]
    order = np.random.default_rng(0).permutation(len(X))
    AutoencoderTransformer(2).fit(X[:1000])  # TensorFlow starts
    one_pass(X[order], X_test)
    forgetting(X[order], X_test)


if __name__ == "__main__":
    main()
