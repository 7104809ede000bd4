"""Mean displacement of groups of cells, with its standard error and significance."""

import warnings
from numbers import Real

import numpy as np
from scipy.spatial import cKDTree
from sklearn.utils import Bunch, check_consistent_length, column_or_1d
from sklearn.utils._param_validation import validate_params

from .._utils.mean_vectors import (
    MIN_CORRELATED_VECTORS,
    Place,
    cell_size,
    neighbor_factor,
    pool_vectors,
    zero_mean_p_value,
)
from .._utils.validation import (
    Interval,
    check_same_sublattice,
    check_vectors,
    refuse_mask,
)
from ..sites import AtomSites

# Distance, in robust standard deviations from the median, beyond which a vector is a
# misfit of a column: of Gaussian errors one in 10^7 lies there.
_OUTLIER_SIGMA = 6
# Error that all cells of an image share, and correlation from which vectors are the
# displacements in another unit (of the opposite sign where the charge is negative).
_SYSTEMATIC_STD_PX = 0.02
_SAME_VECTORS_CORRELATION = 0.9
# Lags at which windows of 2.4 cells neither overlap nor share columns.
_FAR_LAGS_CELLS = (3, 4)
# A site within this distance of a lattice point is the column of that lattice point.
_MATCH_CELLS = 0.3


@validate_params(
    {
        "significance": [Interval(Real, 0, 1, closed="both")],
        "systematic_std": [Interval(Real, 0, None, closed="left"), None],
        "relative_std": [Interval(Real, 0, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def pool_polarization(
    sites,
    labels=None,
    *,
    vectors=None,
    reference=None,
    significance=0.01,
    systematic_std=None,
    relative_std=0.0,
):
    """Pool measured displacements by label and test their means against zero.

    A displacement that no single cell shows may be certain in the mean over hundreds
    of cells. For each group of cells this returns the mean vector, the covariance of
    the mean and the probability of a mean as long if there were no displacement.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        Cells of one sublattice, such as ``sites[sites.sublattice == 1]``.
    labels : array-like of shape (n_sites,), default=None
        Group of each cell, such as cluster, domain or region. One group by default.
    vectors : array-like of shape (n_sites, 2), default=None
        Displacements ``(row, col)``, NaN where unknown; ``sites.polarization`` by
        default.
    reference : "mean", array-like of shape (2,) or PolarizationVector, default=None
        What is subtracted from all vectors. ``"mean"`` is the mean over the whole
        sample, which removes a displacement that all cells share, as with mistilt.
        With a fitted :class:`~sklearn_ferroic.PolarizationVector` the vectors are those
        that it returns, in its unit, and the error of its reference is part of the
        covariance.
    significance : float, default=0.01
        Largest p value at which a group is called ordered.
    systematic_std : float, default=None
        Standard deviation of an error that all cells share and that the scatter does
        not show, in the unit of the vectors; for the verdict and `total_covariance`.
        By default 0.02 px, as interference in the scan and tails of neighbouring
        columns make. For vectors in another unit it is scaled by their scatter over
        that of ``sites.polarization``; without a polarization to compare, the vectors
        are taken as px, with a warning where the verdict depends on it. Without a
        reference, mistilt adds to it: about 1.3 pm per mrad in simulated films of
        13 to 33 nm.
    relative_std : float, default=0.0
        Standard deviation of the measured displacement as a share of its length, for
        `total_covariance`: the uncertainty of the ratio of the measured to the real
        displacement, where O in the column moves its maximum. In simulated images it
        was 0.03 with the ratio of the same specimen, and more with that of another.

    Returns
    -------
    pooled : :class:`~sklearn.utils.Bunch`
        Arrays with one entry per group:

        labels : ndarray of shape (n_groups,)
            The labels, sorted.
        n_sites : ndarray of shape (n_groups,)
            Number of vectors in the mean.
        mean : ndarray of shape (n_groups, 2)
            Mean vector ``(row, col)``, in the unit of the vectors; NaN if there is no
            vector.
        covariance : ndarray of shape (n_groups, 2, 2)
            Covariance of the mean; NaN with fewer than three vectors. That of the
            reference is in it if `reference` is a PolarizationVector.
        p_value : ndarray of shape (n_groups,)
            Probability, without any displacement, of a mean that differs from zero by
            as many standard errors. NaN with fewer than four vectors.
        p_value_far : ndarray of shape (n_groups,)
            The same for the cells that lie three or four lattice vectors from a cell
            of this label, along either axis, corrected for the four attempts. NaN
            without lattice vectors.
        std : ndarray of shape (n_groups, 2)
            Standard errors of the components of the mean.
        total_covariance : ndarray of shape (n_groups, 2, 2)
            Covariance of the mean with `systematic_std` and `relative_std`.
        total_std : ndarray of shape (n_groups, 2)
            The standard errors that follow from it.
        verdict : ndarray of str of shape (n_groups,)
            "ordered" where `p_value` is at most `significance` and remains so with
            `systematic_std` added to the errors, "no significant order" where it is
            larger, "undetermined" where it is NaN.

    Raises
    ------
    TypeError
        If `sites` are not AtomSites.
    ValueError
        If lengths or shapes do not fit.

    See Also
    --------
    PolarizationVector : The displacements of single cells.
    sklearn_ferroic.AngleRegistration : Rotates a model's angle onto displacements.

    Notes
    -----
    The covariance of the mean is the larger, direction by direction, of

    * the scatter of the cells, with the correlation of cells that share columns;
    * the scatter of sums over blocks of five by five cells and over scan lines, where
      it exceeds the former by more than chance, because errors that many cells have in
      common do not average out;
    * the error that follows from `position_std`: that of the columns alone in groups of
      30 cells or more, twice its variance in smaller ones, for the neighbours.

    The test is Hotelling's T² [1]_, which is an F test with the degrees of freedom of
    the covariance. The largest of the p values of these covariances is returned.
    Vectors farther than six robust standard deviations from the median of their group
    are left out.

    **Selected labels.** Clusters made of the same pixels as the displacements can sort
    cells by the noise of their displacement: then `p_value` is small though nothing is
    displaced. Cells three lattice vectors away share no pixels with them, so that
    `p_value_far` stays uniform then; it is small where the clusters are domains wider
    than a few cells or repeat with the lattice. Require both.

    **Mistilt** displaces A relative to B columns by one vector and is not an error
    in the sense of this test. Use ``reference="mean"``, or compare with a part that is
    not polar.

    **Standard errors** are those of the measured displacements. Displacements of the
    cations differ from these by a factor where O is in the column of B. It depends on
    the thickness and, if the probe is astigmatic, on the direction. Mistilt adds the
    same vector everywhere. `total_std` includes what is known of them; use it to
    compare with displacements that were measured otherwise.

    References
    ----------
    .. [1] H. Hotelling, "The generalization of Student's ratio", Annals of
       Mathematical Statistics 2, 360 (1931).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.feature_extraction import pool_polarization
    >>> rng = np.random.default_rng(0)
    >>> positions = 5.0 * np.indices((20, 20)).reshape(2, -1).T
    >>> polarization = rng.normal([0.2, 0], 0.5, size=(400, 2))
    >>> sites = AtomSites(np.eye(100), positions, polarization=polarization)
    >>> pooled = pool_polarization(sites)
    >>> pooled.mean.round(2)
    array([[0.16, 0.01]])
    >>> np.sqrt(np.diagonal(pooled.covariance[0])).round(2)
    array([0.03, 0.03])
    >>> bool(pooled.p_value[0] < 1e-6), str(pooled.verdict[0])
    (True, 'ordered')
    """
    if not isinstance(sites, AtomSites):
        raise TypeError(
            f"pool_polarization needs AtomSites, got {type(sites).__name__}."
        )
    # arrays of pandas have a method `transform`, too
    if hasattr(reference, "fit"):
        if vectors is not None:
            raise ValueError(
                "vectors must be None with a PolarizationVector as reference, which "
                "computes them."
            )
        model, reference = reference, None
        vectors = _transformed(model, sites)
    else:
        model = None
    given, vectors = vectors is not None, check_vectors(sites, vectors)
    # length of one px in the unit of the vectors, NaN if unknown
    scale = np.ones(len(sites))
    if model is not None:
        scale = model._scale_of_errors(sites)
    elif given:
        scale *= _unit_scale(sites, vectors)
    is_known = systematic_std is not None or np.isfinite(scale).all()
    check_same_sublattice(sites, vectors)
    refuse_mask(labels, "labels")
    labels = np.zeros(len(sites), int) if labels is None else column_or_1d(labels)
    check_consistent_length(sites, labels)
    usable = np.isfinite(vectors).all(axis=1) & sites.converged
    vectors = vectors - _reference_vector(reference, vectors[usable])
    try:
        groups, group = np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise ValueError(
            "labels must be all numbers or all strings, got values of several types "
            'such as None; give -1 or "" for cells of no group.'
        ) from error
    place = Place(sites.positions, sites.frame, cell_size(sites))
    kept = usable & ~_outliers(vectors, group, usable)
    factor = neighbor_factor(vectors, group, kept, place)
    position_std = sites.position_std * scale[:, None]

    def pool(rows, **options):
        return pool_vectors(
            vectors[rows],
            position_std[rows],
            place.take(rows),
            factor=factor,
            **options,
        )

    pooled, p_far = [], np.full(len(groups), np.nan)
    for number in range(len(groups)):
        rows = kept & (group == number)
        one = pool(rows)
        if model is not None and rows.any():
            one = _with_reference(one, model.reference_covariance(sites[rows]))
        pooled.append(one)
        p_values = [
            pool(far, level=1).p_value
            for far in _far_cells(sites, group == number, kept, place)
        ]
        if np.isfinite(p_values).any():
            p_far[number] = min(1.0, len(p_values) * np.nanmin(p_values))
    mean = np.array([one.mean for one in pooled]).reshape(-1, 2)
    covariance = np.array([one.covariance for one in pooled]).reshape(-1, 2, 2)
    p_value = np.array([one.p_value for one in pooled], dtype=float)
    if systematic_std is None:
        # of vectors in an unknown unit as if it were px
        px = np.bincount(group, np.nan_to_num(scale, nan=1.0), len(groups))
        shared_std = _SYSTEMATIC_STD_PX * px / np.bincount(group, minlength=len(groups))
    else:
        shared_std = np.full(len(groups), float(systematic_std))
    shared = covariance + shared_std[:, None, None] ** 2 * np.eye(2)
    p_shared = [
        zero_mean_p_value(*one, np.inf) for one in zip(mean, shared, strict=True)
    ]
    scaled = relative_std**2 * (mean**2).sum(axis=1)
    total = shared + scaled[:, None, None] * np.eye(2)
    # A comparison with NaN is False.
    is_ordered = (p_value <= significance) & (np.array(p_shared) <= significance)
    if not is_known and (p_value <= significance).any():
        warnings.warn(
            "The unit of the vectors is unknown, because the sites have no "
            "polarization to compare them with: systematic_std=0.02 is taken in this "
            "unit, as if it were px. Give systematic_std.",
            UserWarning,
            # One more for the validation of the parameters.
            stacklevel=3,
        )
    verdict = np.where(is_ordered, "ordered", "no significant order")
    return Bunch(
        labels=groups,
        n_sites=np.array([one.n_sites for one in pooled], dtype=int),
        mean=mean,
        covariance=covariance,
        p_value=p_value,
        p_value_far=p_far,
        std=np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)),
        total_covariance=total,
        total_std=np.sqrt(np.diagonal(total, axis1=1, axis2=2)),
        verdict=np.where(np.isnan(p_value), "undetermined", verdict),
    )


def _transformed(model, sites):
    """Return the vectors of a fitted PolarizationVector."""
    has_error = hasattr(model, "reference_covariance")
    if not has_error or isinstance(model, type) or model.output != "vector":
        raise ValueError(
            'reference must be "mean", a vector, or a PolarizationVector with '
            f'output="vector", got {model!r}.'
        )
    return model.transform(sites)


def _unit_scale(sites, vectors):
    """Return the length of one px in the unit of the vectors, NaN if unknown."""
    displacement = sites.polarization
    known = np.isfinite(vectors).all(axis=1) & np.isfinite(displacement).all(axis=1)
    if known.sum() < MIN_CORRELATED_VECTORS:
        return np.nan
    # Differences from the mean, so that a reference that was subtracted has no effect.
    v, d = (part[known] - part[known].mean(axis=0) for part in (vectors, displacement))
    product, square, own = (v * d).sum(), (d**2).sum(), (v**2).sum()
    if not product**2 > _SAME_VECTORS_CORRELATION**2 * square * own:
        return np.nan
    return float(np.sqrt(own / square))


def _with_reference(pooled, covariance):
    """Return a pooled vector with the covariance of the reference added."""
    total = pooled.covariance + covariance
    # Not the builtin, which depends on the order where one is NaN.
    p_value = np.maximum(pooled.p_value, zero_mean_p_value(pooled.mean, total, np.inf))
    return pooled._replace(covariance=total, p_value=float(p_value))


def _reference_vector(reference, vectors):
    """Return the vector that is subtracted from all others."""
    if reference is None or (isinstance(reference, str) and not len(vectors)):
        return np.zeros(2)
    if isinstance(reference, str):
        if reference != "mean":
            raise ValueError(
                f'reference must be None, "mean" or a vector, got {reference!r}.'
            )
        return vectors.mean(axis=0)
    reference = np.asarray(reference, dtype=np.float64)
    if reference.shape != (2,) or not np.isfinite(reference).all():
        raise ValueError(
            "reference must be a finite vector (row, col) of shape (2,), got "
            f"{reference!r}."
        )
    return reference


def _outliers(vectors, group, usable):
    """Return which vectors lie far outside the scatter of their group."""
    outlier = np.zeros(len(vectors), dtype=bool)
    for number in np.unique(group[usable]):
        rows = np.flatnonzero(usable & (group == number))
        distance = np.hypot(*(vectors[rows] - np.median(vectors[rows], axis=0)).T)
        # The median length of a vector of unit variance a component is 1.18.
        limit = _OUTLIER_SIGMA * np.median(distance) / 1.18
        outlier[rows] = (distance > limit) & (limit > 0)
    return outlier


def _far_cells(sites, member, kept, place):
    """Yield masks of the cells some lattice vectors away from members of a group."""
    vectors = sites.lattice_vectors
    if not place.cell > 0:
        return
    for axis in range(2):
        for lag in _FAR_LAGS_CELLS:
            far = np.zeros(len(sites), dtype=bool)
            for frame in np.unique(sites.frame):
                rows = np.flatnonzero(sites.frame == frame)
                start = rows[member[rows] & np.isfinite(vectors[rows]).all((1, 2))]
                if not len(start):
                    continue
                tree = cKDTree(sites.positions[rows])
                for sign in (-1, 1):
                    target = sites.positions[start] + sign * lag * vectors[start, axis]
                    distance, nearest = tree.query(target)
                    near = distance < _MATCH_CELLS * place.cell
                    far[rows[nearest[near]]] = True
            if far.any():
                yield far & kept
