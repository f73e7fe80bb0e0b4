"""Clean noisy digits with a denoising autoencoder, PCA and a linear regression.

Nearly a third of the pixels of every digit are missing. The autoencoder masks other pixels of its
training digits in every epoch, so it needs no pairs of noisy and clean digits. The regression is
given one such pair for each digit.
"""

import numpy as np
from digits import draw, error, load_scaled, parse_arguments
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from skae import AutoencoderTransformer

arguments = parse_arguments(__doc__, "plot_denoising.png")
X_train, X_test, _, _ = load_scaled(arguments)
rng = np.random.default_rng(0)
noisy_train, noisy_test = (
    np.where(rng.random(X.shape) < 0.3, 0, X).astype(np.float32) for X in (X_train, X_test)
)

# %%
# Fit the same 32 components, with one hidden layer each in the encoder and the decoder. Small data
# sets need more epochs than "auto" gives.
autoencoder = AutoencoderTransformer(
    32, hidden_layer_sizes=(256,), noise=0.3, epochs=60, random_state=0
).fit(X_train)
pca = PCA(32, random_state=0).fit(X_train)
ridge = Ridge(alpha=100.0).fit(noisy_train, X_train)
cleaned = {
    "autoencoder": autoencoder.reconstruct(noisy_test),
    "ridge regression": ridge.predict(noisy_test),
    "PCA": pca.inverse_transform(pca.transform(noisy_test)),
}

# %%
# Compare the errors that remain.
print(f"error per pixel of the noisy digits: {error(noisy_test, X_test):.4f}")
errors = {name: error(X, X_test) for name, X in cleaned.items()}
for name, value in errors.items():
    print(f"after {name}: {value:.4f}")
print(
    f"The autoencoder leaves {errors['autoencoder'] / errors['PCA']:.2f} times the error of PCA, "
    f"{errors['autoencoder'] / errors['ridge regression']:.2f} times that of the regression."
)
rows = {"original": X_test, "30 % of the pixels masked": noisy_test}
rows |= {f"{name}, error {errors[name]:.4f}": X for name, X in cleaned.items()}
draw(rows, arguments.output)
