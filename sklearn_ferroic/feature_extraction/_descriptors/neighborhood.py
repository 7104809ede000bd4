"""Vectors from every site to its neighbours, in the same order for all sites."""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy.spatial import cKDTree
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from ..._utils.validation import Interval
from .._input import (
    FittedSites,
    check_parameters_unchanged,
    check_sites,
    compute_with_memory,
    record_parameters,
)

# Sites whose neighbours may serve as the first reference, sites on which it is judged,
# and rounds of improvement: the medians change by less than their errors after three.
_N_FIRST, _N_JUDGED, _N_ROUNDS = 32, 512, 4
# At least this share of the sites has a whole neighbourhood.
_WHOLE_SHARE = 0.25
# Sites at a time, which bounds the scratch memory.
_CHUNK_SITES = 4096
# Rotations are tried that bring one of this number of nearest neighbours onto a
# reference vector: one of them is present except at isolated sites.
_N_ANCHORS = 3


class NeighborhoodDescriptor(TransformerMixin, BaseEstimator):
    """Describe every site by the vectors to its nearest neighbours.

    These are the features of local crystallography [1]_. A reference arrangement of the
    `n_neighbors` nearest neighbours is learned for each sublattice, and every vector of
    it is matched by the site nearest to its end: a feature is the same neighbour at all
    sites, whether others are missing or not.

    Parameters
    ----------
    n_neighbors : int, default=8
        Number of neighbours. Take whole coordination shells, such as 4 and 8 for one
        sublattice of a perovskite along a cube axis: of a shell that is divided, other
        members may be nearest at other sites.

    neighbors : {"all", "same", "other"}, default="all"
        Sublattices that the neighbours are of: all, that of the site, or the others.

    rotation : {"keep", "remove"}, default="keep"
        "remove": the arrangement around every site is rotated onto the reference, so
        that the features do not change under a rotation of the image.

    tolerance : float, default=0.35
        Largest distance of a neighbour from the end of its reference vector, as a share
        of the shortest reference vector or distance of two ends.

    Attributes
    ----------
    sublattices_ : ndarray of int of shape (n_sublattices,)
        Sublattices of the sites of `fit`.
    reference_vectors_ : ndarray of shape (n_sublattices, n_neighbors, 2)
        Medians of the vectors ``(row, col)``, px, ordered by their angle from +col
        towards +row, from −π on; NaN for a sublattice with too few sites.

    See Also
    --------
    PolarizationVector : The displacement from the centroid of the neighbours.
    LatticeStrain : Deformation of the lattice vectors.
    sklearn.impute.SimpleImputer : Fills the missing neighbours.

    Notes
    -----
    A slice of the sites of `fit` has the features of all of them, so that the folds of
    a cross-validation over one image do not lose neighbours.

    Missing neighbours, as at vacancies and at the border, are NaN. Estimators that do
    not accept NaN need an imputer before them; the number of NaN is itself a sign of
    defects.

    References
    ----------
    .. [1] A. Belianinov, Q. He, M. Kravchenko, S. Jesse, A. Borisevich and S. V.
       Kalinin, "Identification of phases, symmetries and defects through local
       crystallography", Nature Communications 6 (2015) 7801.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.feature_extraction import NeighborhoodDescriptor
    >>> positions = 10.0 * np.indices((5, 5)).reshape(2, -1).T + 5
    >>> positions[12] += [1, 2]
    >>> sites = AtomSites(np.zeros((50, 50)), positions)
    >>> descriptor = NeighborhoodDescriptor(n_neighbors=4).fit(sites)
    >>> descriptor.transform(sites)[12].reshape(4, 2)
    array([[-11.,  -2.],
           [ -1.,   8.],
           [  9.,  -2.],
           [ -1., -12.]])
    """

    _parameter_constraints: dict = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "neighbors": [StrOptions({"all", "same", "other"})],
        "rotation": [StrOptions({"keep", "remove"})],
        "tolerance": [Interval(Real, 0, 0.5, closed="right")],
    }

    def __init__(
        self, *, n_neighbors=8, neighbors="all", rotation="keep", tolerance=0.35
    ):
        self.n_neighbors = n_neighbors
        self.neighbors = neighbors
        self.rotation = rotation
        self.tolerance = tolerance

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the reference vectors of each sublattice.

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

        Raises
        ------
        TypeError
            If `X` is not an AtomSites.
        ValueError
            If no site has `n_neighbors` neighbours.
        """
        check_sites(self, X)
        self.sublattices_ = np.unique(X.sublattice)
        shape = (len(self.sublattices_), self.n_neighbors, 2)
        self.reference_vectors_ = np.full(shape, np.nan)
        for index, label in enumerate(self.sublattices_):
            vectors = self._learn(X, label)
            if vectors is not None:
                self.reference_vectors_[index] = vectors
        if np.isnan(self.reference_vectors_).all():
            raise ValueError(
                f"No site has n_neighbors={self.n_neighbors} neighbours "
                f'(neighbors="{self.neighbors}") on its image. Choose fewer, or pass '
                "all sites of the images."
            )
        self._fitted = FittedSites(X, self._compute(X))
        record_parameters(self, ("n_neighbors", "neighbors", "rotation", "tolerance"))
        return self

    def transform(self, X):
        """Compute the vectors to the neighbours.

        Parameters
        ----------
        X : AtomSites of length n_sites
            All sites of the images, or some of those of `fit`.

        Returns
        -------
        vectors : ndarray of shape (n_sites, 2 * n_neighbors)
            ``row`` and ``col`` of the first neighbour, then of the others, px of the
            image; NaN for missing neighbours.

        Raises
        ------
        TypeError
            If `X` is not an AtomSites.

        Warns
        -----
        UserWarning
            If no site has a neighbour where the reference has one: the images have
            another magnification or the sites are of other sublattices than in `fit`.
        """
        check_is_fitted(self)
        check_parameters_unchanged(self)
        check_sites(self, X)
        (vectors,) = compute_with_memory(X, self._compute, self._fitted)
        if np.isnan(vectors).all() and len(X) > self.n_neighbors:
            warnings.warn(
                "No site has a neighbour at any of the reference vectors: all features "
                "are NaN. Fit the descriptor to sites of this magnification and of "
                "these sublattices.",
                UserWarning,
                # through the wrapper that scikit-learn puts around transform
                stacklevel=3,
            )
        return vectors

    def get_feature_names_out(self, input_features=None):
        """Get the names of the components.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str of shape (2 * n_neighbors,)
            ``neighbor<number>_row``, ``neighbor<number>_col``.
        """
        check_is_fitted(self)
        check_parameters_unchanged(self)
        names = [
            f"neighbor{number}_{axis}"
            for number in range(self.n_neighbors)
            for axis in ("row", "col")
        ]
        return np.asarray(names, dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags

    def _compute(self, sites):
        """Return the features of all sites of some images."""
        vectors = np.full((len(sites), self.n_neighbors, 2), np.nan)
        for index, label in enumerate(self.sublattices_):
            reference = self.reference_vectors_[index]
            if np.isnan(reference).any():
                continue
            for rows, centers, places in self._places(sites, label):
                vectors[rows] = self._match(centers, places, reference)
        return (vectors.reshape(len(sites), -1),)

    def _places(self, sites, label):
        """Yield the sites of a sublattice and their possible neighbours per image.

        These are the rows of the sites, their positions and those of the neighbours.
        """
        own = sites.sublattice == label
        if self.neighbors == "all":
            around = np.ones(len(sites), dtype=bool)
        else:
            around = own if self.neighbors == "same" else ~own
        for frame in np.unique(sites.frame[own]):
            here = sites.frame == frame
            rows = np.flatnonzero(own & here)
            yield rows, sites.positions[rows], sites.positions[around & here]

    def _learn(self, sites, label):
        """Return the reference vectors of a sublattice, or None."""
        candidates, judged, lengths = [], [], []
        parts = list(self._places(sites, label))
        n_sites = sum(len(rows) for rows, _, _ in parts)
        for _, centers, places in parts:
            # The order of the sites must not matter.
            centers = centers[np.lexsort(centers.T)]
            share = len(centers) / n_sites
            nearest = _nearest_vectors(centers, places, self.n_neighbors)
            nearest = nearest[np.isfinite(nearest).all(axis=(1, 2))]
            lengths.append(np.hypot(nearest[..., 0], nearest[..., 1]))
            candidates.append(nearest[_spread(len(nearest), share * _N_FIRST)])
            judged.append((centers[_spread(len(centers), share * _N_JUDGED)], places))
        candidates = np.concatenate(candidates)
        if not len(candidates):
            return None
        # At the border and at vacancies, neighbours are farther away than elsewhere.
        typical = np.quantile(np.concatenate(lengths), _WHOLE_SHARE, axis=0)
        own = np.hypot(candidates[..., 0], candidates[..., 1])
        deviation = np.abs(own - typical).max(axis=1)
        candidates = candidates[deviation <= np.quantile(deviation, _WHOLE_SHARE)]
        best = max(candidates, key=lambda vectors: self._agreement(judged, vectors))
        for _ in range(_N_ROUNDS):
            matched = np.concatenate(
                [self._match(centers, places, best) for centers, places in judged]
            )
            known = np.isfinite(matched).any(axis=0)
            best = np.where(
                known, np.nanmedian(np.where(known, matched, 0), axis=0), best
            )
        return best[np.argsort(np.arctan2(best[:, 0], best[:, 1]), kind="stable")]

    def _agreement(self, judged, vectors):
        """Return how well reference vectors fit sites: matches, minus their misfit."""
        radius = self._radius(vectors)
        total = 0.0
        for centers, places in judged:
            matched = self._match(centers, places, vectors)
            square = ((matched - vectors) ** 2).sum(axis=2) / radius**2
            total += np.nansum(1 - square)
        return total

    def _radius(self, vectors):
        """Return the largest distance of a neighbour from its reference, px."""
        ends = np.concatenate([np.zeros((1, 2)), vectors])
        return self.tolerance * cKDTree(ends).query(ends, k=2)[0][:, 1].min()

    def _match(self, centers, places, vectors):
        """Return the vectors to the neighbours that match reference vectors."""
        if not len(places):
            return np.full((len(centers), *vectors.shape), np.nan)
        tree, radius = cKDTree(places), self._radius(vectors)
        found = []
        for first in range(0, len(centers), _CHUNK_SITES):
            part = centers[first : first + _CHUNK_SITES]
            if self.rotation == "remove":
                found.append(_match_rotated(part, tree, vectors, radius))
            else:
                found.append(_match_at(part, tree, vectors, radius))
        return np.concatenate(found)


def _match_at(centers, tree, vectors, radius):
    """Return the vectors to the sites within a radius of the ends of others.

    `vectors` has the shape (n_neighbors, 2), or (n_sites, n_neighbors, 2).
    """
    ends = centers[:, None] + vectors
    distance, index = tree.query(ends, distance_upper_bound=radius)
    is_found = np.isfinite(distance)
    found = np.full(ends.shape, np.nan)
    found[is_found] = tree.data[index[is_found]]
    return found - centers[:, None]


def _match_rotated(centers, tree, vectors, radius):
    """Return the same in the frame of the rotated reference that fits best."""
    n_anchors = min(_N_ANCHORS, len(vectors))
    anchors = _nearest_vectors(centers, tree.data, n_anchors)
    anchor_angle = np.arctan2(anchors[..., 0], anchors[..., 1])
    own_angle = np.arctan2(vectors[:, 0], vectors[:, 1])
    # Isolated sites have no anchors, and no neighbours.
    tried = np.nan_to_num(anchor_angle[:, :, None] - own_angle).reshape(
        len(centers), -1
    )
    best, rotation = np.full(len(centers), np.inf), np.zeros(len(centers))
    for angle in tried.T:
        turned = _rotated(vectors, angle)
        misfit = ((_match_at(centers, tree, turned, radius) - turned) ** 2).sum(axis=2)
        misfit = np.nan_to_num(misfit, nan=radius**2).sum(axis=1)
        is_better = misfit < best
        best = np.where(is_better, misfit, best)
        rotation = np.where(is_better, angle, rotation)
    found = _match_at(centers, tree, _rotated(vectors, rotation), radius)
    # The least-squares rotation, from the vectors that have been found.
    known = np.nan_to_num(found)
    cross = (vectors[:, 1] * known[..., 0] - vectors[:, 0] * known[..., 1]).sum(axis=1)
    dot = (vectors * known).sum(axis=(1, 2))
    return _rotated(found, -np.arctan2(cross, dot))


def _rotated(vectors, angle):
    """Rotate vectors (row, col) by an angle for each site, from +col towards +row."""
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    row, col = vectors[..., 0], vectors[..., 1]
    return np.stack([cos * row + sin * col, cos * col - sin * row], axis=-1)


def _nearest_vectors(centers, places, n):
    """Return the vectors to the nearest places other than the centre itself.

    NaN where there are fewer.
    """
    found = np.full((len(centers), n, 2), np.nan)
    if not len(places) or not len(centers):
        return found
    distance, index = cKDTree(places).query(centers, k=np.arange(1, n + 2))
    # The first is the site itself where its own sublattice is among the places.
    first = (distance[:, 0] == 0).astype(int)
    order = first[:, None] + np.arange(n)
    distance = np.take_along_axis(distance, order, axis=1)
    index = np.take_along_axis(index, order, axis=1)
    is_found = np.isfinite(distance)
    centers = np.broadcast_to(centers[:, None], found.shape)
    found[is_found] = places[index[is_found]] - centers[is_found]
    return found


def _spread(n_rows, n):
    """Return about n of the indices of rows, evenly spread."""
    n = min(n_rows, int(np.ceil(n)))
    return np.linspace(0, n_rows - 1, n).astype(int) if n else np.empty(0, dtype=int)
