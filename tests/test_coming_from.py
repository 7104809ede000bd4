"""Code for users of other packages runs where these packages are installed."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from sklearn_ferroic.datasets import make_ferroic_image

PAGE = Path(__file__).parents[1] / "docs" / "coming_from.md"
PACKAGES = {
    "HyperSpy": "hyperspy.api",
    "atomap": "atomap.api",
    "TEMUL": "temul.api",
    "py4DSTEM": "py4DSTEM",
    "quantem": "quantem.core.datastructures",
}


def section(package):
    text = PAGE.read_text(encoding="utf-8")
    return re.split(r"^## ", text.split(f"## From {package}\n")[1], flags=re.M)[0]


def run(package):
    """Run the code of a section and return its names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the other packages
        pytest.importorskip(PACKAGES[package])
        names = {}
        for block in re.findall(r"```python\n(.*?)```", section(package), re.S):
            exec(compile(block, str(PAGE), "exec"), names)
    return names


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_has_code_and_a_table(package):
    text = section(package)
    assert "```python" in text
    assert text.count("\n| `") >= 4


def test_hyperspy(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hs = pytest.importorskip("hyperspy.api")
        film = make_ferroic_image("film", shape=(240, 300), random_state=0)
        signal = hs.signals.Signal2D(film.image)
        for axis in signal.axes_manager.signal_axes:
            axis.scale, axis.units = 0.2, "Å"
        signal.save("image.hspy")
    names = run("HyperSpy")
    sites = names["sites"]
    assert sites.pixel_size == (pytest.approx(0.02),)
    assert len(sites) == pytest.approx(len(film.positions), abs=4)
    assert (folder / "d_row.hspy").exists()
    markers = names["signal"].metadata.Markers
    (points,) = [markers[name] for name in markers.keys()]
    x, y = points.kwargs["offsets"].T
    # in Å, within the image
    assert 55 < x.max() < 60
    assert 44 < y.max() < 48


def test_atomap():
    names = run("atomap")
    assert len(names["sites"]) == len(names["vectors"]) > 100
    assert set(names["sites"].sublattice) == {0, 1}
    assert np.isfinite(names["vectors"]).all(axis=1).mean() > 0.5


def test_temul():
    names = run("TEMUL")
    # TEMUL's angles are those of the package, in degrees
    expected = np.degrees(names["angle"])
    error = np.radians(np.asarray(names["degrees"]) - expected)
    np.testing.assert_allclose(np.angle(np.exp(1j * error)), 0, atol=1e-6)


@pytest.mark.parametrize("package", ["py4DSTEM", "quantem"])
def test_pixel_sizes_in_angstrom(package):
    names = run(package)
    assert names["sites"].pixel_size == (pytest.approx(0.02),)
    film = names["film"]
    assert len(names["sites"]) == pytest.approx(len(film.positions), abs=4)
    gaps = np.abs(names["sites"].positions[:, None] - film.positions).max(axis=2)
    assert np.median(gaps.min(axis=1)) < 0.2
