"""Missing values: what fills them, what the loss counts, and what the methods say of them."""

import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils import get_tags

import skae
from skae import AutoencoderTransformer
from skae._data.filling import Hiding, filled, filling_of
from skae._data.rows import Rows
from skae._fitting.incomplete import fit_filling
from skae._fitting.validation import compare
from skae._network.losses import LOSSES
from skae.onnx import to_onnx

COMPLETE = scale(load_wine().data)
HOLES = np.random.default_rng(0).random(COMPLETE.shape) < 0.3
X = np.where(HOLES, np.nan, COMPLETE)
FRAME = pd.DataFrame(X, columns=load_wine().feature_names)


def linear(n_components=4, **parameters):
    """Return an estimator that is PCA of rows whose holes are filled, for want of hidden layers."""
    return AutoencoderTransformer(n_components, hidden_layer_sizes=(), random_state=0, **parameters)


@pytest.fixture(scope="module")
def fitted():
    """Return a fitted estimator, which tests must not change."""
    return linear().fit(X)


@pytest.fixture(scope="module")
def trained():
    """Return an estimator whose hidden layer was trained, which tests must not change."""
    return AutoencoderTransformer(
        4, hidden_layer_sizes=(8,), epochs=5, early_stopping=False, random_state=0
    ).fit(X.astype(np.float32))


def test_known_entries_stay_and_holes_get_the_reconstruction(fitted, trained):
    for estimator, rows in ((fitted, X), (trained, X.astype(np.float32))):
        imputed = estimator.impute(rows)
        assert imputed.dtype == rows.dtype
        assert_array_equal(imputed[~HOLES], rows[~HOLES])
        decoded = estimator.inverse_transform(estimator.transform(rows))
        assert_allclose(imputed[HOLES], decoded[HOLES], rtol=1e-5, atol=1e-6)
        assert np.isfinite(decoded).all()


def test_nothing_that_is_given_is_changed(fitted):
    given = X.copy()
    for method in ("fit", "transform", "impute", "score"):
        getattr(clone(fitted).fit(given), method)(given)
    assert_array_equal(given, X)


def test_what_a_row_gives_does_not_depend_on_the_rows_beside_it(fitted):
    assert_allclose(fitted.transform(X[5:6])[0], fitted.transform(X)[5], rtol=1e-10)
    assert_allclose(fitted.impute(X[::-1]), fitted.impute(X)[::-1], rtol=1e-10)


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer, load_diabetes])
@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5])
def test_rows_without_hidden_layers_are_imputed_better_than_by_neighbors(load, fraction):
    rng, complete = np.random.default_rng(1), scale(load().data)
    holes = rng.random(complete.shape) < fraction
    rows = np.where(holes, np.nan, complete)

    def error(imputed):
        return np.square(imputed - complete)[holes].mean()

    ours = error(linear(complete.shape[1]).fit(rows).impute(rows))
    assert ours < 0.75 * error(SimpleImputer().fit_transform(rows))
    assert ours < 1.05 * error(KNNImputer().fit_transform(rows))


def test_factors_are_those_of_the_rows():
    """With many rows of two factors, holes get their conditional means up to what is estimated."""
    rng = np.random.default_rng(0)
    loadings, noise = rng.normal(size=(2, 6)), 0.3
    rows = 5 + rng.normal(size=(2000, 2)) @ loadings + noise * rng.normal(size=(2000, 6))
    holes = rng.random(rows.shape) < 0.3
    filling = fit_filling(Rows(np.where(holes, np.nan, rows), holes=holes))
    best = filling._replace(mean=np.full(6, 5.0), loadings=loadings, noise=np.full(6, noise**2))
    errors = [
        np.square(one.fill(np.where(holes, np.nan, rows)) - rows)[holes].mean()
        for one in (filling, best)
    ]
    assert errors[0] < 1.1 * errors[1]


def test_a_weight_of_two_fills_as_two_copies_do():
    weights = np.random.default_rng(0).integers(1, 4, len(X))
    weighted = fit_filling(Rows(X, weights.astype(float), holes=HOLES))
    copies = np.repeat(np.arange(len(X)), weights)
    repeated = fit_filling(Rows(X[copies], holes=HOLES[copies]))
    for one, other in zip(weighted, repeated, strict=True):
        assert_allclose(one, other, rtol=1e-8, atol=1e-10)


def test_the_unit_and_the_origin_of_a_feature_are_no_matter():
    """The factors are those of standardised features."""
    units, origin = np.geomspace(1e-3, 1e3, X.shape[1]), np.arange(X.shape[1])
    filling = fit_filling(Rows(X, holes=HOLES)).fill(X)
    other = fit_filling(Rows(X * units + origin, holes=HOLES)).fill(X * units + origin)
    assert_allclose((other - origin) / units, filling, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_holes_add_nothing_to_a_loss(name):
    rng = np.random.default_rng(0)
    rows, reconstruction = rng.uniform(0.1, 0.9, (2, 5, 6)).astype(np.float32)
    holes = rng.random(rows.shape) < 0.4
    given = np.where(holes, np.float32(np.nan), rows)
    other = np.where(holes, np.float32(0.5), reconstruction)
    losses = compare(name, given, reconstruction)
    assert np.isfinite(losses).all()
    assert_array_equal(compare(name, given, other), losses)
    if not LOSSES[name][1].summed:
        alone = [
            compare(name, row[None, known], made[None, known])[0] * known.mean()
            for row, made, known in zip(rows, reconstruction, ~holes, strict=True)
        ]
        assert_allclose(losses, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "parameters",
    [
        {"hidden_layer_sizes": (4,)},
        {"noise": 0.2},
        {"noise": ("swap", 0.2)},
        {"kl_weight": 0.1},
        {"sparsity": 1e-3},
        {"loss": "mae"},
        {"loss": "huber", "init": "glorot_uniform"},
        {"image_shape": (13, 1), "hidden_layer_sizes": 2},
        {"label_weight": 1.0},
        {"n_components": 0.7},
        {"n_components": None},
    ],
    ids=str,
)
def test_every_variant_takes_missing_values(parameters):
    """No value of what training puts into the holes reaches the losses."""
    given = {"n_components": 2, "epochs": 2, "random_state": 0} | parameters
    estimator = AutoencoderTransformer(**given).fit(X, load_wine().target)
    assert np.isfinite(estimator.loss_curve_).all()
    assert np.isfinite(estimator.validation_loss_curve_).all()
    assert np.isfinite(estimator.feature_errors_).all()
    assert np.isfinite(estimator.impute(X)).all()
    assert np.isfinite(estimator.score(X))


def test_counts_and_probabilities_take_missing_values():
    rng = np.random.default_rng(0)
    counts = rng.poisson(np.exp(rng.normal(size=(100, 1)) + np.ones(5))).astype(float)
    counts[rng.random(counts.shape) < 0.2] = np.nan
    for rows, loss in ((counts, "poisson"), (counts / np.nanmax(counts), "binary_crossentropy")):
        estimator = AutoencoderTransformer(2, loss=loss, epochs=3, random_state=0).fit(rows)
        assert np.isfinite(estimator.loss_curve_).all()
        assert estimator.impute(rows).min() >= 0


def test_what_is_known_trains_the_network_and_nothing_else():
    """The training loss is the mean square of what is known, whatever the holes were filled with.

    Without steps, the network is PCA, and its loss that of rows of which a fifth is hidden too.
    """
    tiny = {"learning_rate": 1e-12, "epochs": 40, "early_stopping": False, "random_state": 0}
    estimator = AutoencoderTransformer(4, hidden_layer_sizes=(8,), **tiny).fit(X)
    visible = np.nansum(np.square(X - estimator.reconstruct(X))) / X.size
    assert visible < np.mean(estimator.loss_curve_) < np.nansum(np.square(X)) / X.size
    filling = filling_of(estimator)
    rng, losses = np.random.default_rng(0), []
    for _ in range(40):
        made = estimator.reconstruct(Hiding(filling)(X, rng))
        losses.append(np.nansum(np.square(X - made)) / X.size)
    assert_allclose(np.mean(estimator.loss_curve_), np.mean(losses), rtol=0.02)


def test_training_learns_to_impute_what_is_curved():
    """On a curve no linear map can fill holes, and a hidden layer can."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 4, 600)
    curve = np.column_stack([np.cos(angle), np.sin(angle), angle / 2, np.cos(2 * angle)])
    complete = curve + 0.03 * rng.normal(size=curve.shape)
    holes = rng.random(complete.shape) < 0.15
    rows = np.where(holes, np.nan, complete)
    estimator = AutoencoderTransformer(2, hidden_layer_sizes=(64,), random_state=0).fit(rows)
    errors = [
        np.square(one - complete)[holes].mean()
        for one in (estimator.impute(rows), filled(estimator, rows))
    ]
    assert estimator.gain_over_pca_ > 0.1
    assert errors[0] < 0.8 * errors[1]


def test_complete_rows_are_fitted_as_without_this():
    """Nothing is filled, and nothing more is kept."""
    estimator = linear().fit(COMPLETE)
    assert "_filling" not in vars(estimator)
    assert_array_equal(estimator.impute(COMPLETE), COMPLETE)
    rows = Rows(COMPLETE)
    for (block, _), (target, _) in zip(rows.blocks(), rows.targets(), strict=True):
        assert_array_equal(block, target)


CONTAINERS = {
    "pandas": FRAME,
    "nullable": FRAME.astype("Float64"),
    "pandas, pyarrow": FRAME.astype("float64[pyarrow]"),
    "object": FRAME.astype(object).where(~HOLES, None),
    "polars": pl.DataFrame(
        {name: [None if np.isnan(v) else v for v in column] for name, column in FRAME.items()}
    ),
    "polars with NaN": pl.DataFrame(FRAME.to_dict("list")),
    "pyarrow": pa.Table.from_pandas(FRAME),
    "list with None": [[None if np.isnan(v) else v for v in row] for row in X],
}


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")
def test_missing_values_of_other_libraries_are_nan(fitted, name):
    rows = CONTAINERS[name]
    estimator = linear().fit(rows)
    assert_allclose(estimator.impute(rows), fitted.impute(X), rtol=1e-6, atol=1e-8)
    assert_allclose(estimator.transform(rows), fitted.transform(X), rtol=1e-6, atol=1e-8)


def test_integers_with_missing_values():
    frame = pd.DataFrame({"a": [1, None, 3, 4, 5], "b": [2, 3, None, 4, 6]}, dtype="Int8")
    estimator = linear(1).fit(frame)
    assert estimator.network_["dtype"] == "float32"
    imputed = estimator.set_output(transform="pandas").impute(frame)
    assert list(imputed.columns) == ["a", "b"]
    assert imputed.loc[0, "a"] == 1
    assert 1 < imputed.loc[1, "a"] < 4


def test_pickles_and_files_fill_to_the_same_bits(fitted, trained, tmp_path):
    for estimator, rows in ((fitted, X), (trained, X.astype(np.float32))):
        estimator.save(tmp_path / "first")
        loaded = skae.load(tmp_path / "first")
        loaded.save(tmp_path / "second")
        assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
        for other in (loaded, pickle.loads(pickle.dumps(estimator))):
            assert_array_equal(other.transform(rows), estimator.transform(rows))
            assert_array_equal(other.impute(rows), estimator.impute(rows))
    assert "_filling" not in vars(clone(fitted))


def test_another_process_imputes_without_tensorflow(trained, tmp_path):
    trained.save(tmp_path / "model")
    np.save(tmp_path / "rows.npy", X[:20].astype(np.float32))
    code = """if True:
        import sys
        import numpy as np
        import skae
        imputed = skae.load(sys.argv[1]).impute(np.load(sys.argv[2]))
        print("tensorflow" in sys.modules, imputed.tobytes().hex())
    """
    out = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model", tmp_path / "rows.npy"],
        capture_output=True,
        text=True,
        check=True,
        cwd=pathlib.Path(skae.__file__).parents[1],
    ).stdout
    imputed = trained.impute(X[:20].astype(np.float32))
    assert out.split() == ["False", imputed.tobytes().hex()]


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: [arrays[0][:-1], *arrays[1:]],
        lambda arrays: [*arrays[:2], np.zeros_like(arrays[2])],
        lambda arrays: [arrays[0] * np.nan, *arrays[1:]],
        lambda arrays: arrays[:2],
    ],
    ids=["shape", "no noise", "NaN", "incomplete"],
)
def test_files_with_another_filling_are_refused(fitted, tmp_path, change):
    estimator = pickle.loads(pickle.dumps(fitted))
    estimator._filling = change(estimator._filling)
    with pytest.raises(ValueError, match=r"can't be saved: (its tensors|what it fills)"):
        estimator.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_fits_repeat_and_seeds_differ(trained):
    rows = X.astype(np.float32)
    assert_array_equal(clone(trained).fit(rows).transform(rows), trained.transform(rows))


def test_a_row_without_any_value_is_left_out_and_gets_the_mean(fitted):
    rows = np.vstack([X, np.full((3, 13), np.nan)])
    estimator = linear().fit(rows)
    assert_allclose(estimator.impute(X), fitted.impute(X), rtol=1e-9)
    assert_allclose(estimator.impute(rows)[-1], estimator._filling[0], atol=1e-2)
    assert np.isnan(estimator.score_samples(rows)[-1])
    assert np.isnan(estimator.reconstruction_error(rows)[-1])
    weights = np.r_[np.ones(len(X)), 0, 0, 0]
    assert_allclose(linear().fit(rows, sample_weight=weights).impute(X), fitted.impute(X))


def test_scores_and_errors_are_of_what_is_known(fitted):
    made = fitted.reconstruct(X)
    squares = np.square(X - made)
    assert_array_equal(np.isnan(fitted.reconstruction_error(X, per_feature=True)), HOLES)
    assert_array_equal(
        np.isnan(fitted.reconstruction_error(X, per_feature=True, scaled=True)), HOLES
    )
    assert_allclose(fitted.reconstruction_error(X), np.nanmean(squares, axis=1))
    assert_allclose(fitted.score_samples(X), -np.nanmean(squares, axis=1))
    assert_allclose(fitted.feature_errors_, np.nanmean(squares, axis=0))
    spread = np.square(X - np.nanmean(X, axis=0))
    assert_allclose(fitted.score(X), 1 - np.nansum(squares) / np.nansum(spread))
    assert_allclose(fitted.explained_variance_ratio_.sum(), fitted.score(X))
    weights = np.arange(len(X)) % 3
    repeated = np.repeat(X, weights, axis=0)
    assert_allclose(fitted.score(X, sample_weight=weights), fitted.score(repeated))


def test_validation_rows_may_have_missing_values():
    estimator = AutoencoderTransformer(3, hidden_layer_sizes=(4,), epochs=2, random_state=0)
    for X_val in (X[:40], COMPLETE[:40]):
        estimator.fit(X, X_val=X_val)
        assert np.isfinite(estimator.validation_loss_curve_).all()


def test_a_later_fit_fills_anew_or_not_at_all():
    estimator = linear().fit(X)
    assert "_filling" not in vars(estimator.fit(COMPLETE))
    with pytest.raises(ValueError, match="fitted to rows without missing values"):
        estimator.transform(X)


def test_sparse_rows_are_taken_without_missing_values_alone(fitted):
    rows = sparse.csr_array(COMPLETE)
    assert_allclose(fitted.transform(rows), fitted.transform(COMPLETE))
    assert_array_equal(fitted.impute(rows), COMPLETE)
    for X_val in (sparse.csr_array(X), sparse.csr_array(COMPLETE)):
        with pytest.raises(TypeError, match="Sparse data was passed"):
            linear().fit(X, X_val=X_val)
    with pytest.raises(ValueError, match="missing values are filled in dense rows only"):
        fitted.transform(sparse.csr_array(X))


def test_infinity_is_refused_beside_missing_values(fitted):
    rows = X.copy()
    rows[0, 0] = np.inf
    for method in ("fit", "transform", "reconstruct", "impute", "score", "score_samples"):
        with pytest.raises(ValueError, match="Input X contains infinity"):
            getattr(clone(fitted).fit(X), method)(rows)


def test_the_tag_and_pipelines():
    assert get_tags(AutoencoderTransformer()).input_tags.allow_nan
    pipe = make_pipeline(StandardScaler(), linear())
    assert np.isfinite(pipe.fit_transform(X * 3 + 1)).all()


def test_graphs_do_not_fill(fitted):
    with pytest.raises(ValueError, match="which an ONNX graph does not"):
        to_onnx(fitted, X[:1])
    to_onnx(fitted, fitted.transform(X[:1]), method="inverse_transform")
    complete = linear().fit(fitted.impute(X))
    to_onnx(complete, X[:1])
