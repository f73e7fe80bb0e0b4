"""Configuration of the manual; the README has the command that builds it."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
# What is documented is the package beside this folder, not one that was installed earlier.
sys.path[:0] = [str(DOCS.parent), str(DOCS)]

import inventory  # noqa: E402 (found by the path above)
import members  # noqa: E402 (likewise)

import skae  # noqa: E402 (likewise)

project = "skae"
author = "The skae developers"
copyright = author  # noqa: A001 (the name that Sphinx reads)
version = release = skae.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
    "sphinx_design",
    "myst_parser",
]
default_role = "literal"
templates_path = ["templates"]
exclude_patterns = ["_build", "templates"]

# The page of a class has skae's methods, and names of those that scikit-learn gives it: the
# docstrings of these have labels that only scikit-learn's own manual defines.
numpydoc_show_class_members = False
autosummary_context = members.context()
autodoc_typehints = "none"  # docstrings name the types

# Nothing is downloaded to know what other manuals have.
intersphinx_mapping = {
    name: (home, inventory.write(DOCS / "generated" / f"{name}.inv", pages))
    for name, home, pages in (
        ("sklearn", "https://scikit-learn.org/stable", inventory.scikit_learn()),
        ("numpy", "https://numpy.org/doc/stable", inventory.NUMPY),
        ("matplotlib", "https://matplotlib.org/stable", inventory.MATPLOTLIB),
    )
}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": ".",
    "ignore_pattern": r"serve_pipeline\.py",
    "within_subsection_order": "FileNameSortKey",
    "doc_module": ("skae",),
    "reference_url": {"skae": None},
    "backreferences_dir": "generated",
    "abort_on_example_error": True,
    "write_computation_times": False,
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
}

copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
# What a page shows as output is not code to copy.
copybutton_selector = "div:not(.sphx-glr-script-out) > div.highlight > pre"

toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = f"skae {release}"
html_static_path = ["_static"]
html_css_files = ["skae.css"]
# Pages without others below them have nothing to show beside them.
html_sidebars = {
    name: [] for name in ("start", "measured", "versions", "changelog", "contributing", "security")
}
html_copy_source = html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "skae"},
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "navbar_align": "left",
    "show_toc_level": 2,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
}
