"""Test error against training time, as a picture: skae, plain Keras, MLPRegressor and PCA.

    python benchmarks/error_against_time.py --mnist mnist.npz   # about three minutes
    python benchmarks/error_against_time.py                     # on 5,000 digits

All train 32 components on digits scaled to [0, 1]. Imports are left out, compilation is counted;
so is nothing that only measures: the test error of each epoch is computed while the clock stands.
skae is the default estimator, and the same with other numbers of epochs, each a run of its own.
"""

import argparse
import time
import warnings

import keras
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import plain_keras
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from speed import error, load, once

import skae._keras.training  # noqa: F401 (the import is not part of any figure)
from skae import AutoencoderTransformer


def skae_curve(X, X_test):
    curve = []
    for epochs in ("auto", 1, 5, 10, 20):
        estimator = AutoencoderTransformer(epochs=epochs, random_state=0)
        seconds, _ = once(lambda estimator=estimator: estimator.fit(X))
        curve.append((seconds, error(estimator.reconstruct(X_test), X_test)))
    return sorted(curve)


def keras_curve(X, X_test, epochs):
    curve = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            now = time.perf_counter()
            predicted = self.model.predict(X_test, verbose=0)
            curve.append((now - self.start, error(predicted, X_test)))
            self.start += time.perf_counter() - now

    clock = Clock()
    clock.start = time.perf_counter()
    model = plain_keras.build(X.shape[1], 32)
    model.fit(X, X, epochs=epochs, batch_size=256, callbacks=[clock], verbose=0)
    return curve


def mlp_curve(X, X_test, epochs):
    regressor = MLPRegressor(
        hidden_layer_sizes=(32,), batch_size=256, max_iter=1, warm_start=True, random_state=0
    )
    curve, total = [], 0.0
    for _ in range(epochs):
        total += once(lambda: regressor.fit(X, X))[0]
        curve.append((total, error(regressor.predict(X_test), X_test)))
    return curve


def pca_curve(X, X_test):
    pca = PCA(32, random_state=0)
    seconds, _ = once(lambda: pca.fit(X))
    return [(seconds, error(pca.inverse_transform(pca.transform(X_test)), X_test))]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", metavar="PATH", help="an npz file with Keras' MNIST arrays")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--output", default="error_against_time.png")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    X, X_test = load(arguments.mnist)
    curves = {
        "skae": skae_curve(X, X_test),
        "plain Keras": keras_curve(X, X_test, arguments.epochs),
        "MLPRegressor": mlp_curve(X, X_test, arguments.epochs),
        "PCA": pca_curve(X, X_test),
    }
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, curve in curves.items():
        seconds, errors = zip(*curve, strict=True)
        print(f"{name}: error {errors[-1]:.5f} after {seconds[-1]:.1f} s")
        style = {"marker": "o", "linestyle": ""} if len(curve) < 6 else {}  # runs of their own
        (line,) = axis.plot(seconds, errors, linewidth=1.3, **style)
        axis.annotate(
            name,
            (seconds[-1], errors[-1]),
            xytext=(6, 0),
            textcoords="offset points",
            color=line.get_color(),
            verticalalignment="center",
        )
    axis.set(
        xscale="log", yscale="log", xlabel="seconds of training", ylabel="test error per pixel"
    )
    axis.set_xlim(right=3 * max(curve[-1][0] for curve in curves.values()))
    ticks = [0.01, 0.02, 0.05]
    axis.set_yticks(ticks, [str(tick) for tick in ticks])
    axis.minorticks_off()
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(arguments.output, dpi=110)


if __name__ == "__main__":
    main()
