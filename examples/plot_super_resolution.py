"""Restore resolution: any degradation can be the noise, here a camera of half the resolution.

`noise` takes a function of a batch of rows. This one averages 2 x 2 pixels and enlarges the small
image again, so the shape stays the same. `reconstruct` then turns blocky digits into sharp ones.
"""

import numpy as np
from digits import draw, error, load_scaled, parse_arguments
from scipy.ndimage import zoom

from skae import AutoencoderTransformer

arguments = parse_arguments(__doc__, "plot_super_resolution.png")
X_train, X_test, _, _ = load_scaled(arguments)


def shrink(X):
    """Return the means of 2 x 2 pixels, as rows of 196 numbers."""
    return X.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196)


def halve_resolution(batch, rng):
    """Replace every pixel by the mean of its block."""
    return shrink(batch).reshape(-1, 14, 14).repeat(2, axis=1).repeat(2, axis=2).reshape(-1, 784)


def enlarge(X):
    """Interpolate bicubically between the centers of the blocks, the usual way to enlarge."""
    images = zoom(X.reshape(-1, 14, 14), (1, 2, 2), order=3, mode="nearest", grid_mode=True)
    return np.clip(images, 0, 1).reshape(-1, 784)


# %%
# The code is wide, since nothing has to be compressed here.
autoencoder = AutoencoderTransformer(
    196, hidden_layer_sizes=(512,), noise=halve_resolution, epochs=60, random_state=0
).fit(X_train)
blocks = halve_resolution(X_test, None)
restored = {
    "autoencoder": autoencoder.reconstruct(blocks),
    "bicubic interpolation": enlarge(shrink(X_test)),
}

# %%
# Compare the errors. Both methods see the same 14 x 14 pixels.
errors = {name: error(X, X_test) for name, X in restored.items()}
print(f"error per pixel of the blocks: {error(blocks, X_test):.4f}")
for name, value in errors.items():
    print(f"after {name}: {value:.4f}")
ratio = errors["autoencoder"] / errors["bicubic interpolation"]
print(f"The autoencoder leaves {ratio:.2f} times the error of bicubic interpolation.")
rows = {"original": X_test, "half the resolution": blocks}
rows |= {f"{name}, error {errors[name]:.4f}": X for name, X in restored.items()}
draw(rows, arguments.output)
