"""The check of wheels and sdists finds what is missing and what should not be there."""

import tomllib
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

PATH = Path(__file__).parents[1] / ".ci" / "check_dist.py"


@pytest.fixture(scope="module")
def check_dist():
    spec = spec_from_file_location("check_dist", PATH)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_wheel(path, names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    return path


def test_a_whole_wheel_has_no_problems(check_dist, tmp_path):
    names = check_dist.source_files() | {"x.dist-info/licenses/LICENSE"}
    assert check_dist.source_files() >= check_dist.DATA
    wheel = write_wheel(tmp_path / "sklearn_ferroic-1.0-py3-none-any.whl", names)
    assert list(check_dist.wheel_problems(wheel)) == []
    assert list(check_dist.version_problems(wheel, "1.0")) == []
    assert len(list(check_dist.version_problems(wheel, "1.1"))) == 1


def test_the_files_included_in_an_sdist_are_allowed(check_dist):
    """A file of pyproject.toml that the check refuses would stop the release."""
    project = tomllib.loads((PATH.parents[1] / "pyproject.toml").read_text("utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    top = {name for name in included if not name.endswith(".md")}
    assert len(top) > 5
    assert top <= check_dist.SDIST
    assert all((PATH.parents[1] / name).exists() for name in top)


def test_missing_weights_and_foreign_files_are_found(check_dist, tmp_path):
    weights = "sklearn_ferroic/localization/_unet/unet_1.safetensors"
    names = check_dist.source_files() - {weights} | {"tests/test_sites.py"}
    wheel = write_wheel(tmp_path / "sklearn_ferroic-1.0-py3-none-any.whl", names)
    problems = "\n".join(check_dist.wheel_problems(wheel))
    assert f"lacks {weights}" in problems
    assert "should not contain tests/test_sites.py" in problems
    assert "lacks the licence" in problems
