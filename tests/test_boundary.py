"""Only training needs TensorFlow, and it leaves the process as it was."""

import importlib.metadata
import os
import pickle
import random
import re
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits

import skae
from skae import AutoencoderTransformer

X = (load_digits().data[:500] / 16).astype(np.float32)


def run(code, *arguments, **environment):
    """Run code in a new process that sees the installed package, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env={**os.environ, **environment},
        cwd=os.path.dirname(os.path.dirname(skae.__file__)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


DENSE = {
    "shallow": {},
    "deep": {"hidden_layer_sizes": (16,)},
    "denoising and sparse": {"noise": 0.3, "sparsity": 1e-3},
    "deep variational": {"hidden_layer_sizes": (16,), "kl_weight": 1.0},
}


@pytest.fixture(scope="module")
def pickled(tmp_path_factory):
    """Return fitted estimators with dense layers, and the paths of their pickles."""
    folder, estimators = tmp_path_factory.mktemp("pickles"), {}
    for name, parameters in DENSE.items():
        settings = {"epochs": 3, "early_stopping": False, "random_state": 0}
        path = folder / f"{name}.pickle"
        estimators[path] = AutoencoderTransformer(4, **settings, **parameters).fit(X)
        path.write_bytes(pickle.dumps(estimators[path]))
    return estimators


def test_nothing_but_training_imports_tensorflow(pickled):
    out = run(
        """
        import pickle, sys
        import numpy as np
        import skae
        X = np.linspace(0, 1, 128, dtype=np.float32).reshape(2, 64)
        for path in sys.argv[1:]:
            estimator = pickle.loads(open(path, "rb").read())
            repr(estimator), estimator._repr_html_(), dir(estimator)
            codes = estimator.transform(X)
            if hasattr(estimator, "sample"):
                estimator.sample(2)
            estimator.inverse_transform(codes), estimator.reconstruct(X), estimator.score(X)
            print(codes.tobytes().hex())
        Z = np.random.default_rng(0).normal(size=(50, 5))
        skae.AutoencoderTransformer(2, hidden_layer_sizes=()).fit(Z)
        print(sorted({"tensorflow", "keras", "skae._keras", "matplotlib"} & set(sys.modules)))
        """,
        *pickled,
    )
    rows = np.linspace(0, 1, 128, dtype=np.float32).reshape(2, 64)
    codes = [estimator.transform(rows).tobytes().hex() for estimator in pickled.values()]
    assert out.split() == [*codes, "[]"]


def test_another_process_trains_the_same_bits():
    out = run(
        """
        import numpy as np
        from sklearn.datasets import load_digits
        from skae import AutoencoderTransformer
        X = (load_digits().data[:500] / 16).astype(np.float32)
        estimator = AutoencoderTransformer(4, hidden_layer_sizes=(8,), random_state=3).fit(X)
        print(estimator.transform(X).tobytes().hex())
        """
    )
    estimator = AutoencoderTransformer(4, hidden_layer_sizes=(8,), random_state=3).fit(X)
    assert out.strip() == estimator.transform(X).tobytes().hex()


def test_import_prints_nothing_and_changes_no_environment():
    out = run(
        """
        import os
        before = dict(os.environ)
        import skae
        assert dict(os.environ) == before
        """
    )
    assert out == ""


def test_a_fit_restores_the_environment_and_prints_nothing():
    """The environment names a worker's number of threads only while TensorFlow is imported."""
    out = run(
        """
        import os
        import numpy as np
        from skae import AutoencoderTransformer
        before = dict(os.environ)
        X = np.random.default_rng(0).uniform(size=(100, 8))
        AutoencoderTransformer(2, epochs=1).fit(X)
        changed = {name for name in before.keys() | os.environ.keys()
                   if before.get(name) != os.environ.get(name)}
        # TensorFlow sets some variables of its own.
        print([name for name in changed if "THREADS" in name])
        """,
        OMP_NUM_THREADS="1",
        TF_NUM_INTEROP_THREADS="2",
    )
    assert out.strip() == "[]"


def test_an_interrupt_while_tensorflow_is_imported_does_not_spoil_the_process():
    """TensorFlow can't be imported again after an interrupted import, so it is completed."""
    out = run(
        """
        import signal, sys
        import numpy as np
        from skae import AutoencoderTransformer
        X = np.random.default_rng(0).uniform(size=(100, 8))
        estimator = AutoencoderTransformer(2, epochs=1)
        before = dict(vars(estimator))
        signal.signal(signal.SIGINT, signal.default_int_handler)  # else background jobs ignore it

        class Interrupt:
            def find_spec(self, name, path=None, target=None):
                if name == "tensorflow.python.ops.ragged.ragged_operators":
                    signal.raise_signal(signal.SIGINT)

        sys.meta_path.insert(0, Interrupt())
        try:
            estimator.fit(X)
        except KeyboardInterrupt:
            print("interrupted", vars(estimator) == before)
        print(estimator.fit(X).transform(X).shape)
        """
    )
    assert out.splitlines() == ["interrupted True", "(100, 2)"]


def test_global_state_is_left_alone(monkeypatch):
    import keras
    import tensorflow as tf

    from skae._keras import training

    monkeypatch.setattr(training, "_programs", training.Cache(32))  # so that they are compiled here

    keras.config.set_dtype_policy("mixed_float16")
    keras.config.set_floatx("float16")
    expected = AutoencoderTransformer(4, epochs=3, random_state=0)
    try:
        np.random.seed(0)  # noqa: NPY002 (the test looks at the global generator)
        random.seed(0)
        tf.random.set_seed(0)
        states = repr(np.random.get_state()), random.getstate()  # noqa: NPY002 (likewise)
        under_policy = expected.fit(X).transform(X)
        AutoencoderTransformer(4, epochs=1, init="glorot_uniform").fit(X).to_keras()
        assert (repr(np.random.get_state()), random.getstate()) == states  # noqa: NPY002 (likewise)
        assert keras.config.dtype_policy().name == "mixed_float16"
        assert keras.config.floatx() == "float16"
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
    assert_array_equal(expected.fit(X).transform(X), under_policy)


def test_another_backend_of_keras_is_refused_with_a_way_out():
    out = run(
        """
        import sys, types
        import numpy as np
        from skae import AutoencoderTransformer
        import keras
        keras.backend.backend = lambda: "jax"
        try:
            AutoencoderTransformer(2, epochs=1).fit(np.random.default_rng(0).uniform(size=(50, 8)))
        except ImportError as error:
            print(error)
        """
    )
    assert "Got the backend 'jax' instead. Set KERAS_BACKEND=tensorflow" in out


def test_threads_transform_at_once(pickled):
    expected = [estimator.transform(X) for estimator in pickled.values()]
    with ThreadPoolExecutor(16) as pool:
        codes = pool.map(lambda estimator: estimator.transform(X), 200 * [*pickled.values()])
        for found, alone in zip(codes, 200 * expected, strict=True):
            assert_array_equal(found, alone)


def test_threads_train_at_once():
    """Fits that share a compiled loop wait for each other, and end as they do alone."""
    expected = [AutoencoderTransformer(4, epochs=3, random_state=i).fit(X) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        fits = pool.map(
            lambda i: AutoencoderTransformer(4, epochs=3, random_state=i).fit(X), range(4)
        )
        for one, other in zip(fits, expected, strict=True):
            assert_array_equal(one.transform(X), other.transform(X))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
def test_a_child_forked_before_tensorflow_started_trains_the_same_bits():
    out = run(
        """
        import os
        import numpy as np
        from skae import AutoencoderTransformer
        X = np.random.default_rng(0).uniform(size=(100, 8))
        read, write = os.pipe()
        child = os.fork()
        codes = AutoencoderTransformer(2, epochs=2, random_state=0).fit(X).transform(X)
        if child == 0:
            os.write(write, codes.tobytes())
            os._exit(0)
        os.wait()
        print(os.read(read, 10_000) == codes.tobytes())
        """
    )
    assert out.strip() == "True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
def test_a_forked_child_transforms_and_refuses_to_train():
    out = run(
        """
        import os
        import numpy as np
        from skae import AutoencoderTransformer
        X = np.random.default_rng(0).uniform(size=(100, 8))
        estimator = AutoencoderTransformer(2, epochs=2, random_state=0).fit(X)
        codes = estimator.transform(X)
        images = AutoencoderTransformer(2, epochs=1, image_shape=(2, 4), hidden_layer_sizes=2)
        images.fit(X)
        linear = AutoencoderTransformer(2, hidden_layer_sizes=(), warm_start=True)
        linear.fit(X - 0.5)  # PCA, without training
        read, write = os.pipe()
        if os.fork() == 0:
            message = str(np.array_equal(estimator.transform(X), codes))
            for refused in (
                estimator.fit,
                estimator.set_params(loss="mae").fit,
                estimator.set_params(loss="mse", sparsity=1e-3).fit,
                images.transform,
                lambda X: linear.fit(X - 0.5),
            ):
                try:
                    refused(X)
                except RuntimeError as error:
                    message += f" {error}"
            os.write(write, message.encode())
            os._exit(0)
        os.wait()
        print(os.read(read, 10_000).decode())
        """
    )
    assert out.count("This process was forked from one in which TensorFlow had started") == 5
    assert out.startswith("True This process was forked from one in which TensorFlow had started")
    assert "'spawn'" in out


# What the user has started, and when skae is imported. Only an operation starts threads.
STARTED = {
    ("devices", "in the child"): "trained True",
    ("devices", "before"): "trained True",
    ("operation", "in the child"): "forked from one in which TensorFlow had started",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
def test_a_child_refuses_to_train_if_the_user_had_started_tensorflow():
    """It refuses only then: it would hang or die once TensorFlow has threads in the parent."""
    code = """
        import os, sys, time
        started, imported = sys.argv[1:]
        if imported == "before":
            import skae
        import tensorflow as tf
        tf.config.list_physical_devices() if started == "devices" else tf.constant(1.0)
        read, write = os.pipe()
        if os.fork() == 0:
            import numpy as np
            from skae import AutoencoderTransformer
            X = np.random.default_rng(0).uniform(size=(60, 8))
            images = {"image_shape": (2, 4), "hidden_layer_sizes": (3,), "epochs": 1}
            begin, words = time.monotonic(), ""
            for settings in ({"hidden_layer_sizes": (50,), "epochs": 2}, images):
                try:
                    codes = AutoencoderTransformer(2, **settings).fit(X).transform(X)
                    words += f"trained {np.isfinite(codes).all()}; "
                except RuntimeError as error:
                    words += f"{error}; "
            words += f"in time {time.monotonic() - begin < 60}"
            os.write(write, words.encode())
            os._exit(0)
        os.wait()
        print(os.read(read, 10_000).decode())
    """
    with ThreadPoolExecutor(len(STARTED)) as pool:  # a child that refuses waits for ten seconds
        printed = pool.map(lambda case: run(code, *case), STARTED)
        for out, outcome in zip(printed, STARTED.values(), strict=True):
            assert out.rstrip().endswith("in time True")
            assert out.count(outcome) == 2


def test_workers_of_joblib_train_after_the_user_started_tensorflow():
    out = run(
        """
        import joblib
        import numpy as np
        import tensorflow as tf
        from skae import AutoencoderTransformer
        tf.constant(1.0)
        X = np.random.default_rng(0).uniform(size=(100, 8))
        estimator = AutoencoderTransformer(2, hidden_layer_sizes=(9,), epochs=2, random_state=0)
        fits = joblib.Parallel(2)(joblib.delayed(estimator.fit)(X) for _ in range(2))
        print([np.allclose(fit.transform(X), estimator.fit(X).transform(X)) for fit in fits])
        """
    )
    assert out.strip() == "[True, True]"


BLOCKED = """
        import sys

        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in sys.argv[1].split(","):
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        sys.meta_path.insert(0, Absent())
"""


def test_a_machine_without_tensorflow_and_keras_serves(pickled):
    """Everything but training works from files and from pickles, to the bit."""
    for path, estimator in pickled.items():
        estimator.save(path.with_suffix(".safetensors"))
    out = run(
        BLOCKED
        + """
        import pathlib, pickle
        import numpy as np
        import skae
        X = np.linspace(0, 1, 128, dtype=np.float32).reshape(2, 64)
        for path in map(pathlib.Path, sys.argv[2:]):
            for estimator in (
                pickle.loads(path.read_bytes()), skae.load(path.with_suffix(".safetensors"))
            ):
                codes = estimator.transform(X)
                print(codes.tobytes().hex(), estimator.inverse_transform(codes).tobytes().hex())
        Z = np.random.default_rng(0).normal(size=(50, 5))
        linear = skae.AutoencoderTransformer(2, hidden_layer_sizes=())
        assert linear.fit(Z).score(Z) > 0.4  # PCA, without training
        """,
        "tensorflow,keras",
        *pickled,
    )
    rows, expected = np.linspace(0, 1, 128, dtype=np.float32).reshape(2, 64), []
    for estimator in pickled.values():
        codes = estimator.transform(rows)
        decoded = estimator.inverse_transform(codes)
        expected += 2 * [codes.tobytes().hex(), decoded.tobytes().hex()]
    assert out.split() == expected


@pytest.mark.parametrize("absent", ["tensorflow", "keras"])
def test_what_needs_tensorflow_says_how_to_install_it(absent):
    out = run(
        BLOCKED
        + """
        import numpy as np
        from skae import AutoencoderTransformer
        X = np.random.default_rng(0).uniform(size=(50, 8))
        plain = AutoencoderTransformer(2, hidden_layer_sizes=()).fit(X - 0.5)
        images = AutoencoderTransformer(2, hidden_layer_sizes=()).fit(X - 0.5)
        images.network_ |= {"image_shape": (2, 4, 1), "hidden_layer_sizes": (3,)}
        custom = AutoencoderTransformer(2, hidden_layer_sizes=()).fit(X - 0.5)
        custom.network_ |= {"network": len}
        deep = AutoencoderTransformer(2, hidden_layer_sizes=(4,))
        for call in (
            lambda: deep.fit(X),
            lambda: AutoencoderTransformer(2, loss="mae").fit(X),
            lambda: AutoencoderTransformer(2, network=len).fit(X),
            plain.to_keras,
            lambda: images.transform(X),
            lambda: custom.inverse_transform(X[:, :2]),
        ):
            try:
                call()
            except ImportError as error:
                print(type(error).__name__, error.name, error)
        assert not hasattr(deep, "weights_")
        """,
        absent,
    )
    lines = out.splitlines()
    assert len(lines) == 6
    for line in lines:
        assert line.startswith(f"ImportError {absent} skae needs TensorFlow and Keras")
        assert 'pip install "tensorflow>=2.19" "keras>=3.15.1"' in line


def test_the_command_to_install_has_the_versions_of_the_package():
    from skae._framework import NOT_INSTALLED

    floors = [n for n in importlib.metadata.requires("skae") if re.match("keras|tensorflow", n)]
    assert len(floors) == 2
    assert all(f'"{floor}"' in NOT_INSTALLED for floor in floors)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc")
@pytest.mark.parametrize(
    ("vary", "hidden", "n_fits"),
    [("number of rows", (), 40), ("nothing", (16,), 24)],
    ids=["number of rows", "hidden layers"],
)
def test_memory_does_not_grow_with_fits(vary, hidden, n_fits):
    """Memory grows by at most 10 MB after the 20th fit, of other rows each time or of the same.

    With hidden layers two runs at a time have memory of their own for each thread, which grows
    until all threads have had their share, so only the second half of the fits counts.
    """
    out = run(
        """
        import ctypes, gc, os, sys
        import numpy as np
        from skae import AutoencoderTransformer

        def megabytes():
            gc.collect()
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
            if trim:
                trim(0)  # else glibc keeps some of the freed memory, by chance
            pages = int(open("/proc/self/statm").read().split()[1])
            return pages * os.sysconf("SC_PAGESIZE") / 2**20

        vary, hidden, n_fits = sys.argv[1] == "number of rows", eval(sys.argv[2]), int(sys.argv[3])
        X = np.random.default_rng(0).uniform(size=(2000, 64)).astype(np.float32)
        settings = {"hidden_layer_sizes": hidden, "epochs": "auto" if hidden else 3}
        for i in range(n_fits):
            n_rows = 100 + 47 * i if vary else 100 if hidden else 300
            AutoencoderTransformer(8, random_state=i, **settings).fit(X[:n_rows])
            if i == (n_fits // 2 if hidden else 19):
                before = megabytes()
        print(megabytes() - before)
        """,
        vary,
        hidden,
        n_fits,
    )
    assert float(out) < 10


def test_pickles_are_weights_and_a_little_and_the_same_each_time():
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(300, 784)).astype(np.float32)
    estimator = AutoencoderTransformer(32, epochs=2, random_state=0).fit(images)
    pickled = pickle.dumps(estimator)
    weights = sum(array.nbytes for array in estimator.weights_)
    assert len(pickled) <= weights + 8 * 1024
    assert pickle.dumps(estimator) == pickled
    assert joblib.hash(pickle.loads(pickled)) == joblib.hash(estimator)


def test_an_older_pickle_warns():
    from sklearn.exceptions import InconsistentVersionWarning

    state = AutoencoderTransformer(2).__getstate__()
    with pytest.warns(InconsistentVersionWarning, match=r"from version 0\.0\.1 when"):
        AutoencoderTransformer(2).__setstate__({**state, "_skae_version": "0.0.1"})
