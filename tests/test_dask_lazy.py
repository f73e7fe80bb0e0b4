"""Results for arrays and frames of Dask are lazy."""

import cloudpickle
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits

from skae import AutoencoderTransformer
from skae._dask import lazy
from skae._dask.results import lazily

X = (load_digits().data / 16).astype(np.float32)[:403]


@pytest.fixture(scope="module")
def fitted():
    """An estimator, and the same one fitted to rows with names, which returns frames."""
    estimator = AutoencoderTransformer(3, hidden_layer_sizes=(), random_state=0).fit(X)
    named = AutoencoderTransformer(3, hidden_layer_sizes=(), random_state=0).fit(frame_of(X))
    return estimator, named.set_output(transform="pandas")


def frame_of(X):
    return pd.DataFrame(X, columns=[f"pixel{i}" for i in range(X.shape[1])])


METHODS = [
    ("transform", {}),
    ("reconstruct", {}),
    ("score_samples", {}),
    ("reconstruction_error", {"per_feature": True}),
]


@pytest.mark.parametrize(("method", "options"), METHODS)
def test_results_for_arrays_are_lazy(fitted, method, options):
    expected = getattr(fitted[0], method)(X, **options)
    rows = da.from_array(X, chunks=((200, 0, 203), (30, 34)))
    rows = rows.map_blocks(lambda block: block.copy(), meta=np.empty((0, 0), X.dtype))
    result = lazily(fitted[0], method, rows, **options)
    assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
    assert result.chunks == ((200, 0, 203), *((n,) for n in expected.shape[1:]))
    for scheduler in ("synchronous", "threads"):
        assert_allclose(result.compute(scheduler=scheduler), expected, atol=1e-6)


def test_results_for_arrays_of_unknown_chunks_are_lazy(fitted):
    rows = da.from_array(X, chunks=150)
    bright = lazily(fitted[0], "transform", rows[rows[:, 20] > 0.5])
    assert np.isnan(bright.shape[0])
    assert bright.shape[1] == 3
    expected = fitted[0].transform(X[X[:, 20] > 0.5])
    assert_allclose(bright.compute(scheduler="synchronous"), expected, atol=1e-6)


@pytest.mark.parametrize(("method", "options"), METHODS)
def test_results_for_frames_have_names(fitted, method, options):
    frame = frame_of(X)
    expected = getattr(fitted[1], method)(frame, **options)
    result = lazily(fitted[1], method, dd.from_pandas(frame, npartitions=3), **options)
    computed = result.compute(scheduler="synchronous")
    if expected.ndim == 1:
        assert_allclose(computed, expected, atol=1e-6)
        return
    assert list(result.columns) == list(expected.columns)
    assert (result.dtypes == np.float32).all()
    pd.testing.assert_frame_equal(computed, expected, atol=1e-6)


def test_a_lazy_method_leaves_frames_of_dask_as_they_are(fitted):
    """scikit-learn would compute them, to make frames of pandas."""
    frame = frame_of(X)
    rows = dd.from_pandas(frame, npartitions=3)
    transform = lazy(AutoencoderTransformer.transform)
    assert isinstance(transform(fitted[1], rows), dd.DataFrame)
    pd.testing.assert_frame_equal(transform(fitted[1], frame), fitted[1].transform(frame))


def test_frames_become_arrays_unless_frames_are_asked_for(fitted):
    codes = lazily(fitted[0], "transform", dd.from_pandas(pd.DataFrame(X), npartitions=3))
    assert isinstance(codes, da.Array)
    expected = fitted[0].transform(X)
    assert_allclose(codes.compute(scheduler="synchronous"), expected, atol=1e-6)


def test_nothing_is_computed_and_the_estimator_travels_once(fitted):
    def fail(block):
        raise AssertionError("computed")

    estimator = AutoencoderTransformer(3, epochs=1, random_state=0).partial_fit(X)
    weights = sum(array.nbytes for array in estimator.weights_)
    rows = da.zeros(X.shape, chunks=(20, -1)).map_blocks(fail, meta=np.empty((0, 0)))
    graph = dict(lazily(estimator, "transform", rows).__dask_graph__())
    sizes = [len(cloudpickle.dumps(task)) for task in graph.values()]
    assert len(sizes) > 40
    *others, largest = sorted(sizes)
    assert others[-1] < weights / 10
    assert weights < largest < 1.1 * weights  # without the state of the optimizer
    assert hasattr(estimator, "_stream")
    with pytest.raises(ValueError, match="X has 5 features"):
        lazily(estimator, "transform", rows[:, :5])
