"""
Draw data in two dimensions, beside PCA and UMAP
================================================

Digits are drawn in a plane by PCA, by an autoencoder, and by UMAP, which is made for such pictures.
They are compared by how well the picture tells the classes apart, by how many neighbors in it are
neighbors among the digits, and by their times. The autoencoder also decodes places of the plane.
"""

# %%
# UMAP is a package of its own: ``pip install umap-learn``. Without it the others are compared.
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from skae import AutoencoderTransformer
from skae.displays import LatentSpaceDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, stratify=y, random_state=0)
autoencoder = AutoencoderTransformer(2, random_state=0)
transformers = {"PCA": PCA(2, random_state=0), "autoencoder": autoencoder}
try:
    from umap import UMAP

    transformers["UMAP"] = UMAP(random_state=0, n_jobs=1)
except ImportError:
    print("To see UMAP as well: pip install umap-learn")

# %%
# None of them sees a label. The pictures show digits that none of them has seen.
codes, lines = {}, []
for name, transformer in transformers.items():
    start = time.perf_counter()
    train_codes = transformer.fit_transform(X_train)
    fitted = time.perf_counter()
    codes[name] = transformer.transform(X_test)
    placed = time.perf_counter() - fitted
    accuracy = KNeighborsClassifier().fit(train_codes, y_train).score(codes[name], y_test)
    trust = trustworthiness(X_test, codes[name], n_neighbors=5)
    lines.append(
        f"{name:12}{accuracy:10.3f}{trust:18.3f}{fitted - start:8.1f} s{1000 * placed:10.1f} ms"
    )
figure, axes = plt.subplots(1, len(codes), figsize=(4 * len(codes), 4.2), layout="constrained")
for ax, (name, values) in zip(axes, codes.items(), strict=True):
    display = LatentSpaceDisplay(values, y=y_test, title=name).plot(ax=ax)
    if ax is not axes[-1]:
        display.legend_.remove()

# %%
# Decode the centers of 12 x 12 cells in the middle of the plane of the autoencoder.
low, high = np.quantile(codes["autoencoder"], (0.05, 0.95), axis=0)
across, up = np.linspace(low, high, 25)[1::2].T
places = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
cells = autoencoder.inverse_transform(places).reshape(12, 12, 8, 8)
figure, ax = plt.subplots(figsize=(6.4, 6.4), layout="constrained")
# Rows of pixels run downwards, and the second component upwards.
framed = np.pad(cells[:, :, ::-1], ((0, 0), (0, 0), (1, 1), (1, 1)))
mosaic = framed.swapaxes(1, 2).reshape(120, 120)
extent = (low[0], high[0], low[1], high[1])
ax.imshow(mosaic, "gray_r", vmin=0, vmax=1, extent=extent, aspect="auto", origin="lower")
ax.set(xlabel="component 0", ylabel="component 1")
title = ax.set_title("What the autoencoder decodes, place by place", loc="left")

# %%
# UMAP tells the classes apart best. The autoencoder is between PCA and UMAP, and it places new
# digits quickly. Trustworthiness falls from 1 where neighbors in the picture are no neighbors among
# the digits. The times are those of first calls, which compile: with TensorFlow, or with Numba.
print(f"{'':12}{'accuracy':>10}{'trustworthiness':>18}{'fit':>10}{'new digits':>13}")
print("\n".join(lines))
plt.show()
