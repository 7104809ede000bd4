"""The graph of neighbouring unit cells, and its regions of equal label."""

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from sklearn.utils import check_array

from ..sites import AtomSites
from ._lattice_steps import lattice_neighbors

# Nearest neighbours on a square or hexagonal lattice; the diagonal of a square is 1.41
# spacings long. The margin covers strain and steps of the lattice at a wall.
_NEIGHBOR_REACH_CELLS = 1.25
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
    spacing : ndarray of shape (n_sites,)
        Typical distance of nearest neighbours in the image of each site, px.
    """

    def __init__(self, sites):
        self.n_sites = len(sites)
        self._sites = sites
        self.spacing = np.full(self.n_sites, np.nan)
        self._trees = {}
        found = []
        for frame in np.unique(sites.frame):
            rows = np.flatnonzero(sites.frame == frame)
            positions = sites.positions[rows]
            if len(rows) < 2:
                self.spacing[rows] = 1.0
                continue
            tree = cKDTree(positions)
            spacing = float(np.median(tree.query(positions, k=2)[0][:, 1]))
            self.spacing[rows] = spacing
            self._trees[frame] = rows, tree, spacing
            pairs = tree.query_pairs(
                _NEIGHBOR_REACH_CELLS * spacing, output_type="ndarray"
            )
            found.append(rows[pairs].reshape(-1, 2))
        pairs = np.concatenate([np.empty((0, 2), dtype=np.intp), *found])
        self.pairs = pairs[np.lexsort(pairs.T[::-1])]

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
        for rows, tree, spacing in self._trees.values():
            inner, outer = (
                tree.query_pairs(reach * spacing, output_type="ndarray")
                for reach in _RING_CELLS
            )
            n = len(rows)
            near = np.isin(outer[:, 0] * n + outer[:, 1], inner[:, 0] * n + inner[:, 1])
            first, second = rows[outer[~near]].reshape(-1, 2).T
            total = total + _count(
                np.concatenate([first, second]),
                np.concatenate([second, first]),
                codes,
                n_codes,
                voters,
                self.n_sites,
            )
        return total


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
        Class of each cell; -1, NaN, None and "" are no class.
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
    labels = np.asarray(labels)
    if labels.shape != (len(sites),):
        raise ValueError(
            f"labels must have one entry a site, shape ({len(sites)},), got shape "
            f"{labels.shape}."
        )
    if labels.dtype.kind == "f":
        known = np.isfinite(labels) & (labels != -1)
    elif labels.dtype.kind in "OUT":
        labels = np.array(["" if value is None else str(value) for value in labels])
        known = (labels != "") & (labels != "-1") & (labels != "nan")
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


def check_one_sublattice(sites):
    """Check that the sites are AtomSites of one sublattice."""
    if not isinstance(sites, AtomSites):
        raise TypeError(
            f"sites must be AtomSites, got {type(sites).__name__}. "
            "AtomLocator().fit_transform(image) makes them of an image."
        )
    if len(sites) == 0:
        raise ValueError("There are no sites (0 samples).")
    kinds = np.unique(sites.sublattice)
    if len(kinds) > 1:
        raise ValueError(
            "The cells must be sites of one sublattice, such as "
            f"sites[sites.sublattice == 1]; got the sublattices {kinds.tolist()}."
        )


def check_vectors(sites, vectors):
    """Return the vectors as float64, one a site, NaN where unknown."""
    if vectors is None:
        return np.array(sites.polarization, dtype=np.float64)
    vectors = check_array(
        vectors,
        dtype=np.float64,
        ensure_all_finite="allow-nan",
        input_name="vectors",
    )
    if vectors.shape != (len(sites), 2):
        raise ValueError(
            f"vectors must have shape ({len(sites)}, 2), one vector (row, col) a site; "
            f"got {vectors.shape}."
        )
    return vectors


def _count(center, neighbor, codes, n_codes, voters, n_sites):
    votes = voters[neighbor] & (codes[neighbor] >= 0)
    return csr_array(
        (np.ones(votes.sum()), (center[votes], codes[neighbor[votes]])),
        shape=(n_sites, n_codes),
    )
