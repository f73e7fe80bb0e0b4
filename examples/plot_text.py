"""
Classify and search texts
=========================

The documentation of SciPy is a collection of texts that is already installed: about 1,100 functions
and classes, each described in some paragraphs. Their TF-IDF vectors are reduced to a few numbers,
from which a classifier tells the module of a text, and a search finds a function for a question.
"""

# %%
# Examples are cut off, since they import the module, and the names of the modules are no words.
import inspect

import matplotlib.pyplot as plt
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
# The vectors are sparse, and stay so. TruncatedSVD is what usually reduces them.
words = TfidfVectorizer(
    stop_words=[*ENGLISH_STOP_WORDS, "scipy", *modules], max_features=1000, sublinear_tf=True
)
reducers = {
    "TruncatedSVD": TruncatedSVD(8, random_state=0),
    "autoencoder": AutoencoderTransformer(8, random_state=0),
    "autoencoder with labels": AutoencoderTransformer(8, label_weight=1.0, random_state=0),
}
accuracies = {}
for name, reducer in reducers.items():
    pipe = make_pipeline(words, reducer, StandardScaler(), LogisticRegression())
    accuracies[name] = pipe.fit(texts_train, labels_train).score(texts_test, labels_test)

# %%
# Draw the texts that were not seen in training, by the autoencoder without labels.
fitted = make_pipeline(words, reducers["autoencoder"])
display = LatentSpaceDisplay.from_estimator(fitted, texts_test, labels_test, components=3)

# %%
# Search: the nearest texts to a question, in the 32 numbers of another autoencoder.
search = make_pipeline(words, AutoencoderTransformer(32, random_state=0)).fit(texts)
neighbors = NearestNeighbors(n_neighbors=4, metric="cosine").fit(search.transform(texts))
for question in (
    "remove noise from an image but keep its edges",
    "do two samples have the same distribution",
    "shortest time until a root of an equation is found",
):
    _, (found,) = neighbors.kneighbors(search.transform([question]))
    print(f"{question}: {', '.join(names[index] for index in found)}")

# %%
# What was found.
for name, accuracy in accuracies.items():
    print(f"8 components of {name}: {accuracy:.3f} of the modules are told right")
plt.show()
