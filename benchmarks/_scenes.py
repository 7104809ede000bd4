"""The images on which locators are compared: Gaussian columns, Poisson counts.

Nothing is simplified for a tool's sake: the lattice is turned against the pixels,
columns are displaced at random, B columns also from the middle of their cells, and
the image cuts through columns at its border.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

SIGMA = (2.5, 2.3)  # px, of A and of B columns
BACKGROUND = 0.3  # of the peak of an A column
TURN = np.radians(5)  # of the lattice against the pixels
DISORDER = 0.3  # px, standard deviation of each column along each axis
SHIFT = 1.0  # px, of the B columns along the diagonal of the cell
REACH = 6.0  # widths from a column to where its Gaussian is cut


@dataclass(frozen=True)
class Scene:
    """A kind of image.

    Parameters
    ----------
    name : str
        What it shows.
    ratio : float
        Peak of the B columns in units of that of the A columns; 0 for none.
    cell : float
        Side of the square unit cell, px.
    """

    name: str
    ratio: float
    cell: float

    @property
    def spacing(self):
        """Distance of nearest neighbours, px."""
        return self.cell / np.sqrt(2) if self.ratio else self.cell

    @property
    def basis(self):
        """Edges of the unit cell, one per row, as (row, col)."""
        down = np.array([np.cos(TURN), np.sin(TURN)])
        return self.cell * np.array([down, [-down[1], down[0]]])


SCENES = (
    Scene("isolated", 0.0, 20.0),
    Scene("A:B = 1:0.4", 0.4, 16.0),
    Scene("A:B = 1:0.85", 0.85, 16.0),
)


@dataclass(frozen=True)
class Truth:
    """All columns of which an image shows something.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Centres (row, col), px.
    amplitude, sigma : ndarray of shape (n,)
        Counts at the peak; width, px.
    sublattice : ndarray of int of shape (n,)
        0 for A, 1 for B.
    background : float
        Counts a pixel.
    shape : tuple of int
        Of the image.
    """

    positions: np.ndarray
    amplitude: np.ndarray
    sigma: np.ndarray
    sublattice: np.ndarray
    background: float
    shape: tuple

    def interior(self, margin):
        """Mask of the columns farther than `margin` from the border."""
        return inside(self.positions, self.shape, margin)


def inside(positions, shape, margin):
    """Mask of the positions farther than `margin` from the border of an image."""
    last = np.array(shape) - 1
    return ((positions >= margin) & (positions <= last - margin)).all(axis=1)


def make_truth(scene, peak, size, random_state=0):
    """Lay out the columns of one image.

    Parameters
    ----------
    scene : Scene
        What to show.
    peak : float
        Counts at the peak of an A column.
    size : int
        Side of the square image, px.
    random_state : int
        Seed of the displacements: the same for all peaks.

    Returns
    -------
    truth : Truth
        The columns, those just outside the image included.
    """
    rng = np.random.default_rng(random_state)
    n_cells = int(np.ceil(size / scene.cell)) + 4
    index = np.arange(-n_cells // 2, n_cells // 2 + 1) * 1.0
    index = np.stack(np.meshgrid(index, index, indexing="ij"), axis=-1).reshape(-1, 2)
    places = [index @ scene.basis]
    if scene.ratio:
        diagonal = scene.basis.sum(axis=0)
        shift = SHIFT * diagonal / np.linalg.norm(diagonal)
        places.append((index + 0.5) @ scene.basis + shift)
    sublattice = np.repeat(np.arange(len(places)), len(index))
    positions = np.concatenate(places) + size / 2
    positions += DISORDER * rng.normal(size=positions.shape)
    shape = (size, size)
    seen = inside(positions, shape, -REACH * max(SIGMA))
    positions, sublattice = positions[seen], sublattice[seen]
    amplitude = peak * np.array([1.0, scene.ratio])[sublattice]
    sigma = np.array(SIGMA)[sublattice]
    return Truth(positions, amplitude, sigma, sublattice, BACKGROUND * peak, shape)


def expected_image(truth):
    """Mean counts of every pixel."""
    down, along = (
        _profiles(truth.positions[:, axis], truth.sigma, truth.shape[axis])
        for axis in (0, 1)
    )
    # A round Gaussian is a product of two profiles, and the image their sum.
    down = down.multiply(truth.amplitude[:, None]).tocsr()
    return truth.background + (down.T @ along).toarray()


def _profiles(centers, sigma, length):
    radius = int(np.ceil(REACH * sigma.max()))
    steps = np.arange(-radius, radius + 1)
    pixel = np.rint(centers).astype(int)[:, None] + steps
    values = np.exp(-0.5 * ((pixel - centers[:, None]) / sigma[:, None]) ** 2)
    column = np.repeat(np.arange(len(centers)), len(steps)).reshape(pixel.shape)
    on = (pixel >= 0) & (pixel < length)
    return csr_array((values[on], (column[on], pixel[on])), (len(centers), length))


def count_electrons(expected, seed):
    """One noisy image, float32 counts."""
    return np.random.default_rng(1000 + seed).poisson(expected).astype(np.float32)
