"""Lattices of the crystals in an image, such as a film and its substrate.

Neighbouring sites are of one crystal if their local lattice vectors agree, in any
choice of the vectors. Crystals with the same lattice in the same orientation are listed
as one.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..._utils.optional import import_optional

# Local lattices are medians over this number of nearest sites and the site itself.
# Those of other sites count if they agree within the first tolerance, a share of the
# vectors: a rotation by 0.25 radians, or a strain of 25 %.
_N_NEIGHBORS = 8
_SIMILAR_SHARE = 0.25
# A site is inside a crystal if the medians of this share of its nearest sites agree
# with its own within the second tolerance: a rotation by 1.7 degrees, or a strain of
# 3 %. At an interface of crystals that differ by twice that, no sites are.
_MIN_AGREEING_SHARE = 0.75
_SAME_AROUND_SHARE = 0.03
# Crystals whose mean vectors agree within this tolerance have the same lattice; the
# vectors of sites next to an interface agree with those of the crystal within twice it.
_SAME_SHARE = 0.06
# Neighbours are within this multiple of the shorter lattice vector.
_REACH_VECTORS = 1.6
# Crystals with fewer sites inside, or with a smaller share of the sites, are not
# listed, unless their lattice is that of a larger one.
_MIN_SITES = 12
_MIN_SHARE = 0.01


@dataclass(frozen=True, eq=False)
class SiteLattices:
    """Lattices of the crystals in images, the largest of each image first.

    Attributes
    ----------
    frame : ndarray of int of shape (n_lattices,)
        Index of the image.
    n_sites : ndarray of int of shape (n_lattices,)
        Number of sites on the lattice.
    share : ndarray of shape (n_lattices,)
        Share of the sites of the image.
    vectors : ndarray of shape (n_lattices, 2, 2)
        Mean lattice vectors a and b in the rows, ``(row, col)`` in px, of the same
        sublattice.
    pixel_size : ndarray of shape (n_lattices,)
        Pixel size of the image, nm; NaN if it is unknown.
    bounds : ndarray of shape (n_lattices, 4)
        First and last row, first and last column of the region of its sites, px.
    of_site : ndarray of int of shape (n_sites,)
        Number of the lattice of each site, −1 for none: next to an interface, with too
        few neighbours, or in a crystal with fewer than 12 sites inside or less than
        1 % of the sites of the image.
    """

    frame: np.ndarray
    n_sites: np.ndarray
    share: np.ndarray
    vectors: np.ndarray
    pixel_size: np.ndarray
    bounds: np.ndarray
    of_site: np.ndarray

    @property
    def lengths(self):
        """Lengths of a and b, px, as an array of shape (n_lattices, 2)."""
        return np.hypot(*np.moveaxis(self.vectors, -1, 0))

    @property
    def vectors_nm(self):
        """Mean lattice vectors in nm; NaN without a pixel size."""
        return self.vectors * self.pixel_size[:, None, None]

    @property
    def angle(self):
        """Angle between a and b, radians."""
        a, b = self.vectors[:, 0], self.vectors[:, 1]
        cross = a[:, 1] * b[:, 0] - a[:, 0] * b[:, 1]
        return np.arctan2(np.abs(cross), (a * b).sum(axis=1))

    @property
    def rotation(self):
        """Direction of a, radians in [−π, π), from +col towards +row."""
        return np.arctan2(self.vectors[:, 0, 0], self.vectors[:, 0, 1])

    def __len__(self):
        return len(self.frame)

    def __repr__(self):
        return f"<SiteLattices: {len(self)} lattices>"

    def to_frame(self):
        """Return a pandas table with one row per lattice.

        Returns
        -------
        table : pandas.DataFrame
            Numbers and shares of sites, lengths of the vectors in px and nm, angles in
            degrees, and the bounds of the region in px.
        """
        pandas = import_optional("pandas", "io")
        a, b = self.lengths.T
        columns = {
            "frame": self.frame,
            "n_sites": self.n_sites,
            "share": self.share,
            "a_px": a,
            "b_px": b,
            "a_nm": a * self.pixel_size,
            "b_nm": b * self.pixel_size,
            "angle_deg": np.degrees(self.angle),
            "rotation_deg": np.degrees(self.rotation),
        }
        names = "first_row", "last_row", "first_col", "last_col"
        return pandas.DataFrame(columns | dict(zip(names, self.bounds.T, strict=True)))

    def describe(self, number):
        """Return one lattice as text.

        Parameters
        ----------
        number : int
            Index of the lattice.

        Returns
        -------
        text : str
            Share of the sites, vectors, angle and region.
        """
        lengths = " × ".join(f"{length:.2f}" for length in self.lengths[number])
        text = f"{self.share[number]:.1%} of the sites, a × b {lengths} px"
        if np.isfinite(self.pixel_size[number]):
            in_nm = self.lengths[number] * self.pixel_size[number]
            text += " (" + " × ".join(f"{length:.4f}" for length in in_nm) + " nm)"
        # Without a sign of zeros.
        first_row, last_row, first_col, last_col = np.rint(self.bounds[number]) + 0.0
        angle, rotation = (
            np.round(np.degrees(value[number]), 1) + 0.0
            for value in (self.angle, self.rotation)
        )
        return (
            f"{text}, angle {angle:.1f}°, a at {rotation:.1f}°, rows {first_row:.0f} "
            f"to {last_row:.0f}, columns {first_col:.0f} to {last_col:.0f}"
        )


def find_lattices(sites, vectors):
    """Find the lattices of the crystals in images.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        All sites of the images.
    vectors : ndarray of shape (n_sites, 2, 2)
        Local lattice vectors, px; NaN where unknown.

    Returns
    -------
    lattices : SiteLattices
        The lattices, image by image.
    """
    of_site = np.full(len(sites), -1)
    frames, means = [], []
    for frame in range(len(sites.images)):
        rows = np.flatnonzero(
            (sites.frame == frame) & np.isfinite(vectors).all(axis=(1, 2))
        )
        if len(rows) < _MIN_SITES:
            continue
        n_image = np.count_nonzero(sites.frame == frame)
        label, found = _lattices_of_image(
            sites.positions[rows], vectors[rows], _MIN_SHARE * n_image
        )
        of_site[rows] = np.where(label < 0, -1, label + len(frames))
        frames += [frame] * len(found)
        means += found
    n = len(frames)
    frame = np.array(frames, dtype=np.intp)
    own = of_site >= 0
    n_sites = np.bincount(of_site[own], minlength=n)
    bounds = np.empty((n, 4))
    for number in range(n):
        positions = sites.positions[of_site == number]
        bounds[number, ::2] = positions.min(axis=0)
        bounds[number, 1::2] = positions.max(axis=0)
    size = np.array([np.nan if s is None else s for s in sites.pixel_size], dtype=float)
    return SiteLattices(
        frame,
        n_sites,
        n_sites / np.bincount(sites.frame, minlength=len(sites.images))[frame],
        np.array(means).reshape(n, 2, 2),
        size[frame],
        bounds,
        of_site,
    )


def _lattices_of_image(positions, cells, least):
    """Return the lattice of each site of one image, and their mean vectors."""
    n = len(positions)
    k = min(_N_NEIGHBORS, n - 1)
    distance, index = cKDTree(positions).query(positions, k + 1)
    own_cells, cells = cells, _averaged(cells, index)
    agrees = np.stack(
        [
            _mismatch(cells, cells[near])[0] < _SAME_AROUND_SHARE
            for near in index[:, 1:].T
        ],
        axis=1,
    )
    inside = agrees.mean(axis=1) >= _MIN_AGREEING_SHARE
    if not inside.any():
        return np.full(n, -1), []
    reach = _REACH_VECTORS * np.hypot(*np.moveaxis(cells, -1, 0)).min(axis=1)
    joined = agrees & (distance[:, 1:] < reach[:, None])
    joined &= inside[:, None] & inside[index[:, 1:]]
    first, place = np.nonzero(joined)
    links = csr_array((np.ones(len(first)), (first, index[first, place + 1])), (n, n))
    _, crystal = connected_components(links, directed=False)
    # The other sites belong to the crystal of the nearest one inside if their own
    # vectors agree, which are not averaged across the interface.
    cores = np.flatnonzero(inside)
    others = np.flatnonzero(~inside)
    nearest = cores[cKDTree(positions[cores]).query(positions[others])[1]]
    close = _mismatch(cells[nearest], own_cells[others])[0] < 2 * _SAME_SHARE
    crystal[others] = np.where(close, crystal[nearest], -1)
    return _list_lattices(cells, crystal, inside, least)


def _list_lattices(cells, crystal, inside, least):
    """Return the lattice of each site and the mean vectors; equal ones are joined."""
    size = np.bincount(crystal[crystal >= 0])
    label, means, weights = np.full(len(cells), -1), [], []
    for number in np.argsort(-size, kind="stable"):
        if size[number] < 2:
            break
        own = np.flatnonzero(crystal == number)
        mean = _mean_cell(cells[own[inside[own]]])
        mismatch = [_mismatch(other[None], mean[None]) for other in means]
        same = [
            place for place, part in enumerate(mismatch) if part[0][0] < _SAME_SHARE
        ]
        if same:
            place = same[0]
            aligned = np.linalg.inv(mismatch[place][1][0]) @ mean
            weights[place] += len(own)
            means[place] += (aligned - means[place]) * len(own) / weights[place]
        elif inside[own].sum() >= _MIN_SITES and len(own) >= least:
            place = len(means)
            means.append(mean)
            weights.append(len(own))
        else:
            continue
        label[own] = place
    order = np.argsort(-np.array(weights, dtype=float), kind="stable")
    rank = np.append(np.argsort(order), -1)
    return rank[label], [means[place] for place in order]


def _mismatch(cells, others):
    """Return how much cells differ, and the matrices that transform one into another.

    The matrices are those of whole numbers that lead from the vectors of `cells` to
    those of `others` most closely; where they are not a mere change of the choice of
    vectors, the mismatch is infinite.
    """
    change = others @ np.linalg.inv(cells)
    whole = np.rint(change)
    mismatch = np.abs(change - whole).max(axis=(1, 2))
    area = whole[:, 0, 0] * whole[:, 1, 1] - whole[:, 0, 1] * whole[:, 1, 0]
    return np.where(np.abs(area) == 1, mismatch, np.inf), whole


def _averaged(cells, index):
    """Return the median of the local lattice over neighbours with a similar one."""
    n, k = index.shape
    own = np.repeat(cells, k, axis=0)
    others = cells[index.ravel()]
    mismatch, whole = _mismatch(own, others)
    similar = mismatch < _SIMILAR_SHARE
    aligned = np.full_like(others, np.nan)
    aligned[similar] = np.linalg.inv(whole[similar]) @ others[similar]
    return np.nanmedian(aligned.reshape(n, k, 2, 2), axis=1)


def _mean_cell(cells):
    """Return the mean of cells of one crystal, whatever the choice of vectors."""
    middle = np.median(cells, axis=0)
    start = cells[np.abs(cells - middle).sum(axis=(1, 2)).argmin()]
    mismatch, whole = _mismatch(np.broadcast_to(start, cells.shape), cells)
    similar = mismatch < _SIMILAR_SHARE
    return (np.linalg.inv(whole[similar]) @ cells[similar]).mean(axis=0)
