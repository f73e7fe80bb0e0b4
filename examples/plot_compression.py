"""Compress digits to a few bytes: error against size for 2 to 64 components of 8 bits each.

Each component of a code is rounded to 256 steps between its extremes on the training digits, so it
takes one byte. A digit itself takes 784.
"""

import numpy as np
from digits import error, load_scaled, parse_arguments, plt
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer

arguments = parse_arguments(__doc__, "plot_compression.png")
X_train, X_test, _, _ = load_scaled(arguments)


def from_bytes(estimator):
    """Return the test digits decoded from codes of one byte per component."""
    codes = estimator.transform(X_train)
    low, high = codes.min(axis=0), codes.max(axis=0)
    step = np.where(high > low, high - low, 1) / 255
    quantised = np.clip(np.round((estimator.transform(X_test) - low) / step), 0, 255)
    return estimator.inverse_transform((quantised.astype(np.uint8) * step + low).astype(np.float32))


# %%
# Fit each method with the same sizes. Giving the output activation spares the deep network a trial
# of two, and without early stopping it is trained once instead of twice.
sizes = (2, 4, 8, 16, 32, 64)
methods = {
    "PCA": lambda k: PCA(k, random_state=0),
    "autoencoder": lambda k: AutoencoderTransformer(k, hidden_layer_sizes=(), random_state=0),
    "deep autoencoder": lambda k: AutoencoderTransformer(
        k,
        hidden_layer_sizes=(128,),
        output_activation="sigmoid",
        early_stopping=False,
        random_state=0,
    ),
}
curves = {}
print(f"{'bytes':18}" + "".join(f"{size:9}" for size in sizes))
for name, make in methods.items():
    curves[name] = [error(from_bytes(make(k).fit(X_train)), X_test) for k in sizes]
    print(f"{name:18}" + "".join(f"{value:9.4f}" for value in curves[name]))

# %%
# Find how many bytes PCA needs to match a code of 16 bytes.
pca_bytes = np.interp(-curves["deep autoencoder"][3], -np.array(curves["PCA"]), sizes)
print(f"16 bytes of the deep autoencoder are worth {pca_bytes:.0f} bytes of PCA.")
figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
for height, (name, values) in zip((0, 5, -5), curves.items(), strict=True):
    (line,) = axis.plot(sizes, values, marker="o", markersize=4, linewidth=1.2)
    axis.annotate(
        name,
        (sizes[-1], values[-1]),
        xytext=(8, height),
        textcoords="offset points",
        color=line.get_color(),
        fontsize=9,
        verticalalignment="center",
    )
axis.set(xscale="log", yscale="log", xlabel="bytes per digit", ylabel="error per pixel")
axis.set_xlim(right=4 * sizes[-1])
axis.set_xticks(sizes, sizes)
axis.set_yticks([0.01, 0.02, 0.05], ["0.01", "0.02", "0.05"])
axis.minorticks_off()
axis.spines[["top", "right"]].set_visible(False)
figure.savefig(arguments.output, dpi=120)
print(f"Picture: {arguments.output}")
