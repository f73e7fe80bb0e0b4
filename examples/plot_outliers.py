"""
Find odd rows, and the features to blame
========================================

:class:`~skae.AutoencoderOutlierDetector` finds rows that differ from the others, and says which
features make them differ. Here the rows are 178 wines with 13 chemical measurements each. No class
is used, and nothing is scaled.
"""

# %%
# Fit the detector. `predict` tells outliers, -1, from inliers, 1.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine

from skae import AutoencoderOutlierDetector

X = load_wine(as_frame=True).data
detector = AutoencoderOutlierDetector(random_state=0).fit(X)
outliers = np.flatnonzero(detector.predict(X) == -1)
print(f"{len(outliers)} of {len(X)} wines are outliers: {outliers.tolist()}")

# %%
# `score_samples` is minus the squared distance of a row from what is usual. `explain` distributes
# this distance over the features.
detector.set_output(transform="pandas")
distances = -detector.score_samples(X)
oddest = distances.argsort()[::-1][:6]
shares = detector.explain(X).iloc[oddest]

# %%
# Draw the distances of all wines, and what the features add to those of the oddest ones.
figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5), layout="constrained")
left.scatter(
    np.arange(len(X)), distances, s=14, color=np.where(distances > -detector.offset_, "C1", "C0")
)
left.axhline(-detector.offset_, color="gray", linestyle="--", label="limit (minus offset_)")
for row in oddest:
    left.annotate(row, (row, distances[row]), xytext=(4, 2), textcoords="offset points")
left.set(xlabel="row of the table", ylabel="squared distance", title=f"{len(outliers)} odd wines")
left.margins(y=0.1)
left.legend(frameon=False)
image = right.imshow(shares, cmap="Blues", aspect="auto", vmin=0)
right.set_xticks(range(X.shape[1]), X.columns, rotation=45, ha="right")
right.set_yticks(range(len(oddest)), [f"wine {row}" for row in oddest])
right.set_title("The features to blame")
bar = figure.colorbar(image, label="part of the squared distance")

# %%
# In some of the oddest wines one feature makes up half of the distance, with a value that few other
# wines reach. In the others several features share it. The lines name the largest part of each.
for row, parts in shares.iterrows():
    feature = parts.idxmax()
    value, rank = X.loc[row, feature], (X[feature] <= X.loc[row, feature]).mean()
    print(
        f"wine {row:3}, distance {distances[row]:4.0f}: {parts[feature]:3.0f} of it by "
        f"{feature} = {value:g}, and {rank:.0%} of the wines have no more"
    )
plt.show()
