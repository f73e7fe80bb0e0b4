"""
Classify and compare texts
==========================

The documentation of SciPy is a collection of texts that is already installed: more than a thousand
functions and classes, each described in some paragraphs. The frequencies of their words are reduced
to eight numbers. From these a classifier tells the module of a text, and neighbors are related.
"""

# %%
# Examples are cut off, since they import the module, and the names of the modules are no words.
import inspect

import matplotlib.pyplot as plt
import numpy as np
from scipy import fft, interpolate, linalg, ndimage, optimize, signal, special, stats
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer
from skae.displays import LatentSpaceDisplay

modules = {module.__name__.split(".")[1]: module for module in (
    fft, interpolate, linalg, ndimage, optimize, signal, special, stats)}  # fmt: skip
texts, names, labels = [], [], []
for label, module in modules.items():
    for name in module.__all__:
        text = inspect.getdoc(getattr(module, name)) or ""
        if callable(getattr(module, name)) and len(text) > 300:
            texts.append(text.partition("\nExamples\n")[0])
            names.append(f"{label}.{name}")
            labels.append(label)
split = train_test_split(texts, labels, test_size=0.3, stratify=labels, random_state=0)
texts_train, texts_test, labels_train, labels_test = split
print(f"{len(texts_train)} texts to train on, {len(texts_test)} to test on")

# %%
# The TF-IDF vectors are sparse, and the autoencoder takes them as they are. TruncatedSVD is what is
# commonly used to reduce them.
words = TfidfVectorizer(
    stop_words=[*ENGLISH_STOP_WORDS, "scipy", *modules],
    max_features=500,
    sublinear_tf=True,
    dtype=np.float32,
)
reducers = {
    "TruncatedSVD": TruncatedSVD(8, random_state=0),
    "autoencoder": AutoencoderTransformer(8, random_state=0),
    "autoencoder with labels": AutoencoderTransformer(8, label_weight=1.0, random_state=0),
}
pipes, accuracies = {}, {}
for name, reducer in reducers.items():
    pipes[name] = make_pipeline(words, reducer, StandardScaler(), LogisticRegression())
    accuracies[name] = pipes[name].fit(texts_train, labels_train).score(texts_test, labels_test)

# %%
# Draw the texts that were not seen in training, by the autoencoder without labels.
display = LatentSpaceDisplay.from_estimator(
    pipes["autoencoder"], texts_test, labels_test, components=3
)

# %%
# Texts whose codes are near each other are related.
codes = pipes["autoencoder"][:-1].transform(texts)
_, nearest = NearestNeighbors(n_neighbors=5).fit(codes).kneighbors(codes)
for name in ("signal.medfilt", "stats.ttest_ind", "optimize.brentq", "linalg.qr"):
    related = [names[index] for index in nearest[names.index(name)] if names[index] != name]
    print(f"{name}: {', '.join(related[:4])}")

# %%
# In as few numbers, the autoencoder keeps more of what tells the modules apart than TruncatedSVD,
# and most with labels.
for name, accuracy in accuracies.items():
    print(f"{name:24}module of a text: accuracy {accuracy:.3f}")
plt.show()
