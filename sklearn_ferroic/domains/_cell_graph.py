"""The graph of neighbouring unit cells, and its regions of equal label."""

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from .._utils.validation import as_labels, check_vectors
from ..sites import AtomSites
from ._lattice_steps import cell_vectors, cells_at, lattice_neighbors

# Distances are in lattice vectors, each of length 1, so that this holds for rectangular
# lattices, too: nearest neighbours are those along a and b, and on a hexagonal lattice
# along the short diagonal; the diagonal of a rectangle has length 1.41. The margin
# covers strain and steps of the lattice at a wall.
_NEIGHBOR_REACH_CELLS = 1.25
# Cosine of the angle of the lattice vectors above which the short diagonal connects
# neighbours: 0.5 on a hexagonal lattice.
_MIN_HEXAGONAL_COSINE = 0.34
# More labels than a clustering has; angles by mistake would fill the memory.
_MOST_CLASSES = 500
# Cells whose displacement shares no atomic column with the central one, the nearest
# of this kind: (2, 0), (2, 1) and their equivalents.
_RING_CELLS = (1.75, 2.45)


class CellGraph:
    """Neighbours of unit cells on the lattice of one sublattice.

    Parameters
    ----------
    sites : AtomSites
        Cells of one sublattice, of one or several images.

    Attributes
    ----------
    pairs : ndarray of shape (n_pairs, 2)
        Indices of neighbouring cells, each pair once.
    vectors : ndarray of shape (n_sites, 2, 2)
        Lattice vectors a and b of each site, px; NaN without a lattice.
    spacing : ndarray of shape (n_sites,)
        Typical size of a cell in the image of each site, the square root of its area,
        px.
    """

    def __init__(self, sites):
        self.n_sites = len(sites)
        self._sites = sites
        self.spacing = np.full(self.n_sites, np.nan)
        self.vectors = cell_vectors(sites)
        self._metrics = {}
        found = []
        for frame in np.unique(sites.frame):
            rows = np.flatnonzero(sites.frame == frame)
            metric = _Metric(sites.positions[rows], self.vectors[rows])
            self.spacing[rows] = metric.spacing
            self._metrics[int(frame)] = rows, metric
            if len(rows) > 1:
                found.append(rows[metric.pairs(0, _NEIGHBOR_REACH_CELLS)])
        pairs = np.concatenate([np.empty((0, 2), dtype=np.intp), *found])
        self.pairs = pairs[np.lexsort(pairs.T[::-1])]

    def longest(self, frame):
        """Return the length of the longer lattice vector of an image, px."""
        return self._metrics[int(frame)][1].longest

    def length_in_cells(self, points, frame):
        """Return the length of a line in lattice vectors."""
        return self._metrics[int(frame)][1].length(points)

    def sides(self):
        """Return the neighbours across each side of the cells, and the side's length.

        Returns
        -------
        neighbors : ndarray of int of shape (n_sites, 6)
            Cells at +a, +b, -a, -b and at both ends of the short diagonal; n_sites
            where there is none.
        length : ndarray of shape (n_sites, 6)
            Length of the sides, px: those of the parallelogram of a and b, or of the
            hexagon around a site of a hexagonal lattice.
        """
        return _sides(self._sites, self.vectors, self.spacing)

    def regions(self, labels, kept):
        """Return the number of the region of equal label of each cell, -1 for none."""
        first, second = self.pairs.T
        same = (labels[first] == labels[second]) & kept[first] & kept[second]
        graph = coo_array(
            (np.ones(same.sum()), (first[same], second[same])),
            shape=(self.n_sites, self.n_sites),
        )
        region = connected_components(graph, directed=False)[1]
        region[~kept] = -1
        return compress(region)

    def bridge(self, codes):
        """Assign labels to cells without one that lie between two labelled ones.

        A gap is bridged if it is at most two cells wide along a or b.
        """
        if (codes >= 0).all():
            return codes
        n = self.n_sites
        neighbors = np.concatenate([lattice_neighbors(self._sites), [[n] * 4]])
        padded = np.append(codes, -1)
        bridged = codes.copy()
        empty = np.flatnonzero(codes < 0)
        for axis in range(2):
            reached = []
            for direction in (axis, axis + 2):
                one = neighbors[empty, direction]
                two = neighbors[one, direction]
                near, far = padded[one], padded[two]
                steps = np.where(near >= 0, 1, np.where(far >= 0, 2, 9))
                reached.append((steps, np.where(near >= 0, near, far)))
            (ahead, code_ahead), (behind, code_behind) = reached
            between = (ahead + behind <= 3) & (bridged[empty] < 0)
            code = np.where(ahead <= behind, code_ahead, code_behind)
            bridged[empty[between]] = code[between]
        return bridged

    def votes(self, codes, n_codes, voters):
        """Count the labels of the neighbours of each cell, (n_sites, n_codes)."""
        first, second = self.pairs.T
        return _count(
            np.concatenate([first, second]),
            np.concatenate([second, first]),
            codes,
            n_codes,
            voters,
            self.n_sites,
        )

    def ring_votes(self, codes, n_codes, voters):
        """Count the labels of the cells about two cells away, (n_sites, n_codes)."""
        total = csr_array((self.n_sites, n_codes))
        for rows, metric in self._metrics.values():
            if len(rows) < 2:
                continue
            first, second = rows[metric.pairs(*_RING_CELLS)].T
            total = total + _count(
                np.concatenate([first, second]),
                np.concatenate([second, first]),
                codes,
                n_codes,
                voters,
                self.n_sites,
            )
        return total


class _Metric:
    """Distances between the cells of one image in lattice vectors of length 1."""

    def __init__(self, positions, vectors):
        self._positions = positions
        known = np.isfinite(vectors).all(axis=(1, 2))
        if known.any():
            self._cell = np.median(vectors[known], axis=0)
            self._cells = np.where(known[:, None, None], vectors, self._cell)
        else:
            size = 1.0
            if len(positions) > 1:
                size = np.median(cKDTree(positions).query(positions, k=2)[0][:, 1])
            self._cell = size * np.array([[0.0, 1.0], [1.0, 0.0]])
            self._cells = np.broadcast_to(self._cell, (len(positions), 2, 2))
        self.spacing = float(np.sqrt(np.abs(np.linalg.det(self._cell))))
        self.longest = float(np.hypot(*self._cell.T).max())

    def pairs(self, inner, outer):
        """Return the pairs of cells between two distances, (n_pairs, 2)."""
        reach = outer * self.longest
        pairs = cKDTree(self._positions).query_pairs(reach, output_type="ndarray")
        offset = self._positions[pairs[:, 1]] - self._positions[pairs[:, 0]]
        inverse = np.linalg.inv(self._cells)
        squared = sum(
            _norm_squared(
                np.einsum("nx,nxk->nk", offset, inverse[end]), self._cells[end]
            )
            for end in pairs.T
        )
        distance = np.sqrt(squared / 2)
        return pairs[(distance > inner) & (distance <= outer)]

    def length(self, points):
        """Return the length of a line in lattice vectors."""
        step = np.diff(points, axis=0) @ np.linalg.inv(self._cell)
        return float(np.sqrt(_norm_squared(step, self._cell[None])).sum())


def _norm_squared(coordinate, cells):
    """Return squared lengths where the lattice vectors have length 1."""
    a, b = cells[:, 0], cells[:, 1]
    cosine = (a * b).sum(axis=1) / (np.hypot(*a.T) * np.hypot(*b.T))
    i, j = coordinate.T
    return np.maximum(i**2 + j**2 + 2 * i * j * cosine, 0)


def _sides(sites, vectors, spacing):
    """Return the neighbours across the sides of each cell and their lengths."""
    n = len(sites)
    known = np.isfinite(vectors).all(axis=(1, 2))
    square = spacing[:, None, None] * np.array([[0.0, 1.0], [1.0, 0.0]])
    cells = np.where(known[:, None, None], vectors, square)
    a, b = cells[:, 0], cells[:, 1]
    aa, bb, ab = (a * a).sum(axis=1), (b * b).sum(axis=1), (a * b).sum(axis=1)
    length = np.zeros((n, 6))
    length[:, [0, 2]] = np.sqrt(bb)[:, None]
    length[:, [1, 3]] = np.sqrt(aa)[:, None]
    # Around a site of an oblique lattice: the sides of its Voronoi cell, from the
    # products of a, of b towards the obtuse side, and of minus their sum.
    hexagonal = np.abs(ab) > _MIN_HEXAGONAL_COSINE * np.sqrt(aa * bb)
    area = np.abs(np.linalg.det(cells))
    acute = np.abs(ab)
    diagonal = np.sqrt(np.maximum(aa + bb - 2 * acute, 0))
    around = np.stack(
        [
            np.sqrt(aa) * (bb - acute) / area,
            np.sqrt(bb) * (aa - acute) / area,
            diagonal * acute / area,
        ],
        axis=1,
    )
    length[hexagonal] = np.maximum(around[hexagonal][:, [0, 1, 0, 1, 2, 2]], 0)
    short = np.where((ab > 0)[:, None], a - b, a + b)
    return cells_at(sites, [a, b, -a, -b, short, -short]), length


def compress(numbers):
    """Renumber regions 0, 1, ... in their order; negative numbers become -1."""
    known = numbers >= 0
    compressed = np.full(len(numbers), -1)
    compressed[known] = np.unique(numbers[known], return_inverse=True)[1]
    return compressed


def check_cells(sites, labels, vectors=None):
    """Check sites of one sublattice, their labels and their vectors.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        The cells.
    labels : array-like of shape (n_sites,)
        Class of each cell; -1, NaN, None and "" mean none.
    vectors : array-like of shape (n_sites, 2), default=None
        Vectors; the sites' polarization by default.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        The labels that occur, sorted.
    codes : ndarray of shape (n_sites,)
        Index of each cell's label, -1 for none.
    vectors : ndarray of shape (n_sites, 2)
        The vectors, NaN where unknown.
    """
    check_one_sublattice(sites)
    labels, is_missing = as_labels(labels)
    if labels.shape != (len(sites),):
        raise ValueError(
            f"labels must have one entry per site, shape ({len(sites)},), got shape "
            f"{labels.shape}."
        )
    if labels.dtype.kind == "f":
        known = np.isfinite(labels) & (labels != -1)
    elif labels.dtype.kind in "OUT":
        labels = np.array([str(value) for value in labels])
        known = ~is_missing & (labels != "") & (labels != "-1") & (labels != "nan")
    else:
        known = labels != -1
    codes = np.full(len(sites), -1)
    classes, codes[known] = np.unique(labels[known], return_inverse=True)
    if len(classes) > _MOST_CLASSES:
        raise ValueError(
            f"labels have {len(classes)} different values: they must be classes, such "
            "as variants or clusters, not continuous values."
        )
    return classes, codes, check_vectors(sites, vectors)


def pad_cells(codes, vectors, std, n_vacant):
    """Return labels, vectors and errors with those of vacancies, which are unknown."""
    if not n_vacant:
        return codes, vectors, std
    unknown = np.full((n_vacant, 2), np.nan)
    return (
        np.concatenate([codes, np.full(n_vacant, -1)]),
        np.concatenate([vectors, unknown]),
        np.concatenate([std, unknown]),
    )


def select_frame(sites, frame):
    """Return the image and the indices of the sites on it."""
    if len(sites) == 0:
        raise ValueError("There are no sites (0 samples).")
    occupied = np.unique(sites.frame)
    if frame is None:
        if len(occupied) != 1:
            raise ValueError(
                f"The sites lie on {len(occupied)} images; choose one by frame=, one "
                f"of {occupied.tolist()}."
            )
        frame = occupied[0]
    if frame not in occupied:
        raise ValueError(
            f"frame={frame!r} has no sites, only {occupied.tolist()} have."
        )
    return int(frame), np.flatnonzero(sites.frame == frame)


def check_one_sublattice(sites):
    """Check that the sites are AtomSites of one sublattice."""
    if not isinstance(sites, AtomSites):
        raise TypeError(
            f"sites must be AtomSites, got {type(sites).__name__}. "
            "AtomLocator().fit_transform(image) makes them from an image."
        )
    if len(sites) == 0:
        raise ValueError("There are no sites (0 samples).")
    kinds = np.unique(sites.sublattice)
    if len(kinds) > 1:
        raise ValueError(
            "The cells must be sites of one sublattice, such as "
            f"sites[sites.sublattice == 1]; got the sublattices {kinds.tolist()}."
        )
    n_different = sum(
        len(np.unique(sites.positions[sites.frame == frame] @ [1, 1j]))
        for frame in np.unique(sites.frame)
    )
    if n_different < len(sites):
        raise ValueError(
            f"{len(sites) - n_different} of {len(sites)} cells lie at the position of "
            "another one, as after joining overlapping sets. Pass each cell once."
        )


def _count(center, neighbor, codes, n_codes, voters, n_sites):
    votes = voters[neighbor] & (codes[neighbor] >= 0)
    return csr_array(
        (np.ones(votes.sum()), (center[votes], codes[neighbor[votes]])),
        shape=(n_sites, n_codes),
    )
