"""
Choose the number of components
===============================

As with PCA, `n_components` may be a fraction of the variance to keep. The smallest number that
keeps it is then found by rows held out. An autoencoder usually needs fewer components than PCA,
since a curved surface comes closer to the rows than a flat one.
"""

# %%
# The digits of scikit-learn have 8 x 8 pixels with values from 0 to 16.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer
from skae.displays import ExplainedVarianceDisplay

X, _ = load_digits(return_X_y=True)
X_train, X_test = train_test_split(X / 16, random_state=0)

# %%
# Ask both for 95 % of the variance. The numbers that were chosen are in `n_components_`.
fraction = 0.95
pca = PCA(fraction).fit(X_train)
autoencoder = AutoencoderTransformer(fraction, random_state=0).fit(X_train)


def kept(transformer):
    """Return the fraction of the variance of test digits that comes back."""
    restored = transformer.inverse_transform(transformer.transform(X_test))
    return r2_score(X_test, restored, multioutput="variance_weighted")


# %%
# The components are ordered, so one fit says what the first ones explain together. Curves stop at
# the number of components that were fitted, or where PCA explains as much.
display = ExplainedVarianceDisplay.from_estimator(autoencoder, X_train)

# %%
# The other way is to fit several numbers, and to see what comes back of rows not seen in training.
sizes = (2, 8, 32)
curves = {
    "PCA": [kept(PCA(size).fit(X_train)) for size in sizes],
    "autoencoder": [
        kept(AutoencoderTransformer(size, random_state=0).fit(X_train)) for size in sizes
    ],
}
figure, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
for name, values in curves.items():
    ax.plot(sizes, 100 * np.array(values), marker="o", markersize=4, label=name)
ax.axhline(100 * fraction, color="0.75", linewidth=0.8, zorder=0)
ax.set(xscale="log", xlabel="number of components", ylabel="variance of test digits kept in %")
ax.set_xticks(sizes, sizes)
ax.minorticks_off()
ax.set_title("Each number of components is a fit of its own", loc="left")
legend = ax.legend(frameon=False)

# %%
# For as much of the variance, the autoencoder needs fewer components. The fraction of new rows is a
# little lower than what was asked for with PCA, which takes the training rows to count.
for name, transformer in {"PCA": pca, "autoencoder": autoencoder}.items():
    print(
        f"{name} keeps {fraction:.0%} with {transformer.n_components_} components, "
        f"and {kept(transformer):.1%} of the variance of test digits"
    )
plt.show()
