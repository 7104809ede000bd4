"""The oldest versions that are tested are those that pyproject.toml allows."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

import sklearn_ferroic
from sklearn_ferroic._lattice.neighbor_graph import minimum_forest

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


def test_minimum_forest_accepts_64_bit_indices():
    """SciPy 1.12 to 1.17.0 refuse them."""
    cost, first, second = [2.0, 1.0, 3.0, 1.0], [0, 0, 1, 3], [1, 2, 2, 4]
    graph = csr_array((cost, (np.int64(first), np.int64(second))), shape=(5, 5))
    graph.indices, graph.indptr = np.int64(graph.indices), np.int64(graph.indptr)
    forest = minimum_forest(graph).tocoo()
    edges = set(zip(forest.row.tolist(), forest.col.tolist(), strict=True))
    assert edges == {(0, 1), (0, 2), (3, 4)}


def test_spanning_trees_are_computed_in_one_place():
    """Each call would need the conversion of the indices."""
    modules = Path(sklearn_ferroic.__file__).parent.rglob("*.py")
    users = [
        path.stem for path in modules if "minimum_spanning_tree" in path.read_text()
    ]
    assert users == ["neighbor_graph"]
