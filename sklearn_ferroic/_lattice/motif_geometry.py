"""Geometry of a motif: neighbours of its columns and symmetric operations."""

import numpy as np

from .local_lattice import MIN_SINE
from .neighbors import shell_size

# Neighbours that predict the positions of further columns, and those in the region
# around a column that is compared with the image.
_N_NEIGHBORS = 12
_N_REGION_COLUMNS = 22
# Neighbours from which pairs of vectors are formed.
_N_FIRST_NEIGHBORS = 3
# A predicted column is matched within this share of the distance to the nearest other
# column of the motif. Half of it would be ambiguous.
REACH_SHARE = 0.4
# Images of columns under a symmetric operation coincide to within this length.
_COINCIDENCE_NM = 0.02


class MotifGeometry:
    """Columns of a motif with their neighbours.

    Parameters
    ----------
    cell : ndarray of shape (2, 2)
        Lattice vectors in the rows, ``(row, col)``, nm.
    fractions : ndarray of shape (n_columns, 2)
        Coordinates of the columns along the lattice vectors.
    intensity : ndarray of shape (n_columns,)
        Expected brightness, positive.
    kind : ndarray of int of shape (n_columns,)
        Number of the species; columns of one number are alike.

    Attributes
    ----------
    target : ndarray of int of shape (n_columns, 12)
        Columns that are the neighbours of each column, the nearest first.
    shift : ndarray of int of shape (n_columns, 12, 2)
        Their cells relative to that of the column.
    vector : ndarray of shape (n_columns, 12, 2)
        Vectors to them, nm.
    reach : ndarray of shape (n_columns,)
        Distance within which a site is matched with a predicted column, nm.
    region_radius : float
        Radius of the region that is compared with the image, nm.
    spacing : float
        Median distance of nearest neighbours, nm.
    """

    def __init__(self, cell, fractions, intensity, kind):
        self.cell = np.asarray(cell, dtype=float)
        self.fractions = np.asarray(fractions, dtype=float)
        self.intensity = np.asarray(intensity, dtype=float)
        self.kind = np.asarray(kind)
        target, shift, vector, distance = self._all_neighbors()
        nearest = distance[:, 0]
        self.spacing = float(np.median(nearest))
        self.reach = REACH_SHARE * nearest
        self.target = target[:, :_N_NEIGHBORS]
        self.shift = shift[:, :_N_NEIGHBORS]
        self.vector = vector[:, :_N_NEIGHBORS]
        self._all = target, shift, vector, distance
        # One radius for all columns, between two shells of the first column.
        radius = np.median(distance[:, _N_REGION_COLUMNS - 1])
        self.region_radius = float(1.01 * radius)
        self.region = [
            vector[number, distance[number] < self.region_radius]
            for number in range(len(self))
        ]
        self.region_target = [
            target[number, distance[number] < self.region_radius]
            for number in range(len(self))
        ]

    def __len__(self):
        return len(self.fractions)

    def _all_neighbors(self):
        """Return all neighbours within a few cells, the nearest first."""
        n_needed = 3 * _N_REGION_COLUMNS
        n_cells = 2 + int(np.ceil(np.sqrt(n_needed / len(self))))
        # Cells may be long in one direction: more steps along the shorter vector.
        length = np.linalg.norm(self.cell, axis=1)
        steps = np.ceil(n_cells * np.sqrt(length.prod()) / length).astype(int)
        grid = np.stack(
            np.meshgrid(*(np.arange(-s, s + 1) for s in steps), indexing="ij"), -1
        ).reshape(-1, 2)
        n = len(self)
        fraction = (
            self.fractions[None, None] + grid[:, None] - self.fractions[:, None, None]
        )
        vector = (fraction @ self.cell).reshape(n, -1, 2)
        distance = np.hypot(vector[..., 0], vector[..., 1])
        # Ties in the order of the table, whatever the rounding.
        order = np.argsort(np.round(distance, 6), axis=1, kind="stable")
        order = order[:, 1 : n_needed + 1]
        target = np.broadcast_to(np.tile(np.arange(n), len(grid)), (n, n * len(grid)))
        shift = np.broadcast_to(np.repeat(grid, n, axis=0), (n, n * len(grid), 2))
        rows = np.arange(n)[:, None]
        return (
            target[rows, order],
            shift[rows, order],
            vector[rows, order],
            distance[rows, order],
        )

    def shell(self, partners):
        """Return the coordination shell of each column.

        Parameters
        ----------
        partners : ndarray of bool of shape (n_columns, n_columns)
            Which columns may be in the shell of each.

        Returns
        -------
        shells : list of (ndarray, ndarray, ndarray)
            For each column: columns, cells and vectors (nm) of the neighbours up to
            the widest gap in their distances that leaves the column surrounded; empty
            if the column has no partners.
        """
        shells = []
        for number, (target, shift, vector, distance) in enumerate(
            zip(*self._all, strict=True)
        ):
            own = np.flatnonzero(partners[number][target])[:10]
            size = shell_size(distance[own], vector[own])
            own = own[:size]
            shells.append((target[own], shift[own], vector[own]))
        return shells

    def spanning_pairs(self, number):
        """Return pairs of non-parallel vectors from a column to its neighbours.

        Parameters
        ----------
        number : int
            Index of the column.

        Returns
        -------
        pairs : ndarray of shape (n_pairs, 2, 2)
            Vectors in the rows, nm.
        """
        vectors = self.vector[number]
        pairs = []
        for first in vectors[:_N_FIRST_NEIGHBORS]:
            cross = np.abs(first[0] * vectors[:, 1] - first[1] * vectors[:, 0])
            oblique = cross > MIN_SINE * np.hypot(*first) * np.hypot(*vectors.T)
            if oblique.any():
                pairs.append([first, vectors[np.argmax(oblique)]])
        return np.array(pairs)

    def is_symmetric(self, first, second, operation):
        """Return whether an operation maps the motif onto itself, species included.

        Parameters
        ----------
        first, second : int
            Column and its image.
        operation : ndarray of shape (2, 2)
            Matrix that multiplies row vectors, nm.

        Returns
        -------
        symmetric : bool
            Whether the columns around the first are mapped onto those around the
            second.
        """
        if self.kind[first] != self.kind[second]:
            return False
        mapped = self.region[first] @ operation
        candidates = self._all[2][second]
        distance = np.linalg.norm(mapped[:, None] - candidates[None], axis=2)
        nearest = distance.argmin(axis=1)
        near = distance[np.arange(len(mapped)), nearest] < _COINCIDENCE_NM
        alike = (
            self.kind[self._all[0][second][nearest]]
            == self.kind[self.region_target[first]]
        )
        return bool((near & alike).all())
