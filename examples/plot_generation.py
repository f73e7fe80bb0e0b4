"""Generate digits: samples of a variational autoencoder, and a walk through its codes.

A classifier trained on real digits judges the samples: how sure it is of them, and how often each
class comes up.
"""

import numpy as np
from digits import draw, load_scaled, parse_arguments
from sklearn.neural_network import MLPClassifier

from skae import AutoencoderTransformer

arguments = parse_arguments(__doc__, "plot_generation.png")
X_train, X_test, y_train, y_test = load_scaled(arguments)

# %%
# `kl_weight` makes the code variational and provides `sample`. With a weight of 1 the training loss
# is the evidence lower bound. A larger weight presses the codes closer to a normal distribution, so
# samples are nearer to digits, but each digit is reconstructed less well.
autoencoder = AutoencoderTransformer(
    16, hidden_layer_sizes=(512, 256), kl_weight=20.0, epochs=40, random_state=0
).fit(X_train)
samples = autoencoder.sample(2000, random_state=0)

# %%
# A straight line between the codes of two digits passes through codes of digits.
first, last = (autoencoder.transform(X_test[y_test == digit][:1]) for digit in (3, 8))
walk = autoencoder.inverse_transform(first + np.linspace(0, 1, 10)[:, None] * (last - first))

# %%
# Classify the samples.
classifier = MLPClassifier((128,), early_stopping=True, random_state=0).fit(X_train, y_train)
probabilities = classifier.predict_proba(samples)
labels = probabilities.argmax(axis=1)
counts = np.bincount(labels, minlength=10) / len(samples)
print(f"classifier: accuracy {classifier.score(X_test, y_test):.3f} on the real test digits")
print(f"samples: mean confidence {probabilities.max(axis=1).mean():.2f}, shares of the classes:")
for digit, share in enumerate(counts):
    print(f"  {digit} {share:6.1%} {'#' * round(200 * share)}")
of_each = [samples[labels == digit][0] for digit in range(10) if counts[digit] > 0]
real = [X_test[y_test == digit][0] for digit in range(10)]
draw(
    {
        "real digits": real,
        "samples, the first of each class": of_each,
        "the first ten samples": samples,
        "along a line from a 3 to an 8": walk,
    },
    arguments.output,
)
