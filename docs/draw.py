"""Draw the pictures of the manual into docs/images: `python docs/draw.py`, in two minutes.

With names of pages, such as `python docs/draw.py start guide/labels`, only theirs are drawn. The
code of a page is run first, so its pictures show what this code has fitted.
"""

import contextlib
import doctest
import io
import pathlib
import sys
import tempfile

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.decomposition import PCA

from skae.displays import (
    ComponentsDisplay,
    ExplainedVarianceDisplay,
    LatentSpaceDisplay,
    ReconstructionDisplay,
)

DOCS = pathlib.Path(__file__).resolve().parent


def names_of(page):
    """Run the examples of a page, and return the names that they define."""
    names = {}
    examples = doctest.DocTestParser().get_examples((DOCS / f"{page}.rst").read_text())
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        exec("".join(example.source for example in examples), names)
    return names


def save(figure, name):
    """Write a picture of 64 colors, which takes a third of the bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=90)
    plt.close(figure)
    picture = Image.open(buffer).convert("RGB").quantize(64)
    picture.save(DOCS / "images" / f"{name}.png", optimize=True)


def digits(rows, name, n_columns=10):
    """Draw a labeled row of digits for each item of a dict."""
    shown = {label: images[:n_columns] for label, images in rows.items()}
    save(ReconstructionDisplay(shown, image_shape=(8, 8)).plot().figure_, name)


def start(page):
    def decoded(pipe):
        return pipe[:-1].inverse_transform(pipe[:-1].transform(page["X_test"]))

    rows = {"original": page["X_test"]}
    rows |= {"PCA": decoded(page["by_pca"]), "autoencoder": decoded(page["by_network"])}
    digits(rows, "start")


def variants(page):
    test = page["test"]
    labels = {"textbook": "the textbook's", "linear": "no hidden layers"}
    rows = {"original": test}
    for name in ("textbook", "linear", "default", "deep"):
        rows[labels.get(name, name)] = page[name].reconstruct(test)
    digits(rows, "faithful")
    restored = page["denoising"].reconstruct(page["noisy"])
    digits({"original": test, "given": page["noisy"], "restored": restored}, "noise")
    _histograms({"default": page["default"], "sparsity=1e-3": page["sparse"]}, test)
    samples = page["variational"].sample(30, random_state=0).reshape(3, 10, -1)
    digits({"samples": samples[0], "": samples[1], " ": samples[2]}, "samples")
    used = (page["own"].transform(test) != 0).mean(axis=0).argsort()[::-1]
    strokes = page["own"].to_keras()[1].layers[-1].kernel.numpy()[used]
    digits({"units of the code": strokes[:10], "": strokes[10:20]}, "k_sparse")


def _histograms(estimators, rows):
    """Draw the values of codes in units of their root mean square."""
    figure, axes = plt.subplots(1, 2, figsize=(7, 2.4), layout="constrained")
    for axis, (name, estimator) in zip(axes, estimators.items(), strict=True):
        codes = estimator.transform(rows)
        codes = codes / np.sqrt(np.square(codes).mean())
        axis.hist(codes.ravel(), bins=np.linspace(-4, 4, 65))
        axis.set(title=f"{name}: {(codes == 0).mean():.0%} are zero", yticks=[])
        axis.spines[["top", "left", "right"]].set_visible(False)
    figure.supxlabel("entries of the codes, in units of their root mean square", fontsize="medium")
    save(figure, "sparse")


def components(page):
    display = ExplainedVarianceDisplay.from_estimator(page["autoencoder"], page["test"])
    save(display.figure_, "components")


def labels(page):
    X, y = page["X"], page["y"]
    codes = {
        "PCA": PCA(2).fit(X[:1000]).transform(X[1000:]),
        "without labels": page["plain"].transform(X[1000:]),
        "with labels": page["labelled"].transform(X[1000:]),
    }
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
    for axis, (title, values) in zip(axes, codes.items(), strict=True):
        display = LatentSpaceDisplay(values, y=y[1000:], title=title).plot(ax=axis)
        if axis is not axes[-1]:
            display.legend_.remove()
    save(figure, "labels")


def outliers(page):
    detector, wines = page["detector"], page["wines"]
    distances, limit = -detector.score_samples(wines), -detector.offset_
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
    left.scatter(range(len(wines)), distances, s=12, c=np.where(distances > limit, "C1", "C0"))
    left.axhline(limit, color="gray", linestyle="--", label="limit, from offset_")
    for row in distances.argsort()[-5:]:
        left.annotate(row, (row, distances[row]), xytext=(4, -3), textcoords="offset points")
    left.set(xlabel="row of the table", ylabel="squared distance")
    left.legend(frameon=False)
    blame = page["blame"].sort_values()
    right.barh(blame.index, blame)
    right.set(xlabel="part of the squared distance", title=f"row {blame.name}")
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    save(figure, "outliers")


def images(page):
    rows = page["X"][1000:]
    compared = {"dense": page["dense"], "convolutional": page["convolutional"]}
    drawn = {name: estimator.reconstruct(rows) for name, estimator in compared.items()}
    digits({"original": rows} | drawn, "convolution")
    display = ComponentsDisplay.from_estimator(
        page["dense"], rows, components=5, image_shape=(8, 8)
    )
    save(display.figure_, "displays")


PAGES = {
    "start": start,
    "guide/variants": variants,
    "guide/components": components,
    "guide/labels": labels,
    "guide/outliers": outliers,
    "guide/images": images,
}

if __name__ == "__main__":
    for page in sys.argv[1:] or PAGES:
        PAGES[page](names_of(page))
        print(f"Drawn: {page}")
