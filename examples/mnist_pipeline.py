"""Replace PCA by an autoencoder in a Pipeline of digits, 32 components and a classifier.

The same Pipeline is fitted twice, once with each reducer. The autoencoder's codes are as good for
the classifier as PCA's, and keep much more of each digit. The picture shows what each reducer
reconstructs from 32 numbers.
"""

# %%
# The digits are bytes. Both methods get them scaled to [0, 1].
import time

import numpy as np
from digits import draw, error, load, parse_arguments
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skae import AutoencoderTransformer

arguments = parse_arguments(__doc__, "mnist_pipeline.png")
X_train, X_test, y_train, y_test = load(arguments)


def to_unit_interval(X):
    return X.astype(np.float32) / 255


# %%
# Fit two Pipelines that differ in one step.
reducers = {
    "AutoencoderTransformer()": AutoencoderTransformer(random_state=0),
    "PCA(32)": PCA(32, random_state=0),
}
images = to_unit_interval(X_test)
reconstructions = {}
print(f"{len(X_train):,} digits to train on, {len(X_test):,} to test on\n")
print(f"{'':26}{'accuracy':>10}{'error per pixel':>18}{'fit':>9}{'transform':>12}")
for name, reducer in reducers.items():
    pipe = Pipeline(
        [
            ("scale", FunctionTransformer(to_unit_interval)),
            ("reduce", reducer),
            ("classify", KNeighborsClassifier()),
        ]
    )
    start = time.perf_counter()
    pipe.fit(X_train, y_train)
    fit_time = time.perf_counter() - start
    accuracy = pipe.score(X_test, y_test)
    start = time.perf_counter()
    codes = reducer.transform(images)
    transform_time = time.perf_counter() - start
    reconstructions[name] = reducer.inverse_transform(codes)
    loss = error(reconstructions[name], images)
    print(f"{name:26}{accuracy:10.3f}{loss:18.5f}{fit_time:7.1f} s{transform_time * 1000:9.1f} ms")
print("\nThe time of the first fit includes the import of TensorFlow. No other step needs it.")

# %%
# Draw one digit of each class: the original, and its reconstructions from 32 numbers.
chosen = [np.flatnonzero(y_test == digit)[0] for digit in range(10)]
rows = {"original": images[chosen]}
for name, digits in reconstructions.items():
    rows[f"{name}, error per pixel {error(digits, images):.4f}"] = digits[chosen]
draw(rows, arguments.output)
