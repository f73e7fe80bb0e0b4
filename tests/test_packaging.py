"""What is installed: its version, its types, its command, and what it needs where."""

import importlib.metadata
import pathlib
import re
import subprocess
import sys
import tomllib

import skae

ROOT = pathlib.Path(__file__).parents[1]


def run(*arguments, **options):
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, **options
    )
    return done.stdout + done.stderr


def test_the_version_is_the_same_everywhere():
    assert importlib.metadata.version("skae") == skae.__version__
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited[1] == skae.__version__


COMMAND = """
import runpy, sys
runpy.run_module("skae", run_name="__main__")  # as python -m skae does
print("imported:", {"keras", "tensorflow"} & {*sys.modules})
"""


def test_the_command_prints_the_versions_and_does_not_import_tensorflow(tmp_path):
    printed = run("-c", COMMAND, cwd=tmp_path)
    lines = dict(re.findall(r"^ *(\S+): (.*)$", printed, re.MULTILINE))
    for name in ("numpy", "scipy", "scikit-learn", "keras", "tensorflow"):
        assert lines[name] == importlib.metadata.version(name)
    assert lines["skae"] == skae.__version__
    assert lines["python"] == sys.version.replace("\n", "")
    assert re.search(r", \d+ threads, ", lines["blas"])
    assert lines["imported"] == "set()"


def test_versions_of_what_is_missing(monkeypatch, capsys):
    def version(name):
        if name == "tensorflow":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(importlib.metadata, "version", version)
    skae.show_versions()
    printed = capsys.readouterr().out
    assert "tensorflow: not installed\n" in printed
    assert "keras: 1.0\n" in printed


PROGRAM = """
import skae
from skae.displays import LossCurveDisplay
estimator = skae.load("model.safetensors")
reveal_type(estimator)
reveal_type(estimator.fit([[0.0]]))
reveal_type(estimator.transform([[0.0]]))
reveal_type(estimator.sample(2))
reveal_type(skae.AutoencoderOutlierDetector().fit([[0.0]]).predict([[0.0]]))
reveal_type(LossCurveDisplay.from_estimator(estimator))
"""


def test_mypy_knows_what_users_get(tmp_path):
    """In its strict mode too, which takes calls of functions without types for errors."""
    (tmp_path / "program.py").write_text(PROGRAM)
    printed = run("-m", "mypy", "--strict", "--cache-dir=.cache", "program.py", cwd=tmp_path)
    assert "error" not in printed
    # Without the parameters of a generic type, which are not the same in all versions of NumPy.
    assert re.findall(r'Revealed type is "([^["]*)', printed) == [
        "skae._autoencoder.AutoencoderTransformer",
        "skae._autoencoder.AutoencoderTransformer",
        "numpy.ndarray",
        "numpy.ndarray",
        "numpy.ndarray",
        "skae.displays._loss_curve.LossCurveDisplay",
    ]


def test_the_readme_installs_all_but_the_framework_where_nothing_is_trained():
    line = re.search(r"^.*--no-deps.*$", (ROOT / "README.md").read_text(), re.MULTILINE)[0]
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    framework = {text for text in needed if text.startswith(("keras>", "tensorflow>"))}
    assert {*re.findall('"(.*?)"', line)} == {*needed} - framework
