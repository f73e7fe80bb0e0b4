"""Train an autoencoder of 32 components with each library that a user could pick.

    pip install "skae[benchmarks]"
    python benchmarks/peers.py --quick                           # 5 epochs of 5,000 digits
    python benchmarks/peers.py --mnist mnist.npz --epochs 50

The results are printed as a Markdown table. Every peer trains Dense(32, relu), Dense(784, sigmoid)
with Adam in batches of 256 for the given number of epochs. The exceptions are skae, whose default
estimator chooses its epochs itself; PCA, which has none; MLPRegressor, whose output is linear; and
encdr, which is linear without hidden layers. The times leave out imports and include compilation.
"""

import argparse
import concurrent.futures
import multiprocessing
import warnings

import numpy as np
from data import load


def skae(X, epochs):
    import skae._keras.training  # noqa: F401 (fit would import it)
    from skae import AutoencoderTransformer

    estimator = AutoencoderTransformer(random_state=0)
    return (lambda: estimator.fit(X)), estimator.reconstruct


def plain_keras(X, epochs):
    import keras
    import plain_keras

    keras.utils.set_random_seed(0)
    model = plain_keras.build(X.shape[1], 32)
    return (
        lambda: plain_keras.fit(model, X, epochs=epochs),
        lambda X: model.predict(X, verbose=0),
    )


def scikeras(X, epochs):
    import plain_keras
    from scikeras.wrappers import KerasRegressor

    model = KerasRegressor(
        lambda: plain_keras.build(X.shape[1], 32),
        epochs=epochs,
        batch_size=256,
        random_state=0,
        verbose=0,
    )
    return (lambda: model.fit(X, X)), model.predict


def skorch(X, epochs):
    import torch
    from skorch import NeuralNetRegressor

    torch.manual_seed(0)
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


def encdr(X, epochs):
    from encdr import ENCDR

    # Otherwise encdr would print its table of layers into ours.
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    model = ENCDR(
        hidden_dims=[],
        latent_dim=32,
        max_epochs=epochs,
        batch_size=256,
        validation_split=0.0,
        standardize=False,
        random_state=0,
        trainer_kwargs={**quiet, "enable_checkpointing": False},
    )
    return (lambda: model.fit(X)), lambda X: model.inverse_transform(model.transform(X))


def mlp_regressor(X, epochs):
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    warnings.simplefilter("ignore", ConvergenceWarning)
    model = MLPRegressor(
        hidden_layer_sizes=(32,),
        batch_size=256,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=0,
    )
    return (lambda: model.fit(X, X)), model.predict


def pca(X, epochs):
    from sklearn.decomposition import PCA

    model = PCA(32, random_state=0)
    return (lambda: model.fit(X)), lambda X: model.inverse_transform(model.transform(X))


PEERS = {
    "skae": skae,
    "plain Keras": plain_keras,
    "scikeras": scikeras,
    "skorch (torch)": skorch,
    "encdr (torch)": encdr,
    "scikit-learn `MLPRegressor`": mlp_regressor,
    "scikit-learn `PCA`": pca,
}


def measure(make, path, epochs):
    """Return the seconds to fit and the test error, or None if the library is not installed."""
    from speed import error, once

    X, X_test = load(path)
    try:
        fit, reconstruct = make(X, epochs)
    except ModuleNotFoundError:
        return None
    seconds, _ = once(fit)
    return seconds, error(np.asarray(reconstruct(X_test)), X_test)


def in_own_process(*arguments):
    """Measure in a new process, since torch crashes once TensorFlow has trained."""
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(measure, *arguments).result()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", metavar="PATH", help="an npz file with Keras' MNIST arrays")
    parser.add_argument("--quick", action="store_true", help="5,000 digits and 5 epochs")
    parser.add_argument("--epochs", type=int, help="default: 50, or 5 with --quick")
    arguments = parser.parse_args()
    path = None if arguments.quick else arguments.mnist
    epochs = arguments.epochs or (5 if arguments.quick else 50)
    print(f"{len(load(path)[0]):,} digits, {epochs} epochs\n")
    print("| library | time to fit | test error | time of skae's |\n|---|---|---|---|", flush=True)
    ours = None
    for name, make in PEERS.items():
        measured = in_own_process(make, path, epochs)
        if measured is None:
            print(f'| {name} | not installed: `pip install "skae[benchmarks]"` | | |', flush=True)
            continue
        seconds, ending = measured
        ours = ours or seconds  # skae comes first
        print(f"| {name} | {seconds:.2f} s | {ending:.5f} | {seconds / ours:.2f} |", flush=True)


if __name__ == "__main__":
    main()
