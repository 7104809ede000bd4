"""Strain, rotation and tetragonality of the unit cell around every site."""

import numpy as np
from scipy.spatial import cKDTree
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from .._angles import wrap_angle
from ._check_sites import check_sites
from ._polarization import measure_lattice

_NAMES = (
    "strain_xx",
    "strain_yy",
    "strain_xy",
    "rotation",
    "tetragonality",
    "cell_area",
)
# A neighbour this near to its lattice point takes part in the fit of the vectors.
_MATCH_CELLS = 0.35
# Lattice points around a site from which its two vectors are fitted.
_STENCIL = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)])


class LatticeStrain(TransformerMixin, BaseEstimator):
    """Strain of the lattice around every site against a reference lattice.

    Fit it on the sites of the region that is the reference, such as those of the
    substrate, and transform all sites of the sublattice.

    Parameters
    ----------
    reference : array-like of shape (2, 2), default=None
        Lattice vectors a and b of the unstrained lattice in the rows, ``(row, col)`` in
        px. By default they are learned: the median over the sites of `fit`.

    axes : {"image", "lattice"}, default="image"
        Axes x and y of the components. "image": x along +col and y along +row.
        "lattice": x along the reference vector a, y perpendicular to it towards b.

    Attributes
    ----------
    reference_vectors_ : ndarray of shape (2, 2)
        Reference vectors a and b in the rows, px.

    See Also
    --------
    AtomLocator : Makes the sites, with the lattice vectors around them.
    sklearn_ferroic.domains.burgers_vector : Burgers vector of a dislocation.
    sklearn_ferroic.inspection.CellMapDisplay : Draws any of the columns as a map.

    Notes
    -----
    The lattice vectors around a site, which are a fit to its nearest neighbours of the
    same sublattice, define the deformation gradient F: a = F a₀ and b = F b₀. Its polar
    decomposition F = R U separates the rigid rotation R from the stretch U, and the
    strain is ε = U − 1. This is exact for rotations of any size; to first order it is
    the symmetric part of the gradient of the displacement. U is the strain before the
    rotation, so its axes turn with the crystal.

    ========================  ===================================================
    ``strain_xx, strain_yy``  relative elongation along x and y
    ``strain_xy``             half the decrease of the angle between x and y, rad
    ``rotation``              rad, positive from +col towards +row
    ``tetragonality``         length of b over length of a
    ``cell_area``             area spanned by a and b, px²
    ========================  ===================================================

    With the vectors of :class:`AtomLocator`, a is the nearest to +col and b to +row, so
    `tetragonality` is c/a where c is vertical, and a/c where it is horizontal.

    **Use the A columns** (sublattice 0) for the strain of a ferroelectric perovskite:
    the lattice of the B columns is displaced by the polarization, too, and its strain
    is then dominated by the step of the polarization at walls.

    Where no site has lattice vectors, they are computed from the positions, of which
    all must then be in the one call. A site without lattice vectors, as those next to
    a dislocation, has NaN. Drift and scan distortion strain the image like a crystal: a
    reference in the same image removes what is uniform.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites, LatticeStrain
    >>> cell = np.array([[0.0, 10.0], [10.0, 0.0]])
    >>> stretched = cell * [1.02, 1.0]
    >>> sites = AtomSites(
    ...     np.zeros((30, 30)), [[5, 5], [15, 15]], lattice_vectors=[cell, stretched]
    ... )
    >>> LatticeStrain(reference=cell).fit_transform(sites).round(3)
    array([[0.00e+00, 0.00e+00, 0.00e+00, 0.00e+00, 1.00e+00, 1.00e+02],
           [0.00e+00, 2.00e-02, 0.00e+00, 0.00e+00, 1.02e+00, 1.02e+02]])
    """

    _parameter_constraints: dict = {
        "reference": ["array-like", None],
        "axes": [StrOptions({"image", "lattice"})],
    }

    def __init__(self, *, reference=None, axes="image"):
        self.reference = reference
        self.axes = axes

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the reference lattice from the sites.

        Parameters
        ----------
        X : AtomSites of length n_sites
            Sites of the reference region.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        TypeError
            If `X` is not an AtomSites.
        ValueError
            If no site has lattice vectors and none are given.
        """
        check_sites(self, X)
        if self.reference is not None:
            vectors = np.array(self.reference, dtype=np.float64)
            if vectors.shape != (2, 2) or not np.isfinite(vectors).all():
                raise ValueError(
                    "reference must be two finite lattice vectors (row, col), shape "
                    f"(2, 2), got {self.reference!r}."
                )
            if abs(np.linalg.det(vectors)) < 1e-9 * (vectors**2).sum():
                raise ValueError(
                    f"The reference vectors {vectors.tolist()} are parallel."
                )
        else:
            cells = _lattice_vectors(X)
            known = np.isfinite(cells).all(axis=(1, 2)) & X.converged
            if not known.any():
                raise ValueError(
                    "No site has lattice vectors: there are too few neighbours of one "
                    "sublattice. Give reference=, or fit to more sites."
                )
            vectors = np.median(cells[known], axis=0)
        self.reference_vectors_ = vectors
        return self

    def transform(self, X):
        """Compute strain, rotation, tetragonality and area of the cells.

        Parameters
        ----------
        X : AtomSites of length n_sites
            The sites.

        Returns
        -------
        strain : ndarray of shape (n_sites, 6)
            ``strain_xx, strain_yy, strain_xy, rotation, tetragonality, cell_area``;
            NaN for sites without lattice vectors.

        Raises
        ------
        TypeError
            If `X` is not an AtomSites.
        """
        check_is_fitted(self)
        check_sites(self, X)
        return self._strain(_lattice_vectors(X))

    def transform_with_std(self, X):
        """Compute the same with standard errors, propagated from the positions.

        Parameters
        ----------
        X : AtomSites of length n_sites
            The sites, all of the sublattice: a neighbour that is left out counts as
            missing in the fit of the lattice vectors.

        Returns
        -------
        strain : ndarray of shape (n_sites, 6)
            As returned by `transform`.
        std : ndarray of shape (n_sites, 6)
            Standard errors from `position_std`, NaN where that is unknown. Static
            disorder of the crystal, drift and the error of the reference are not
            in it.

        Raises
        ------
        TypeError
            If `X` is not an AtomSites.
        """
        strain = self.transform(X)
        vectors = _lattice_vectors(X)
        covariance = _vector_covariance(X, vectors)
        # All columns are smooth functions of the four components: numeric derivatives
        # with steps far above rounding and far below any curvature.
        step = 1e-4 * np.sqrt(np.abs(np.linalg.det(self.reference_vectors_)))
        jacobian = np.empty((len(X), 6, 4))
        for index in range(4):
            shift = np.zeros(4)
            shift[index] = step
            shift = shift.reshape(2, 2)
            high, low = self._strain(vectors + shift), self._strain(vectors - shift)
            jacobian[:, :, index] = (high - low) / (2 * step)
        variance = np.einsum("nki,nij,nkj->nk", jacobian, covariance, jacobian)
        return strain, np.sqrt(variance)

    def get_feature_names_out(self, input_features=None):
        """Name the columns.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str of shape (6,)
            ``strain_xx, strain_yy, strain_xy, rotation, tetragonality, cell_area``.
        """
        check_is_fitted(self)
        return np.asarray(_NAMES, dtype=object)

    def _strain(self, vectors):
        """Compute the six columns from lattice vectors."""
        # As (x, y) in columns: cell[:, :, 0] is a.
        cell = vectors[:, :, ::-1].swapaxes(1, 2)
        reference = self.reference_vectors_[:, ::-1].T
        if self.axes == "lattice":
            x = reference[:, 0] / np.hypot(*reference[:, 0])
            y = np.array([-x[1], x[0]])
            y = y if y @ reference[:, 1] > 0 else -y
            axes = np.column_stack([x, y])
        else:
            axes = np.eye(2)
        gradient = cell @ np.linalg.inv(reference)
        xx, xy, yx, yy = gradient.reshape(-1, 4).T
        # In two dimensions the rotation of the polar decomposition is explicit.
        rotation = np.arctan2(yx - xy, xx + yy)
        cos, sin = np.cos(rotation), np.sin(rotation)
        back = np.stack([cos, sin, -sin, cos], axis=1).reshape(-1, 2, 2)
        strain = axes.T @ (back @ gradient - np.eye(2)) @ axes
        a, b = vectors[:, 0], vectors[:, 1]
        return np.column_stack(
            [
                strain[:, 0, 0],
                strain[:, 1, 1],
                (strain[:, 0, 1] + strain[:, 1, 0]) / 2,
                wrap_angle(rotation),
                np.hypot(*b.T) / np.hypot(*a.T),
                np.abs(a[:, 1] * b[:, 0] - a[:, 0] * b[:, 1]),
            ]
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags


def _lattice_vectors(sites):
    """Return the lattice vectors, computed from the positions if no site has any."""
    vectors = np.array(sites.lattice_vectors)
    if not np.isfinite(vectors).any() and len(sites) > 1:
        vectors = np.array(measure_lattice(sites).lattice_vectors)
    return vectors


def _vector_covariance(sites, vectors):
    """Compute the covariance of the four components of the lattice vectors.

    The vectors are the least squares of a place and two vectors to a site and those of
    its eight neighbours that exist.
    """
    n = len(sites)
    covariance = np.full((n, 4, 4), np.nan)
    for frame in np.unique(sites.frame):
        for kind in np.unique(sites.sublattice[sites.frame == frame]):
            rows = np.flatnonzero((sites.frame == frame) & (sites.sublattice == kind))
            known = np.isfinite(vectors[rows]).all(axis=(1, 2))
            if known.any():
                own = rows[known]
                covariance[own] = _one_lattice(sites, rows, own, vectors[own])
    return covariance


def _one_lattice(sites, rows, own, cells):
    """Compute the covariance of the vectors of the sites of one lattice."""
    tree = cKDTree(sites.positions[rows])
    offset = np.einsum("sk,nkx->nsx", _STENCIL, cells)
    distance, nearest = tree.query(sites.positions[own][:, None] + offset)
    size = np.sqrt(np.abs(np.linalg.det(cells)))
    used = distance < _MATCH_CELLS * size[:, None]
    centered = np.where(used[..., None], _STENCIL, 0.0)
    count = used.sum(axis=1)
    centered = centered - (centered.sum(axis=1) / count[:, None])[:, None]
    centered = np.where(used[..., None], centered, 0.0)
    normal = np.einsum("nsk,nsl->nkl", centered, centered)
    variance = sites.position_std[rows][nearest] ** 2
    variance = np.where(used[..., None], variance, 0.0)
    # Components (a_row, a_col, b_row, b_col).
    result = np.full((len(own), 4, 4), np.nan)
    regular = np.abs(np.linalg.det(normal)) > 1e-9
    inverse = np.linalg.inv(normal[regular])
    gain = np.einsum("nkl,nsl->nks", inverse, centered[regular])
    full = np.zeros((regular.sum(), 2, 2, 2, 2))
    for axis in range(2):
        full[:, :, axis, :, axis] = np.einsum(
            "nks,ns,nls->nkl", gain, variance[regular][:, :, axis], gain
        )
    result[regular] = full.reshape(-1, 4, 4)
    return result
