"""Draw the picture of docs/guide/how_it_works.rst: the network, and a fit to digits.

python docs/draw_how_it_works.py
"""

import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer

OUTPUT = pathlib.Path(__file__).parent / "images" / "how_it_works.png"
BLUE, ORANGE, GRAY = "#1f77b4", "#d95f02", "#666666"
WARM_UP = 0.1  # the fraction of the steps in which the rate rises


def box(axis, x, y, width, height, text, color):
    """Draw a box around its center."""
    corner = (x - width / 2, y - height / 2)
    axis.add_patch(plt.Rectangle(corner, width, height, facecolor=color, edgecolor=GRAY))
    axis.text(x, y, text, ha="center", va="center", fontsize=9)


def arrow(axis, start, end):
    style = {"arrowstyle": "-|>", "color": GRAY, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", end, start, arrowprops=style)


def draw_half(axis, left, right):
    """Draw a linear map and a hidden layer between two positions, and the sum of both."""
    middle, total = (left + right) / 2 - 0.15, right - 0.45
    box(axis, middle, 2.4, 1.5, 0.7, "linear map:\nPCA at first", "#dbe9f6")
    box(axis, middle, 0.8, 1.5, 0.7, "hidden layer:\nadds 0 at first", "#fde5d2")
    for height in (2.4, 0.8):
        arrow(axis, (left, 1.6), (middle - 0.75, height))
        arrow(axis, (middle + 0.75, height), (total - 0.13, 1.6 + 0.1 * np.sign(height - 1.6)))
    axis.text(total, 1.6, "+", ha="center", va="center", fontsize=14)
    arrow(axis, (total + 0.13, 1.6), (right, 1.6))


def draw_network(axis):
    for x, height, text in ((0, 2.4, "X"), (3.3, 0.8, "code"), (6.6, 2.4, "X again")):
        box(axis, x, 1.6, 0.6, height, "", "#eeeeee")
        axis.text(x, 1.6, text, ha="center", va="center", rotation=90, fontsize=9)
    draw_half(axis, 0.3, 3.0)
    draw_half(axis, 3.6, 6.3)
    axis.text(1.65, 3.1, "encoder", ha="center", fontsize=10)
    axis.text(4.95, 3.1, "decoder", ha="center", fontsize=10)
    axis.set(xlim=(-0.4, 7.0), ylim=(0, 3.4))
    axis.axis("off")


def fit():
    """Return the epochs of the validations, their losses over PCA's, and the training losses."""
    X_train, X_val = train_test_split(load_digits().data, random_state=0)
    estimator = AutoencoderTransformer(8, random_state=0).fit(X_train, X_val=X_val)
    pca = PCA(8).fit(X_train)
    by_pca = np.square(X_val - pca.inverse_transform(pca.transform(X_val))).mean()
    losses = np.array([by_pca, *estimator.validation_loss_curve_]) / by_pca
    return [0, *estimator.validation_epochs_], losses


def draw_training(rate_axis, loss_axis):
    epochs, losses = fit()
    progress = np.linspace(0, 1, 500)
    falling = 0.5 * (1 + np.cos(np.pi * np.clip((progress - WARM_UP) / (1 - WARM_UP), 0, 1)))
    rate_axis.plot(progress * epochs[-1], np.minimum(progress / WARM_UP, falling), color=BLUE)
    rate_axis.set(yticks=(0, 1), yticklabels=("0", "peak"), ylabel="learning rate")
    rate_axis.tick_params(labelbottom=False)
    loss_axis.axhline(1, color=GRAY, linestyle="--", linewidth=1)
    loss_axis.text(epochs[-1], 1.02, "PCA", ha="right", va="bottom", color=GRAY, fontsize=9)
    loss_axis.plot(epochs, losses, color=ORANGE, marker="o", markersize=3)
    loss_axis.set(xlabel="epoch", ylabel="loss over\nPCA's", ylim=(0, 1.2))
    for axis in (rate_axis, loss_axis):
        axis.spines[["top", "right"]].set_visible(False)


figure = plt.figure(figsize=(10, 3.4), layout="constrained")
grid = figure.add_gridspec(2, 2, width_ratios=(1.5, 1))
draw_network(figure.add_subplot(grid[:, 0]))
draw_training(figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, 1]))
figure.savefig(OUTPUT, dpi=100)
print(f"Picture: {OUTPUT}")
