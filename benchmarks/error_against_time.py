"""Plot test error against training time for skae, plain Keras, MLPRegressor and PCA.

    python benchmarks/error_against_time.py --mnist mnist.npz   # about three minutes
    python benchmarks/error_against_time.py                     # on 5,000 digits

All train 32 components on digits scaled to [0, 1]. The times leave out imports and the computation
of test errors. Each point of skae is a fit of its own, since its learning rate depends on the
number of epochs.
"""

import argparse
import pathlib
import time
import warnings

import keras
import matplotlib.pyplot as plt
import plain_keras
from data import load
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from speed import error, once

import skae._keras.training  # noqa: F401 (no figure includes this import)
from skae import AutoencoderTransformer

EPOCHS = (1, 2, 3, 5, 10, 20)
CAPTION = """\
32 components, {:,} digits, no hidden layers, imports left out. Each point of skae is a fit of its
own. The first includes compilation, as does plain Keras; those of 1 to 20 epochs do not."""


def skae_point(X, X_test, **parameters):
    unfitted = AutoencoderTransformer(hidden_layer_sizes=(), random_state=0, **parameters)
    seconds, estimator = once(lambda: unfitted.fit(X))
    return seconds, error(estimator.reconstruct(X_test), X_test)


def keras_curve(X, X_test, epochs):
    curve = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            now = time.perf_counter()
            predicted = self.model.predict(X_test, verbose=0)
            curve.append((now - self.start, error(predicted, X_test)))
            self.start += time.perf_counter() - now

    keras.utils.set_random_seed(0)
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
    seconds, pca = once(lambda: PCA(32, random_state=0).fit(X))
    return [(seconds, error(pca.inverse_transform(pca.transform(X_test)), X_test))]


def draw(curves, caption, output):
    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for (name, curve), color in zip(curves.items(), ("C0", "C0", "C1", "C2", "C3"), strict=True):
        seconds, errors = zip(*curve, strict=True)
        print(f"{name}: error {errors[-1]:.5f} after {seconds[-1]:.2f} s")
        marker = {1: "D", len(EPOCHS): "o"}.get(len(curve))
        axis.plot(seconds, errors, color=color, linewidth=1, marker=marker, markersize=4)
        place = {"xytext": (6, 0), "verticalalignment": "center"}
        if name == "skae, first fit":  # the other line of skae is beside it
            place = {"xytext": (0, -8), "verticalalignment": "top", "horizontalalignment": "center"}
        axis.annotate(name, curve[-1], textcoords="offset points", color=color, **place)
    points = [point for curve in curves.values() for point in curve]
    axis.set(xscale="log", yscale="log", xlabel="seconds of training", ylabel="test error")
    axis.set_xlim(right=4 * max(seconds for seconds, _ in points))
    axis.set_ylim(bottom=0.8 * min(ending for _, ending in points))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_yticks([0.01, 0.02, 0.05, 0.1], ["0.01", "0.02", "0.05", "0.1"])
    axis.minorticks_off()
    axis.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(caption, x=0.01, horizontalalignment="left", fontsize=8, color="0.4")
    figure.savefig(output, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", metavar="PATH", help="an npz file with Keras' MNIST arrays")
    parser.add_argument("--epochs", type=int, default=50, help="of plain Keras and MLPRegressor")
    parser.add_argument("--output", default=pathlib.Path(__file__).with_suffix(".png"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    X, X_test = load(arguments.mnist)
    first = skae_point(X, X_test)
    skae_point(X, X_test, epochs=1, batch_size=128)  # compiles for this batch size
    curves = {
        "skae, first fit": [first],
        "skae, 1 to 20 epochs": [skae_point(X, X_test, epochs=n, batch_size=128) for n in EPOCHS],
        "plain Keras": keras_curve(X, X_test, arguments.epochs),
        "MLPRegressor": mlp_curve(X, X_test, arguments.epochs),
        "PCA": pca_curve(X, X_test),
    }
    draw(curves, CAPTION.format(len(X)), arguments.output)


if __name__ == "__main__":
    main()
