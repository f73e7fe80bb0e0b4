"""Training on a cluster of Dask, and what is lazy for its arrays and frames."""

import os
import signal
import subprocess
import sys
import time

import cloudpickle
import dask.array as da
import dask.dataframe as dd
import joblib
import numpy as np
import pandas as pd
import psutil
import pytest
from distributed import Client, LocalCluster
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from skae import AutoencoderTransformer
from skae._dask import active_client, is_dask
from skae._dask import crew as crew_module
from skae._dask.lazy import lazily
from skae._dask.shares import shares
from skae._dask.training import Blocks, train
from skae._data.rows import Rows
from skae._fitting.progress import Progress
from skae._fitting.resolve import resolve
from skae._fitting.start import start
from skae._fitting.training import recipe as recipe_of
from skae._fitting.units import in_units
from skae._framework import load_framework
from skae._network.labels import Head

X = (load_digits().data / 16).astype(np.float32)[:403]
SOON = 30  # seconds in which an error has to come


@pytest.fixture(scope="session")
def client():
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True}
    with (
        LocalCluster(**options, host="127.0.0.1", dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def _nothing_is_left(request):
    """After each test that uses the cluster, no rank runs, and no lock is held."""
    yield
    if "client" in request.fixturenames:
        assert ranks() == []


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
        self.begin, units = start(candidate, self.rows)
        rng = np.random.default_rng(0)  # away from PCA, where gradients are mostly rounding
        for array in self.begin:
            array += rng.normal(scale=0.1, size=array.shape).astype(array.dtype)
        self.spec = in_units(candidate.spec)
        recipe = recipe_of(candidate, len(X))
        self.recipe = recipe._replace(penalties=units.penalties(self.spec, candidate.loss, recipe.penalties))
        self.units = units
        self.losses = []

    def look(self, losses, get_weights):
        self.losses.extend(losses)
        assert len(get_weights()) == len(self.begin)
        return False

    def here(self):
        """Train in this process."""
        from skae._keras.training import compiled, train

        self.losses = []
        program = compiled(self.spec, self.recipe, len(self.rows))
        weights = train(program, self.units.rows(self.rows), self.begin, self.recipe, self.look)
        return weights, self.losses

    def blocks(self, sizes):
        """Return the rows in parts of given sizes, and one more row that is not trained on."""
        parts = np.split(np.vstack([X[:1], self.rows.X]), np.cumsum(sizes)[:-1])
        orders = np.split(np.arange(-1, len(self.rows.X)), np.cumsum(sizes)[:-1])
        parts = [da.from_array(part, chunks=-1).to_delayed().item() for part in parts]
        units = self.units.mean, self.units.scale
        return Blocks(parts, orders, "float32", *units, self.rows.weights, self.rows.labels)

    def on(self, client, sizes=(200, 0, 7, 197), monitor=None):
        """Train on a cluster."""
        self.losses = []
        given = self.spec, self.begin, self.recipe, monitor or self.look
        return train(client, self.blocks(sizes), *given), self.losses


def unshuffled(problem, monkeypatch):
    problem.recipe = problem.recipe._replace(shuffle=False)
    return problem
