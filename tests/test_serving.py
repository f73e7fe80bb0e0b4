"""The example of a web server answers from workers without TensorFlow."""

import importlib.util
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
import skops.io
from sklearn.datasets import load_digits

from skae import AutoencoderTransformer

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"
ROWS = load_digits().data[:3]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("serve", EXAMPLES / "serve_pipeline.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored(example, tmp_path_factory):
    """Return the path of a stored Pipeline whose network is PCA, so that nothing is compiled."""
    path = str(tmp_path_factory.mktemp("serving") / "digits.skops")
    example.fit_and_store(path, AutoencoderTransformer(8, output_activation="linear"))
    return path


def call(app, body):
    """Return the status and the answer of a WSGI callable."""
    seen = []
    environ = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
    answer = b"".join(app(environ, lambda status, headers: seen.append((status, dict(headers)))))
    status, headers = seen[0]
    assert headers == {"Content-Type": "application/json", "Content-Length": str(len(answer))}
    return status, json.loads(answer)


def test_answers_are_those_of_the_pipeline(example, stored):
    pipe = skops.io.load(stored, trusted=["skae._autoencoder.AutoencoderTransformer"])
    status, answer = call(example.create_app(stored), json.dumps(ROWS.tolist()).encode())
    assert status == "200 OK"
    assert answer["labels"] == pipe.predict(ROWS).tolist()
    # Answers are rounded to six decimals.
    assert np.abs(answer["probabilities"] - pipe.predict_proba(ROWS)).max() <= 1e-6


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"", "400", "Expecting value"),
        (b"[[1, 2]]", "400", "X has 2 features, but MinMaxScaler is expecting 64"),
        (b"[[1], [1, 2]]", "400", "inhomogeneous"),
        (b'{"rows": 1}', "400", "not 'dict'"),
        (json.dumps([[float("nan")] * 64]).encode(), "400", "Input X contains NaN"),
        (b"[" * 100_000, "400", "recursion"),
        (b" " * (2**20 + 1), "413", "At most 1048576 bytes"),
    ],
    ids=["nothing", "width", "ragged", "object", "nan", "nested", "large"],
)
def test_bad_requests_are_answered_with_what_is_wrong(example, stored, body, status, error):
    got, answer = call(example.create_app(stored), body)
    assert got.startswith(status)
    assert error in answer["error"]


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="what is loaded is in /proc")
def test_workers_serve_without_tensorflow(stored, tmp_path):
    log = tmp_path / "log"
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--workers", "2"),
            *("--preload", "--chdir", str(EXAMPLES), "--error-logfile", str(log)),
            f"serve_pipeline:create_app({stored!r})",
        ],
        # gunicorn keeps its control socket in the home directory.
        env={**os.environ, "HOME": str(tmp_path)},
    )
    try:
        workers, written = [], ""
        for _ in range(600):
            if len(workers) == 2 or server.poll() is not None:
                break
            time.sleep(0.1)
            written = log.read_text() if log.exists() else ""
            workers = re.findall(r"Booting worker with pid: (\d+)", written)
        assert len(workers) == 2, written
        address = re.search(r"http://127\.0\.0\.1:\d+", written)[0]
        body = json.dumps(ROWS.tolist()).encode()
        for _ in range(4):
            with urllib.request.urlopen(address, body, timeout=30) as answer:
                assert len(json.load(answer)["labels"]) == 3
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(address, b"[[1]]", timeout=30)
        for pid in (server.pid, *workers):
            maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
            assert "numpy" in maps
            assert "tensorflow" not in maps
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
