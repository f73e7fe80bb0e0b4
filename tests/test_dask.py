"""Training on a cluster of Dask, and what is lazy for its arrays and frames."""

import os
import signal
import subprocess
import sys
import threading
import time

import cloudpickle
import dask
import dask.array as da
import dask.dataframe as dd
import joblib
import numpy as np
import pandas as pd
import psutil
import pytest
from distributed import Client, LocalCluster
from interrupts import interrupting
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from skae import AutoencoderTransformer
from skae._clusters import active_client, is_dask
from skae._dask import crew as crew_module
from skae._dask import task as task_module
from skae._dask import training
from skae._dask.cutting import cut
from skae._dask.results import lazily
from skae._dask.shares import shares
from skae._dask.training import Blocks, Trainer
from skae._data.noise import Corruption
from skae._data.rows import Rows
from skae._fitting.penalties import penalties_of
from skae._fitting.progress import Progress
from skae._fitting.resolve import resolve
from skae._fitting.start import start
from skae._fitting.training import recipe as recipe_of
from skae._fitting.units import in_units
from skae._framework import load_framework
from skae._network.labels import Head

X = (load_digits().data / 16).astype(np.float32)[:403]
SOON = 30  # seconds in which an error has to come


# Dask starts threads at any time, for which the tests of another file should not have to wait.
@pytest.fixture(scope="module")
def client(tmp_path_factory):
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "host": "127.0.0.1"}
    # Any free port, since two processes run the tests, and Dask warns if its own is taken.
    options["dashboard_address"] = "127.0.0.1:0"
    folder = tmp_path_factory.mktemp("dask")
    # Else Dask sets OMP_NUM_THREADS=1 in this process for good, and all later fits use one core.
    options["env"] = {"OMP_NUM_THREADS": "1"}
    with (
        dask.config.set({"distributed.nanny.pre-spawn-environ": {}}),
        LocalCluster(**options, local_directory=folder) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def _nothing_is_left(request):
    """After each test that uses the cluster, no rank runs, and no lock is held."""
    yield
    if "client" in request.fixturenames:
        assert all_gone()


def row_parts(X):
    return X.to_delayed() if hasattr(X, "iloc") else [*X.rechunk({1: -1}).to_delayed().ravel()]


def ranks():
    """Return the processes of ranks among those that this one has started."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "skae._dask.rank" in process.cmdline() and process.status() != "zombie":
                found.append(process)
        except psutil.NoSuchProcess:
            pass
    return found


def all_gone():
    """Return whether no rank runs. One whose task was cancelled as it began has a moment to end."""
    deadline = time.monotonic() + 5
    while ranks() and time.monotonic() < deadline:
        time.sleep(0.05)
    return ranks() == []


def count(monkeypatch, owner, name):
    """Return a list that grows with each call of a method or function."""
    calls, original = [], getattr(owner, name)

    def counted(*given):
        calls.append(given)
        return original(*given)

    monkeypatch.setattr(owner, name, counted)
    return calls


class Watch:
    """A monitor that does with losses what it is given, and notes how far the training is."""

    def __init__(self, look):
        self.look, self.done = look, []

    def __call__(self, losses, get_weights):
        return self.look(losses, get_weights)

    def advance(self, n_epochs):
        self.done.append(n_epochs)


class Problem:
    """What a fit hands to the training loop, here or on a cluster."""

    def __init__(self, X=X, weights=None, labels=None, head=None, **settings):
        load_framework()
        settings = {"hidden_layer_sizes": 12, "epochs": 4, "batch_size": 64} | settings
        estimator = AutoencoderTransformer(6, random_state=0, **settings)
        self.rows = Rows(X, weights, labels=labels)
        candidate = resolve(estimator, self.rows, None, head)
        candidate = candidate.with_settings(seed=0, progress=Progress(0, None))
        candidate = candidate.with_spec(output_activation="linear")
        candidate = candidate.with_settings(penalties=penalties_of(candidate, self.rows))
        self.begin, units = start(candidate, self.rows)
        rng = np.random.default_rng(0)  # away from PCA, where gradients are mostly rounding
        for array in self.begin:
            array += rng.normal(scale=0.1, size=array.shape).astype(array.dtype)
        self.spec = in_units(candidate.spec)
        recipe = recipe_of(candidate, len(X))
        penalties = units.penalties(self.spec, candidate.loss, recipe.penalties)
        self.recipe, self.units = recipe._replace(penalties=penalties), units
        self.losses = []

    def look(self, losses, get_weights):
        self.losses.extend(losses)
        assert len(get_weights()) == len(self.begin)
        return False

    def after_two(self, act):
        """Return a monitor that does something after two epochs, and notes when."""

        def look(losses, get_weights):
            if len(self.losses) == 2:
                act()
                self.acted = time.monotonic()
            return self.look(losses, get_weights)

        return look

    def here(self):
        """Train in this process."""
        from skae._keras.training import compiled, train

        self.losses = []
        program = compiled(self.spec, self.recipe, len(self.rows))
        rows, watch = self.units.rows(self.rows), Watch(self.look)
        weights = train(program, rows, self.begin, self.recipe, watch)
        return weights, self.losses

    def blocks(self, sizes):
        """Return the rows in parts of given sizes, and one more row that is not trained on."""
        rows = da.from_array(np.vstack([X[:1], self.rows.X]), chunks=(sizes, 30))
        orders = np.split(np.arange(-1, len(self.rows.X)), np.cumsum(sizes)[:-1])
        units = self.units.mean, self.units.scale
        return Blocks(
            row_parts(rows), orders, "float32", *units, self.rows.weights, self.rows.labels
        )

    def on(self, trainer, sizes=(200, 0, 7, 197), monitor=None, blocks=None):
        """Train on a cluster."""
        self.losses = []
        self.watch = Watch(monitor or self.look)
        given = self.spec, self.begin, self.recipe, self.watch
        return trainer.train(blocks or self.blocks(sizes), *given), self.losses


def assert_equal(one, other):
    for weights, expected in zip(one[0], other[0], strict=True):
        assert_allclose(weights, expected, rtol=0, atol=1e-6)
    assert_allclose(one[1], other[1], rtol=1e-5)


def test_two_ranks_end_as_one_process_does_in_each_run_of_a_fit(client, monkeypatch):
    """They stay for all runs, whatever is trained, and keep rows that are the same."""
    sent = count(monkeypatch, training, "_pieces")
    with Trainer(client) as trainer:
        # With labels and weights, and parts of any size, of which one is empty.
        rng = np.random.default_rng(0)
        labels = np.stack([rng.integers(3, size=len(X)), rng.random(len(X)) < 0.7], axis=1)
        given = {"labels": labels.astype(np.float32), "head": Head("classes", 3)}
        weights = rng.uniform(0.5, 3, len(X))
        problem = Problem(weights=weights, shuffle=False, label_weight=0.5, **given)
        blocks, expected = problem.blocks((200, 0, 7, 197)), problem.here()
        assert_equal(problem.on(trainer, blocks=blocks), expected)
        assert problem.watch.done[-1] == 4
        first = ranks()
        assert len(first) == 2
        assert_equal(problem.on(trainer, blocks=blocks), expected)
        assert len(sent) == 1

        # An optimizer that looks at all gradients. The last batch has one row, so that one of the
        # ranks has none.
        config = {"class_name": "SGD", "config": {"global_clipnorm": 0.1, "momentum": 0.9}}
        problem = Problem(X[:385], optimizer=config, shuffle=False)
        assert_equal(problem.on(trainer, (86, 300)), problem.here())

        problem = Problem(X[:385], epochs=8, noise=0.1, kl_weight=0.1)
        losses = problem.on(trainer, (86, 300))[1]
        assert len(losses) == 8
        assert losses[-1] < losses[0]
        assert ranks() == first

        problem = Problem(epochs=500)
        with pytest.raises(RuntimeError, match=r"rank \d of 2, on the worker .* killed by SIGKILL"):
            problem.on(trainer, monitor=problem.after_two(lambda: ranks()[1].kill()))
        assert time.monotonic() - problem.acted < SOON
        assert all_gone()


def test_the_next_fit_works_with_the_same_ranks_in_all_its_runs(client, monkeypatch):
    starts = count(monkeypatch, crew_module.Crew, "__enter__")
    runs = count(monkeypatch, training, "_follow")
    settings = {"hidden_layer_sizes": 12, "epochs": 2, "shuffle": False}
    estimator = AutoencoderTransformer(6, random_state=0, **settings)
    codes = estimator.fit(da.from_array(X, chunks=(200, 64))).transform(X)
    assert len(starts) == 1
    assert len(runs) > 1
    assert_allclose(codes, estimator.fit(X).transform(X), atol=1e-3)


def test_rows_are_kept_only_for_the_same_shares_weights_and_labels():
    weights, labels = np.ones(9, np.float32), np.zeros((9, 2), np.float32)
    one = Blocks([], [np.arange(5), np.arange(5, 9)], "float32", 0.0, 1.0, weights, labels)
    plan = shares(2, 9, 4)
    same = one._replace(orders=[a.copy() for a in one.orders], weights=weights.copy(), origin=1.0)
    assert training._same_rows((plan, one), (shares(2, 9, 4), same))
    others = [
        {"parts": []},
        {"orders": one.orders[::-1]},
        {"dtype": "float64"},
        {"weights": 2 * weights},
        {"weights": None},
        {"labels": 1 + labels},
        {"labels": None},
    ]
    for other in others:
        assert not training._same_rows((plan, one), (plan, one._replace(**other)))
    assert not training._same_rows((plan, one), (shares(2, 9, 5), one))


def test_all_ranks_make_a_program_anew_at_another_batch_size(monkeypatch):
    """Also those that have as many rows of a batch as before, or they would not wait for others."""
    load_framework()
    from skae._keras import ranks

    made: list = []
    monkeypatch.setattr(ranks, "_RankProgram", lambda *given: made.append(given) or given)
    for batch_size, n_batches in [(64, 7), (64, 6), (63, 6)]:
        place = ranks.Place(0, 2, batch_size, 32, n_batches)
        ranks._program(place, "network", "loss", "optimizer", False, False)
    assert len(made) == 2


def test_one_row_a_batch_is_trained_on_in_one_rank_and_what_it_raises_is_said(client):
    """Its shuffle is that of one process."""

    def spoiled(batch, rng):
        raise ZeroDivisionError("all is spoiled")

    problem, few = Problem(X[:30], batch_size=1, epochs=2), Problem(X[:30], batch_size=1)
    few.recipe = few.recipe._replace(corrupt=Corruption(None, spoiled))
    with Trainer(client) as trainer:
        assert_equal(problem.on(trainer, (31,)), problem.here())
        assert len(ranks()) == 1
        with pytest.raises(RuntimeError, match="raised ZeroDivisionError: all is spoiled"):
            few.on(trainer, (31,))
        assert all_gone()


@pytest.mark.parametrize("n_workers", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(("n_rows", "batch_size"), [(100, 32), (97, 32), (5, 32), (64, 64), (9, 2)])
def test_each_row_belongs_to_one_rank_and_batches_stay_whole(n_workers, n_rows, batch_size):
    plan, places = shares(n_workers, n_rows, batch_size), np.arange(n_rows)
    assert len(plan) == min(n_workers, n_rows, batch_size)
    assert_array_equal(sum(share.has(places).astype(int) for share in plan), 1)
    for share in plan:
        own = share.select(places)
        assert len(own) == share.n_own > 0
        assert_array_equal(share.positions(own), np.arange(share.n_own))
        batches = np.repeat(np.arange(share.n_batches), share.batch_rows)[: share.n_own]
        assert_array_equal(own // share.batch_size, batches)
    assert not any(share.has(np.array([-1])).any() for share in plan)


def test_parts_of_frames_and_sparse_arrays_are_cut():
    plan, places = shares(2, 4, 4), np.array([3, -1, 1, 0, 2])
    frame = pd.DataFrame({"a": [1, 2, 3, 4, None], "b": 7}).astype("Int64")
    for rows in row_parts(dd.from_pandas(frame, npartitions=1)):
        even, odd = cut(rows.compute(scheduler="sync"), places, plan, 2, "float32", "part 0")
    assert_array_equal(even[0], [0, 2])
    assert_array_equal(odd[0], [3, 1])
    assert_array_equal(even[1], np.array([[4, 7], [np.nan, 7]], np.float32))
    rows = sparse.csr_matrix(frame.fillna(0).to_numpy(np.float32))
    assert_array_equal(cut(rows, places, plan, 2, "float32", "part 0")[1][1], [[1, 7], [3, 7]])


def at_first_rank(act):
    """Do something with the first rank as soon as it runs."""

    def wait():
        while not (found := ranks()):
            time.sleep(0.02)
        act(found[0])

    threading.Thread(target=wait, daemon=True).start()


def test_a_killed_worker_is_an_error_and_its_rank_ends(client):
    problem, pids, killed = Problem(), client.run(os.getpid), []
    worker, pid = next(iter(pids.items()))

    def kill(_):
        os.kill(pid, signal.SIGKILL)
        killed.append(time.monotonic())

    at_first_rank(kill)
    message = f"on the worker {worker}, was lost, since its worker has left"
    with pytest.raises(RuntimeError, match=message), Trainer(client) as trainer:
        problem.on(trainer)
    assert time.monotonic() - killed[0] < SOON
    assert all_gone()
    client.wait_for_workers(2, timeout=SOON)


def test_a_worker_that_leaves_as_it_is_sent_something_is_lost(client, monkeypatch):
    """Dask raises a KeyError then, which does not say more."""

    def scatter(*_, **__):
        raise KeyError("one")

    crew = crew_module.Crew(client, ["one", "other"])
    failure = crew_module.Failure(0, "lost", "has left")
    monkeypatch.setattr(crew, "_check", lambda: crew._failures.append(failure))
    monkeypatch.setattr(client, "scatter", scatter)
    try:
        with pytest.raises(RuntimeError, match="rank 0 of 2, on the worker one, has left"):
            crew.give(0, b"a job")
    finally:
        crew.__exit__()


@pytest.mark.parametrize("kind", ["lost", "killed", "stopped", "raised"])
def test_a_lost_connection_is_not_taken_for_the_cause(client, monkeypatch, kind):
    """The ranks that are left lose it as soon as one has ended."""
    monkeypatch.setattr(crew_module, "CAUSES", 0.1)
    crew = crew_module.Crew(client, ["one", "other"])
    try:
        for rank, found in enumerate(["peer", kind]):
            crew._failures.append(crew_module.Failure(rank, found, f"has {found}"))
        assert f"rank 1 of 2, on the worker other, has {kind}. " in str(crew._failed())
    finally:
        crew.__exit__()


def test_a_stopped_rank_is_an_error(client):
    patience = task_module.STOPPED
    client.run(setattr, task_module, "STOPPED", 0.5)
    try:
        message = "was stopped for 0.5 seconds"
        at_first_rank(lambda rank: rank.suspend())
        with pytest.raises(RuntimeError, match=message), Trainer(client) as trainer:
            Problem().on(trainer)
    finally:
        client.run(setattr, task_module, "STOPPED", patience)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers")
def test_an_interrupt_ends_all_ranks(client):
    problem = Problem(epochs=100_000)
    at_first_rank(lambda rank: os.kill(os.getpid(), signal.SIGINT))
    with Trainer(client) as trainer:
        with interrupting(signal.SIGINT), pytest.raises(KeyboardInterrupt):
            problem.on(trainer)
        assert all_gone()  # whatever else the block does


def test_a_worker_that_does_not_come_is_named(client, monkeypatch):
    monkeypatch.setattr(crew_module, "MEETING", 1.0)
    busy = sorted(client.nthreads())[0]
    sleeping = client.submit(time.sleep, 2, workers=[busy], pure=False)
    begin = time.monotonic()
    with (
        pytest.raises(RuntimeError, match=f"after 1 seconds .*{busy}.* did not start"),
        Trainer(client) as trainer,
    ):
        Problem().on(trainer)
    assert time.monotonic() - begin < SOON
    sleeping.result()


def test_parts_of_other_widths_are_refused(client):
    problem = Problem()
    blocks = problem.blocks((200, 0, 7, 197))
    blocks.parts[2] = row_parts(da.from_array(X[:7, :-1]))[0]
    message = r"array of 64 columns .* shape \(7, 63\) in part 2"
    with pytest.raises(ValueError, match=message), Trainer(client) as trainer:
        problem.on(trainer, blocks=blocks)


CLIENT = """
import pickle, sys
from distributed import Client
from skae._dask.training import Trainer
if __name__ == "__main__":
    Trainer(Client(sys.argv[1])).train(*pickle.load(sys.stdin.buffer), None)
"""


def test_no_rank_outlives_its_client(client):
    """The client dies while the ranks start. Later, their tasks look for it in the same way."""
    problem = Problem()
    given = problem.blocks((404,)), problem.spec, problem.begin, problem.recipe
    command = [sys.executable, "-c", CLIENT, client.scheduler.address]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as other:
        other.stdin.write(cloudpickle.dumps(given))
        other.stdin.close()
        deadline = time.monotonic() + SOON
        while len(ranks()) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(ranks()) == 2
        other.kill()
    deadline = time.monotonic() + SOON
    while ranks() and time.monotonic() < deadline:
        time.sleep(0.1)


WORKER = """
import os, subprocess, sys, time
code = '''
import sys, time
from skae._dask.rank import end_with
sys.platform = sys.argv[2]
end_with(int(sys.argv[1]))
print("ready", flush=True)
time.sleep(100)
'''
children = []
for platform in sys.argv[1:]:
    given = None if platform == "linux" else subprocess.PIPE
    command = [sys.executable, "-c", code, str(os.getpid()), platform]
    children.append(subprocess.Popen(command, stdin=given, stdout=subprocess.PIPE))
for child in children:
    child.stdout.readline()
    print(child.pid, flush=True)
time.sleep(100)
"""


def test_a_rank_that_hangs_ends_with_its_worker():
    """On Linux by a signal, and elsewhere when its standard input ends."""
    platforms = ["linux", "another"] if sys.platform == "linux" else ["another"]
    command = [sys.executable, "-c", WORKER, *platforms]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        children = [psutil.Process(int(worker.stdout.readline())) for _ in platforms]
        worker.kill()
        for child in children:
            child.wait(timeout=SOON)


def test_a_search_on_a_cluster_finds_what_one_here_finds(client):
    # With one of them, since TensorFlow has to start in each.
    worker = next(iter(client.nthreads()))

    def best():
        estimator = AutoencoderTransformer(4, hidden_layer_sizes=(), random_state=0)
        search = GridSearchCV(estimator, {"n_components": [2, 5]}, cv=2).fit(X)
        return search.best_params_, search.cv_results_["mean_test_score"]

    with joblib.parallel_backend("dask", workers=[worker]):
        params, scores = best()
    assert params == best()[0] == {"n_components": 5}
    assert_allclose(scores, best()[1], rtol=1e-5)


def test_objects_of_dask_and_the_client_are_recognized(client):
    array, frame = da.ones((4, 3), chunks=2), dd.from_pandas(pd.DataFrame(X[:9]), npartitions=2)
    assert all(is_dask(one) for one in (array, array[:, 0], frame, frame[0]))
    assert not any(is_dask(one) for one in (X, pd.DataFrame(X), [[1]], None))
    assert active_client() is client
    assert client.submit(active_client, pure=False).result() is None


def test_without_dask_nothing_of_it_is_imported():
    code = "import sys, skae._clusters as d; d.is_dask(0); d.active_client(); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"dask", "distributed"} & {*out.stdout.split()}


def test_a_cluster_encodes(client):
    estimator = AutoencoderTransformer(3, hidden_layer_sizes=(), random_state=0).fit(X)
    codes = lazily(estimator, "transform", da.from_array(X, chunks=100)).compute()
    assert_allclose(codes, estimator.transform(X), atol=1e-6)
