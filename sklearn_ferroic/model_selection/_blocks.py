"""Coordinates of samples, division into blocks of sites, and guard bands."""

import warnings
from numbers import Real

import numpy as np
from scipy.spatial import cKDTree
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.validation import _num_samples

from .._utils.validation import Interval
from ..sites import AtomSites

# How far a cut may move to find a gap between rows of columns, as a share of a part.
_SLACK_SHARE = 0.1
# Without `block_size`: blocks of an image for each part of it that is wanted, and the
# side in guards from which on a block loses less than it keeps.
_BLOCKS_A_PART = 4
_GUARDS_A_BLOCK = 4
# Constraints of the common parameters of the splitters.
CONSTRAINTS = {
    "block_size": [Interval(Real, 0, np.inf, closed="right"), None],
    "guard": [Interval(Real, 0, None, closed="left")],
    "coordinates": ["array-like", None],
    "frame": ["array-like", None],
    "random_state": ["random_state"],
}


def cut_into_blocks(positions, frame, *, n_parts, block_size, guard, rng):
    """Cut every image into rectangular blocks of about equally many sites.

    Parameters
    ----------
    positions : ndarray of shape (n_sites, 2)
        Coordinates, px.
    frame : ndarray of int of shape (n_sites,)
        Image of each site.
    n_parts : int
        The fewest blocks that an image should have if `block_size` is None.
    block_size : float or None
        Side of the blocks, px.
    guard : float
        Width of the guard band, px.
    rng : RandomState or None
        Draws the layout; None for a fixed one.

    Returns
    -------
    block : ndarray of int of shape (n_sites,)
        Block of each site, 0 … n_blocks − 1, numbered image by image.
    """
    block = np.empty(len(positions), dtype=np.intp)
    n_blocks = 0
    for image in np.unique(frame):
        rows = np.flatnonzero(frame == image)
        sites = positions[rows]
        axis = 0 if rng is None else rng.randint(2)
        extent = np.ptp(sites, axis=0)[[axis, 1 - axis]]
        layout = _layout(extent, len(rows), n_parts, block_size, guard)
        if rng is not None:
            layout = rng.permutation(layout)
        band = _divide(sites[:, axis], layout)
        place = np.empty(len(rows), dtype=np.intp)
        for number in np.unique(band):
            inside = band == number
            n_columns = min(layout[number], inside.sum())
            place[inside] = _divide(sites[inside, 1 - axis], np.ones(n_columns))
        cells = np.column_stack([band, place])
        _, label = np.unique(cells, axis=0, return_inverse=True)
        label = label.ravel()
        block[rows] = label + n_blocks
        n_blocks += label.max() + 1
    return block


def _layout(extent, n_sites, n_parts, block_size, guard):
    """Return the number of blocks in each band of an image."""
    if block_size is not None:
        n_bands, n_columns = np.maximum(1, np.rint(extent / block_size))
        n_bands = int(min(n_bands, n_sites))
        return np.full(n_bands, int(min(n_columns, n_sites)))
    # a multiple of the parts, so that each gets as many blocks as the others
    rounds = _BLOCKS_A_PART
    if guard > 0:
        large = np.prod(np.maximum(1, extent / (_GUARDS_A_BLOCK * guard)))
        rounds = int(np.clip(large // n_parts, 1, rounds))
    n_blocks = min(rounds * n_parts, n_sites)
    tiny = np.finfo(float).tiny
    aspect = (extent[0] + tiny) / (extent[1] + tiny)
    n_bands = int(np.clip(np.rint(np.sqrt(n_blocks * aspect)), 1, n_blocks))
    return n_blocks // n_bands + (np.arange(n_bands) < n_blocks % n_bands)


def _divide(values, shares):
    """Cut an axis into parts that contain given shares of the values.

    The cut runs where there is a gap, between two rows of columns, as near to the
    share as may be; equal values stay together.
    """
    n = len(values)
    shares = np.asarray(shares) / np.sum(shares)
    slack = _SLACK_SHARE * n * shares.min()
    ordered = np.sort(values)
    gaps = np.diff(ordered)
    cuts = []
    for target in n * np.cumsum(shares)[:-1]:
        nearest = int(np.clip(np.rint(target), 1, n - 1))
        first = min(nearest, max(1, int(np.ceil(target - slack))))
        last = max(nearest, min(n - 1, int(np.floor(target + slack))))
        # gaps[i] lies between ordered[i] and ordered[i + 1]: i + 1 values before it
        window = gaps[first - 1 : last]
        wide = first + np.flatnonzero(window >= window.max() / 2)
        cut = wide[np.abs(wide - target).argmin()]
        cuts.append((ordered[cut - 1] + ordered[cut]) / 2)
    return np.searchsorted(cuts, values)


def deal(block, frame, n_folds, rng):
    """Distribute blocks over folds.

    An image's blocks go round by round, one to each fold, the larger to the fold that
    has fewer sites so far. Hence a fold gets sites of each image that has as many
    blocks as there are folds, and no two folds differ by more than the largest block.

    Parameters
    ----------
    block, frame : ndarray of int of shape (n_sites,)
        Block and image of each site.
    n_folds : int
        Number of folds.
    rng : RandomState or None
        Draws the order of blocks and folds; None for that of the blocks.

    Returns
    -------
    fold : ndarray of int of shape (n_sites,)
        Fold of each site.
    """
    size = np.bincount(block)
    fold_of_block = np.empty(len(size), dtype=np.intp)
    total = np.zeros(n_folds, dtype=np.intp)
    for image in np.unique(frame):
        members = np.unique(block[frame == image])
        if rng is not None:
            members = rng.permutation(members)
        for start in range(0, len(members), n_folds):
            hand = members[start : start + n_folds]
            hand = hand[np.argsort(-size[hand], kind="stable")]
            ties = np.arange(n_folds) if rng is None else rng.permutation(n_folds)
            folds = np.lexsort([ties, total])[: len(hand)]
            fold_of_block[hand] = folds
            total[folds] += size[hand]
    return fold_of_block[block]


def draw(block, frame, share, rng):
    """Draw blocks until they contain a share of the sites, as near as blocks allow.

    Parameters
    ----------
    block, frame : ndarray of int of shape (n_sites,)
        Block and image of each site; two blocks at least.
    share : float
        Share of the sites to draw, between 0 and 1.
    rng : RandomState
        Draws the blocks, one image after another.

    Returns
    -------
    drawn : ndarray of bool of shape (n_sites,)
        The sites of the drawn blocks, some but not all.
    """
    size = np.bincount(block)
    order = np.empty(len(size), dtype=np.intp)
    for image in np.unique(frame):
        members = np.unique(block[frame == image])
        order[members] = rng.permutation(len(members))
    drawn = np.zeros(len(size), dtype=bool)
    total, wanted = 0, share * len(block)
    for candidate in np.lexsort([rng.permutation(len(size)), order]):
        larger = total + size[candidate]
        if larger < len(block) and abs(larger - wanted) < abs(total - wanted):
            drawn[candidate] = True
            total = larger
    if not drawn.any():
        drawn[size.argmin()] = True
    return drawn[block]


def guarded_splits(positions, frame, tests, guard, name):
    """Yield each test set with its training set, the sites far enough from it.

    Parameters
    ----------
    positions : ndarray of shape (n_sites, 2)
        Coordinates, px.
    frame : ndarray of int of shape (n_sites,)
        Image of each site.
    tests : iterable of ndarray of bool of shape (n_sites,)
        The test sides.
    guard : float
        Least Chebyshev distance to the test sites of the same image, px.
    name : str
        What a split is called should it be impossible, its number at ``{}``.

    Returns
    -------
    splits : list of (ndarray of int, ndarray of int)
        Indices of the training and of the test side, ascending.

    Raises
    ------
    ValueError
        If no training site is left.
    """
    splits = []
    for number, test in enumerate(tests):
        train = _train_side(positions, frame, test, guard, name.format(number))
        splits.append((np.flatnonzero(train), np.flatnonzero(test)))
    return splits


def _train_side(positions, frame, test, guard, name):
    train = ~test
    if guard > 0:
        order = np.argsort(frame, kind="stable")
        images = np.split(order, np.flatnonzero(np.diff(frame[order])) + 1)
        for rows in images:
            tested = test[rows]
            rest = rows[~tested]
            if len(rest) == 0 or not tested.any():
                continue
            # Farther neighbours are not looked for; they come out at infinity.
            distance, _ = cKDTree(positions[rows[tested]]).query(
                positions[rest], p=np.inf, distance_upper_bound=guard
            )
            train[rest[distance < guard]] = False
    if not train.any():
        raise ValueError(
            f"{name} has no training site: it tests {test.sum()} of {len(test)} sites, "
            f"and the other {(~test).sum()} lie nearer than guard={guard:g} px to a "
            "test site. Use a smaller guard, larger blocks (block_size), or smaller "
            "test sides; block_size=inf takes images whole."
        )
    return train


def find_coordinates(splitter, X, groups):
    """Return the coordinates of the samples from the splitter or else from `X`.

    Parameters
    ----------
    splitter : object
        With the attributes `coordinates` and `frame`.
    X : AtomSites or array-like
        The samples.
    groups : object
        Ignored, with a warning unless None.

    Returns
    -------
    positions : ndarray of shape (n_sites, 2)
        Coordinates, px.
    frame : ndarray of int of shape (n_sites,)
        Image of each sample, 0 … n_images − 1.

    Raises
    ------
    TypeError
        If neither knows coordinates.
    ValueError
        If there are no samples, or coordinates and samples differ in number.
    """
    name = type(splitter).__name__
    if groups is not None:
        warnings.warn(f"The groups parameter is ignored by {name}", stacklevel=3)
    positions, frame = splitter.coordinates, splitter.frame
    if isinstance(X, AtomSites):
        positions = X.positions if positions is None else positions
        frame = X.frame if frame is None else frame
    elif positions is None:
        raise TypeError(
            f"{name} takes AtomSites, which know their coordinates, got "
            f"{type(X).__name__}. For other samples give the constructor "
            "coordinates=, one (row, col) a row of X, and frame= if they are of "
            "several images; for images, put an AtomLocator before the search."
        )
    if len(positions) == 0:
        raise ValueError(f"{name} found no sites (0 samples): nothing to split.")
    positions = check_array(positions, dtype=np.float64, input_name="coordinates")
    if positions.shape[1] != 2:
        raise ValueError(
            "coordinates must be (row, col) pairs of shape (n_sites, 2), got shape "
            f"{positions.shape}."
        )
    frame = np.zeros(len(positions)) if frame is None else column_or_1d(frame)
    n_samples = _num_samples(X)
    if not len(frame) == len(positions) == n_samples:
        raise ValueError(
            "X, coordinates and frame must have one row per sample each, got "
            f"{n_samples}, {len(positions)} and {len(frame)} rows."
        )
    return positions, np.unique(frame, return_inverse=True)[1].ravel()
