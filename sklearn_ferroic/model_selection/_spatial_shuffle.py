"""Random spatial blocks as test sides."""

from numbers import Integral, Real

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import (
    validate_parameter_constraints,
    validate_params,
)

from .._utils.validation import Interval
from ._blocks import (
    CONSTRAINTS,
    cut_into_blocks,
    draw,
    find_coordinates,
    guarded_splits,
)

_TEST_SIZE = [Interval(Real, 0, 1, closed="neither")]


class SpatialShuffleSplit(BaseCrossValidator):
    """Random-blocks cross-validator over spatially contiguous blocks of sites.

    Every split divides the images into new rectangular blocks and selects some of them
    as its test set, so that test sites are not close neighbours of training
    sites [1]_. Unlike folds, the test sets of different splits may overlap.

    Parameters
    ----------
    n_splits : int, default=10
        Number of splits.

    test_size : float, default=0.2
        Share of the test sites, between 0 and 1, as closely as whole blocks
        allow.

    block_size : float, default=None
        Side of the blocks, px. Each side of an image is cut into the whole number of
        parts nearest to that; ``inf`` keeps images whole. By default blocks of a
        quarter of the test set, or larger ones, up to the whole of it, for sides of
        4 `guard`.

    guard : float, default=0
        Training sites nearer than this to a test site of the same image, in px along
        rows and along columns (Chebyshev distance), are excluded. Windows of side w
        around two sites share no pixel if ``guard=w``.

    coordinates : array-like of shape (n_sites, 2), default=None
        Coordinates ``(row, col)`` of the rows of `X`, px; `X.positions` if None.
        For an `X` that is not AtomSites.

    frame : array-like of shape (n_sites,), default=None
        Image of each row of `X`; `X.frame` or else one image if None.

    random_state : int, RandomState instance or None, default=None
        Determines the layout of the blocks and the test sets. Pass an int for splits
        that are the same in every call.

    See Also
    --------
    SpatialBlockKFold : Folds that test every site once; its notes explain how blocks
        are cut and how wide a guard must be.
    single_split : One split, for searches without refolding.
    sklearn.model_selection.GroupShuffleSplit : Random groups.

    Notes
    -----
    Blocks are selected from the images in turn, so that the test set
    covers as many images as it has blocks for.

    References
    ----------
    .. [1] D. R. Roberts et al., "Cross-validation strategies for data with temporal,
       spatial, hierarchical, or phylogenetic structure", Ecography 40, 913–929
       (2017). :doi:`10.1111/ecog.02881`

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.model_selection import SpatialShuffleSplit
    >>> grid = np.stack(np.mgrid[8:168:8, 8:168:8], axis=-1).reshape(-1, 2)
    >>> sites = AtomSites(np.zeros((176, 176)), grid)
    >>> cv = SpatialShuffleSplit(3, test_size=0.2, guard=16, random_state=0)
    >>> [(len(train), len(test)) for train, test in cv.split(sites)]
    [(301, 80), (301, 80), (296, 72)]
    """

    _parameter_constraints: dict = {
        **CONSTRAINTS,
        "n_splits": [Interval(Integral, 1, None, closed="left")],
        "test_size": _TEST_SIZE,
    }

    def __init__(
        self,
        n_splits=10,
        *,
        test_size=0.2,
        block_size=None,
        guard=0,
        coordinates=None,
        frame=None,
        random_state=None,
    ):
        self.n_splits = n_splits
        self.test_size = test_size
        self.block_size = block_size
        self.guard = guard
        self.coordinates = coordinates
        self.frame = frame
        self.random_state = random_state
        validate_parameter_constraints(
            self._parameter_constraints, vars(self), type(self).__name__
        )

    def split(self, X, y=None, groups=None):
        """Divide the sites into training and test sets.

        All splits are computed and checked before the first one is returned.

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
            Indices of the training and of the test side, ascending.

        Raises
        ------
        TypeError
            If `X` has no coordinates and none are given.
        ValueError
            If there is only one block, if the guard leaves a split without training
            sites, or if `coordinates` and `X` differ in length.
        """
        positions, frame = find_coordinates(self, X, groups)
        tests = self._draw_tests(positions, frame)
        name = f"Split {{}} of {self.n_splits}"
        return iter(guarded_splits(positions, frame, tests, self.guard, name))

    def _draw_tests(self, positions, frame):
        rng = check_random_state(self.random_state)
        # equal parts of which one is the smaller side
        n_parts = int(np.ceil(1 / min(self.test_size, 1 - self.test_size)))
        for _ in range(self.n_splits):
            block = cut_into_blocks(
                positions,
                frame,
                n_parts=n_parts,
                block_size=self.block_size,
                guard=self.guard,
                rng=rng,
            )
            if block.max() == 0:
                raise ValueError(
                    "A test side needs at least two blocks, but the "
                    f"{len(positions)} site(s) make only one with "
                    f"block_size={self.block_size}. Use smaller blocks."
                )
            yield draw(block, frame, self.test_size, rng)

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
            The number of splits.
        """
        return self.n_splits


@validate_params(
    {**CONSTRAINTS, "test_size": _TEST_SIZE},
    prefer_skip_nested_validation=True,
)
def single_split(
    X,
    *,
    test_size=0.25,
    guard=0,
    block_size=None,
    coordinates=None,
    frame=None,
    random_state=None,
):
    """Split sites once into spatially separate training and test sides.

    For searches that are to fit each candidate once: the result goes where
    scikit-learn takes ``cv=``.

    Parameters
    ----------
    X : AtomSites of length n_sites or array-like of shape (n_sites, ...)
        The sites; anything else needs `coordinates`.
    test_size : float, default=0.25
        Share of the test sites, between 0 and 1, as closely as whole blocks
        allow.
    guard : float, default=0
        Training sites nearer than this to a test site of the same image, in px along
        rows and along columns, are left out.
    block_size : float, default=None
        Side of the blocks, px. By default blocks of a quarter of the test side, or
        larger ones, up to the whole of it, for sides of 4 `guard`.
    coordinates : array-like of shape (n_sites, 2), default=None
        Coordinates ``(row, col)`` of the rows of `X`, px; `X.positions` if None.
    frame : array-like of shape (n_sites,), default=None
        Image of each row of `X`; `X.frame` or else one image if None.
    random_state : int, RandomState instance or None, default=None
        Draws the blocks. Pass an int for a split that is the same in every call.

    Returns
    -------
    splits : list of one (ndarray of int, ndarray of int)
        Indices of the training and of the test side, ascending.

    Raises
    ------
    TypeError
        If `X` has no coordinates and none are given.
    ValueError
        If there is only one block, if the guard leaves no training sites, or if
        `coordinates` and `X` differ in length.

    See Also
    --------
    SpatialShuffleSplit : The same, several times.
    SpatialBlockKFold : Folds that test every site once.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_ferroic import AtomSites, PatchExtractor
    >>> from sklearn_ferroic.model_selection import single_split
    >>> image = np.random.default_rng(0).random((128, 128))
    >>> grid = np.stack(np.mgrid[8:128:8, 8:128:8], axis=-1).reshape(-1, 2)
    >>> sites = AtomSites(image, grid)
    >>> cv = single_split(sites, guard=8, random_state=0)
    >>> pipeline = make_pipeline(PatchExtractor(window_size=8), PCA())
    >>> search = GridSearchCV(pipeline, {"pca__n_components": [1, 2]}, cv=cv)
    >>> search.fit(sites).n_splits_
    1
    """
    splitter = SpatialShuffleSplit(
        1,
        test_size=test_size,
        block_size=block_size,
        guard=guard,
        coordinates=coordinates,
        frame=frame,
        random_state=random_state,
    )
    return list(splitter.split(X))
