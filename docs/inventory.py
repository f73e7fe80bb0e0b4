"""Say which pages of other manuals the references here lead to, without downloading anything.

An inventory is a dict `{name: (kind, page)}`, in which "$" ends a page that ends with the name.
"""

import importlib
import inspect
import pkgutil
import zlib

import sklearn

# Both add names to modules of scikit-learn that its manual has pages for.
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401

# What docstrings refer to.
NUMPY = {
    "numpy.random.Generator": ("class", "reference/random/generator.html#$"),
    "numpy.random.RandomState": ("class", "reference/random/legacy.html#$"),
}
SCATTER = "matplotlib.axes.Axes.scatter"
MATPLOTLIB = {SCATTER: ("method", f"api/_as_gen/{SCATTER}.html#$")}


def scikit_learn():
    """Return the inventory of the classes, their methods and the functions of scikit-learn.

    Its manual has a page for each of the names that the installed version makes public.
    """
    pages = {}
    for found in pkgutil.iter_modules(sklearn.__path__, "sklearn."):
        if "._" in found.name or found.name in ("sklearn.conftest", "sklearn.tests"):
            continue
        public = vars(importlib.import_module(found.name))
        for name in public.get("__all__", ()):
            member, path = public.get(name), f"{found.name}.{name}"
            page = f"modules/generated/{path}.html#$"
            if inspect.isclass(member):
                pages[path] = ("class", page)
                for method, _ in inspect.getmembers(member, inspect.isroutine):
                    if not method.startswith("_"):
                        pages[f"{path}.{method}"] = ("method", page)
            elif inspect.isroutine(member):
                pages[path] = ("function", page)
    return pages


def write(path, pages):
    """Write an inventory as Sphinx reads it, and return the path."""
    header = f"# Sphinx inventory version 2\n# Project: {path.stem}\n# Version: \n"
    header += "# The remainder of this file is compressed using zlib.\n"
    lines = (f"{name} py:{kind} 1 {page} -\n" for name, (kind, page) in sorted(pages.items()))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(header.encode() + zlib.compress("".join(lines).encode()))
    return str(path)
