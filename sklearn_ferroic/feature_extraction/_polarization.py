"""Displacements of columns in their coordination shells."""

import warnings

import numpy as np
from scipy.spatial import cKDTree
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import StrOptions

from .._angles import wrap_angle
from .._lattice.neighbors import cage_displacement
from ._check_sites import check_sites


class PolarizationVector(TransformerMixin, BaseEstimator):
    """Displacement of every column from the centroid of its neighbours.

    The neighbours are the coordination shell of nearest columns of the other
    sublattice: four, which for the B column of a perovskite are the A columns at the
    corners of its unit cell, or three or six on hexagonal lattices. The displacement
    is the non-centrosymmetry that a ferroelectric's polarization follows.

    The estimator is stateless.

    Parameters
    ----------
    unit : {"px", "pm"}, default="px"
        Unit of the displacement; "pm" needs the pixel size of every image.

    output : {"vector", "polar"}, default="vector"
        ``(row, col)`` components, or magnitude and angle. The angle is in
        radians in [−π, π), from the +col axis towards the +row axis.

    See Also
    --------
    AtomLocator : Makes the sites.
    PatchExtractor : Cuts a window of the image around every site.

    Notes
    -----
    There is one row per site, in order. A site with an incomplete shell (at the
    border, next to a missing column) has NaN: drop such rows, or append a
    :class:`sklearn.impute.SimpleImputer`.

    Where any site has a `polarization`, as those of
    :class:`~sklearn_ferroic.AtomLocator` have, all are taken at their word, NaN
    included. Where none has, the displacements are computed from both sublattices,
    which must all be in the one call, unless a `lattice_position` or a
    `position_std` shows that the sites are a slice of located ones: these stay NaN,
    with a warning if a displacement could have been computed.

    Examples
    --------
    >>> from sklearn_ferroic import AtomSites, PolarizationVector
    >>> import numpy as np
    >>> corners = [[8, 8], [8, 24], [24, 8], [24, 24]]
    >>> sites = AtomSites(
    ...     np.zeros((32, 32)),
    ...     [*corners, [17.0, 15.5]],
    ...     sublattice=[0, 0, 0, 0, 1],
    ...     pixel_size=0.025,
    ... )
    >>> PolarizationVector(unit="pm").fit_transform(sites)[4]
    array([ 25. , -12.5])
    """

    _parameter_constraints: dict = {
        "unit": [StrOptions({"px", "pm"})],
        "output": [StrOptions({"vector", "polar"})],
    }

    def __init__(self, *, unit="px", output="vector"):
        self.unit = unit
        self.output = output

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check the parameters and the sites; nothing is learned.

        Parameters
        ----------
        X : AtomSites of length n_sites
            The sites.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The estimator.
        """
        self._check_sites(X)
        _check_sublattices(X)
        return self

    def transform(self, X):
        """Compute the displacements.

        Parameters
        ----------
        X : AtomSites of length n_sites
            The sites.

        Returns
        -------
        displacement : ndarray of shape (n_sites, 2)
            Site minus centroid, NaN where it is not defined.

        Raises
        ------
        TypeError
            If `X` is not an AtomSites.
        ValueError
            If the sites have neither displacements nor two sublattices, or
            ``unit="pm"`` and a pixel size is unknown.
        """
        self._validate_params()
        self._check_sites(X)
        vector = _displacement(X)
        if self.unit == "pm":
            vector = vector * 1000 * X.pixel_size_per_site()[:, None]
        if self.output == "vector":
            return vector
        angle = wrap_angle(np.arctan2(vector[:, 0], vector[:, 1]))
        return np.column_stack([np.hypot(*vector.T), angle])

    def get_feature_names_out(self, input_features=None):
        """Get the names of the columns, with their unit.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str of shape (2,)
            ``displacement_row_px, displacement_col_px`` or
            ``displacement_px, displacement_angle``, the unit as chosen.
        """
        if self.output == "vector":
            names = [f"displacement_row_{self.unit}", f"displacement_col_{self.unit}"]
        else:
            names = [f"displacement_{self.unit}", "displacement_angle"]
        return np.asarray(names, dtype=object)

    def _check_sites(self, sites):
        check_sites(self, sites)
        if self.unit == "pm" and np.isnan(sites.pixel_size_per_site()).any():
            raise ValueError(
                'unit="pm" needs the pixel size of every image, and some are unknown. '
                "Read the file with sklearn_ferroic.datasets.load_image, give the "
                "images as (array, pixel_size) with pixel_size in nm, or use "
                'unit="px".'
            )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        return tags


def _check_sublattices(sites):
    if not _is_located(sites) and len(np.unique(sites.sublattice)) < 2:
        raise ValueError(
            "The sites hold one sublattice and no displacements: the neighbours of "
            "the other sublattice are missing. Use AtomLocator(n_sublattices=2), "
            "or give AtomSites(..., sublattice=...)."
        )
    if not _is_located(sites) and not np.isin([0, 1], sites.sublattice).all():
        raise ValueError(
            "Sublattices are numbered from 0, the brightest, and 0 and 1 are each "
            f"other's cages; got {np.unique(sites.sublattice).tolist()}."
        )


def _is_located(sites):
    """Return whether sites are from a locator, which marks undefined displacements.

    Amplitudes are no sign of it: they come with many a table of bare positions.
    """
    results = (sites.polarization, sites.lattice_position, sites.position_std)
    return any(np.isfinite(result).any() for result in results)


def _displacement(sites):
    if np.isfinite(sites.polarization).any():
        return np.array(sites.polarization)  # a plain array, if it was mapped
    _check_sublattices(sites)
    vector = _cage_displacements(sites)
    if not _is_located(sites):
        return vector
    # A slice of located sites must not be treated as if its neighbours did not exist;
    # warn, because sites of another origin are not distinguishable from a slice.
    if np.isfinite(vector).any():
        warnings.warn(
            "The sites have lattice_position or position_std, as AtomLocator gives "
            "them, and no polarization: all displacements are NaN, although some "
            "cages are complete. To have them computed, make AtomSites of images, "
            "positions and sublattice alone, or give polarization.",
            UserWarning,
            stacklevel=3,
        )
    return np.full_like(vector, np.nan)


def _cage_displacements(sites):
    vector = np.full((len(sites), 2), np.nan)
    for frame in np.unique(sites.frame):
        rows = np.flatnonzero(sites.frame == frame)
        if len(rows) < 2:
            continue
        positions = sites.positions[rows]
        nearest = cKDTree(positions).query(positions, k=2)[0][:, 1]
        vector[rows] = cage_displacement(
            positions, sites.sublattice[rows], float(np.median(nearest))
        )
    return vector
