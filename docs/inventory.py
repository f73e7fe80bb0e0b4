"""Say which pages of other manuals the references here lead to, without downloading anything.

The names are those of the scikit-learn that is installed, whose manual has one page for each.
"""

import importlib
import inspect
import pkgutil
import zlib

import sklearn

PAGE = "modules/generated/{0}.html#{0}"
# What docstrings refer to in other packages.
OTHERS = {
    "numpy": {
        "numpy.random.Generator": ("class", "reference/random/generator.html#{0}"),
        "numpy.random.RandomState": ("class", "reference/random/legacy.html#{0}"),
    },
    "matplotlib": {
        "matplotlib.axes.Axes.scatter": ("method", "api/_as_gen/{0}.html#{0}"),
    },
}


def write_sklearn(folder):
    """Write the inventory of scikit-learn's public classes, their methods and its functions."""
    entries = {}
    for found in pkgutil.iter_modules(sklearn.__path__, "sklearn."):
        if "._" in found.name or found.name in ("sklearn.conftest", "sklearn.tests"):
            continue
        public = vars(importlib.import_module(found.name))
        for name in public.get("__all__", ()):
            member, path = public.get(name), f"{found.name}.{name}"
            if inspect.isclass(member):
                entries[path] = ("class", PAGE.format(path))
                for method, _ in inspect.getmembers(member, inspect.isroutine):
                    if not method.startswith("_"):
                        anchor = f"{PAGE.format(path)}.{method}"
                        entries[f"{path}.{method}"] = ("method", anchor)
            elif inspect.isroutine(member):
                entries[path] = ("function", PAGE.format(path))
    return write(folder / "sklearn.inv", "scikit-learn", entries)


def write_other(folder, project):
    """Write the inventory of a package of which docstrings name a few things."""
    entries = {name: (kind, page.format(name)) for name, (kind, page) in OTHERS[project].items()}
    return write(folder / f"{project}.inv", project, entries)


def write(path, project, entries):
    """Write `{name: (kind, page)}` as Sphinx reads it, and return the path."""
    lines = [f"{name} py:{kind} 1 {page} -\n" for name, (kind, page) in sorted(entries.items())]
    header = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
    header += "# The remainder of this file is compressed using zlib.\n"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(header.encode() + zlib.compress("".join(lines).encode()))
    return str(path)
