"""The pages of the manual run: all of their code, with the output that they show."""

import doctest
import itertools
import pathlib
import re

import matplotlib
import pytest
import sklearn

matplotlib.use("Agg")
import matplotlib.pyplot as plt

DOCS = pathlib.Path(__file__).parents[1] / "docs"
# Pages that Sphinx makes of examples and docstrings, which other tests cover, and their templates.
MADE = {"_build", "gallery", "generated", "templates"}
PAGES = {
    str(path.relative_to(DOCS)): path
    for path in sorted(DOCS.rglob("*.rst"))
    if not MADE & {*path.relative_to(DOCS).parts}
}
WITH_EXAMPLES = [name for name, path in PAGES.items() if ">>>" in path.read_text()]
# A page and the first line of a block of Python that is not run: the reason.
NOT_RUN: dict[tuple[str, str], str] = {
    ("guide/clusters.rst", "import dask.array as da"): "tests/test_dask.py starts a cluster",
    ("guide/clusters.rst", "import joblib"): "it needs the cluster of the block before",
}

# A directive for code, or a paragraph that ends in "::", with a block of code below it.
START = re.compile(r" *(?:\.\. (?:code|code-block|sourcecode)::(?P<language>.*)|(?!\.\. ).*::\s*)")
PYTHON = {"", "py", "pycon", "python", "python3"}
# Pictures are looked at over slow lines too.
MOST_BYTES = 60_000


def run(page):
    """Run a page, and return how many of its examples failed and how many there are."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    with sklearn.config_context():
        found = doctest.testfile(
            str(page), module_relative=False, optionflags=flags, encoding="utf-8"
        )
    plt.close("all")
    return found.failed, found.attempted


def not_run(text):
    """Return the first line of each block of Python in which doctest finds nothing to run."""
    lines, found = text.splitlines(), []
    for number, line in enumerate(lines):
        start = START.fullmatch(line)
        if start is None or (start["language"] or "").strip() not in PYTHON:
            continue
        margin = indentation(line)
        block = itertools.takewhile(
            lambda below, margin=margin: not below.strip() or indentation(below) > margin,
            lines[number + 1 :],
        )
        code = [below.strip() for below in block if below.strip()]
        code = list(itertools.dropwhile(lambda below: below.startswith(":"), code))
        if not any(below.startswith(">>>") for below in code):
            found.append(code[0])
    return found + [line.strip() for line in lines if "+SKIP" in line]


def indentation(line):
    return len(line) - len(line.lstrip())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_code_of_a_page_does_what_it_shows(name, tmp_path, monkeypatch):
    """Nothing on a page warns, not even of what other tests ignore."""
    monkeypatch.chdir(tmp_path)
    failed, attempted = run(PAGES[name])
    assert failed == 0
    assert attempted > 0


def test_there_are_pages():
    assert len(WITH_EXAMPLES) > 5


BROKEN = {
    "output": ">>> 1 + 1\n3\n",
    "error": ">>> 1 + unknown\n2\n",
    "warning": '>>> import warnings\n>>> warnings.warn("PCA is kept, since training")\n',
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_page_fails(kind, tmp_path):
    page = tmp_path / "page.rst"
    page.write_text(f"A page\n======\n\n>>> 6 * 7\n42\n\n{BROKEN[kind]}")
    failed, attempted = run(page)
    assert failed == 1
    assert attempted == 2 + (kind == "warning")


@pytest.mark.parametrize("name", PAGES)
def test_all_python_on_a_page_is_run(name):
    unknown = [line for line in not_run(PAGES[name].read_text()) if (name, line) not in NOT_RUN]
    assert unknown == [], "Write these as examples with >>>, or give the reason in NOT_RUN."


def test_python_that_is_not_run_is_still_there():
    for name, line in NOT_RUN:
        assert line in not_run(PAGES[name].read_text())


BLOCKS = {
    "directive": ".. code-block:: python\n   :caption: Fit\n\n   fit(X)\n",
    "indented directive": "* a list\n\n  .. code:: python\n\n     fit(X)\n",
    "no language": ".. code-block::\n\n   fit(X)\n",
    "paragraph": "Fit it::\n\n   fit(X)\n\nAnd >>> later.\n",
    "skipped": ">>> fit(X)  # doctest: +SKIP\n",
}


@pytest.mark.parametrize("kind", BLOCKS)
def test_python_that_is_not_run_is_found(kind):
    (line,) = not_run(BLOCKS[kind])
    assert "fit(X)" in line


def test_code_that_is_run_or_no_python_is_left_alone():
    assert not_run(".. code-block:: bash\n\n   pip install .\n") == []
    assert not_run(".. code-block:: python\n\n   >>> 6 * 7\n   42\n") == []
    assert not_run("Fit it::\n\n   >>> 6 * 7\n   42\n\n.. note::\n   It is fitted.\n") == []


def test_pictures_are_there_and_small():
    shown = set()
    for path in PAGES.values():
        for picture in re.findall(r"\.\. (?:image|figure):: (\S+)", path.read_text()):
            shown.add((path.parent / picture).resolve())
    for picture in shown:
        assert picture.stat().st_size < MOST_BYTES, picture.name
    assert {*(DOCS / "images").resolve().glob("*.png")} <= shown
