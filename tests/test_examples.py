"""Each example is a page of the gallery, with a title and cells that can be copied one by one."""

import ast
import pathlib

import pytest

FOLDER = pathlib.Path(__file__).parents[1] / "examples"
# This one starts a server, and is no page.
PAGES = sorted(set(FOLDER.glob("*.py")) - {FOLDER / "serve_pipeline.py"})


def imported(tree):
    """Return the first names of the modules that a script imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


def test_there_are_pages():
    assert len(PAGES) >= 12


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_an_example_is_a_page(path):
    text = path.read_text()
    tree = ast.parse(text)
    before, title, underline, after, *_ = ast.get_docstring(tree, clean=False).split("\n")
    assert (before, underline, after) == ("", "=" * len(title), "")
    first, *cells = text.split("\n# %%\n")
    assert len(cells) >= 2
    assert first.endswith('"""\n')
    assert all(cell.startswith("# ") for cell in cells)
    assert text.endswith("\nplt.show()\n")
    assert 30 <= len(text.splitlines()) <= 90


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_an_example_stands_alone(path):
    tree = ast.parse(path.read_text())
    helpers = {other.stem for other in FOLDER.glob("*.py")}
    assert not {*imported(tree)} & {"argparse", *helpers}
    assert not any(isinstance(node, ast.ClassDef) for node in ast.walk(tree))
