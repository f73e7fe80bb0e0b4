"""
Draw what a fitted autoencoder does
===================================

`skae.displays` has six pictures of a fitted estimator: its losses, what its components explain,
rows and what comes back of them, the error of each feature, what each component does, and the
codes. Each says in its title what was found.
"""

# %%
# A display computes what it shows in `from_estimator`, and draws it into a figure of its own, or
# into `ax`. It takes a fitted :class:`~skae.AutoencoderTransformer`, or a Pipeline with one in it.
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer
from skae.displays import (
    ComponentsDisplay,
    ExplainedVarianceDisplay,
    FeatureErrorDisplay,
    LatentSpaceDisplay,
    LossCurveDisplay,
    ReconstructionDisplay,
)

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, stratify=y, random_state=0)
autoencoder = AutoencoderTransformer(8, random_state=0).fit(X_train)

# %%
# **Losses.** PCA's loss on the rows held out is the dashed line: training starts there.
losses = LossCurveDisplay.from_estimator(autoencoder)

# %%
# **Explained variance.** The components of a linear code are ordered like those of PCA. With the
# training rows, the display computes PCA to compare with.
variance = ExplainedVarianceDisplay.from_estimator(autoencoder, X_train)

# %%
# **Reconstructions.** Rows that training has not seen say more than those that it has. With the
# shape of an image, rows are drawn as images, and else as lines.
reconstructions = ReconstructionDisplay.from_estimator(autoencoder, X_test, image_shape=(8, 8))

# %%
# **Errors of the features**, here of the pixels, each as a fraction of the variance of the pixel.
errors = FeatureErrorDisplay.from_estimator(autoencoder, X_test, image_shape=(8, 8))

# %%
# **Components.** Each one moves from low to high, while the others stay at their mean.
components = ComponentsDisplay.from_estimator(autoencoder, X_test, components=4, image_shape=(8, 8))

# %%
# **Codes.** With y, points have the color of their class.
codes = LatentSpaceDisplay.from_estimator(autoencoder, X_test, y_test, components=3)

# %%
# A display keeps its numbers as attributes, and `plot` draws them again, here two of them side by
# side. The titles say what was found.
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
losses.plot(ax=left)
variance.plot(ax=right)
for display in (losses, variance, reconstructions, errors, components):
    print(f"{type(display).__name__}: {' '.join(display.ax_.get_title(loc='left').split())}")
print(f"LatentSpaceDisplay: {codes.title}")
plt.show()
