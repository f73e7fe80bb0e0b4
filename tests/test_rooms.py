"""The rooms of skae import only from rooms below them."""

import ast
import pathlib

import pytest

import skae

PACKAGE = pathlib.Path(skae.__file__).parent
# These are the rooms from the top down. CONTRIBUTING.md has the same table with reasons.
ROOMS = {
    "__main__": {"_show_versions"},
    "__init__": {"_autoencoder", "_files", "_loading", "_outliers", "_show_versions"},
    "onnx": {"_autoencoder", "_data", "_network"},
    "displays": {"_autoencoder", "_data"},
    "_outliers": {"_autoencoder"},
    "_loading": {"_autoencoder", "_files", "_parameters"},
    "_autoencoder": {
        *("_data", "_files", "_fitting", "_keras", "_network", "_parameters", "_reconstruction"),
        *("_dask", "_storage", "_streaming"),
    },
    "_storage": {"_data", "_files", "_network"},
    "_streaming": {"_data", "_fitting", "_network"},
    "_reconstruction": {"_data", "_fitting", "_network"},
    "_files": {"_network", "_parameters"},
    "_fitting": {"_dask", "_data", "_keras", "_network", "_parameters"},
    "_parameters": {"_data", "_network"},
    "_dask": {"_data", "_keras"},
    "_keras": {"_network"},
    "_data": {"_network"},
    "_network": set(),
    "_show_versions": set(),
}
# These modules do one thing each. They import nothing of skae, and every room may import them.
SINGLE = {"_clusters", "_rollback", "_scatter", "_scikit_learn", "_threads", "_version"}
# This module makes the import of `_keras` safe, in a thread, so it alone may import it.
SINGLE_WITH_KERAS = {"_framework"}
# This is the only import upwards, for networks that NumPy can't run.
EXCEPTIONS = {("_network/inference.py", "_by_keras", "_keras")}


def room_of(path):
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def arrows(tree, path):
    """Yield each import of another room, as the function that it is in, or None, and the room."""
    for node in ast.walk(tree):
        within = node.name if isinstance(node, ast.FunctionDef) else getattr(node, "within", None)
        for child in ast.iter_child_nodes(node):
            child.within = within
        for name in imported(node):
            parts = name.split(".")
            if parts[0] == "skae" and len(parts) > 1 and parts[1] != room_of(path):
                yield within, parts[1]


def imported(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    return [f"{node.module}.{alias.name}" for alias in node.names]


def upwards(source, path):
    """Return the imports that the table does not allow."""
    room, place = room_of(path), path.relative_to(PACKAGE).as_posix()
    allowed = ROOMS.get(room, set()) | SINGLE | SINGLE_WITH_KERAS
    if room in SINGLE | SINGLE_WITH_KERAS:
        allowed = {"_keras", "_threads"} if room in SINGLE_WITH_KERAS else set()
    return [
        (place, function, target)
        for function, target in arrows(ast.parse(source), path)
        if target not in allowed and (place, function, target) not in EXCEPTIONS
    ]


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_arrows_run_downwards(path):
    assert upwards(path.read_text(), path) == []


def test_every_room_is_in_the_table():
    assert {room_of(path) for path in FILES} == ROOMS.keys() | SINGLE | SINGLE_WITH_KERAS


def test_the_table_has_no_circle():
    order = list(ROOMS)
    for room, below in ROOMS.items():
        assert all(order.index(target) > order.index(room) for target in below - SINGLE), room


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("_network/spec.py", "from skae._data.rows import Rows"),
        ("_data/rows.py", "import skae._fitting.fit"),
        ("_keras/networks.py", "def build():\n    from skae import _autoencoder"),
        ("_network/inference.py", "def encode():\n    from skae._keras import inference"),
        ("_threads.py", "from skae._network.spec import NetworkSpec"),
    ],
)
def test_an_arrow_upwards_is_found(place, line):
    assert upwards(line, PACKAGE / place)
