"""Images for benchmarks: generated, from multislice with truth, and real files."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from _scenes import SCENES, count_electrons, expected_image, make_truth
from scipy.spatial import cKDTree

from sklearn_ferroic.datasets import load_image, load_multislice, make_ferroic_image

# Electrons/A^2 of the generated presets; the default of the generator is 2.5e4.
DOSES = (25_000, 4_000, 1_000)
# Counts at the peak of an A column in the images of ideal Gaussian columns.
PEAKS = (1000, 100, 20)
SIDE_PX = 480
# Preset images do not use the seeds of the tests.
SEED = 40
# A real file whose name contains one of these shows dark columns and is inverted.
DARK = ("abf", "_bf")


@dataclass(frozen=True)
class Case:
    """One image with the truth about it, as far as there is any.

    Parameters
    ----------
    name : str
        How the tables name it.
    group : str
        "ideal", "generated", "multislice" or "real".
    image : array-like
        What the locators receive.
    positions : ndarray of shape (n, 2) or None
        True (row, col), px; None without truth.
    sublattice : ndarray of int of shape (n,) or None
        True labels.
    excluded : ndarray of bool of shape (n,) or None
        Columns that are not judged, such as those at the edge of a crystal.
    note : str
        What was done to the image.
    shifts : ndarray of shape (n, 2, 2) or None
        Two vectors (row, col) of each column, px, of which a part displaces its
        image: by the tilt, from the surface to the mean position of its atoms, and
        the displacement of the nearest B columns, which displaces oxygen, too.
    """

    name: str
    group: str
    image: np.ndarray
    positions: np.ndarray | None = None
    sublattice: np.ndarray | None = None
    excluded: np.ndarray | None = None
    note: str = field(default="")
    shifts: np.ndarray | None = None

    @property
    def spacing(self):
        """Spacing of the true columns, px."""
        return typical_spacing(self.positions)


def typical_spacing(positions):
    """Median over columns of the mean distance of their nearest four, px.

    The very nearest would be too near where columns are displaced.
    """
    if len(positions) < 5:
        return float("nan")
    distance, _ = cKDTree(positions).query(positions, k=5)
    return float(np.median(distance[:, 1:].mean(axis=1)))


def ideal_cases():
    """Gaussian columns and Poisson noise, as for the Cramér-Rao comparison."""
    for scene in SCENES:
        for peak in PEAKS:
            truth = make_truth(scene, peak, SIDE_PX)
            image = count_electrons(expected_image(truth), 0)
            name = f"{scene.name}, {peak} counts"
            yield Case(name, "ideal", image, truth.positions, truth.sublattice)


def generated_cases():
    """The presets of `make_ferroic_image` at several doses."""
    for preset in ("film", "superlattice"):
        for dose in DOSES:
            data = make_ferroic_image(
                preset, shape=(SIDE_PX, SIDE_PX), dose=dose, random_state=SEED
            )
            name = f"{preset}, {dose:g} e/Å²"
            # What the scan did to the columns is no error of a fit.
            positions = data.positions + data.scan_shift
            yield Case(name, "generated", data.image, positions, data.sublattice)


def shipped_cases():
    """The multislice image of the package."""
    data = load_multislice()
    name = "load_multislice()"
    yield Case(name, "multislice", data.image, data.positions, data.sublattice)


def multislice_cases(folder):
    """Every multislice .npz file of a folder.

    Parameters
    ----------
    folder : path-like
        With files of the keys `image`, `pixel_size_angstrom`, `site`, `x_px`, `y_px`,
        `x_surf_px`, `y_surf_px`, `dx_pm`, `dy_pm` and possibly `edge`.
    """
    for path in sorted(Path(folder).glob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            # Where the entrance surface is: what the signal comes from under tilt.
            positions = np.column_stack([file["y_surf_px"], file["x_surf_px"]])
            labels = (file["site"] == "B").astype(int)
            edge = file["edge"] if "edge" in file else np.zeros(len(labels), bool)
            image = file["image"]
            tilt = np.column_stack([file["y_px"], file["x_px"]]) - positions
            displacement = np.column_stack([file["dy_pm"], file["dx_pm"]])
            displacement = displacement / (100 * float(file["pixel_size_angstrom"]))
        polar = np.flatnonzero(np.isfinite(displacement).all(axis=1))
        # the column itself if it is a B column
        n_nearest = np.where(labels == 1, 1, 4)[:, None]
        _, near = cKDTree(positions[polar]).query(positions, k=4)
        used = np.arange(4) < n_nearest
        displacement = (displacement[polar][near] * used[..., None]).sum(axis=1)
        displacement /= n_nearest
        yield Case(
            path.stem,
            "multislice",
            image,
            positions.astype(float),
            labels,
            edge,
            shifts=np.stack([tilt, displacement], axis=1),
        )


def real_cases(folder, keep=lambda name: True):
    """Every readable image file of a folder, without truth.

    Parameters
    ----------
    folder : path-like
        Folder of microscope files, or one file.
    keep : callable
        Says by the name of a file whether to read it.

    Yields
    ------
    case : Case
        Images of files with "abf" or "_bf" in their name are inverted.
    """
    folder = Path(folder)
    for path in sorted(folder.iterdir()) if folder.is_dir() else [folder]:
        if path.suffix.lower() in {".md", ".txt", ".npz", ""} or not keep(path.stem):
            continue
        try:
            image = np.asarray(load_image(path, resample=True).image)
        except (ValueError, ImportError) as error:
            yield Case(path.stem, "real", None, note=f"not read: {error}")
            continue
        note = "" if image.ndim == 2 else f"first of {len(image)} frames"
        image = image if image.ndim == 2 else image[0]
        if any(part in path.stem.lower() for part in DARK):
            image = image.max() - image.astype(np.float64)
            note = f"{note}, inverted".strip(", ")
        yield Case(path.stem, "real", image, note=note)
