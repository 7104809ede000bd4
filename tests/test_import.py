"""What an import costs, and that every public name is there."""

import ast
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import sklearn_ferroic

HEAVY = {"torch", "skorch", "matplotlib", "sklearn", "scipy", "skimage", "pandas"}
HEAVY |= {"rsciio", "h5py", "dask", "cmcrameri"}
ROOT = Path(__file__).parents[1]
SCRIPTS = [*ROOT.glob("benchmarks/*.py"), *ROOT.glob("examples/*.py")]


def heavy_modules_after(statement):
    code = f"import json, sys; {statement}; print(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return HEAVY & set(json.loads(done.stdout))


def test_import_is_light():
    assert heavy_modules_after("import sklearn_ferroic") == set()


@pytest.mark.parametrize(
    "name",
    [
        "AngleAwareScaler",
        "AtomLocator",
        "AtomSites",
        "PatchExtractor",
        "PolarizationVector",
        "datasets",
        "metrics.circular_mean",
    ],
)
def test_only_networks_load_torch(name):
    loaded = heavy_modules_after(f"import sklearn_ferroic as s; s.{name}")
    # scikit-learn itself imports pandas where it is installed.
    assert loaded <= {"sklearn", "scipy", "skimage", "pandas"}


def test_plotting_is_never_loaded_by_a_network():
    loaded = heavy_modules_after("from sklearn_ferroic import RotationalVAE")
    assert "matplotlib" not in loaded


def test_every_public_name_exists():
    assert dir(sklearn_ferroic) == sorted(sklearn_ferroic.__all__)
    for name in sklearn_ferroic.__all__:
        assert getattr(sklearn_ferroic, name) is not None


def test_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="no_such_name"):
        sklearn_ferroic.no_such_name  # noqa: B018


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_names_that_scripts_import_exist(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        module = getattr(node, "module", None) or ""
        if isinstance(node, ast.ImportFrom) and module.startswith("sklearn_ferroic"):
            found = import_module(module)
            for alias in node.names:
                if not hasattr(found, alias.name):
                    import_module(f"{module}.{alias.name}")
