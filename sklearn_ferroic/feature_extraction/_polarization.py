"""Displacements of columns in their coordination shells."""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy.spatial import cKDTree
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from .._lattice.local_lattice import lattice_vectors
from .._lattice.neighbors import cage_displacement
from .._utils.angles import wrap_angle
from .._utils.validation import Interval
from ..sites import AtomSites
from ._born_charges import born_charges, displacement_to_polarization
from ._coordination import (
    SiteShells,
    as_motifs,
    match_sites,
    shells_of_motif,
    shells_of_sublattices,
)
from ._displacement_reference import (
    fit_reference,
    reference_covariance,
    subtract_reference,
)
from ._input import (
    FittedSites,
    check_parameters_unchanged,
    check_sites,
    compute_with_memory,
    record_parameters,
)
from ._motif import Motif

# A warning is issued if fewer sites have a displacement: even of a small image, where
# shells at the border are incomplete, more have one.
_MIN_KNOWN_SHARE = 0.1


class PolarizationVector(TransformerMixin, BaseEstimator):
    """Displacement of every column from the centroid of its neighbours.

    The neighbours are the coordination shell of nearest columns of the other
    sublattice: four, which for the B column of a perovskite are the A columns at the
    corners of its unit cell, or three or six on hexagonal lattices. The displacement
    is the non-centrosymmetry that a ferroelectric's polarization follows. For other
    crystals see `shell`.

    Without `reference` and `shell` the estimator is stateless. After a change of
    `reference`, `shell` or `shell_weights`, `fit` has to be called again.

    Parameters
    ----------
    unit : {"px", "pm", "uC/cm2"}, default="px"
        Unit of the displacement; "pm" and "uC/cm2" need the pixel size of every image.
        "uC/cm2" makes it a polarization by Born effective charges, see
        :func:`~sklearn_ferroic.feature_extraction.displacement_to_polarization` and
        what can go wrong there. It is that of the B columns: the A columns, whose
        displacement from their neighbours has the opposite sign, have NaN.

    output : {"vector", "polar"}, default="vector"
        ``(row, col)`` components, or magnitude and angle. The angle is in
        radians in [−π, π), from the +col axis towards the +row axis.

    reference : {None, "mean", "plane", "layer"}, default=None
        Displacement that is learned from the sites of `fit` and subtracted, because
        mistilt and coma displace all A columns relative to B: their mean, a plane
        through them, or the mean of each layer of cells along the lattice vector a. Fit
        on a part that is not polar, such as a substrate, or give `variants` to `fit`; a
        mean over polar cells removes their net polarization, too. A layer without sites
        of the reference has NaN.

    material : str or dict, default=None
        With ``unit="uC/cm2"``, the material: "BaTiO3", "PbTiO3", "KNbO3", "BiFeO3",
        "PbZrO3", "SrTiO3", or a dict as in
        :func:`~sklearn_ferroic.feature_extraction.born_charges`.

    cell_volume_nm3 : float, default=None
        Volume of the cell of one formula unit, nm³; that of the material by default.

    column_factor : float, default=1.0
        With ``unit="uC/cm2"``, measured displacement of a column over that of its
        cation, which differs from 1 where O is in the column.

    shell : {None, "auto"}, int, str or Motif, default=None
        Coordination shell of each column:

        - None: the `polarization` of the sites if they have one, otherwise that of
          three, four or six neighbours;
        - "auto": four, three or six neighbours of the other sublattice; where these
          are incomplete for most columns, the number, from 3 to 8, that surrounds the
          column and is followed by the widest gap in the distances;
        - int: this number of neighbours, 2 to 8;
        - a :class:`Motif` or the name of its preset: the sites are assigned to the
          motif, as by :class:`MotifAssigner`, and the neighbours are those of the
          motif, wherever the distances differ.

        All but None are computed from the positions of all sites of an image, which
        must be in one call; slices of the sites of `fit` have the results of all.

    shell_weights : {None, "charge"}, default=None
        With a motif, the weights of the neighbours in the centroid: equal, or the
        absolute charge of their ions, so that it is their centre of charge.

    Attributes
    ----------
    reference_ : dict of int to ndarray
        The fitted displacement of each image, px; with `reference` only.
    shells_ : dict of int to Shell
        Coordination shell of each sublattice, or column of the motif: the tuple
        ``(size, partner, distance, complete)`` of the number of neighbours, their
        sublattice, their mean distance in px and the share of columns whose shell is
        complete; with `shell` only.

    See Also
    --------
    AtomLocator : Makes the sites.
    PatchExtractor : Cuts a window of the image around every site.
    sklearn_ferroic.feature_extraction.pool_polarization : Means with significance.

    Notes
    -----
    There is one row per site, in order. A site with an incomplete shell (at the
    border, next to a missing column) has NaN: drop such rows, or append a
    :class:`sklearn.impute.SimpleImputer`. `nan_reasons` returns the reason for each.

    Where any site has a `polarization`, as those of
    :class:`~sklearn_ferroic.AtomLocator` have, all are taken at their word, NaN
    included. Where none has, the displacements are computed from both sublattices,
    which must all be in the one call, unless a `lattice_position` or a
    `position_std` shows that the sites are a slice of located ones: these stay NaN,
    with a warning if a displacement could have been computed.

    A reference that was fitted to one image is used for all; one that was fitted to
    several is used image by image.

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
    >>> polarization = PolarizationVector(unit="uC/cm2", material="BaTiO3")
    >>> polarization.fit_transform(sites)[4].round(0)
    array([ 96., -48.])
    """

    _parameter_constraints: dict = {
        "unit": [StrOptions({"px", "pm", "uC/cm2"})],
        "output": [StrOptions({"vector", "polar"})],
        "reference": [StrOptions({"mean", "plane", "layer"}), None],
        "material": [str, dict, None],
        "cell_volume_nm3": [Interval(Real, 0, 1, closed="neither"), None],
        "column_factor": [Interval(Real, 0, None, closed="neither")],
        "shell": [
            StrOptions({"auto", *Motif.preset_names}),
            Interval(Integral, 2, 8, closed="both"),
            Motif,
            None,
        ],
        "shell_weights": [StrOptions({"charge"}), None],
    }

    def __init__(
        self,
        *,
        unit="px",
        output="vector",
        reference=None,
        material=None,
        cell_volume_nm3=None,
        column_factor=1.0,
        shell=None,
        shell_weights=None,
    ):
        self.unit = unit
        self.output = output
        self.reference = reference
        self.material = material
        self.cell_volume_nm3 = cell_volume_nm3
        self.column_factor = column_factor
        self.shell = shell
        self.shell_weights = shell_weights

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, variants=None):
        """Check the parameters and the sites, and learn the reference if there is one.

        Parameters
        ----------
        X : AtomSites of length n_sites
            The sites; with a reference, those of the reference region.
        y : None
            Ignored, present for API consistency.
        variants : array-like of shape (n_sites,), default=None
            With ``reference="mean"`` or ``"plane"``, the variant of each site, -1, NaN
            or None for nonpolar ones; leave out sites whose variant is unknown. Then a
            mean for each variant is fitted together with the reference, which is the
            displacement of the nonpolar sites or, if there are none, the mean of the
            means of the variants. In that case, pass variants whose displacements add
            up to zero, such as all four.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        TypeError
            If `X` is not an AtomSites.
        ValueError
            If a reference has too few displacements, or if `transform` would raise.
        """
        self._check_sites(X)
        if self.shell is None:
            _check_sublattices(X)
            one_kind = len(X) and not X.sublattice.any() and _is_located(X)
            if one_kind and not np.isfinite(X.polarization).any():
                warnings.warn(
                    f"None of the {len(X)} sites has a displacement. If the locator "
                    "found one sublattice although the crystal has two, as with "
                    "columns of equal brightness, use AtomLocator(n_sublattices=2); "
                    'for other structures give a Motif or "auto" as shell.',
                    UserWarning,
                    stacklevel=2,
                )
        else:
            of_motif = self._shell_is_motif()
            if not of_motif:
                _check_two_sublattices(X)
            *values, shells = self._measure(X)
            self.shells_, self._fitted = shells, FittedSites(X, values)
            known = np.isfinite(values[0]).all(axis=1).mean()
            # Sites that are not assigned to a motif are warned of already.
            if known < _MIN_KNOWN_SHARE and not of_motif:
                warnings.warn(
                    f"Only {known:.0%} of the sites have a complete shell with "
                    f"shell={self.shell!r}; the displacements of the others are NaN. "
                    'shell="auto" finds the number of neighbours, and nan_reasons '
                    "returns the reason for each site.",
                    UserWarning,
                    stacklevel=2,
                )
        if self.reference is not None:
            self.reference_, self._reference_error = fit_reference(
                X, self._displacement(X), self.reference, variants
            )
        record_parameters(self, ("reference", "shell", "shell_weights"))
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
            Site minus centroid, minus the reference; NaN where it is not defined.

        Raises
        ------
        TypeError
            If `X` is not an AtomSites.
        ValueError
            If the sites have neither displacements nor two sublattices, or
            ``unit="pm"`` or ``"uC/cm2"`` and a pixel size is unknown.
        """
        vector = self._vectors(X)
        if self.output == "vector":
            return vector
        angle = wrap_angle(np.arctan2(vector[:, 0], vector[:, 1]))
        return np.column_stack([np.hypot(*vector.T), angle])

    def transform_with_std(self, X):
        """Compute the displacements and their standard errors.

        Parameters
        ----------
        X : AtomSites of length n_sites
            The sites. With both sublattices the errors of the neighbours are taken from
            them; from a slice of one sublattice, the error of the site replaces those
            of its neighbours, which are smaller if these are brighter.

        Returns
        -------
        displacement : ndarray of shape (n_sites, 2)
            As returned by `transform`.
        std : ndarray of shape (n_sites, 2)
            Standard errors of both columns that follow from `position_std`, NaN where
            that is unknown. The error of the reference, which all sites share, is not
            in it; see `reference_covariance`.

        Raises
        ------
        TypeError, ValueError
            As `transform`.
        """
        vector = self._vectors(X)
        if self.shell is None:
            std = displacement_std(X)
        else:
            std = np.sqrt(X.position_std**2 + self._shells(X).shell_variance)
        std = std * np.abs(self._scale(X))[:, None]
        if self.output == "vector":
            return vector, std
        length = np.hypot(*vector.T)
        angle = wrap_angle(np.arctan2(vector[:, 0], vector[:, 1]))
        with np.errstate(invalid="ignore", divide="ignore"):
            along = np.hypot(*(vector * std).T) / length
            across = np.hypot(*(vector[:, ::-1] * std).T) / length**2
        return np.column_stack([length, angle]), np.column_stack([along, across])

    def reference_covariance(self, X):
        """Compute the covariance of the reference in the mean over sites.

        Parameters
        ----------
        X : AtomSites of length n_sites
            The sites that are averaged.

        Returns
        -------
        covariance : ndarray of shape (2, 2)
            Covariance of the mean of what is subtracted from the sites, (row, col),
            in the square of `unit`; zero without a reference, NaN if that was fitted
            to fewer than three sites. It follows from the scatter of the sites of
            `fit` with the correlation of neighbours.

        Raises
        ------
        TypeError, ValueError
            As `transform`.
        """
        self._check_fitted()
        self._check_sites(X)
        if self.reference is None or not len(X):
            return np.zeros((2, 2))
        return reference_covariance(
            X,
            self.reference_,
            self._reference_error,
            self.reference,
            self._scale_of_errors(X),
        )

    def nan_reasons(self, X):
        """Return why displacements are not defined.

        Parameters
        ----------
        X : AtomSites of length n_sites
            The sites; `shell` must not be None.

        Returns
        -------
        flags : ndarray of uint16 of shape (n_sites,)
            Bits of :class:`~sklearn_ferroic.SiteFlag`: SHELL_MISSING, SHELL_DISTORTED
            or UNASSIGNED; 0 where there is a displacement.

        Raises
        ------
        TypeError, ValueError
            As `transform`; ValueError if `shell` is None.
        """
        self._check_fitted()
        if self.shell is None:
            raise ValueError(
                'nan_reasons needs a shell, such as PolarizationVector(shell="auto"); '
                "without one the displacements are those of the sites."
            )
        self._check_sites(X)
        return self._shells(X).flags

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
            ``displacement_px, displacement_angle``, the unit as chosen;
            ``polarization_row_uC_cm2`` etc. with ``unit="uC/cm2"``.
        """
        if self.reference is not None:
            check_is_fitted(self, "reference_")
        name, unit = "displacement", self.unit
        if unit == "uC/cm2":
            name, unit = "polarization", "uC_cm2"
        if self.output == "vector":
            names = [f"{name}_row_{unit}", f"{name}_col_{unit}"]
        else:
            names = [f"{name}_{unit}", f"{name}_angle"]
        return np.asarray(names, dtype=object)

    def _check_fitted(self):
        """Check the parameters, and that their fitted values belong to them."""
        self._validate_params()
        check_parameters_unchanged(self)
        if self.reference is not None:
            check_is_fitted(self, "reference_")

    def _vectors(self, sites):
        """Compute the vectors in the unit chosen, minus the reference."""
        self._check_fitted()
        self._check_sites(sites)
        vector = self._displacement(sites)
        if self.reference is not None:
            vector = subtract_reference(sites, vector, self.reference_, self.reference)
        return vector * self._scale(sites)[:, None] if self.unit != "px" else vector

    def _displacement(self, sites):
        """Compute the vectors, px."""
        if self.shell is None:
            return _displacement(sites)
        return self._shells(sites).displacement

    def _shell_is_motif(self):
        return self.shell != "auto" and not isinstance(self.shell, Integral)

    def _shells(self, sites):
        """Return the shells of sites: those of `fit`, or computed for new sites."""
        return SiteShells(
            *compute_with_memory(
                sites,
                lambda own: self._measure(own)[:-1],
                getattr(self, "_fitted", None),
            )
        )

    def _measure(self, sites):
        """Compute the values of all sites of some images, and the table of shells."""
        if not self._shell_is_motif():
            if self.shell_weights is not None:
                raise ValueError('shell_weights="charge" needs a Motif as shell.')
            shells, table = shells_of_sublattices(sites, self.shell)
        else:
            (motif,) = as_motifs(self.shell)
            matches = match_sites(sites, [motif])
            shells, table = shells_of_motif(sites, motif, matches, self.shell_weights)
        return *shells, table

    def _scale_of_errors(self, sites):
        """Return the length of one px in the unit for each site, (n_sites,).

        Sites whose vector is not defined have the mean of the others.
        """
        scale = np.abs(self._scale(sites))
        known = np.isfinite(scale)
        return np.where(known, scale, scale[known].mean() if known.any() else 1.0)

    def _scale(self, sites):
        """Return the factor from px to the unit for each site."""
        if self.unit == "px":
            return np.ones(len(sites))
        pm = 1000 * sites.pixel_size_per_site()
        if self.unit == "pm":
            return pm
        # A columns move against their neighbours in the opposite direction.
        pm[sites.sublattice != born_charges(self.material).b_sublattice] = np.nan
        return displacement_to_polarization(
            pm,
            self.material,
            cell_volume_nm3=self.cell_volume_nm3,
            column_factor=self.column_factor,
        )

    def _check_sites(self, sites):
        check_sites(self, sites)
        if self.unit == "uC/cm2":
            if self.material is None:
                raise ValueError(
                    'unit="uC/cm2" needs material=, such as "BaTiO3" or a dict of Born '
                    "effective charges; see "
                    "sklearn_ferroic.feature_extraction.born_charges."
                )
            b_sublattice = born_charges(self.material).b_sublattice
            if not (sites.sublattice == b_sublattice).any():
                raise ValueError(
                    f'unit="uC/cm2" is the polarization at the B columns, sublattice '
                    f"{b_sublattice} with this material, and the sites are of "
                    f"sublattice {np.unique(sites.sublattice).tolist()}. Use the sites "
                    "of the B columns, or give b_sublattice in a dict of the material."
                )
        if self.unit != "px" and np.isnan(sites.pixel_size_per_site()).any():
            raise ValueError(
                f'unit="{self.unit}" needs the pixel size of every image, and some are '
                "unknown. Read the file with sklearn_ferroic.datasets.load_image, give "
                "the images as (array, pixel_size) with pixel_size in nm, or use "
                'unit="px".'
            )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.requires_fit = self.reference is not None
        return tags


def _check_two_sublattices(sites):
    """Check that shells of the other sublattice can exist."""
    if len(np.unique(sites.sublattice)) < 2:
        raise ValueError(
            "The sites have one sublattice: the neighbours of the other sublattice are "
            "missing. Give the sites of both and select rows afterwards, or give a "
            "Motif as shell, whose columns may be the neighbours of each other."
        )


def _check_sublattices(sites):
    if not _is_located(sites) and len(np.unique(sites.sublattice)) < 2:
        raise ValueError(
            "The sites have one sublattice and no displacements: the neighbours of "
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

    Amplitudes do not show it: many tables of unfitted positions have them.
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


def displacement_std(sites):
    """Compute the standard errors of displacements from those of the positions.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        The sites.

    Returns
    -------
    std : ndarray of shape (n_sites, 2)
        In px. The variance of a column plus a quarter of the mean variance of the four
        nearest columns of the other sublattice, or of its own where there are none.
    """
    variance = sites.position_std**2
    shell = variance / 4
    for frame in np.unique(sites.frame):
        on_frame = sites.frame == frame
        for kind in np.unique(sites.sublattice[on_frame]):
            own = np.flatnonzero(on_frame & (sites.sublattice == kind))
            other = on_frame & (sites.sublattice == (1 if kind == 0 else 0))
            other = np.flatnonzero(other & np.isfinite(variance).all(axis=1))
            if len(other) >= 4:
                tree = cKDTree(sites.positions[other])
                nearest = other[tree.query(sites.positions[own], k=4)[1]]
                shell[own] = variance[nearest].mean(axis=1) / 4
    return np.sqrt(variance + shell)


def measure_lattice(sites):
    """Compute displacements and lattice vectors of sites that have none.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        Sites of any origin, of all sublattices: a table, another program, a truth.

    Returns
    -------
    measured : AtomSites of length n_sites
        The same with `polarization` and `lattice_vectors`, as
        :class:`~sklearn_ferroic.AtomLocator` computes them.

    Raises
    ------
    TypeError
        If `sites` are not AtomSites.

    See Also
    --------
    PolarizationVector : Displacements as features.
    LatticeStrain : Strain from the lattice vectors.

    Examples
    --------
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.datasets import make_ferroic_image
    >>> from sklearn_ferroic.feature_extraction import measure_lattice
    >>> data = make_ferroic_image("film", shape=(160, 160), random_state=0)
    >>> sites = AtomSites(data.image, data.positions, sublattice=data.sublattice)
    >>> measure_lattice(sites).lattice_vectors[60].round(0)
    array([[ 0., 20.],
           [20., -0.]])
    """
    if not isinstance(sites, AtomSites):
        raise TypeError(f"measure_lattice needs AtomSites, got {type(sites).__name__}.")
    measured = sites[:]
    measured.polarization = _cage_displacements(sites)
    vectors = np.full((len(sites), 2, 2), np.nan)
    for frame in np.unique(sites.frame):
        rows = np.flatnonzero(sites.frame == frame)
        if len(rows) > 1:
            vectors[rows] = lattice_vectors(
                sites.positions[rows], sites.sublattice[rows]
            )
    measured.lattice_vectors = vectors
    return measured
