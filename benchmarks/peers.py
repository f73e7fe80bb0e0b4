"""An autoencoder of 32 components by each library that a user could pick, as a Markdown table.

    pip install "skae[benchmarks]"
    python benchmarks/peers.py --epochs 5                      # on 5,000 digits
    python benchmarks/peers.py --epochs 50 --mnist mnist.npz

Every peer trains Dense(32, relu), Dense(784, sigmoid) by Adam in batches of 256 for that many
epochs; skae is the default estimator. What is not installed is named as such. Imports are left out.
"""

import argparse
import warnings

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from speed import error, load, once

from skae import AutoencoderTransformer


def with_skae(X, epochs):
    import skae._keras.training  # noqa: F401

    estimator = AutoencoderTransformer(random_state=0)
    return (lambda: estimator.fit(X)), estimator.reconstruct


def with_keras(X, epochs):
    import plain_keras

    model = plain_keras.build(X.shape[1], 32)
    return (
        lambda: plain_keras.fit(model, X, epochs=epochs),
        lambda X: model.predict(X, verbose=0),
    )


def with_scikeras(X, epochs):
    import plain_keras
    from scikeras.wrappers import KerasRegressor

    model = KerasRegressor(
        lambda: plain_keras.build(X.shape[1], 32), epochs=epochs, batch_size=256, verbose=0
    )
    return (lambda: model.fit(X, X)), model.predict


def with_skorch(X, epochs):
    import torch
    from skorch import NeuralNetRegressor

    module = torch.nn.Sequential(
        torch.nn.Linear(X.shape[1], 32),
        torch.nn.ReLU(),
        torch.nn.Linear(32, X.shape[1]),
        torch.nn.Sigmoid(),
    )
    net = NeuralNetRegressor(
        module,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        max_epochs=epochs,
        batch_size=256,
        train_split=None,
        iterator_train__shuffle=True,
        verbose=0,
    )
    return (lambda: net.fit(X, X)), net.predict


def with_encdr(X, epochs):
    from encdr import ENCDR

    model = ENCDR(
        hidden_dims=[],
        latent_dim=32,
        max_epochs=epochs,
        batch_size=256,
        validation_split=0.0,
        standardize=False,
        random_state=0,
        trainer_kwargs={"enable_progress_bar": False, "logger": False},
    )
    return (lambda: model.fit(X)), lambda X: model.inverse_transform(model.transform(X))


def with_mlp(X, epochs):
    model = MLPRegressor(
        hidden_layer_sizes=(32,), batch_size=256, max_iter=epochs, n_iter_no_change=epochs
    )
    return (lambda: model.fit(X, X)), model.predict


def with_pca(X, epochs):
    model = PCA(32, random_state=0)
    return (lambda: model.fit(X)), lambda X: model.inverse_transform(model.transform(X))


PEERS = {
    "skae": with_skae,
    "plain Keras": with_keras,
    "scikeras": with_scikeras,
    "skorch": with_skorch,
    "encdr": with_encdr,
    "scikit-learn MLPRegressor": with_mlp,
    "scikit-learn PCA": with_pca,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", metavar="PATH", help="an npz file with Keras' MNIST arrays")
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    X, X_test = load(arguments.mnist)
    print(f"{len(X):,} digits, {arguments.epochs} epochs\n")
    print("| library | time to fit | of skae's | test error |\n|---|---|---|---|")
    ours = None
    for name, make in PEERS.items():
        try:
            fit, reconstruct = make(X, arguments.epochs)
        except ImportError as missing:
            print(f"| {name} | not installed: {missing.name} | | |", flush=True)
            continue
        seconds, _ = once(fit)
        ours = ours or seconds
        ending = error(np.asarray(reconstruct(X_test)), X_test)
        print(f"| {name} | {seconds:.2f} s | {seconds / ours:.2f} | {ending:.5f} |", flush=True)


if __name__ == "__main__":
    main()
