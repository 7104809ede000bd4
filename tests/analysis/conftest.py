"""A small film, its analysis and the files of it."""

import pytest

from sklearn_ferroic import analyze
from sklearn_ferroic.datasets import make_ferroic_image


@pytest.fixture(scope="session")
def film():
    """A film of four variants on a substrate, with its truth."""
    return make_ferroic_image("film", shape=(360, 360), random_state=0)


@pytest.fixture(scope="session")
def analysis(film):
    """The analysis of the film."""
    return analyze(film, max_epochs=8)


@pytest.fixture(scope="session")
def folder(analysis, tmp_path_factory):
    """A folder with all files of the analysis."""
    path = tmp_path_factory.mktemp("saved") / "film"
    analysis.save(path)
    return path
