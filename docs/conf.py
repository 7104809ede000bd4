"""Configuration of the documentation, built by `make docs`."""

import os
import re
import sys
from importlib import import_module
from pathlib import Path

import sklearn_ferroic

sys.path.insert(0, str(Path(__file__).parent))  # _gallery_order, _gallery_figures

project = "sklearn-ferroic"
author = "sklearn-ferroic developers"
copyright = author
version = release = sklearn_ferroic.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.extlinks",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates", "auto_examples/*.ipynb"]
templates_path = ["_templates"]

html_theme = "pydata_sphinx_theme"
html_title = "sklearn-ferroic"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_prev_next": False,
    "show_version_warning_banner": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}

extlinks = {"doi": ("https://doi.org/%s", "doi:%s")}

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False

# Single backticks link what is ours and set everything else as code.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!sklearn_ferroic\.).*")]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "within_subsection_order": "_gallery_order.TutorialFirst",
    "image_scrapers": ("_gallery_figures.scrape_figures",),
    "doc_module": ("sklearn_ferroic",),
    "backreferences_dir": "generated/backreferences",
    "parallel": int(os.environ.get("DOCS_JOBS", "2")),
    "show_memory": False,
    "show_signature": False,
    # Pictures of twice the resolution for screens that have it.
    "image_srcset": ["2x"],
    # The last expression of a block is often a call that returns an artist.
    "capture_repr": (),
    "min_reported_time": 60,
}


def _documented_names():
    """Map every way to name a public object to the one that the API page uses."""
    names = {}
    for module_name in sklearn_ferroic.__all__:
        module = getattr(sklearn_ferroic, module_name)
        for name in getattr(module, "__all__", ()):
            path = f"sklearn_ferroic.{module_name}.{name}"
            item = getattr(module, name)
            if getattr(sklearn_ferroic, name, None) is item:
                path = f"sklearn_ferroic.{name}"
            names[name] = names[f"sklearn_ferroic.{module_name}.{name}"] = path
            names[f"{item.__module__}.{name}"] = path
    names["AtomSites"] = names["sklearn_ferroic.sites.AtomSites"] = (
        "sklearn_ferroic.AtomSites"
    )
    return names


_NAMES = _documented_names()


def _own_methods():
    """Map public classes to those of their methods that are defined in this package."""
    methods = {}
    for path in set(_NAMES.values()):
        module, _, name = path.rpartition(".")
        cls = getattr(import_module(module), name)
        if isinstance(cls, type):
            ours = [
                p for p in cls.__mro__ if p.__module__.startswith("sklearn_ferroic")
            ]
            known = {key for part in ours for key in vars(part)}
            # scikit-learn adds set_transform_request and the like to each class.
            methods[name] = sorted(
                key for key in known if not re.match(r"_|set_\w+_request$", key)
            )
    return methods


autosummary_context = {"own_methods": _own_methods()}


def _resolve(app, env, node, contnode):
    """Find an object that is named by another of its names, or a method of one."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"].removesuffix("()")
    owner, _, member = target.rpartition(".")
    if target in _NAMES:
        path = _NAMES[target]
    elif owner in _NAMES:
        path = f"{_NAMES[owner]}.{member}"
    else:
        return None
    domain = env.get_domain("py")
    return domain.resolve_xref(
        env, node["refdoc"], app.builder, "obj", path, node, contnode
    )


def _quote_trailing_underscores(app, what, name, obj, options, lines):
    """Quote the names in `shape (n_features_in_,)`, which would be read as links."""
    for number, line in enumerate(lines):
        if " shape (" in line:
            lines[number] = re.sub(r"(?<![\w`])(\w+_)(?=[,)])", r"``\1``", line)


def setup(app):
    import_module("matplotlib").use("Agg")
    app.connect("missing-reference", _resolve)
    # before numpydoc reads the docstring
    app.connect("autodoc-process-docstring", _quote_trailing_underscores, priority=400)
