"""What a user sees of a running fit, and scikit-learn's callbacks."""

import pickle
import re
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import skae
from skae import AutoencoderTransformer
from skae._fitting import components, training
from skae._framework import _START_UP

callback = pytest.importorskip("sklearn.callback", reason="callbacks came with scikit-learn 1.9")

DIGITS = load_digits().data[:400]
WIDE = DIGITS[:60] @ np.random.default_rng(0).normal(size=(64, 1100))
SMALL = {"hidden_layer_sizes": (8,), "output_activation": "linear", "random_state": 0}


class Recorder:
    """A callback that records the tasks and what is fitted at their ends."""

    def __init__(self, stop_after=None, X=None):
        self.begun, self.ended, self.scores = [], [], []
        self.stop_after, self.X = stop_after, X

    def setup(self, estimator, context):
        self.estimator = estimator

    def teardown(self, estimator, context):
        self.torn_down = True

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(context.task_name)

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        assert estimator is self.estimator
        assert y is X
        self.ended.append(context.task_name)
        if fitted_estimator is not None:
            self.scores.append(fitted_estimator.score(X))
        return self.ended.count("validation") == self.stop_after


@pytest.mark.parametrize("X", [DIGITS, WIDE], ids=["digits", "on scores"])
def test_callbacks_see_each_run_and_what_is_fitted_so_far(X):
    recorder = Recorder()
    estimator = AutoencoderTransformer(4, **SMALL).set_callbacks(recorder).fit(X)
    assert sorted(recorder.begun) == sorted(recorder.ended)
    runs = [name for name in recorder.begun if name != "validation"]
    assert runs[:2] == ["fit", "turn 1 of at most 5"]
    assert recorder.ended[-1] == "fit"
    assert recorder.scores[-1] == pytest.approx(estimator.score(X))
    n_first = recorder.ended.index("turn 1 of at most 5")
    assert recorder.scores[n_first - 1] > recorder.scores[0]
    assert recorder.torn_down


def test_a_fit_without_training_has_one_task():
    recorder = Recorder()
    AutoencoderTransformer(4, hidden_layer_sizes=()).set_callbacks(recorder).fit(DIGITS)
    assert recorder.begun == recorder.ended == ["fit"]


@pytest.mark.parametrize("stop_after", [1, 4])
def test_a_stop_ends_all_training_and_keeps_the_best_weights(stop_after):
    recorder = Recorder(stop_after)
    estimator = AutoencoderTransformer(4, **SMALL).set_callbacks(recorder).fit(DIGITS)
    assert recorder.begun.count("validation") == stop_after
    curve = estimator.validation_loss_curve_
    assert len(curve) == stop_after
    assert estimator.n_iter_ == estimator.validation_epochs_[int(np.argmin(curve))]
    assert 0 < estimator.gain_over_pca_ < 1


def test_a_stop_in_the_run_on_all_rows_keeps_what_was_validated():
    counted = Recorder()
    fit = AutoencoderTransformer(4, **SMALL).set_callbacks(counted).fit
    n_first = len(fit(DIGITS).validation_loss_curve_)
    estimator = AutoencoderTransformer(4, **SMALL).set_callbacks(Recorder(n_first + 2))
    estimator.fit(DIGITS)
    held_out = estimator.validation_loss_curve_[-1]
    assert np.square(estimator.reconstruct(DIGITS) - DIGITS).mean() < 1.2 * held_out


def test_a_stop_of_a_fixed_number_of_epochs():
    recorder = Recorder(2)
    estimator = AutoencoderTransformer(4, epochs=6, early_stopping=False, **SMALL)
    assert estimator.set_callbacks(recorder).fit(DIGITS).n_iter_ == 2


def test_a_callback_that_fails_leaves_the_estimator_as_it_was():
    class Failing(Recorder):
        def on_fit_task_end(self, estimator, context):
            raise ZeroDivisionError

    failing = Failing()
    estimator = AutoencoderTransformer(4, **SMALL).set_callbacks(failing)
    with pytest.raises(ZeroDivisionError):
        estimator.fit(DIGITS)
    assert not hasattr(estimator, "weights_")
    assert failing.torn_down
    assert set(vars(estimator)) == {*estimator.get_params(), "_skl_callbacks"}


def test_save_after_callbacks_and_pickles_without_state_of_a_fit(tmp_path):
    monitor = callback.ScoringMonitor(scoring={"kept": lambda fitted, X, y: fitted.score(X)})
    estimator = AutoencoderTransformer(4, **SMALL).set_callbacks(monitor).fit(DIGITS)
    estimator.save(tmp_path / "model.skae")
    loaded = skae.load(tmp_path / "model.skae")
    np.testing.assert_array_equal(loaded.transform(DIGITS), estimator.transform(DIGITS))
    assert not hasattr(loaded, "_skl_callbacks")
    private = {name for name in vars(estimator) if "callback" in name}
    assert private == {"_skl_callbacks"}
    estimator.set_callbacks()
    assert b"callback" not in pickle.dumps(estimator)


def test_progress_bars_through_a_pipeline_and_a_search(capfd):
    pipe = make_pipeline(StandardScaler(), AutoencoderTransformer(2, **SMALL))
    search = GridSearchCV(pipe, {"autoencodertransformer__n_components": [2, 3]}, cv=2, n_jobs=2)
    search.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(DIGITS)
    assert search.best_params_ == {"autoencodertransformer__n_components": 3}
    assert "GridSearchCV" in capfd.readouterr().out


SCRIPT = """
    import numpy as np
    from sklearn.callback import ProgressBar
    from skae import AutoencoderTransformer

    X = np.random.default_rng(0).normal(size=(100, 4)).astype("float32")
    estimator = AutoencoderTransformer(2, optimizer="sgd", learning_rate=1e20, epochs=5)
    estimator.set_params(hidden_layer_sizes=(4,)).set_callbacks(ProgressBar())
    try:
        estimator.fit(X)
    except ValueError as error:
        print("failed:", str(error)[:20])
"""


def test_a_fit_that_fails_under_a_progress_bar_leaves_a_process_that_exits():
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0
    assert "failed: The loss became nan" in run.stdout


QUIET = """
    import sys
    from skae._framework import load_framework

    load_framework(replay=bool(int(sys.argv[1])))
"""


@pytest.mark.parametrize("replay", [0, 1])
def test_start_up_lines_of_tensorflow_are_shown_on_request(replay):
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(QUIET), str(replay)],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert run.returncode == 0
    shown = [line for line in run.stderr.splitlines() if _START_UP.match(line.encode())]
    assert bool(shown) == bool(replay)


def test_a_search_for_components_starts_tensorflow_before_any_thread(monkeypatch):
    """Beside other threads its lines can't be kept off stderr."""
    running = []
    n_before = threading.active_count()
    for module in (components, training):
        load = module.load_framework
        monkeypatch.setattr(
            module,
            "load_framework",
            lambda load=load, **kw: (running.append(threading.active_count()), load(**kw)),
        )
    AutoencoderTransformer(0.8, **SMALL).fit(DIGITS)
    assert running[0] == n_before


def test_one_line_that_is_kept_up_to_date(capsys):
    AutoencoderTransformer(4, verbose=1, **SMALL).fit(DIGITS)
    lines = capsys.readouterr().out.splitlines()
    # The output is no terminal, so the line itself would be shown after ten seconds.
    assert [re.sub(r"\d[\d,.]*", "#", line).partition("]")[2] for line in lines] == [
        " turn # of at most #: trained on # rows, with those seen again",
        " all rows: trained on # rows, with those seen again",
        " kept the network after # epochs: on rows held out, the loss of the network is # times "
        "PCA's",
    ]


def test_the_line_in_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    AutoencoderTransformer(4, verbose=1, **SMALL).fit(DIGITS)
    shown = capsys.readouterr().out
    line = r"\r\[AutoencoderTransformer\] all rows: .*/\d+ epochs \[.*, loss [\d.]+\]"
    assert re.search(line, shown)
    assert re.search(r"loss [\d.]+, validation loss [\d.]+", shown)


def test_the_drawing_in_a_notebook_names_the_network():
    estimator = AutoencoderTransformer(4, **SMALL)
    assert "64 -&gt;" not in estimator._repr_html_()
    trained = estimator.fit(DIGITS)._repr_html_()
    assert "64 -&gt; 8 -&gt; 4 -&gt; 8 -&gt; 64" in trained
    assert "PCA kept" not in trained
    pipe = make_pipeline(
        MinMaxScaler(), AutoencoderTransformer(4, **{**SMALL, "hidden_layer_sizes": ()})
    )
    assert "64 -&gt; 4 -&gt; 64, PCA kept" in pipe.fit(DIGITS)._repr_html_()


def test_parameters_have_tooltips_once_there_is_a_link(monkeypatch):
    link = "https://example.org/{estimator_module}.{estimator_name}.html"
    estimator = AutoencoderTransformer()
    assert estimator._get_doc_link() == ""
    monkeypatch.setattr(AutoencoderTransformer, "_doc_link_template", link)
    expected = "https://example.org/skae.AutoencoderTransformer.html"
    assert estimator._get_doc_link() == expected
    assert estimator._repr_html_().count(f"{expected}#") >= len(estimator.get_params())


def test_who_follows_a_fit_does_not_change_it():
    for settings in ({}, {"noise": 0.2, "epochs": 20, "early_stopping": False}):
        silent = AutoencoderTransformer(4, **SMALL, **settings).fit(DIGITS)
        watched = AutoencoderTransformer(4, **SMALL, **settings).set_callbacks(Recorder())
        np.testing.assert_array_equal(
            watched.fit(DIGITS).transform(DIGITS), silent.transform(DIGITS)
        )
