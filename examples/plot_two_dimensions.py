"""
Draw data in two dimensions, beside PCA and UMAP
================================================

Two components can be drawn. PCA is quick and shows little of data that are curved, and UMAP keeps
neighbors together and leaves the scale behind. An autoencoder is between the two, places new rows
at once, and decodes every point of the plane.
"""

# %%
# UMAP is a package of its own: ``pip install umap-learn``. The page goes on without it.
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from skae import AutoencoderTransformer
from skae.displays import LatentSpaceDisplay, ReconstructionDisplay

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
# Decode a grid over the middle of the plane: each image is what the autoencoder has for its place.
low, high = np.quantile(codes["autoencoder"], (0.05, 0.95), axis=0)
grid = np.meshgrid(np.linspace(low[0], high[0], 12), np.linspace(high[1], low[1], 12))
images = autoencoder.inverse_transform(np.stack(grid, axis=-1).reshape(-1, 2)).reshape(12, 12, -1)
display = ReconstructionDisplay(
    {f"row {number}": row for number, row in enumerate(images)}, image_shape=(8, 8)
).plot()

# %%
# Trustworthiness falls from 1 if neighbors in the picture are no neighbors among the digits. The
# fit of the autoencoder includes the import of TensorFlow, and that of UMAP compilation by Numba.
print(f"{'':12}{'accuracy':>10}{'trustworthiness':>18}{'fit':>10}{'new digits':>13}")
print("\n".join(lines))
plt.show()
