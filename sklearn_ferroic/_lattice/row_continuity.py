"""Continuity of rows of columns along bonds."""

import numpy as np

# A bond is straight if it differs from the previous one in the row by less than this
# share of the spacing. Above the larger share there is no previous bond, as everywhere
# on a honeycomb, and the continuity is unknown.
_STRAIGHT = 0.4
_BEHIND = 0.8
# Scale of the difference of bonds from earlier ones in the row, in units of the typical
# difference; this share of the spacing at least.
_TYPICAL_MISFITS = 2.0
_MIN_MISFIT = 0.15


def continuity(nearest, pairs, spacing, reach):
    """Compute how well each bond continues the rows at both of its ends.

    Parameters
    ----------
    nearest : Nearest
        Neighbours of the columns.
    pairs : ndarray of shape (n_pairs, 2)
        All bonds, as ``nearest.pairs(reach)`` lists them.
    spacing : float
        Nearest-neighbour spacing, px.
    reach : float
        Longest bond, px.

    Returns
    -------
    share : ndarray of shape (n_pairs,)
        1 where the lattice is continuous, 0 where it is broken; also 1 where it is
        unknown, at a border, at missing columns or on a lattice without straight rows.
    """
    misfit = _misfits(nearest, spacing, reach)
    column, place = np.nonzero(np.isfinite(misfit))
    if not column.size:
        return np.ones(len(pairs))
    misfit = misfit[column, place]
    scale = max(_TYPICAL_MISFITS * np.median(misfit), _MIN_MISFIT * spacing)
    near, n = nearest.index[column, place], len(nearest.positions)
    bond = np.minimum(column, near) * n + np.maximum(column, near)
    bond = np.searchsorted(pairs @ [n, 1], bond)
    n_known = np.bincount(bond, minlength=len(pairs))
    squared = np.bincount(bond, misfit**2, len(pairs)) / np.maximum(n_known, 1)
    share = np.exp(-0.5 * squared / scale**2)
    return np.minimum(share / np.median(share), 1)


def _misfits(nearest, spacing, reach):
    """Return the difference of each column's bonds from those two columns before, px.

    Both bonds join the same two sublattices, so that displacements of one against the
    other, tilt and strain cause no difference.
    """
    positions, index = nearest.positions, nearest.index
    own = np.arange(len(positions))[:, None]
    bonded = (nearest.distance < reach) & (index != own)
    bond = positions[index] - positions[:, None]
    bend = np.linalg.norm(bond[:, :, None] + bond[:, None], axis=3)
    bend[~(bonded[:, :, None] & bonded[:, None])] = np.inf
    behind = bend.argmin(axis=2)
    bend = bend.min(axis=2)
    straight = bend < _STRAIGHT * spacing
    # The column behind, its place for this one, and the column behind that.
    one = np.take_along_axis(index, behind, axis=1)
    is_own = index[one] == own[:, :, None]
    place = is_own.argmax(axis=2)
    known = straight & is_own.any(axis=2) & straight[one, place]
    two = one[one, place]
    misfit = np.linalg.norm(bond - positions[one] + positions[two], axis=2)
    misfit[~known] = np.nan
    broken = ~straight & (bend < _BEHIND * spacing)
    misfit[broken] = bend[broken]
    return misfit
