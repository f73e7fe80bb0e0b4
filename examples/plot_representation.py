"""Compare how much different codes help a classifier that has few labels.

Every transformer sees all training digits, but the classifier behind it only sees 200 labels.
These are drawn ten times, to tell differences from luck.
"""

import numpy as np
from digits import load_scaled, parse_arguments, plt
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer

arguments = parse_arguments(__doc__, "plot_representation.png")
X_train, X_test, y_train, y_test = load_scaled(arguments)

# Giving the output activation spares the deep networks a trial of two, and without early stopping
# each is trained once instead of twice.
DEEP = {"hidden_layer_sizes": (128,), "output_activation": "sigmoid", "early_stopping": False}
VARIANTS = {
    "plain": {"hidden_layer_sizes": ()},
    "deep": DEEP,
    "denoising": {**DEEP, "noise": 0.3},
    "sparse": {"sparsity": 1e-4},
    "variational": {**DEEP, "kl_weight": 1.0},
    "convolutional": {"image_shape": (28, 28), "hidden_layer_sizes": (8, 16), "epochs": 3},
}


def accuracies(transformer):
    """Return the accuracy on the test digits for each draw of 200 labels."""
    codes, test_codes = transformer.fit_transform(X_train), transformer.transform(X_test)
    draws = StratifiedShuffleSplit(10, train_size=200, random_state=0).split(codes, y_train)
    scores = []
    for labelled, _ in draws:
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        classifier.fit(codes[labelled], y_train[labelled])
        scores.append(classifier.score(test_codes, y_test))
    return np.array(scores)


# %%
# Evaluate all transformers at two sizes.
sizes = (8, 32)
table = {}
print(f"{'accuracy with 200 labels':26}" + "".join(f"{size:>5} components" for size in sizes))
for name in ("PCA", *VARIANTS):
    table[name] = []
    for size in sizes:
        transformer = PCA(size, random_state=0)
        if name in VARIANTS:
            transformer = AutoencoderTransformer(size, random_state=0, **VARIANTS[name])
        table[name].append(accuracies(transformer))
    shown = "".join(f"{scores.mean():9.3f} ± {scores.std():.3f}" for scores in table[name])
    print(f"{name:26}{shown}")

# %%
# Report the best transformer of each size.
for i, size in enumerate(sizes):
    best = max(table, key=lambda name: table[name][i].mean())
    gain = table[best][i] - table["PCA"][i]
    print(f"{size} components: {best}, {gain.mean():+.3f} ± {gain.std():.3f} over PCA")
figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained", sharey=True)
for i, (axis, size) in enumerate(zip(axes, sizes, strict=True)):
    for row, scores in enumerate(values[i] for values in table.values()):
        colour = "tab:orange" if row == 0 else "tab:blue"
        axis.plot(scores, np.full(10, row), "|", color=colour, markersize=9)
        axis.plot(scores.mean(), row, "o", color=colour, markersize=5)
    axis.set_yticks(range(len(table)), table)
    axis.set(title=f"{size} components", xlabel="accuracy with 200 labels")
    axis.spines[["top", "right"]].set_visible(False)
axes[0].invert_yaxis()
figure.savefig(arguments.output, dpi=120)
print(f"Picture: {arguments.output}")
