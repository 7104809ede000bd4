"""K folds of spatially contiguous blocks of sites."""

from itertools import chain
from numbers import Integral

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import validate_parameter_constraints

from .._utils.validation import Interval
from ._blocks import (
    CONSTRAINTS,
    cut_into_blocks,
    deal,
    find_coordinates,
    guarded_splits,
)


class SpatialBlockKFold(BaseCrossValidator):
    """K-fold cross-validator over spatially contiguous blocks of sites.

    Windows around neighbouring columns share most of their pixels, so random folds test
    a model on its training data [1]_. This splitter divides every image into
    rectangular blocks, assigns whole blocks to folds, and excludes training sites
    within a guard band around the test sites.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.

    block_size : float, default=None
        Side of the blocks, px. Each side of an image is cut into the whole number of
        parts nearest to that; ``inf`` keeps images whole. Blocks should be larger
        than the structures, such as domains, that a model could memorise. By
        default an image is cut into 4 blocks for each fold, or into fewer and larger
        ones, down to one for each fold, for sides of 4 `guard`.

    guard : float, default=0
        Training sites nearer than this to a test site of the same image, in px along
        rows and along columns (Chebyshev distance), are excluded from the fold. Windows
        of side w around two sites share no pixel if ``guard=w``.

    shuffle : bool, default=True
        Whether layout and folds are random. If False, blocks are distributed in
        their order in the image.

    coordinates : array-like of shape (n_sites, 2), default=None
        Coordinates ``(row, col)`` of the rows of `X`, px; `X.positions` if None.
        For an `X` that is not AtomSites.

    frame : array-like of shape (n_sites,), default=None
        Image of each row of `X`; `X.frame` or else one image if None.

    random_state : int, RandomState instance or None, default=None
        Draws the layout of the blocks and their folds if `shuffle` is True. Pass an
        int for folds that are the same in every call.

    See Also
    --------
    RepeatedSpatialBlockKFold : The same with several layouts of the blocks.
    SpatialShuffleSplit : Random blocks, any number of times.
    single_split : One split, for searches without refolding.
    sklearn.model_selection.GroupKFold : Folds of groups.

    Notes
    -----
    An image is divided into bands and these into blocks with about equal numbers of
    sites, along the gaps between rows of columns. The blocks of an image are assigned
    in rounds, one to each fold, the larger ones to the folds that have fewer sites.
    Therefore every fold tests on each image that has enough blocks, and the sizes of
    test sets differ by at most the largest block.

    The whole search is guarded by the largest window that it tries. Sub-pixel windows
    reach beyond their own pixels: ``guard=window_size + 3`` (linear interpolation:
    + 1) parts also the pixels that are interpolated. The guard counts from the
    columns; with ``PatchExtractor(center="lattice")``, windows may be off them by
    the displacement, so add twice the largest one.

    References
    ----------
    .. [1] D. R. Roberts et al., "Cross-validation strategies for data with temporal,
       spatial, hierarchical, or phylogenetic structure", Ecography 40, 913–929
       (2017). :doi:`10.1111/ecog.02881`

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.model_selection import SpatialBlockKFold
    >>> grid = np.stack(np.mgrid[8:128:8, 8:128:8], axis=-1).reshape(-1, 2)
    >>> sites = AtomSites(np.zeros((136, 136)), grid)
    >>> cv = SpatialBlockKFold(4, block_size=60, guard=16, random_state=0)
    >>> for train, test in cv.split(sites):
    ...     print(len(train), len(test), np.ptp(sites.positions[test], axis=0))
    144 64 [56. 56.]
    153 56 [48. 56.]
    153 56 [56. 48.]
    161 49 [48. 48.]
    """

    _parameter_constraints: dict = {
        **CONSTRAINTS,
        "n_splits": [Interval(Integral, 2, None, closed="left")],
        "shuffle": ["boolean"],
    }

    def __init__(
        self,
        n_splits=5,
        *,
        block_size=None,
        guard=0,
        shuffle=True,
        coordinates=None,
        frame=None,
        random_state=None,
    ):
        self.n_splits = n_splits
        self.block_size = block_size
        self.guard = guard
        self.shuffle = shuffle
        self.coordinates = coordinates
        self.frame = frame
        self.random_state = random_state
        # scikit-learn's splitters, too, refuse bad parameters at construction
        validate_parameter_constraints(
            self._parameter_constraints, vars(self), type(self).__name__
        )
        if not shuffle and random_state is not None:
            raise ValueError(
                "random_state has no effect with shuffle=False. Leave it None, or set "
                "shuffle=True."
            )

    def split(self, X, y=None, groups=None):
        """Divide the sites into training and test sides.

        All folds are made, and refused, before the first is handed out.

        Parameters
        ----------
        X : AtomSites of length n_sites or array-like of shape (n_sites, ...)
            The sites; anything else needs `coordinates`.
        y : object
            Ignored.
        groups : None
            Ignored, with a warning.

        Returns
        -------
        splits : iterator of (ndarray of int, ndarray of int)
            Indices of the training and of the test side, ascending. The test sides
            divide the sites; training sides are the rest without the guard band.

        Raises
        ------
        TypeError
            If `X` has no coordinates and none are given.
        ValueError
            If there are fewer sites or blocks than folds, if the guard leaves a fold
            without training sites, or if `coordinates` and `X` differ in length.
        """
        positions, frame = find_coordinates(self, X, groups)
        if self.n_splits > len(positions):
            raise ValueError(
                f"Cannot have n_splits={self.n_splits} greater than the number of "
                f"sites, {len(positions)}."
            )
        rng = check_random_state(self.random_state) if self.shuffle else None
        block = cut_into_blocks(
            positions,
            frame,
            n_parts=self.n_splits,
            block_size=self.block_size,
            guard=self.guard,
            rng=rng,
        )
        n_blocks = block.max() + 1
        if n_blocks < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} folds need at least as many blocks, but "
                f"{frame.max() + 1} image(s) make only {n_blocks} with "
                f"block_size={self.block_size}. Use smaller blocks or fewer folds."
            )
        fold = deal(block, frame, self.n_splits, rng)
        tests = (fold == number for number in range(self.n_splits))
        name = f"Fold {{}} of {self.n_splits}"
        return iter(guarded_splits(positions, frame, tests, self.guard, name))

    def get_n_splits(self, X=None, y=None, groups=None):
        """Get the number of folds.

        Parameters
        ----------
        X : object
            Ignored.
        y : object
            Ignored.
        groups : object
            Ignored.

        Returns
        -------
        n_splits : int
            The number of folds.
        """
        return self.n_splits


class RepeatedSpatialBlockKFold(BaseCrossValidator):
    """Repeated K-fold cross-validator over spatially contiguous blocks of sites.

    Scores depend on where the blocks lie. Each repetition divides the images into
    other blocks, so that the scatter of the scores includes that.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.

    n_repeats : int, default=10
        Number of layouts of the blocks.

    block_size : float, default=None
        Side of the blocks, px, as for :class:`SpatialBlockKFold`.

    guard : float, default=0
        Training sites nearer than this to a test site are excluded, px.

    coordinates : array-like of shape (n_sites, 2), default=None
        Coordinates ``(row, col)`` of the rows of `X`, px; `X.positions` if None.

    frame : array-like of shape (n_sites,), default=None
        Image of each row of `X`; `X.frame` or else one image if None.

    random_state : int, RandomState instance or None, default=None
        Draws the layouts. Pass an int for folds that are the same in every call.

    See Also
    --------
    SpatialBlockKFold : One repetition; its notes explain blocks and guard.
    compare_candidates : Compares the candidates of a search on these splits.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.model_selection import RepeatedSpatialBlockKFold
    >>> grid = np.stack(np.mgrid[8:128:8, 8:128:8], axis=-1).reshape(-1, 2)
    >>> sites = AtomSites(np.zeros((136, 136)), grid)
    >>> cv = RepeatedSpatialBlockKFold(3, n_repeats=2, guard=16, random_state=0)
    >>> [len(test) for _, test in cv.split(sites)]
    [75, 70, 80, 70, 75, 80]
    """

    _parameter_constraints: dict = {
        **CONSTRAINTS,
        "n_splits": [Interval(Integral, 2, None, closed="left")],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        n_splits=5,
        *,
        n_repeats=10,
        block_size=None,
        guard=0,
        coordinates=None,
        frame=None,
        random_state=None,
    ):
        self.n_splits = n_splits
        self.n_repeats = n_repeats
        self.block_size = block_size
        self.guard = guard
        self.coordinates = coordinates
        self.frame = frame
        self.random_state = random_state
        validate_parameter_constraints(
            self._parameter_constraints, vars(self), type(self).__name__
        )

    def split(self, X, y=None, groups=None):
        """Divide the sites into training and test sides.

        Parameters
        ----------
        X : AtomSites of length n_sites or array-like of shape (n_sites, ...)
            The sites; anything else needs `coordinates`.
        y : object
            Ignored.
        groups : None
            Ignored, with a warning.

        Returns
        -------
        splits : iterator of (ndarray of int, ndarray of int)
            Indices of the training and of the test side, ascending, repetition by
            repetition.

        Raises
        ------
        TypeError, ValueError
            As :meth:`SpatialBlockKFold.split`.
        """
        rng = check_random_state(self.random_state)
        seeds = rng.randint(np.iinfo(np.int32).max, size=self.n_repeats)
        repetitions = [
            SpatialBlockKFold(
                self.n_splits,
                block_size=self.block_size,
                guard=self.guard,
                coordinates=self.coordinates,
                frame=self.frame,
                random_state=int(seed),
            ).split(X, y, groups)
            for seed in seeds
        ]
        return chain.from_iterable(repetitions)

    def get_n_splits(self, X=None, y=None, groups=None):
        """Get the number of splits.

        Parameters
        ----------
        X : object
            Ignored.
        y : object
            Ignored.
        groups : object
            Ignored.

        Returns
        -------
        n_splits : int
            Number of folds times number of repetitions.
        """
        return self.n_splits * self.n_repeats
