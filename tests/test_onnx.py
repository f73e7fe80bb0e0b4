"""A graph in onnxruntime gives the same results as the estimator."""

import functools
import importlib
import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import onnxruntime
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from skl2onnx import _parse, _supported_operators
from skl2onnx.common import _registration
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    StandardScaler,
)

import skae
from skae import AutoencoderTransformer
from skae._network.activations import ACTIVATIONS
from skae.onnx import SCALERS, to_onnx

X, y = load_digits(return_X_y=True)
X, y = X[:400], y[:400]
# These are relative to the largest output, since sums are in another order than NumPy's.
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-13}


def run(model, rows):
    """Return the outputs of a graph, in its order."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"X": rows})


def assert_agree(actual, expected, dtype):
    assert actual.dtype == dtype
    assert actual.shape == expected.shape
    assert_allclose(actual, expected, rtol=0, atol=TOLERANCE[dtype] * np.abs(expected).max())


def trained(n_components, **parameters):
    settings = {"epochs": 1, "early_stopping": False, "random_state": 0, **parameters}
    return AutoencoderTransformer(n_components, **settings)


def untrained(n_components):
    """Return an estimator whose optimum is PCA, so that nothing is compiled."""
    return AutoencoderTransformer(n_components, hidden_layer_sizes=(), output_activation="linear")


DENSE = {
    "plain": {"init": "glorot_uniform"},
    "deep": {"hidden_layer_sizes": (16, 8), "activation": "silu"},
    "denoising": {"noise": 0.3, "output_activation": "sigmoid"},
    "sparse": {"sparsity": 1e-3},
    "variational": {"kl_weight": 1.0},
    "deep variational": {"hidden_layer_sizes": (16,), "kl_weight": 1.0},
}


@functools.cache
def pipeline(variant):
    autoencoder = trained(6, **DENSE[variant])
    pipe = make_pipeline(MinMaxScaler(), autoencoder, LogisticRegression(max_iter=500))
    return pipe.fit(X.astype(np.float32), y)


@pytest.mark.parametrize("variant", DENSE)
def test_pipelines_agree(variant):
    """Pipelines of every dense variant agree, for any number of rows, and on the way back."""
    pipe = pipeline(variant)
    for dtype in TOLERANCE:
        rows = X.astype(dtype)
        graph = to_onnx(pipe, rows[:1])
        for n in (1, 7, 300):
            labels, probabilities = run(graph, rows[:n])
            assert_array_equal(labels, pipe.predict(rows[:n]))
            assert_agree(probabilities, pipe.predict_proba(rows[:n]), dtype)
        codes = pipe[:-1].transform(rows)
        decoded = pipe[:-1].inverse_transform(codes)
        assert_agree(run(to_onnx(pipe[:-1], rows), rows)[0], codes, dtype)
        back = to_onnx(pipe[:-1], codes, method="inverse_transform")
        assert_agree(run(back, codes)[0], decoded, dtype)
        both = to_onnx(pipe[:-1], rows, method="reconstruct")
        assert_agree(run(both, rows)[0], decoded, dtype)


def test_codes_are_sums_of_float64_rounded_once():
    """A classifier would multiply the rounding of float32 sums. The file is no larger."""
    rows = X.astype(np.float32)
    estimator = untrained(8).fit(rows)
    kernel, bias = (array.astype(np.float64) for array in estimator.weights_[:2])
    graph = to_onnx(estimator, rows[:1])
    exact = rows.astype(np.float64) @ kernel + bias
    assert_array_equal(run(graph, rows)[0], exact.astype(np.float32))
    assert len(graph.SerializeToString()) < 4 * (kernel.size + bias.size) + 1000


@pytest.mark.parametrize(
    ("image_shape", "parameters"),
    [
        ((8, 8), {"hidden_layer_sizes": (4, 6), "init": "glorot_uniform"}),
        ((5, 7, 3), {"hidden_layer_sizes": (4, 6), "activation": "elu"}),
        ((1, 6, 2), {"hidden_layer_sizes": (3,), "kl_weight": 1.0}),
    ],
)
def test_convolutional_networks_agree(image_shape, parameters):
    """Images have odd sizes and several channels, with and without the linear shortcut."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, np.prod(image_shape))).astype(np.float32)
    estimator = trained(3, image_shape=image_shape, **parameters).fit(rows)
    # Training leaves weights that start at zero near zero, where errors would not show.
    estimator.weights_ = [
        rng.normal(0, 0.3, array.shape).astype(np.float32) for array in estimator.weights_
    ]
    codes = estimator.transform(rows)
    graph = to_onnx(estimator, rows)
    for n in (1, 7, 40):
        assert_agree(run(graph, rows[:n])[0], codes[:n], np.float32)
    back = to_onnx(estimator, codes, method="inverse_transform")
    assert_agree(run(back, codes)[0], estimator.inverse_transform(codes), np.float32)


@pytest.fixture(scope="module", params=TOLERANCE)
def shallow(request):
    """Return an estimator whose weights lead far to both sides of zero, and rows."""
    rng = np.random.default_rng(0)
    rows = rng.normal(0, 4, size=(300, 8)).astype(request.param)
    estimator = AutoencoderTransformer(5, output_activation="linear").fit(rows)
    estimator.weights_ = [
        rng.normal(0, 0.4, array.shape).astype(request.param) for array in estimator.weights_
    ]
    return estimator, rows


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_agree(shallow, name):
    estimator, rows = shallow
    dtype = rows.dtype.type
    fitted = estimator.network_
    try:
        estimator.network_ = {**fitted, "code_activation": name, "output_activation": name}
        if name == "gelu" and dtype == np.float64:
            with pytest.raises(ValueError, match=r"in float64: activation 'gelu'.*float32"):
                to_onnx(estimator, rows)
            return
        actual, expected = run(to_onnx(estimator, rows), rows)[0], estimator.transform(rows)
        assert_agree(actual, expected, dtype)
        # Small outputs are compared too, since those of rectifiers below zero are exponentials.
        assert_allclose(actual, expected, rtol=10 * TOLERANCE[dtype], atol=TOLERANCE[dtype])
        codes = rows[:, :5].copy()
        back = to_onnx(estimator, codes, method="inverse_transform")
        assert_agree(run(back, codes)[0], estimator.inverse_transform(codes), dtype)
    finally:
        estimator.network_ = fitted


@pytest.mark.parametrize("scaler", SCALERS)
def test_scalers_are_undone(scaler):
    rows = X[:, 2:12].astype(np.float32)
    pipe = make_pipeline(scaler(), "passthrough", untrained(4))
    codes = pipe.fit_transform(rows)
    back = to_onnx(pipe, codes, method="inverse_transform")
    assert_agree(run(back, codes)[0], pipe.inverse_transform(codes), np.float32)


def test_compositions_agree():
    """FeatureUnion, ColumnTransformer and grid search agree, with regressors among them."""
    rows = X.astype(np.float32)
    columns = ColumnTransformer(
        [
            ("top", untrained(2), list(range(32))),
            ("bottom", make_pipeline(StandardScaler(), untrained(3)), slice(32, 64)),
        ]
    )
    union = FeatureUnion([("codes", untrained(2)), ("features", MaxAbsScaler())])
    pipe = make_pipeline(columns, Ridge())
    search = GridSearchCV(pipe, {"ridge__alpha": [1.0]}, cv=2)
    assert_agree(run(to_onnx(union.fit(rows), rows), rows)[0], union.transform(rows), np.float32)
    for model in (pipe.fit(rows, y), search.fit(rows, y)):
        assert_agree(run(to_onnx(model, rows), rows)[0][:, 0], model.predict(rows), np.float32)


def test_rows_of_other_kinds():
    """Sparse rows and lists stand for the arrays that are given later, and integers are kept."""
    rows = X[:, :12].astype(np.float32)
    estimator = untrained(3).fit(rows)
    codes = estimator.transform(rows)
    for kind in (sparse.csr_array(rows), rows.tolist()):
        graph = to_onnx(estimator, kind)
        (given,) = onnxruntime.InferenceSession(graph.SerializeToString()).get_inputs()
        dtype = {"tensor(float)": np.float32, "tensor(double)": np.float64}[given.type]
        assert_allclose(run(graph, rows.astype(dtype))[0], codes, atol=1e-5)
    for whole, dtype in WHOLE.items():
        expected = estimator.transform(rows.astype(dtype))
        assert_agree(
            run(to_onnx(estimator, rows.astype(whole)), rows.astype(whole))[0], expected, dtype
        )


# The precision in which integers are computed: float32 if it holds all numbers of the type.
WHOLE = {"uint8": np.float32, "int16": np.float32, "int32": np.float64, "int64": np.float64}
# Names that are no identifiers, that collide when they are made identifiers, or that outputs have.
COLUMNS = ["price (EUR)", "a b", "a_b", "1st", "ä/ö", "variable", "label", "label_1"]
TYPES = {
    "whole numbers first": (["int64"] + ["float32"] * 7, np.float64),
    "small ones first": (["int8"] + ["float32"] * 7, np.float32),
    "small ones alone": (["int8", "uint8", "int16", "uint16"] * 2, np.float32),
    "whole numbers of all sizes": (["uint8", "int16", "uint32", "int64"] * 2, np.float64),
    "booleans": (["bool"] + ["int8"] * 7, np.float32),
    "two precisions": (["float32", "float64"] * 4, np.float64),
    "double": (["float64"] * 8, np.float64),
    "nullable": (["Int16", "Float32", "boolean", "float32"] * 2, np.float32),
    "nullable and double": (["Float32", "Float64"] * 4, np.float64),
}


def run_frame(model, frame):
    """Return the outputs for the columns of a frame, given in their own types."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    assert [given.name for given in session.get_inputs()] == list(frame.columns)
    columns = {name: np.asarray(frame[name]).reshape(-1, 1) for name in frame.columns}
    return session.run(None, columns)


def frame_of(types):
    """Return digits in these types. Columns of float64 have values that only float64 holds."""
    frame = pd.DataFrame(X[:, 18:26], columns=COLUMNS)
    for name, given in zip(COLUMNS, types, strict=True):
        column = frame[name] > 4 if given.startswith("bool") else frame[name]
        frame[name] = (column + 1 / 3 if given.endswith("64") else column).astype(given)
    return frame


@pytest.mark.parametrize("kind", TYPES)
def test_frames_have_one_precision_and_their_own_names(kind):
    """The precision is one in which all columns are exact, whichever comes first."""
    types, dtype = TYPES[kind]
    frame = frame_of(types)
    wide = frame.astype(np.float64)
    columns = ColumnTransformer(
        [("one", StandardScaler(), COLUMNS[:4]), ("two", untrained(2), COLUMNS[2:])]
    )
    for model in (untrained(3), make_pipeline(columns, untrained(3))):
        expected = model.fit(wide).transform(wide)
        (actual,) = run_frame(to_onnx(model, frame), frame)
        assert actual.dtype == dtype
        assert_allclose(actual, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    polars = pl.from_pandas(frame)
    model = untrained(3).fit(wide)
    assert_agree(run_frame(to_onnx(model, polars), polars)[0], model.transform(wide), dtype)


def test_frames_through_all_that_stands_around_the_estimator():
    """The way back takes codes with the names that `set_output` gives, or any others."""
    frame = frame_of(TYPES["whole numbers first"][0])
    wide = frame.astype(np.float64)
    pipes = [make_pipeline(scaler(), untrained(3)) for scaler in SCALERS]
    pipes.append(FeatureUnion([("codes", untrained(2)), ("features", MaxAbsScaler())]))
    for pipe in pipes:
        expected = pipe.fit(wide).transform(wide)
        assert_agree(run_frame(to_onnx(pipe, frame), frame)[0], expected, np.float64)
    classifier = make_pipeline(untrained(3), LogisticRegression(max_iter=500)).fit(wide, y)
    labels, probabilities = run_frame(to_onnx(classifier, frame), frame)
    assert_array_equal(labels, classifier.predict(wide))
    assert_agree(probabilities, classifier.predict_proba(wide), np.float64)
    codes = pd.DataFrame(pipes[0].transform(wide), columns=["a b", "a_b", "variable"])
    back = to_onnx(pipes[0], codes, method="inverse_transform")
    expected = pipes[0].inverse_transform(codes.to_numpy())
    assert_agree(run_frame(back, codes)[0], expected, np.float64)


def test_strings_of_a_frame_stay_strings():
    """They stay beside numbers of one precision, for the encoder that takes them."""
    frame = pd.DataFrame(X[:, 18:22], columns=COLUMNS[:4]).astype({COLUMNS[0]: np.int32})
    frame["home town"] = np.where(y > 4, "Oslo", "Rome")
    encoder = OneHotEncoder(sparse_output=False)
    columns = ColumnTransformer(
        [("strings", encoder, ["home town"]), ("numbers", StandardScaler(), COLUMNS[:4])]
    )
    pipe = make_pipeline(columns, untrained(3)).fit(frame)
    assert_agree(run_frame(to_onnx(pipe, frame), frame)[0], pipe.transform(frame), np.float64)


def test_registered_converters_take_the_precision_of_all_columns():
    """skl2onnx has types for all of these columns. Called by the user, it changes their names."""
    out = fresh(
        """
        import numpy as np, onnxruntime, pandas as pd, skae, skae.onnx, skl2onnx
        X = np.random.default_rng(0).normal(0, 9, size=(50, 4)).round(2)
        frame = pd.DataFrame(X, columns=list("abcd")).astype({"a": "int64", "b": "float32"})
        wide = frame.astype("float64")
        estimator = skae.AutoencoderTransformer(2, output_activation="linear").fit(wide)
        skae.onnx.register()
        graph = skl2onnx.to_onnx(estimator, frame).SerializeToString()
        columns = {name: frame[[name]].to_numpy() for name in frame.columns}
        (codes,) = onnxruntime.InferenceSession(graph).run(None, columns)
        print(codes.dtype, np.abs(codes - estimator.transform(wide)).max() < 1e-13)
        """
    )
    assert out.split() == ["float64", "True"]


def test_frames_that_a_graph_cannot_take_are_refused_with_the_way_out():
    estimator = untrained(2).fit(X[:, 18:21])
    frame = pd.DataFrame(X[:2, 18:21], columns=["a", "b", "c"])
    for names in (["a", "a", "c"], ["a", "", "c"]):
        with pytest.raises(ValueError, match=r"must differ.*Got \['a', .*Rename"):
            to_onnx(estimator, frame.set_axis(names, axis=1))
    with pytest.raises(ValueError, match=r"'b' has neither.*of dtype datetime64"):
        to_onnx(estimator, frame.assign(b=pd.Timestamp("2020-01-01")))
    with pytest.raises(ValueError, match=r"'b' has neither.*\(1, 2\), of dtype object"):
        to_onnx(estimator, frame.assign(b=[(1, 2), (3, 4)]))
    numbered = to_onnx(estimator, frame.set_axis([0, 1, 2], axis=1))
    assert [given.name for given in numbered.graph.input] == ["0", "1", "2"]


def test_options_are_those_of_skl2onnx():
    rows = (X / 16).astype(np.float32)
    pipe = make_pipeline(untrained(3), LogisticRegression(max_iter=500)).fit(rows, y)
    labels, probabilities = run(to_onnx(pipe, rows, options={"zipmap": True}), rows[:2])
    assert [set(row) for row in probabilities] == [set(range(10))] * 2
    graph = to_onnx(pipe, rows, target_opset=15)
    assert max(entry.version for entry in graph.opset_import) <= 15
    assert_array_equal(run(graph, rows[:2])[0], labels)


def test_registries_stay_as_they_are():
    registries = [
        _registration._converter_pool,
        _registration._shape_calculator_pool,
        _supported_operators.sklearn_operator_name_map,
        _parse.sklearn_parsers_map,
    ]
    before = [dict(registry) for registry in registries]
    estimator = untrained(3).fit(X)
    to_onnx(estimator, X)
    to_onnx(estimator, estimator.transform(X), method="inverse_transform")
    assert [dict(registry) for registry in registries] == before


def fresh(code, *arguments):
    """Run code in a new process, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        cwd=os.path.dirname(os.path.dirname(skae.__file__)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_no_tensorflow_and_nothing_registered_in_a_fresh_process(tmp_path):
    """A pickled Pipeline is converted and run, and skl2onnx knows it only after `register`."""
    pipe = pipeline("deep")
    path = tmp_path / "pipeline.pickle"
    path.write_bytes(pickle.dumps(pipe))
    out = fresh(
        """
        import pickle, sys
        import skae
        assert not {"onnx", "skl2onnx"} & set(sys.modules)
        import numpy as np
        import onnxruntime, skl2onnx
        from skae.onnx import register, to_onnx
        pipe = pickle.loads(open(sys.argv[1], "rb").read())
        X = np.linspace(0, 16, 128).reshape(2, 64)
        graph = to_onnx(pipe, X).SerializeToString()
        labels = onnxruntime.InferenceSession(graph).run(None, {"X": X})[0]
        try:
            skl2onnx.to_onnx(pipe, X)
        except skl2onnx.common.exceptions.MissingShapeCalculator:
            register()
        graph = skl2onnx.to_onnx(pipe, X, options={"zipmap": False}).SerializeToString()
        again = onnxruntime.InferenceSession(graph).run(None, {"X": X})[0]
        print(*labels, *again, sorted({"tensorflow", "keras"} & set(sys.modules)))
        """,
        path,
    )
    labels = [str(label) for label in pipe.predict(np.linspace(0, 16, 128).reshape(2, 64))]
    assert out.split() == [*labels, *labels, "[]"]


def test_missing_skl2onnx_is_said_with_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    monkeypatch.delitem(sys.modules, "skae.onnx")
    with pytest.raises(ImportError, match=r'pip install "skae\[onnx\]"'):
        importlib.import_module("skae.onnx")


def identity(spec):
    import keras

    return keras.Sequential([keras.Input((2,))]), keras.Sequential([keras.Input((2,))])


def test_what_has_no_graph_is_refused_with_the_way_out():
    rows = X[:, 10:20]
    estimator = untrained(2)
    with pytest.raises(NotFittedError, match="AutoencoderTransformer instance is not fitted"):
        to_onnx(estimator, rows)
    codes = estimator.fit_transform(rows)
    with pytest.raises(ValueError, match=r"must be one of .*'reconstruct'.*Got 'decode'"):
        to_onnx(estimator, rows, method="decode")
    with pytest.raises(ValueError, match="X has 10 columns, but the model takes 2: features, or"):
        to_onnx(estimator, rows, method="inverse_transform")
    with pytest.raises(ValueError, match="Expected 2D array"):
        to_onnx(estimator, rows[0])
    pipe = make_pipeline(PCA(2), estimator).fit(rows)
    with pytest.raises(ValueError, match=r"The inverse can be .* Got PCA\. Convert a part"):
        to_onnx(pipe, codes, method="inverse_transform")
    images = trained(2, image_shape=(2, 5), hidden_layer_sizes=2).fit(rows)
    with pytest.raises(ValueError, match=r"in float64: convolutions\. Give X as float32"):
        to_onnx(images, rows)
    two = rows[:, :2].astype(np.float32)
    custom = trained(2, network=identity).fit(two)
    with pytest.raises(ValueError, match=r"custom network can't be.*to_keras\(\).*export"):
        to_onnx(custom, two)
