"""Files hold the whole estimator or are refused, and writing them is all or nothing."""

import errno
import fractions
import os
import pathlib
import resource
import stat
import subprocess
import sys
import warnings

import keras
import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import sklearn
import skops.io
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import skae
from skae import AutoencoderTransformer
from skae._files.network import FIELDS
from skae._files.state import PARAMETERS

GOLDEN = pathlib.Path(__file__).parent / "golden"
X = (load_digits().data[:200] / 16).astype(np.float32)
NAMES = [f"pixel {i} à l'encre" for i in range(64)]

VARIANTS = {
    "default": ({}, X),
    "float64, configured": (
        {
            "init": "glorot_uniform",
            "epochs": np.int64(2),
            "learning_rate": np.float32(0.1),
            "optimizer": keras.optimizers.serialize(keras.optimizers.SGD(0.1)),
            "loss": {"class_name": "Huber", "config": {"delta": 0.5}},
        },
        X.astype(np.float64),
    ),
    "deep, denoising, variational, with names": (
        {"epochs": 2, "noise": ("gaussian", 0.1), "kl_weight": 0.1, "hidden_layer_sizes": [8]},
        pd.DataFrame(X, columns=NAMES),
    ),
    "convolutional": ({"epochs": 2, "image_shape": (8, 8), "hidden_layer_sizes": 2}, X),
    "counts": ({"epochs": 2, "loss": "poisson"}, np.round(16 * X)),
}


@pytest.fixture(scope="module")
def fitted():
    """Return a fitted estimator, which tests must not change."""
    return untrained(2).fit(X[:, :20])


def untrained(n_components):
    """Return an estimator that ends as PCA, for tests that do not depend on training."""
    return AutoencoderTransformer(n_components, output_activation="linear", random_state=0)


def copy_of(estimator):
    other = AutoencoderTransformer()
    other.__setstate__(estimator.__getstate__())
    return other


@pytest.mark.parametrize("name", VARIANTS)
def test_loaded_estimators_are_the_saved_ones(name, tmp_path):
    """They have the same parameters, attributes, outputs, file and further training."""
    parameters, data = VARIANTS[name]
    original = AutoencoderTransformer(4, random_state=0, early_stopping=False, **parameters)
    original.fit(data).save(tmp_path / "first")
    loaded = skae.load(tmp_path / "first")
    loaded.save(str(tmp_path / "second"))
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    plain = original.get_params()
    plain["hidden_layer_sizes"] = loaded.hidden_layer_sizes
    assert loaded.get_params() == plain
    assert np.array_equal(loaded.hidden_layer_sizes, original.hidden_layer_sizes)
    assert vars(loaded).keys() == vars(original).keys()
    for array, other in zip(loaded.weights_, original.weights_, strict=True):
        assert_array_equal(array, other)
        assert array.dtype == other.dtype
        assert other.flags.c_contiguous
        assert array.flags.owndata
        assert array.flags.writeable
    assert loaded.network_ == original.network_
    assert loaded.n_iter_ == original.n_iter_
    assert loaded.loss_curve_ == original.loss_curve_
    assert loaded.validation_loss_curve_ == original.validation_loss_curve_
    assert list(loaded.get_feature_names_out()) == list(original.get_feature_names_out())
    for estimator in (original, loaded):
        estimator.set_params(warm_start=True, epochs=2)
    for _ in range(2):
        codes = original.transform(data)
        assert_array_equal(loaded.transform(data), codes)
        assert_array_equal(loaded.inverse_transform(codes), original.inverse_transform(codes))
        assert loaded.score(data) == original.score(data)
        loaded.fit(data)
        original.fit(data)


def test_choices_of_output_and_routing_are_kept(fitted, tmp_path):
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = untrained(2)
        estimator.set_fit_request(X_val=True, sample_weight="weights").set_score_request(
            sample_weight=False
        )
        estimator.set_partial_fit_request(sample_weight=True)
    frame = pd.DataFrame(X[:, :3], columns=["length", "Länge", ""])
    estimator.set_output(transform="pandas").fit(frame).save(tmp_path / "file")
    loaded = skae.load(tmp_path / "file")
    assert isinstance(loaded.transform(frame), pd.DataFrame)
    assert list(loaded.inverse_transform(loaded.transform(frame)).columns) == list(frame.columns)
    assert loaded.feature_names_in_.dtype == object
    assert repr(loaded.get_metadata_routing()) == repr(estimator.get_metadata_routing())
    fitted.save(tmp_path / "file")
    assert "_metadata_request" not in vars(skae.load(tmp_path / "file"))


def test_another_process_loads_and_saves_without_tensorflow(fitted, tmp_path):
    """It encodes to the same bits, and writes the same bytes.

    Importing skae does not import a library for files either.
    """
    fitted.save(tmp_path / "first")
    code = """if True:
        import sys
        import numpy as np
        import skae
        assert "safetensors" not in sys.modules
        estimator = skae.load(sys.argv[1])
        codes = estimator.transform(np.linspace(0, 1, 40, dtype=np.float32).reshape(2, 20))
        estimator.save(sys.argv[2])
        print({"tensorflow", "keras", "skae._keras"} & set(sys.modules), codes.tobytes().hex())
    """
    paths = [tmp_path / "first", tmp_path / "second"]
    out = subprocess.run(
        [sys.executable, "-c", code, *paths],
        cwd=pathlib.Path(skae.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = np.linspace(0, 1, 40, dtype=np.float32).reshape(2, 20)
    assert out.split() == ["set()", fitted.transform(rows).tobytes().hex()]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_files_are_weights_and_a_little(tmp_path):
    """The curve of 500 epochs and everything else take at most 8 kB more than the weights."""
    estimator = untrained(32).fit(X)
    estimator.loss_curve_ = np.random.default_rng(0).uniform(size=500).tolist()
    estimator.n_iter_ = 500
    estimator.save(tmp_path / "file")
    weights = sum(array.nbytes for array in estimator.weights_)
    assert weights < (tmp_path / "file").stat().st_size <= weights + 8 * 1024


def test_safetensors_reads_the_weights(fitted, tmp_path):
    """Other programs can read the files as safetensors."""
    fitted.save(tmp_path / "file")
    arrays = safetensors.numpy.load_file(tmp_path / "file")
    for i, array in enumerate(fitted.weights_):
        assert_array_equal(arrays[f"weights.{i}"], array)
    with safetensors.safe_open(tmp_path / "file", framework="numpy") as file:
        assert list(file.metadata()) == ["skae"]


def test_the_order_of_arrays_in_memory_is_no_matter(fitted, tmp_path):
    fitted.save(tmp_path / "first")
    estimator = copy_of(fitted)
    estimator.weights_ = [np.asfortranarray(array) for array in fitted.weights_]
    estimator.save(tmp_path / "second")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


# Rows, with the codes and reconstructions that Keras' own models computed of them when the files
# were made. Any machine reproduces them to the precision of float32.
ROWS = np.array([[1.0, 0.0, -1.0, 2.0, 0.5], [0.0, 0.25, 1.0, -1.0, -2.0]])
IMAGE = np.arange(12.0).reshape(1, 12) / 12
COUNTS = np.array([[1.0, 0.0, 3.0, 2.0, 0.0], [0.0, 7.0, 1.0, 0.0, 2.0]])
FILES = {
    "format_1_dense": (
        ROWS,
        [[0.9196067519695, -0.6887574756771], [0.4323582242486, -0.2755524302370]],
        [
            [-0.2921282371, -0.9894911648, 0.2921242769, 0.8529125251, -0.5278098636],
            [-0.1364405570, -0.4138772824, 0.2056414154, 0.3443316532, -0.2699493331],
        ],
    ),
    "format_1_deep_variational": (
        ROWS,
        [[-0.60902566, 0.08878639], [0.47089911, -0.12055382]],
        [
            [0.31512812, 0.46597692, -1.28523445, 0.13461711, 0.21345556],
            [-0.29410627, 0.58075005, 1.30790102, 0.20440656, -1.17254019],
        ],
    ),
    "format_1_convolutional": (
        IMAGE,
        [[0.19074740, 0.07376092]],
        np.reshape(
            [
                *(0.49795598, 0.49826390, 0.50388658, 0.65373361, 0.50251919, 0.48669136),
                *(0.50689387, 0.52147108, 0.43152431, 0.50593537, 0.56583971, 0.61203223),
            ],
            (1, 12),
        ),
    ),
    "format_2_counts": (
        COUNTS,
        [[-3.142983, -1.3662333], [4.0651803, -1.7993749]],
        [
            [1.0907376, 0.1158156, 1.0675292, 1.7908189, 0.71513665],
            [2.4422972, 6.4635577, 0.8641905, 0.14749888, 2.1856768],
        ],
    ),
    "format_3_labels": (
        ROWS,
        [[-4.4429970, -0.4310862], [4.8714991, -0.4433210]],
        [
            [0.02611410, 0.06213170, -1.40949929, 1.50276029, 0.86346549],
            [-0.54336959, 0.25966549, 1.37520134, -0.94750339, -1.58018291],
        ],
    ),
    "format_4_deep": (
        ROWS,
        [[0.122664, 0.488829], [-1.331736, -0.344603]],
        [
            [0.7056918, -0.1276613, 0.6810415, -0.0430226, 0.5574725],
            [-0.6389315, -0.1777827, 1.1446316, -0.0128098, -0.8262882],
        ],
    ),
    "format_5_fraction": (
        ROWS,
        [[-0.64718533, 1.50982231], [1.41806985, -1.15351785]],
        [
            [-0.3730615, -0.6487102, -0.34758531, 1.58118564, 0.15368085],
            [0.27921339, 1.19426509, 0.94144232, -0.67822347, -0.72388246],
        ],
    ),
    "format_6_missing": (
        [[1.0, np.nan, -1.0, 2.0, 0.5], [np.nan, 0.25, 1.0, np.nan, -2.0]],
        [[1.0658455, 2.2185023], [1.1500562, -2.1186287]],
        [
            [-0.30519253, 1.8710147, -1.0521863, 1.2294587, 0.92633796],
            [-0.18136661, 0.299568, 0.9407441, -0.56479245, -2.0988724],
        ],
    ),
    "format_6_parts": (
        ROWS,
        [[1.71498348, -0.74138964], [0.05545337, -0.19148085]],
        [
            [0.12191323, -0.16305669, -0.44118869, 1.35329754, -0.86951356],
            [0.20643779, -0.33257185, 0.2777768, 0.03812065, 0.01021546],
        ],
    ),
    "format_7_in_order": (
        ROWS,
        [[0.58117163, 2.2574565], [-1.7298726, -0.93256634]],
        [
            [0.42119628, 0.85266203, -0.73036957, 1.8542308, 0.54295695],
            [-0.74381173, -0.79460311, 0.69584507, -0.74661052, -1.0852082],
        ],
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_every_format_are_read(name):
    rows, codes, reconstructed = FILES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        estimator = skae.load(GOLDEN / f"{name}.safetensors")
    estimator.set_output(transform="default")
    if hasattr(estimator, "feature_names_in_"):
        assert list(estimator.feature_names_in_) == ["length", "width", "Größe", "", "x4"]
        rows = pd.DataFrame(rows, columns=estimator.feature_names_in_)
    assert_allclose(estimator.transform(rows), codes, rtol=1e-4, atol=1e-6)
    assert_allclose(estimator.inverse_transform(codes), reconstructed, rtol=1e-4, atol=1e-6)


def test_a_file_holds_what_the_fit_found():
    """The golden file has the gain and the epochs of the checks; earlier formats have neither."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        estimator = skae.load(GOLDEN / "format_4_deep.safetensors")
    assert estimator.gain_over_pca_ == pytest.approx(0.788163, abs=1e-6)
    assert estimator.validation_epochs_ == [*range(8, 201, 8)]
    assert estimator.n_components_ == 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        earlier = skae.load(GOLDEN / "format_1_dense.safetensors")
    assert earlier.gain_over_pca_ is None
    assert earlier.validation_epochs_ == []


def test_a_file_holds_the_fraction_that_was_asked_for_and_the_shares():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        estimator = skae.load(GOLDEN / "format_5_fraction.safetensors")
    assert (estimator.n_components, estimator.n_components_) == (0.7, 2)
    assert_allclose(estimator.explained_variance_ratio_, [0.5446564, 0.25660178], rtol=1e-6)
    usual = [0.02878574, 0.04254842, 0.04531382, 0.00852375, 0.24096886]
    assert_allclose(estimator.feature_errors_, usual, rtol=1e-6)


def test_any_gain_and_any_int_as_components_can_be_saved(tmp_path):
    """Losses may be negative, so that a gain is no fraction; an int may be NumPy's."""
    counts = np.random.default_rng(0).poisson(1.0, size=(60, 4)).astype(float)
    estimator = AutoencoderTransformer(
        np.int64(2), hidden_layer_sizes=(4,), loss="poisson", random_state=0
    ).fit(counts)
    for gain in (estimator.gain_over_pca_, 3.5):
        estimator.gain_over_pca_ = gain
        estimator.save(tmp_path / "model.skae")
        assert skae.load(tmp_path / "model.skae").gain_over_pca_ == gain


def test_golden_files_are_all_tested():
    assert {path.stem for path in GOLDEN.iterdir()} == set(FILES)


FORMAT_7 = {
    "parameters": """activation batch_size code_activation early_stopping epochs hidden_layer_sizes
        image_shape init kl_weight label_weight learning_rate loss missing_label n_components
        n_iter_no_change network noise
        optimizer output_activation random_state shuffle sparsity tol validation_fraction verbose
        warm_start""",
    "network": """activation code_activation dtype hidden_layer_sizes image_shape kl_weight
        label_kind n_components n_features n_label_outputs output_activation
        output_unit shortcut sparsity""",
}


def test_format_7_has_these_fields():
    """A new field needs a new number of the format, as the docstring of the format says."""
    assert skae._files.format.FORMAT == 7
    assert sorted(PARAMETERS) == FORMAT_7["parameters"].split()
    assert sorted(FIELDS) == FORMAT_7["network"].split()


def test_a_pipeline_of_it_needs_one_type_to_be_trusted():
    trusted = ["skae._autoencoder.AutoencoderTransformer"]
    frame = pd.DataFrame(X, columns=NAMES)
    pipe = make_pipeline(MinMaxScaler(), untrained(2)).fit(frame)
    dumped = skops.io.dumps(pipe)
    assert skops.io.get_untrusted_types(data=dumped) == trusted
    assert_array_equal(
        skops.io.loads(dumped, trusted=trusted).transform(frame), pipe.transform(frame)
    )


class Derived(AutoencoderTransformer):
    """A subclass, which a file would turn into its base class."""


def derived(estimator):
    vars(subclassed := Derived()).update(vars(estimator))
    return subclassed


def other(**attributes):
    """Return a function that sets attributes of an estimator."""

    def change(estimator):
        vars(estimator).update(attributes)
        return estimator

    return change


def config(**entries):
    return {"class_name": "Adam", "config": {}, **entries}


REFUSED = {
    "noise": (
        other(noise=lambda batch, rng: batch),
        r"set_params\(noise=None\) before saving, and set it",
    ),
    "network": (other(network=print), r"callable .*'network'.*models that to_keras\(\) returns"),
    "RandomState": (other(random_state=np.random.RandomState(0)), "Give an int"),
    "attribute": (other(colour="red"), "attributes that skae does not set. Got colour"),
    "subclass": (derived, "this is a Derived"),
    "fraction": (other(tol=fractions.Fraction(1, 9)), r"Got Fraction\(1, 9\) in the 'tol' param"),
    "large": (other(epochs=10**30), "integer of more than 64 bits"),
    "infinite": (other(noise=("gaussian", np.inf)), "not JSON compliant"),
    "invalid": (other(n_components=0), "must be an int in the range .* Got 0"),
    "wrong together": (other(kl_weight=1.0, code_activation="relu"), "it has to be linear"),
    "NaN": (other(weights_=[np.full((20, 2), np.nan)]), "tensors are not those of its network"),
    "another class": (other(optimizer=config(class_name="Mine")), "one of Keras' own classes"),
    "module": (other(optimizer=config(module="os")), "names one of Keras' own classes"),
    "registered": (other(optimizer=config(registered_name="a>Adam")), "of Keras' own classes"),
    "nested": (
        other(optimizer=config(config={"learning_rate": config()})),
        "options are plain numbers",
    ),
    "function": (
        other(loss={"class_name": "function", "config": "system", "module": "os"}),
        "The classes are BinaryCrossentropy, ",
    ),
    "zero in a name": (
        other(feature_names_in_=np.array(["a\0"] + ["b"] * 19, object)),
        "a feature name with a null character",
    ),
}


def test_callbacks_of_scikit_learn_are_left_out(fitted, tmp_path):
    """They follow a fit, and are no part of what was fitted."""
    fitted.save(tmp_path / "without")
    estimator = copy_of(fitted)
    estimator._skl_callbacks = [print]
    estimator._parent_callback_ctx = object()
    estimator.save(tmp_path / "with")
    assert (tmp_path / "with").read_bytes() == (tmp_path / "without").read_bytes()


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_file_cannot_hold_is_refused(fitted, name, tmp_path):
    """Nothing is lost silently, and no file is written that could not be loaded."""
    change, message = REFUSED[name]
    estimator = change(copy_of(fitted))
    with pytest.raises(ValueError, match=message):
        estimator.save(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_finite_are_refused(fitted, tmp_path):
    estimator = copy_of(fitted)
    estimator.weights_ = [array.copy() for array in fitted.weights_]
    estimator.weights_[0][1, 1] = np.nan
    with pytest.raises(ValueError, match="weights are not finite"):
        estimator.save(tmp_path / "file")


def test_an_unfitted_estimator_is_refused(tmp_path):
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        AutoencoderTransformer().save(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_save_that_fails_leaves_the_old_file(fitted, tmp_path, monkeypatch, error, where):
    def fail(*args):
        raise error

    (tmp_path / "file").write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(os, where, fail)
        with pytest.raises(type(error)):
            fitted.save(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_that_the_system_cuts_short_leaves_the_old_one(tmp_path):
    """A limit to the size of files, in the middle of the data, stands for a full disk."""
    estimator = untrained(32).fit(X)
    estimator.save(tmp_path / "file")
    before = (tmp_path / "file").read_bytes()
    estimator.set_params(tol=0.1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            estimator.save(tmp_path / "file")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "file").read_bytes() == before
    assert os.listdir(tmp_path) == ["file"]


def test_files_have_the_permissions_that_open_would_give(fitted, tmp_path):
    path = tmp_path / "file"
    before = os.umask(0o027)
    try:
        fitted.save(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    fitted.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


def test_a_link_stays_one_and_what_is_no_file_is_left_alone(fitted, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/file")
    fitted.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert skae.load(tmp_path / "folder" / "file").n_components == 2
    with pytest.raises(IsADirectoryError):
        fitted.save(tmp_path / "folder")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=r"Only regular files .*, and .*pipe' is not one"):
        fitted.save(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError, match=r"nowhere'$"):  # and no temporary file in it
        fitted.save(tmp_path / "nowhere" / "file")
    assert sorted(os.listdir(tmp_path)) == ["folder", "link", "pipe"]


def test_refusals_name_the_way_out(fitted, tmp_path, monkeypatch):
    """It is another copy of a damaged file, or another release for a later format."""
    path = tmp_path / "file"
    fitted.save(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(skae.ModelFileError, match="an intact copy of the file, or save the"):
        skae.load(path)
    fitted.save(path)
    monkeypatch.setattr("skae._files.format.FORMAT", 0)
    with pytest.raises(skae.ModelFileError, match=r"Install skae 0\.1\.0 or later\.$"):
        skae.load(path)


def test_another_version_warns(fitted, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("skae._files.state.__version__", "0.0.1")
        fitted.save(tmp_path / "file")
    with pytest.warns(
        InconsistentVersionWarning, match=r"a skae file from version 0\.0\.1 when"
    ) as caught:
        skae.load(tmp_path / "file")
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert "pickle" not in str(caught[0].message)
