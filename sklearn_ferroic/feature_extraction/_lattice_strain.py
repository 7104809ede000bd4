"""Strain, rotation and tetragonality of the unit cell around every site."""

import numpy as np
from scipy.spatial import cKDTree
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from .._lattice.local_lattice import MATCH_CELLS
from .._utils.angles import wrap_angle
from ._input import check_sites
from ._polarization import measure_lattice

_NAMES = (
    "strain_xx",
    "strain_yy",
    "strain_xy",
    "rotation",
    "tetragonality",
    "cell_area",
)
# Neighbouring cells that differ by more, as a share of the cell, are not of one
# lattice: strain varies by less from cell to cell except at the core of a dislocation
# or a boundary of grains. Noise of many times the median difference does not count.
_MAX_CELL_STEP_SHARE = 0.15
_MAX_STEP_IN_MEDIANS = 6.0
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
        px of the first image of `fit`. b is replaced by its opposite unless it is
        rotated from a from +col towards +row, as b of `AtomLocator`. By default they
        are learned: the median over the sites of `fit`.

    axes : {"image", "lattice"}, default="image"
        Axes x and y of the components. "image": x along +col and y along +row.
        "lattice": x along the reference vector a, y perpendicular to it towards b.

    Attributes
    ----------
    reference_vectors_ : ndarray of shape (2, 2)
        Reference vectors a and b in the rows, px.
    pixel_size_ : float or None
        Pixel size of these px, nm; None if unknown. Images with another pixel size are
        compared in nm.

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
    `tetragonality` is c/a where c is vertical, and a/c where it is horizontal. Of the
    vectors ±a and ±b of a site those are compared that are nearest to the reference, so
    that the crystal may be rotated by up to 45° relative to it.

    **Use the A columns** (sublattice 0) for the strain of a ferroelectric perovskite:
    the lattice of the B columns is displaced by the polarization, too, and its strain
    is then dominated by the step of the polarization at walls.

    Where no site has lattice vectors, they are computed from the positions, of which
    all must then be in the one call. A site without lattice vectors has NaN, and so has
    one whose vectors differ from those of a neighbour by more than 15 % of the cell, as
    within about two cells of the core of a dislocation. Drift and scan distortion
    strain the image like a crystal: a
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
            vectors = _check_reference(self.reference)
            self.pixel_size_ = X.pixel_size[X.frame[0]]
        else:
            cells = _lattice_vectors(X)
            known = np.isfinite(cells).all(axis=(1, 2)) & X.converged
            if not known.any():
                raise ValueError(
                    "No site has lattice vectors: there are too few neighbours of one "
                    "sublattice. Give reference=, or fit to more sites."
                )
            self.pixel_size_ = X.pixel_size[X.frame[known.argmax()]]
            cells = cells * _pixel_ratio(X, self.pixel_size_)
            cells = cells[known]
            vectors = np.median(_nearest_setting(cells, cells[0]), axis=0)
            # Those of the sites themselves where all have the same setting.
            vectors = _nearest_setting(vectors[None], np.median(cells, axis=0))[0]
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
        return self._strain(_lattice_vectors(X), _pixel_ratio(X, self.pixel_size_))

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
        check_is_fitted(self)
        check_sites(self, X)
        vectors = _lattice_vectors(X)
        strain = self._strain(vectors, _pixel_ratio(X, self.pixel_size_))
        covariance = _vector_covariance(X, vectors)
        # All columns are smooth functions of the four components: numeric derivatives
        # with steps far above rounding and far below any curvature.
        ratio = _pixel_ratio(X, self.pixel_size_)
        step = 1e-4 * np.sqrt(np.abs(np.linalg.det(self.reference_vectors_)))
        jacobian = np.empty((len(X), 6, 4))
        for index in range(4):
            shift = np.zeros(4)
            shift[index] = step
            shift = shift.reshape(2, 2)
            high = self._strain(vectors + shift, ratio)
            low = self._strain(vectors - shift, ratio)
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

    def _strain(self, vectors, ratio):
        """Compute the six columns from lattice vectors and a scale of each site."""
        own = vectors
        vectors = _nearest_setting(vectors * ratio, self.reference_vectors_)
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
        area = np.abs(own[:, 0, 1] * own[:, 1, 0] - own[:, 0, 0] * own[:, 1, 1])
        return np.column_stack(
            [
                strain[:, 0, 0],
                strain[:, 1, 1],
                (strain[:, 0, 1] + strain[:, 1, 0]) / 2,
                wrap_angle(rotation),
                np.hypot(*b.T) / np.hypot(*a.T),
                area,
            ]
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags


def _check_reference(reference):
    """Return reference vectors with b on the side of a on which the locator has it."""
    vectors = np.array(reference, dtype=np.float64)
    if vectors.shape != (2, 2) or not np.isfinite(vectors).all():
        raise ValueError(
            "reference must be two finite lattice vectors (row, col), shape (2, 2), "
            f"got {reference!r}."
        )
    if abs(np.linalg.det(vectors)) < 1e-9 * (vectors**2).sum():
        raise ValueError(f"The reference vectors {vectors.tolist()} are parallel.")
    if np.linalg.det(vectors) > 0:
        vectors[1] = -vectors[1]
    return vectors


def _pixel_ratio(sites, pixel_size):
    """Return the pixel size of each site over that of the reference."""
    size = sites.pixel_size_per_site()
    known = np.isfinite(size)
    if pixel_size is None and not known.any():
        return np.ones((len(sites), 1, 1))
    if pixel_size is None or not known.all():
        raise ValueError(
            "Some images have a pixel size and others have none, so that their "
            "lattices cannot be compared. Give it for all images or for none."
        )
    return (size / pixel_size)[:, None, None]


def _nearest_setting(cells, reference):
    """Return each cell in the setting (a, b), (b, -a), ... nearest to the reference."""
    a, b = cells[:, 0], cells[:, 1]
    # A turn by 90 degrees keeps the handedness; the locator's cells all have the same.
    settings = np.stack(
        [np.stack(pair, axis=1) for pair in ((a, b), (b, -a), (-a, -b), (-b, a))]
    )
    distance = ((settings - reference) ** 2).sum(axis=(2, 3))
    best = np.where(np.isfinite(distance).all(axis=0), distance.argmin(axis=0), 0)
    return settings[best, np.arange(len(cells))]


def _lattice_vectors(sites):
    """Return the lattice vectors, computed from the positions if no site has any.

    They are NaN where the neighbours have another lattice.
    """
    vectors = np.array(sites.lattice_vectors)
    if not np.isfinite(vectors).any() and len(sites) > 1:
        vectors = np.array(measure_lattice(sites).lattice_vectors)
    vectors[_at_defects(sites, vectors)] = np.nan
    return vectors


def _at_defects(sites, vectors):
    """Return which sites have vectors that change abruptly to a neighbour."""
    step = np.zeros(len(sites))
    for frame in np.unique(sites.frame):
        for kind in np.unique(sites.sublattice[sites.frame == frame]):
            rows = np.flatnonzero((sites.frame == frame) & (sites.sublattice == kind))
            rows = rows[np.isfinite(vectors[rows]).all(axis=(1, 2))]
            if len(rows) < 2:
                continue
            cells, place = vectors[rows], sites.positions[rows]
            size = np.sqrt(np.abs(np.linalg.det(cells)))
            target = place[:, None] + np.einsum("sk,nkx->nsx", _STENCIL, cells)
            distance, near = cKDTree(place).query(target)
            change = np.sqrt(((cells[near] - cells[:, None]) ** 2).sum(axis=(2, 3)))
            change = np.where(distance < MATCH_CELLS * size[:, None], change, 0)
            step[rows] = change.max(axis=1) / size
    usual = np.median(step[step > 0]) if (step > 0).any() else 0.0
    return step > max(_MAX_CELL_STEP_SHARE, _MAX_STEP_IN_MEDIANS * usual)


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
    used = distance < MATCH_CELLS * size[:, None]
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
