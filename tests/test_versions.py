"""The oldest versions that are tested are those that pyproject.toml allows."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Extras that `make test-oldest` installs, and packages for which any version will do.
EXTRAS = ("plot", "io", "zspy", "test")
FREE = {"ruff", "sklearn-ferroic"}


def _bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = list(project["dependencies"])
    for extra in EXTRAS:
        lines += project["optional-dependencies"][extra]
    bounds = {}
    for line in lines:
        name = re.match(r"[\w-]+", line).group()
        found = re.search(r">=([\d.]+)", line)
        if found and name not in FREE:
            bounds.setdefault(name, set()).add(found.group(1))
    return bounds


def _pins():
    text = (ROOT / "constraints-oldest.txt").read_text()
    return dict(re.findall(r"^([\w-]+)==([\d.]+)$", text, flags=re.MULTILINE))


@pytest.mark.parametrize(("name", "bounds"), sorted(_bounds().items()))
def test_the_lower_bound_is_tested(name, bounds):
    (bound,) = bounds
    pinned = _pins()[name]
    assert pinned == bound or pinned.startswith(f"{bound}.")
