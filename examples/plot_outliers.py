"""Find the odd rows of a table, and the features to blame: wines by their chemistry.

The table has 178 wines and 13 measurements of each. No class is used, and nothing is scaled.
"""

import argparse

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine

from skae import AutoencoderOutlierDetector

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--output", default="plot_outliers.png", help="where to save the picture")
arguments = parser.parse_args()
X = load_wine(as_frame=True).data

# %%
# Fit the detector. `predict` tells outliers, -1, from inliers, 1.
detector = AutoencoderOutlierDetector(random_state=0).fit(X)
outliers = np.flatnonzero(detector.predict(X) == -1)
print(f"{len(outliers)} of {len(X)} wines are outliers: {outliers.tolist()}")

# %%
# Ask which features make the oddest wines odd, and how the wines differ from the others in them.
detector.set_output(transform="pandas")
scores = detector.score_samples(X)
oddest = scores.argsort()[:6]
shares = detector.explain(X).iloc[oddest]
for row, contributions in shares.iterrows():
    feature = contributions.idxmax()
    value, rank = X.loc[row, feature], (X[feature] <= X.loc[row, feature]).mean()
    print(
        f"wine {row:3}, distance {-scores[row]:4.0f}: {contributions[feature]:3.0f} of it by "
        f"{feature} = {value:g}, and {rank:.0%} of the wines have no more"
    )

# %%
# Draw the scores of all wines, and the contributions of the features to the oddest ones.
figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5), layout="constrained")
distances, limit = -scores, -detector.offset_
colors = np.where(distances > limit, "C1", "C0")
left.scatter(np.arange(len(X)), distances, s=14, color=colors)
left.axhline(limit, color="gray", linestyle="--", label="limit (offset_)")
for row in oddest:
    left.annotate(row, (row, distances[row]), xytext=(4, 2), textcoords="offset points")
left.set(xlabel="row of the table", ylabel="squared distance", title=f"{len(outliers)} odd wines")
left.margins(y=0.1)
left.legend(frameon=False)
image = right.imshow(shares, cmap="Blues", aspect="auto", vmin=0)
right.set_xticks(range(X.shape[1]), X.columns, rotation=45, ha="right")
right.set_yticks(range(len(oddest)), [f"wine {row}" for row in oddest])
right.set_title("The features to blame")
figure.colorbar(image, label="part of the squared distance")
figure.savefig(arguments.output, dpi=100)
print(f"Picture: {arguments.output}")
