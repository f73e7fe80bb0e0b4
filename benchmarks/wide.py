"""Fit tables with many columns, dense and sparse, beside scikit-learn's linear methods.

    python benchmarks/wide.py             # 2 minutes: times and memory
    python benchmarks/wide.py --columns   # 20 minutes: errors with and without the basis

Both sides of a row are measured in one run. The words are drawn: each document mixes a few of 60
topics, whose words follow Zipf's law. With --columns, networks are trained on the columns as they
are too, and medians of test errors over eight seeds are shown.
"""

import argparse
import subprocess
import sys
import textwrap
import time
import warnings
from unittest import mock

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer

from skae import AutoencoderTransformer
from skae._fitting import fit as fitting


def expression(n_rows, n_features, seed=0):
    """Return rows like those of gene expression: few factors, bent, and much noise."""
    rng = np.random.default_rng(seed)
    loadings = np.random.default_rng(1).normal(size=(8, n_features))
    factors = rng.normal(size=(n_rows, 8))
    noise = 0.5 * rng.normal(size=(n_rows, n_features))
    return (np.exp(0.5 * factors @ loadings) + noise).astype(np.float32)


def counts(n_rows, n_features, seed=0, n_topics=60, length=80):
    """Return the numbers of times that words occur in documents, as a sparse matrix."""
    rng = np.random.default_rng(seed)
    words = np.random.default_rng(1)
    frequent = 1 / np.arange(1, n_features + 1)
    shares = [np.cumsum(words.permutation(frequent**0.9) * frequent**0.3) for _ in range(n_topics)]
    topics = rng.choice(n_topics, size=(n_rows, 3))[
        np.arange(n_rows)[:, None], rng.integers(3, size=(n_rows, length))
    ]
    drawn = np.empty(topics.shape, np.int64)
    for topic, share in enumerate(shares):
        chosen = topics == topic
        drawn[chosen] = np.searchsorted(share, rng.uniform(0, share[-1], chosen.sum()))
    documents = np.repeat(np.arange(n_rows), length)
    ones = np.ones(drawn.size, np.float32)
    return sparse.csr_array((ones, (documents, drawn.ravel())), shape=(n_rows, n_features))


def tfidf(n_rows, n_features, seed=0):
    return sparse.csr_array(TfidfTransformer().fit_transform(counts(n_rows, n_features, seed)))


def times(ours, theirs, repeats=5):
    """Return the median seconds of both sides, timed in turns."""
    taken = [[], []]
    for _ in range(repeats):
        for side, measured in zip((ours, theirs), taken, strict=True):
            begin = time.perf_counter()
            side()
            measured.append(time.perf_counter() - begin)
    return [float(np.median(measured)) for measured in taken]


def explained(estimator, X):
    """Return the fraction of the variance of sparse rows that linear codes explain."""
    mean = X.mean(axis=0)
    total = X.power(2).sum() / X.shape[0] - np.square(mean).sum()
    return estimator.transform(X).var(axis=0).sum() / total


def show(label, ours, theirs, goal):
    ratio = f"{ours / theirs:.2f}"
    print(f"| {label} | {ours:.3g} | {theirs:.3g} | {ratio} | {goal} |", flush=True)


def peak(code):
    """Return the peak memory, in MB, of a program in a process of its own."""
    source = "import sys; sys.path[:0] = sys.argv[1:]\n" + textwrap.dedent(code)
    # Not ru_maxrss, since a process inherits that from the one that started it.
    source += """
with open("/proc/self/status") as lines:
    print(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source, *sys.path],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def costs():
    print("| table; the other side | skae | other | ratio | goal |\n|---|---|---|---|---|")
    X = expression(300, 20_000)
    deep = AutoencoderTransformer(8, hidden_layer_sizes=(128,), random_state=0)
    full = PCA(8, svd_solver="full")
    label = "300 x 20,000, (128,); `PCA`, full"
    show(f"{label}, s", *times(lambda: deep.fit(X), lambda: full.fit(X), 3), "<= 5")
    X = counts(2_000, 5_000).toarray()
    pair = times(lambda: deep.fit(X), lambda: full.fit(X), 3)
    show("2,000 x 5,000 counts, (128,); `PCA`, full, s", *pair, "")
    X = tfidf(22_000, 31_000)
    linear = AutoencoderTransformer(32, hidden_layer_sizes=(), random_state=0).fit(X)
    ours = explained(linear, X)
    for n_iter in range(5, 40):
        # One component more, since the first of rows that are not centered is near their mean.
        svd = TruncatedSVD(33, n_iter=n_iter, random_state=0).fit(X)
        if explained(svd, X) >= 0.99 * ours:
            break
    print(f"explained by skae {ours:.4f}, by TruncatedSVD with n_iter={n_iter} ", end="")
    print(f"{explained(svd, X):.4f}")
    label = "22,000 x 31,000 TF-IDF; `TruncatedSVD`"
    show(f"{label}, s", *times(lambda: linear.fit(X), lambda: svd.fit(X)), "<= 3")
    rows = "from wide import *; X = tfidf(22_000, 31_000)\n"
    fit = "AutoencoderTransformer(32, hidden_layer_sizes=(), random_state=0).fit(X)"
    memory = peak(rows + fit), peak(rows + f"TruncatedSVD(33, n_iter={n_iter}).fit(X)")
    show(f"{label}, MB", *memory, "<= 1.5")
    deep = AutoencoderTransformer(32, hidden_layer_sizes=(128,), random_state=0)
    X = tfidf(12_000, 14_000)
    pair = times(lambda: deep.fit(X), lambda: svd.fit(X), 1)
    show("12,000 x 14,000 TF-IDF, (128,); `TruncatedSVD`, s", *pair, "")


def test_error(k, X, X_test, seed):
    estimator = AutoencoderTransformer(k, hidden_layer_sizes=(128,), random_state=seed).fit(X)
    total = 0.0
    for begin in range(0, X_test.shape[0], 500):
        block = X_test[begin : begin + 500]
        decoded = estimator.inverse_transform(estimator.transform(block))
        total += np.square(decoded - (block.toarray() if sparse.issparse(block) else block)).sum()
    return total


def errors(n_seeds):
    print("| table | test error over that of the columns, seed by seed | median | goal |")
    print("|---|---|---|---|")
    tables = {
        "300 x 2,000": lambda seed: (
            expression(300, 2_000, seed),
            expression(200, 2_000, seed + 99),
        ),
        "2,000 x 3,000 counts": lambda seed: (
            counts(2_000, 3_000, seed).toarray(),
            counts(500, 3_000, seed + 99).toarray(),
        ),
        "4,000 x 3,000 TF-IDF": lambda seed: (
            tfidf(4_000, 3_000, seed),
            tfidf(500, 3_000, seed + 99),
        ),
    }
    for name, make in tables.items():
        ratios = []
        for seed in range(n_seeds):
            X, X_test = make(seed)
            ours = test_error(8, X, X_test, seed)
            with mock.patch.object(fitting, "basis_of", return_value=None):
                ratios.append(ours / test_error(8, X, X_test, seed))
        shown = " ".join(f"{ratio:.3f}" for ratio in ratios)
        print(f"| {name} | {shown} | {np.median(ratios):.3f} | <= 1.01 |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--columns", action="store_true", help="errors with and without the basis")
    parser.add_argument("--seeds", type=int, default=8)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.columns:
        errors(arguments.seeds)
    else:
        costs()


if __name__ == "__main__":
    main()
