"""The public API is documented to the numpydoc standard."""

import inspect
import tomllib
from importlib import import_module
from pathlib import Path

import numpydoc.validate
import pytest

import sklearn_ferroic

SETTINGS = tomllib.loads(
    Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8")
)["tool"]["numpydoc_validation"]
# What a class or function owes, but not each method of a class.
TOP_LEVEL_CHECKS = {"EX01", "SA01"}


def public_objects():
    """Give the dotted names of public classes, functions and their methods."""
    modules = [sklearn_ferroic]
    for name in sklearn_ferroic.__all__:
        item = getattr(sklearn_ferroic, name)
        if inspect.ismodule(item):
            modules.append(item)
    seen = {}
    for module in modules:
        for name in module.__all__:
            item = getattr(module, name)
            if not inspect.ismodule(item):
                seen.setdefault(item, f"{module.__name__}.{name}")
    for item, path in seen.items():
        yield path
        if inspect.isclass(item):
            yield from (f"{path}.{name}" for name in own_members(item))


def own_members(cls):
    """Give the public members of a class that it or a mixin of ours defines."""
    ours = [
        part
        for part in cls.__mro__
        if part.__module__.startswith(sklearn_ferroic.__name__)
    ]
    members = {
        name: member for part in ours[::-1] for name, member in vars(part).items()
    }
    for name, member in members.items():
        documented = inspect.isroutine(member) or isinstance(member, property)
        if documented and not name.startswith("_"):
            yield name


def selected(code, path):
    """Tell whether a check of numpydoc counts for the object of that name."""
    is_top_level = inspect.ismodule(_parent(path))
    if code == "PR01" and path == "sklearn_ferroic.SiteFlag":
        # The parameters that numpydoc sees are those of enum itself.
        return False
    if code in TOP_LEVEL_CHECKS:
        return is_top_level
    return code not in SETTINGS["checks"][1:]


def _parent(path):
    parent = path.rpartition(".")[0]
    try:
        return import_module(parent)
    except ImportError:
        return None


def test_settings_are_all_but_a_few():
    assert SETTINGS["checks"][0] == "all"
    assert set(SETTINGS["checks"][1:]) < set(numpydoc.validate.ERROR_MSGS)


@pytest.mark.parametrize("path", list(public_objects()))
def test_numpydoc(path):
    errors = numpydoc.validate.validate(path)["errors"]
    assert [f"{code}: {text}" for code, text in errors if selected(code, path)] == []
