"""The estimator can replace PCA among scikit-learn's other estimators."""

import copy
import pickle

import joblib
import numpy as np
import pytest
import sklearn
import skops.io
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skae import AutoencoderTransformer

X, y = load_digits(return_X_y=True)
X, y = X[:600], y[:600]


def fitted():
    return AutoencoderTransformer(4, epochs=5, random_state=0).fit(X / 16)


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.deepcopy,
        lambda estimator: pickle.loads(pickle.dumps(estimator)),
        lambda estimator: skops.io.loads(
            skops.io.dumps(estimator), trusted=["skae._autoencoder.AutoencoderTransformer"]
        ),
    ],
    ids=["deepcopy", "pickle", "skops"],
)
def test_duplicates_are_whole(duplicate):
    """A duplicate encodes, decodes and goes on training as the original does."""
    original = fitted()
    other = duplicate(original)
    assert_array_equal(other.transform(X / 16), original.transform(X / 16))
    assert_array_equal(other.reconstruct(X / 16), original.reconstruct(X / 16))
    for estimator in (original, other):
        estimator.set_params(warm_start=True, learning_rate=1e-4, early_stopping=False).fit(X / 16)
    assert_array_equal(other.transform(X / 16), original.transform(X / 16))
    assert not np.array_equal(other.transform(X / 16), fitted().transform(X / 16))


def test_skops_has_one_type_to_trust():
    assert skops.io.get_untrusted_types(data=skops.io.dumps(fitted())) == [
        "skae._autoencoder.AutoencoderTransformer"
    ]


def test_joblib_file(tmp_path):
    joblib.dump(fitted(), tmp_path / "estimator")
    assert_array_equal(joblib.load(tmp_path / "estimator").transform(X), fitted().transform(X))


def test_clone_keeps_parameters_and_drops_the_fit():
    other = clone(fitted())
    assert other.get_params() == fitted().get_params()
    assert not hasattr(other, "weights_")


def test_classifier_behind_the_code_with_string_labels():
    """Cross-validated accuracy on 600 digits is far above chance; measured 0.97."""
    pipe = make_pipeline(
        MinMaxScaler(), AutoencoderTransformer(16, random_state=0), LogisticRegression(max_iter=500)
    )
    labels = np.array([f"digit {label}" for label in y])
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    assert cross_val_score(pipe, X, labels, cv=folds).min() > 0.9


def test_grid_search_in_two_processes_gives_the_scores_of_one():
    """The scores agree to 2e-3, since workers have one thread each and round sums differently."""
    pipe = Pipeline([("scale", MinMaxScaler()), ("ae", AutoencoderTransformer(random_state=0))])
    grid = {"ae__n_components": [2, 8], "ae__epochs": [5]}
    scores = [
        GridSearchCV(pipe, grid, cv=3, n_jobs=n_jobs, error_score="raise")
        .fit(X)
        .cv_results_["mean_test_score"]
        for n_jobs in (1, 2)
    ]
    assert_allclose(scores[1], scores[0], atol=2e-3)
    assert scores[0][1] > scores[0][0] + 0.1


def test_parallelism_inside_parallelism_gives_the_scores_of_one():
    """Each of two processes fits two autoencoders at once, in threads; scores agree to 2e-3."""
    parts = [(str(i), AutoencoderTransformer(i, epochs=5, random_state=0)) for i in (4, 8)]
    scores = [
        cross_val_score(
            make_pipeline(FeatureUnion(parts, n_jobs=n_jobs), LogisticRegression(max_iter=500)),
            X / 16,
            y,
            cv=2,
            n_jobs=n_jobs,
            error_score="raise",
        )
        for n_jobs in (1, 2)
    ]
    assert_allclose(scores[1], scores[0], atol=2e-3)
    assert min(scores[0]) > 0.6  # measured 0.79


def test_pipeline_memory_hits_the_second_time(tmp_path, capsys):
    """The fitted step comes from the cache, so the line that training prints appears once."""
    estimator = AutoencoderTransformer(
        4, output_activation="linear", epochs=1, early_stopping=False, verbose=2, random_state=0
    )
    codes = []
    for _ in range(2):
        pipe = make_pipeline(estimator, MinMaxScaler(), memory=str(tmp_path))
        codes.append(pipe.fit_transform(X))
    assert capsys.readouterr().out.count("epoch 1:") == 1
    assert_array_equal(*codes)


def test_feature_union_and_column_transformer():
    parts = [
        ("top", AutoencoderTransformer(2, random_state=0), list(range(32))),
        ("bottom", AutoencoderTransformer(3, random_state=0), list(range(32, 64))),
    ]
    columns = ColumnTransformer(parts).set_output(transform="pandas")
    assert list(columns.fit_transform(X / 16).columns) == [
        "top__autoencodertransformer0",
        "top__autoencodertransformer1",
        "bottom__autoencodertransformer0",
        "bottom__autoencodertransformer1",
        "bottom__autoencodertransformer2",
    ]
    union = FeatureUnion([(name, estimator) for name, estimator, _ in parts])
    assert union.fit_transform(X / 16).shape == (600, 5)


def test_x_val_passes_through_the_steps_before():
    """With `transform_input`, X_val is scaled like X before it reaches the autoencoder."""
    with sklearn.config_context(enable_metadata_routing=True):
        autoencoder = AutoencoderTransformer(
            4, epochs=3, early_stopping=False, random_state=0
        ).set_fit_request(X_val=True)
        pipe = Pipeline(
            [("scale", MinMaxScaler()), ("ae", autoencoder)], transform_input=["X_val"]
        ).fit(X[:400], X_val=X[400:])
        assert pipe[:-1].fit_transform(X[:400]).max() == 1
    scaled = MinMaxScaler().fit(X[:400])
    alone = AutoencoderTransformer(4, epochs=3, early_stopping=False, random_state=0).fit(
        scaled.transform(X[:400]), X_val=scaled.transform(X[400:])
    )
    assert pipe[-1].validation_loss_curve_ == alone.validation_loss_curve_
    assert len(alone.validation_loss_curve_) == 3


def test_pipeline_decodes_to_the_units_of_the_data():
    table = load_iris().data
    pipe = make_pipeline(MinMaxScaler(), AutoencoderTransformer(3, random_state=0)).fit(table)
    decoded = pipe.inverse_transform(pipe.transform(table))
    assert np.abs(decoded - table).mean() < 0.1
