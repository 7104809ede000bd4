"""What several test modules use."""

import signal
import sys

import numpy as np
import pytest

from sklearn_ferroic import AtomSites
from sklearn_ferroic._lattice.local_lattice import lattice_vectors
from sklearn_ferroic.datasets import make_ferroic_image


@pytest.fixture(scope="session", autouse=True)
def hear_interrupts():
    """Let Ctrl-C be heard in tests that run in the background, which ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def close_figures():
    """Close all figures after each test: matplotlib warns of many that are open."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def ferroic_image():
    """A small film with its truth; nobody may write to it."""
    data = make_ferroic_image("film", shape=(192, 208), random_state=0)
    data.image.setflags(write=False)
    return data


@pytest.fixture(scope="session")
def ferroic_sites(ferroic_image):
    """The true columns of `ferroic_image`, as a perfect locator would give them.

    Columns at the border lack neighbours: their polarization is NaN.
    """
    last = np.subtract(ferroic_image.image.shape, 1)
    positions = ferroic_image.positions
    depth = np.minimum(positions, last - positions).min(axis=1)
    polarization = np.where(depth[:, None] < 8, np.nan, ferroic_image.polarization)
    return AtomSites(
        ferroic_image.image,
        positions,
        sublattice=ferroic_image.sublattice,
        polarization=polarization,
        lattice_position=np.rint(positions),
        lattice_vectors=lattice_vectors(positions, ferroic_image.sublattice),
        pixel_size=ferroic_image.pixel_size,
    )[depth >= 0]
