"""Assignment of sites to the columns of a motif."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils._param_validation import StrOptions

from .._lattice.reference_lattice import lattice_positions
from .._utils.transformers import PlainOutputMixin
from ..sites import SiteFlag
from ._coordination import (
    MIN_REPORTED_SITES,
    SHELL_FLAGS,
    as_motifs,
    match_sites,
    shells_of_motif,
)
from ._input import (
    FittedSites,
    check_parameters_unchanged,
    check_sites,
    compute_with_memory,
    record_parameters,
)
from ._motif import Motif


class MotifAssigner(PlainOutputMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Assign every site to a column of a crystal's projected cell.

    Rotation, scale and strain of the motif are found from the sites: a few of them are
    compared with the motif, and the assignment is extended from neighbour to neighbour
    with a lattice that is refitted around every site. It therefore follows strain,
    domain walls and missing columns. Grains with another orientation are matched
    separately, and sites that fit nowhere are flagged. Brightness decides where the
    positions allow several assignments.

    Parameters
    ----------
    motif : str, Motif or list of these, default="perovskite_001"
        The motif, or the name of a preset, see :class:`Motif`. A list if the image
        shows crystals of different structures, such as a film on a substrate: each
        crystal is assigned to the motif that fits best.

    mirror : bool, default=True
        Whether the motif may be mirrored, as when a crystal is seen from behind.

    sublattice : {"species", "keep"}, default="species"
        Whether the sublattices of the sites become the species of the motif, 0 being
        that of the brightest columns, or remain as they are. The species of a further
        motif follow those of the one before. Unassigned sites are a further
        sublattice, the last.

    Attributes
    ----------
    motifs_ : list of Motif
        The motifs.
    lattice_vectors_ : list of ndarray of shape (n_crystals, 2, 2)
        For each image of `fit`, the mean lattice vectors a and b of the motif in each
        crystal, in the order in which they were found, ``(row, col)`` in px.
    crystal_motifs_ : list of ndarray of int of shape (n_crystals,)
        For each image, the number of each crystal's motif.
    crystal_sizes_ : list of ndarray of int of shape (n_crystals,)
        For each image, the number of sites of each crystal.
    assigned_share_ : float
        Share of the sites of `fit` that are assigned.

    See Also
    --------
    Motif : Columns of a projected cell: presets, tables and CIF files.
    PolarizationVector : Displacements as features.
    AtomLocator : Makes the sites.

    Notes
    -----
    `transform` returns :class:`~sklearn_ferroic.AtomSites` with these fields:

    - `motif_column`, -1 and the flag UNASSIGNED where none was found; the columns of
      several motifs are numbered one after the other;
    - `sublattice`, the species;
    - `polarization`, the displacement from the centroid of the motif's coordination
      shell, NaN and the flag SHELL_MISSING or SHELL_DISTORTED where it is incomplete;
    - `lattice_vectors`, those of the motif around each site, and `lattice_position`.

    All sites of an image must be in one call, because each is assigned by its
    neighbours. A slice of the sites of `fit` has the results of all of them.

    The pixel size, if known, restricts the scale: to within 13 % of the motif's.

    Examples
    --------
    >>> from sklearn_ferroic import AtomSites, MotifAssigner
    >>> from sklearn_ferroic.datasets import make_ferroic_image
    >>> data = make_ferroic_image("film", shape=(160, 160), random_state=0)
    >>> sites = AtomSites(data.image, data.positions, sublattice=data.sublattice)
    >>> assigner = MotifAssigner(motif="perovskite_001").fit(sites)
    >>> assigner.assigned_share_
    1.0
    >>> bool((assigner.transform(sites).sublattice == data.sublattice).all())
    True
    """

    _parameter_constraints: dict = {
        "motif": [StrOptions(set(Motif.preset_names)), Motif, list],
        "mirror": ["boolean"],
        "sublattice": [StrOptions({"species", "keep"})],
    }

    def __init__(self, *, motif="perovskite_001", mirror=True, sublattice="species"):
        self.motif = motif
        self.mirror = mirror
        self.sublattice = sublattice

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Assign the sites and remember the result.

        Parameters
        ----------
        X : AtomSites of length n_sites
            All sites of the images.
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
            If there are no sites.
        """
        check_sites(self, X)
        values = self._compute(X)
        column, _, _, vectors, crystal, _ = values
        self.motifs_ = as_motifs(self.motif)
        self.assigned_share_ = float(np.mean(column >= 0))
        # Of larger images, unassigned sites are warned of with their share.
        if (
            self.assigned_share_ == 0
            and np.bincount(X.frame).max() < MIN_REPORTED_SITES
        ):
            warnings.warn(
                f"None of the {len(X)} sites is assigned to a column of the motif. A "
                "crystal is recognized by the neighbours of its columns: give all "
                "sites of an image.",
                UserWarning,
                stacklevel=2,
            )
        self.lattice_vectors_ = [
            _mean_vectors(vectors[X.frame == frame], crystal[X.frame == frame])
            for frame in range(len(X.images))
        ]
        self.crystal_motifs_, self.crystal_sizes_ = [], []
        starts = np.cumsum([len(motif) for motif in self.motifs_])
        for frame in range(len(X.images)):
            own = (X.frame == frame) & (crystal >= 0)
            _, first, size = np.unique(
                crystal[own], return_index=True, return_counts=True
            )
            number = np.searchsorted(starts, column[own][first], side="right")
            self.crystal_motifs_.append(number)
            self.crystal_sizes_.append(size)
        self._fitted = FittedSites(X, values)
        record_parameters(self, ("motif", "mirror"))
        return self

    def transform(self, X):
        """Assign sites to the columns of the motif.

        Parameters
        ----------
        X : AtomSites of length n_sites
            All sites of the images, or some of those of `fit`.

        Returns
        -------
        sites : AtomSites of length n_sites
            The same sites with `motif_column`, `sublattice`, `polarization`, `flags`,
            `lattice_vectors` and `lattice_position`.

        Raises
        ------
        TypeError
            If `X` is not an AtomSites.
        ValueError
            If there are no sites.
        """
        self._validate_params()
        check_parameters_unchanged(self)
        check_sites(self, X)
        column, displacement, flags, vectors, _, ideal = compute_with_memory(
            X, self._compute, getattr(self, "_fitted", None)
        )
        sites = X[:]
        sites.motif_column, sites.polarization = column, displacement
        sites.lattice_vectors, sites.lattice_position = vectors, ideal
        own = SHELL_FLAGS | np.uint16(SiteFlag.UNASSIGNED)
        sites.flags = (X.flags & ~own) | flags
        if self.sublattice == "species":
            labels = np.empty(0, dtype=np.intp)
            for motif in as_motifs(self.motif):
                labels = np.append(
                    labels, motif.species_labels + labels.max(initial=-1) + 1
                )
            labels = np.append(labels, labels.max() + 1)  # -1: unassigned
            sites.sublattice = labels[column]
        else:
            sites.sublattice = np.array(X.sublattice)
        return sites

    def _compute(self, sites):
        """Return the values of all sites of some images."""
        motifs = as_motifs(self.motif)
        matches = match_sites(sites, motifs, self.mirror)
        n = len(sites)
        displacement = np.full((n, 2), np.nan)
        flags = np.full(n, SiteFlag.UNASSIGNED, dtype=np.uint16)
        for number, motif in enumerate(motifs):
            shells, _ = shells_of_motif(sites, motif, matches, number=number)
            own = (shells.flags & SiteFlag.UNASSIGNED) == 0
            displacement[own], flags[own] = shells.displacement[own], shells.flags[own]
        starts = np.cumsum([0, *(len(motif) for motif in motifs)])
        column, crystal = np.full((2, n), -1)
        vectors, ideal = np.full((n, 2, 2), np.nan), np.full((n, 2), np.nan)
        for rows, match in matches:
            column[rows] = np.where(
                match.column >= 0, match.column + starts[match.motif], -1
            )
            crystal[rows] = match.crystal
            vectors[rows] = match.vectors
            # Each column of each crystal has its own lattice.
            own = match.column >= 0
            label = match.crystal[own] * starts[-1] + column[rows[own]]
            ideal[rows[own]] = lattice_positions(
                np.asarray(sites.positions[rows[own]]), label
            )
        return column, displacement, flags, vectors, crystal, ideal

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        return tags


def _mean_vectors(vectors, crystal):
    """Return the mean lattice vectors of each crystal."""
    n_crystals = crystal.max(initial=-1) + 1
    means = [vectors[crystal == number].mean(axis=0) for number in range(n_crystals)]
    return np.array(means).reshape(-1, 2, 2)
