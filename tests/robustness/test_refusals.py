"""Parameters and arrays that cannot be right are refused at the door."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.mixture import GaussianMixture

from sklearn_ferroic import (
    AtomLocator,
    AtomSites,
    MultiReferenceAlignment,
    PatchExtractor,
    RotationalVAE,
)
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.decomposition import AngularMoments
from sklearn_ferroic.model_selection import SpatialBlockKFold, component_scores

FAST = dict(latent_dim=1, n_hidden=8, max_epochs=1, random_state=0, device="cpu")


@pytest.fixture(scope="module")
def windows():
    return np.random.default_rng(0).normal(size=(40, 81))


@pytest.fixture(scope="module")
def image():
    return make_ferroic_image("film", shape=(160, 176), random_state=0).image


@pytest.mark.parametrize(
    ("estimator", "bad"),
    [
        (AtomLocator, {"spacing": 1e-308}),
        (AtomLocator, {"spacing": np.inf}),
        (AtomLocator, {"spacing": True}),
        (AtomLocator, {"n_jobs": 0}),
        (AtomLocator, {"n_jobs": True}),
        (RotationalVAE, {"offset_scale": 1e9}),
        (RotationalVAE, {"offset_scale": 1e-30}),
        (RotationalVAE, {"n_hidden": True}),
        (RotationalVAE, {"latent_dim": True}),
        (RotationalVAE, {"max_epochs": np.True_}),
        (PatchExtractor, {"window_size": True}),
    ],
)
def test_extreme_parameters(estimator, bad, image, windows):
    (name,) = bad
    X = {
        AtomLocator: image,
        RotationalVAE: windows,
        PatchExtractor: AtomSites(image, [[50, 50], [60, 60]]),
    }[estimator]
    with pytest.raises(ValueError, match=f"'{name}' parameter of"):
        estimator(**bad).fit(X)


def test_extreme_parameters_elsewhere(image):
    with pytest.raises(ValueError, match="pixel size"):
        AtomLocator().fit((image, True))
    with pytest.raises(ValueError, match="pixel size"):
        AtomSites(image, [[5, 5]], pixel_size=True)
    with pytest.raises(ValueError, match="n_splits"):
        SpatialBlockKFold(n_splits=True)
    with pytest.raises(ValueError, match="n_jobs"):
        component_scores(GaussianMixture(), np.eye(9), [1], n_jobs=0)


@pytest.mark.parametrize("magnification", [0, -1, np.nan, np.inf])
def test_magnifications(image, magnification):
    from sklearn_ferroic.inspection import PolarizationMapDisplay

    sites = AtomSites(image, [[50, 50], [60, 60]])
    with pytest.raises(ValueError, match="magnification must be a positive number"):
        PolarizationMapDisplay.from_sites(
            sites, vectors=np.ones((2, 2)), magnification=magnification
        )


@pytest.mark.parametrize(
    "estimator",
    [RotationalVAE(**FAST), MultiReferenceAlignment(), AngularMoments()],
)
def test_masked_windows(estimator, windows):
    masked = np.ma.masked_greater(windows, 2)
    with pytest.raises(ValueError, match=r"masked value.*X\.filled"):
        estimator.fit(masked)
    # nothing masked, nothing ignored
    estimator.fit(np.ma.masked_array(windows))


def test_masked_columns(image):
    masked = np.ma.masked_array([1.0, 2.0], mask=[True, False])
    with pytest.raises(ValueError, match="sigma is a masked array"):
        AtomSites(image, [[5, 5], [9, 9]], sigma=masked)


def test_tensors_of_torch(windows, image):
    """What NumPy can take is taken; for the rest there is a remedy."""
    needs_gradient = torch.from_numpy(windows).requires_grad_()
    for bad in (needs_gradient, torch.from_numpy(windows).bfloat16()):
        with pytest.raises(TypeError, match=r"X\.detach\(\)\.cpu\(\)"):
            RotationalVAE(**FAST).fit(bad)
    RotationalVAE(**FAST).fit(torch.from_numpy(windows))
    with pytest.raises(TypeError, match=r"image 0\.detach\(\)"):
        AtomLocator().fit(torch.from_numpy(image).requires_grad_())
    with pytest.raises(TypeError, match=r"positions\.detach\(\)"):
        AtomSites(image, torch.ones(3, 2, requires_grad=True))


def test_arrays_of_cupy(windows):
    class Elsewhere:
        """As an array of CuPy behaves."""

        shape, ndim, device = windows.shape, 2, "cuda:0"

        def __array__(self, dtype=None, copy=None):
            raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    Elsewhere.__module__ = "cupy"
    with pytest.raises(TypeError, match=r"X\.get\(\)"):
        RotationalVAE(**FAST).fit(Elsewhere())


@pytest.mark.parametrize("center", ["atom", "lattice"])
@pytest.mark.parametrize("interpolation", ["cubic", "linear", "nearest"])
def test_windows_of_a_slice_are_those_of_the_whole(image, interpolation, center):
    """To the bit, for centres off the image too."""
    rng = np.random.default_rng(0)
    positions = rng.uniform(-0.5, np.array(image.shape) - 0.5, (200, 2))
    positions[:80] = rng.uniform(20, 140, (80, 2))
    lattice_position = positions + rng.normal(0, 2, (200, 2))
    sites = AtomSites(image, positions, lattice_position=lattice_position)
    extractor = PatchExtractor(
        window_size=17, interpolation=interpolation, center=center
    )
    whole = extractor.fit_transform(sites)
    for rows in (slice(0, 80), slice(3, 4), slice(100, None, 7), slice(150, 151)):
        np.testing.assert_array_equal(extractor.transform(sites[rows]), whole[rows])


def read_table(path):
    """Read a table as the documentation of `to_csv` says."""
    names = pd.read_csv(path, comment="#", nrows=0).columns
    missing = {name: "" for name in names.drop(["flags", "label"])}
    return pd.read_csv(path, comment="#", keep_default_na=False, na_values=missing)


def test_cells_that_a_spreadsheet_would_run(image, tmp_path):
    labels = ["=1+1", "+cmd", "-2", "@sum", "a=b", "- x"]
    sites = AtomSites(image, np.arange(12).reshape(6, 2))
    sites.to_csv(
        tmp_path / "a.csv", labels=labels, features={"=HYPERLINK(1)": np.arange(6)}
    )
    table = read_table(tmp_path / "a.csv")
    assert list(table.label) == ["'=1+1", "'+cmd", "-2", "'@sum", "a=b", "'- x"]
    assert "'=HYPERLINK(1)" in table


def test_labels_that_look_like_nothing(image, tmp_path):
    labels = ["nan", "NA", "", "None", "null", "a"]
    sites = AtomSites(image, np.arange(12).reshape(6, 2))
    sites.to_csv(tmp_path / "a.csv", labels=labels)
    table = read_table(tmp_path / "a.csv")
    assert list(table.label) == labels
    assert table.sigma.isna().all()
    sites.to_hdf5(tmp_path / "a.h5", labels=labels)
    _, extras = AtomSites.from_hdf5(tmp_path / "a.h5", return_extras=True)
    assert list(extras.labels) == labels


def test_guards_of_many_images():
    """The guard band is that of a search over all pairs."""
    rng = np.random.default_rng(0)
    positions, frame = rng.uniform(0, 100, (900, 2)), rng.integers(0, 6, 900)
    cv = SpatialBlockKFold(
        3, guard=9.5, coordinates=positions, frame=frame, random_state=0
    )
    for train, test in cv.split(np.zeros((900, 1))):
        gap = np.abs(positions[:, None] - positions[test]).max(axis=2)
        gap[frame[:, None] != frame[test]] = np.inf
        expected = np.setdiff1d(np.flatnonzero(gap.min(axis=1) >= 9.5), test)
        np.testing.assert_array_equal(train, expected)
