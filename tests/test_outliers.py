"""The outlier detector finds outliers, also among the training rows, and the features to blame."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_param_validation, parametrize_with_checks

from skae import AutoencoderOutlierDetector, AutoencoderTransformer
from skae._scatter import robust_scatter

LINEAR = AutoencoderTransformer(2, hidden_layer_sizes=())


@pytest.fixture(scope="module")
def wine():
    return load_wine(as_frame=True).data


@pytest.fixture(scope="module")
def fitted(wine):
    return AutoencoderOutlierDetector(random_state=0).fit(wine.to_numpy())


@pytest.fixture(scope="module")
def curved():
    """Return rows on a curved surface, and rows beside it whose features have usual values."""
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-1, 1, (2, 600))
    X = np.column_stack([a, b, a * b, a**2, b**2, a + b])
    X = (X + 0.03 * rng.normal(size=X.shape)) * [1, 10, 100, 1, 1, 1000]
    odd = X[500:].copy()
    odd[:, 2] = rng.permutation(odd[:, 2])
    return X[:300], X[300:500], odd


@parametrize_with_checks(
    [AutoencoderOutlierDetector(AutoencoderTransformer(1, hidden_layer_sizes=()))]
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


def test_parameters_are_checked():
    detector = AutoencoderOutlierDetector()
    check_param_validation("AutoencoderOutlierDetector", detector)


def test_contributions_add_up_to_minus_the_score(fitted, wine):
    contributions = fitted.explain(wine.to_numpy())
    assert contributions.shape == wine.shape
    assert contributions.min() >= 0
    np.testing.assert_allclose(contributions.sum(axis=1), -fitted.score_samples(wine.to_numpy()))


def test_a_moved_feature_is_blamed(wine):
    """Also where it was moved in training rows, and though the features are correlated."""
    X = wine.to_numpy().copy()
    rows = np.arange(0, 170, 17)
    X[rows, np.arange(10)] += 4 * X.std(axis=0)[:10]
    detector = AutoencoderOutlierDetector(random_state=0).fit(X)
    right = detector.explain(X)[rows].argmax(axis=1) == np.arange(10)
    assert right.sum() >= 9


def test_without_hidden_layers_the_score_is_nearly_the_mahalanobis_distance(wine):
    """Reconstruction and error then are two parts of the row, and uncorrelated."""
    detector = AutoencoderOutlierDetector(LINEAR, random_state=0).fit(wine)
    Z = detector._standardised(wine.to_numpy())
    center, precision, _ = robust_scatter(Z, 0.7)
    distances = np.einsum("ij,jk,ik->i", Z - center, precision, Z - center)
    assert np.corrcoef(distances, -detector.score_samples(wine))[0, 1] > 0.9


def test_outliers_beside_a_curved_surface_are_found(curved):
    train, usual, odd = curved
    rows, is_usual = np.concatenate([usual, odd]), np.arange(300) < 200
    detector = AutoencoderOutlierDetector(random_state=0).fit(train)
    area = roc_auc_score(is_usual, detector.score_samples(rows))
    forest = IsolationForest(random_state=0).fit(train).score_samples(rows)
    linear = AutoencoderOutlierDetector(LINEAR, random_state=0).fit(train).score_samples(rows)
    assert area > max(roc_auc_score(is_usual, forest), roc_auc_score(is_usual, linear)) + 0.1


def test_outliers_among_the_training_rows_do_little_harm(curved):
    train, usual, odd = curved
    detector = AutoencoderOutlierDetector(random_state=0)
    rows, is_usual = np.concatenate([usual, odd[50:]]), np.arange(250) < 200
    clean = roc_auc_score(is_usual, detector.fit(train).score_samples(rows))
    mixed = detector.fit(np.concatenate([train, odd[:24]])).score_samples(rows)
    assert roc_auc_score(is_usual, mixed) > clean - 0.1


def test_gross_errors_do_not_hide_small_ones(wine):
    """One value of a million makes neither the scale nor the network."""
    X = wine.to_numpy().copy()
    X[3, 4] = 1e6
    X[8, 4] += 8 * X[10:, 4].std()
    detector = AutoencoderOutlierDetector(random_state=0).fit(X)
    assert set(detector.score_samples(X).argsort()[:2]) == {3, 8}
    np.testing.assert_array_equal(detector.explain(X[[3, 8]]).argmax(axis=1), [4, 4])


def test_constant_features_break_nothing_and_are_blamed_if_they_move(wine):
    X = wine.to_numpy().copy()
    X[:, 2] = 1e5
    detector = AutoencoderOutlierDetector(LINEAR, random_state=0).fit(X)
    assert np.isfinite(detector.score_samples(X)).all()
    assert np.abs(detector.explain(X)[:, 2]).max() < 1e-6
    moved = X[:1].copy()
    moved[0, 2] += 100
    assert detector.predict(moved) == -1
    assert detector.explain(moved).argmax() == 2


def test_rows_that_are_all_equal_are_inliers():
    detector = AutoencoderOutlierDetector(AutoencoderTransformer(1)).fit(np.ones((20, 3)))
    np.testing.assert_array_equal(detector.predict([[1, 1, 1], [1, 2, 1]]), [1, -1])


def test_scale_and_units_do_not_matter(wine):
    X = wine.to_numpy()
    detector = AutoencoderOutlierDetector(LINEAR, random_state=0)
    expected = detector.fit(X).score_samples(X)
    scaled = detector.fit(X * 2.0 ** np.arange(13)).score_samples(X * 2.0 ** np.arange(13))
    np.testing.assert_allclose(scaled, expected, rtol=1e-3)


@pytest.mark.parametrize("contamination", [0.1, 0.5])
def test_contamination_is_the_fraction_of_outliers(wine, contamination):
    detector = AutoencoderOutlierDetector(LINEAR, contamination=contamination, random_state=0)
    outliers = detector.fit_predict(wine) == -1
    assert outliers.sum() == round(contamination * len(wine) + 0.1)
    np.testing.assert_array_equal(detector.decision_function(wine) < 0, outliers)


def test_auto_takes_few_normal_rows_for_outliers():
    X = np.random.default_rng(0).normal(size=(1000, 6))
    detector = AutoencoderOutlierDetector(LINEAR, random_state=0).fit(X[:500])
    assert 0 < (detector.predict(X[500:]) == -1).mean() < 0.05


def test_random_state_determines_the_fit(wine, fitted):
    again = AutoencoderOutlierDetector(random_state=0).fit(wine.to_numpy())
    other = AutoencoderOutlierDetector(random_state=1).fit(wine.to_numpy())
    scores = [one.score_samples(wine.to_numpy()) for one in (fitted, again, other)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_the_given_autoencoder_is_cloned_and_keeps_its_seed(wine):
    given = clone(LINEAR).set_params(random_state=5)
    detector = AutoencoderOutlierDetector(given, random_state=0).fit(wine)
    assert not hasattr(given, "weights_")
    assert detector.autoencoder_.random_state == 5
    detector = AutoencoderOutlierDetector(LINEAR, random_state=0).fit(wine)
    assert isinstance(detector.autoencoder_.random_state, int)
    assert LINEAR.random_state is None


def test_frames_are_named_where_they_are_asked_for(wine):
    detector = AutoencoderOutlierDetector(LINEAR, random_state=0).fit(wine)
    assert isinstance(detector.explain(wine), np.ndarray)
    frame = detector.set_output(transform="pandas").explain(wine.iloc[5:9])
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == list(wine.columns)
    assert list(frame.index) == [5, 6, 7, 8]
    assert isinstance(clone(detector).fit(wine).explain(wine), pd.DataFrame)
    assert isinstance(detector.set_output().explain(wine), pd.DataFrame)
    with pytest.raises(ValueError, match=r"transform must be None or one of .*Got 'numpy'"):
        detector.set_output(transform="numpy")


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_the_configuration_of_scikit_learn_asks_for_frames(wine, output):
    from sklearn import config_context

    with config_context(transform_output=output):
        detector = AutoencoderOutlierDetector(LINEAR, random_state=0).fit(wine)
        assert list(detector.explain(wine).columns) == list(wine.columns)
        assert isinstance(detector.score_samples(wine), np.ndarray)


def test_a_fit_that_fails_changes_nothing(wine, fitted, monkeypatch):
    detector = pickle.loads(pickle.dumps(fitted))
    before = {name: id(value) for name, value in detector.__dict__.items()}
    monkeypatch.setattr(AutoencoderOutlierDetector, "_measure", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        detector.fit(wine.iloc[:50, :4])
    assert {name: id(value) for name, value in detector.__dict__.items()} == before


def test_a_detector_pickles_and_works_in_a_pipeline(wine, fitted):
    X = wine.to_numpy()
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.explain(X), fitted.explain(X))
    pipe = make_pipeline(StandardScaler(), AutoencoderOutlierDetector(LINEAR, random_state=0))
    assert set(pipe.fit_predict(wine)) == {-1, 1}
    assert pipe.score_samples(wine).shape == (len(wine),)


def test_it_is_quiet_with_few_rows_and_few_features(capsys):
    """Warnings are errors in these tests."""
    rng = np.random.default_rng(0)
    for shape in ((3, 8), (40, 1), (60, 2)):
        AutoencoderOutlierDetector(random_state=0).fit(rng.normal(size=shape))
    assert capsys.readouterr() == ("", "")


def test_errors_say_what_is_wrong(wine):
    with pytest.raises(
        TypeError, match=r"Sparse data was passed for X, but dense data is required"
    ):
        AutoencoderOutlierDetector().fit(sparse.csr_array(wine.to_numpy()))
    with pytest.raises(NotFittedError, match="AutoencoderOutlierDetector instance is not fitted"):
        AutoencoderOutlierDetector().explain(wine)
    with pytest.raises(ValueError, match="loss"):
        AutoencoderOutlierDetector(AutoencoderTransformer(2, loss="no")).fit(wine)
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        AutoencoderOutlierDetector().fit(wine[:1])
