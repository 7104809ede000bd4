"""How straight on the lattice goes from one column to the next."""

import numpy as np

# A bond is straight if it misses the one behind by less than this share of the
# spacing; farther off there is none behind, as on all of a honeycomb, and no telling.
_STRAIGHT = 0.4
_BEHIND = 0.8
# Bonds differ from those farther back on the scale of so many times what is typical,
# but of this share of the spacing at least.
_TYPICAL_MISFITS = 2.0
_MIN_MISFIT = 0.15


def continuity(nearest, pairs, spacing, reach):
    """Tell for each bond whether it goes on like those behind its two ends.

    Parameters
    ----------
    nearest : Nearest
        Who stands near whom.
    pairs : ndarray of shape (n_pairs, 2)
        All bonds, as ``nearest.pairs(reach)`` lists them.
    spacing : float
        Nearest-neighbour spacing, px.
    reach : float
        Longest bond, px.

    Returns
    -------
    share : ndarray of shape (n_pairs,)
        1 where the lattice goes on, 0 where it is broken; 1 as well where a border,
        missing columns or a lattice without straight lines do not tell.
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
    n_told = np.bincount(bond, minlength=len(pairs))
    squared = np.bincount(bond, misfit**2, len(pairs)) / np.maximum(n_told, 1)
    share = np.exp(-0.5 * squared / scale**2)
    return np.minimum(share / np.median(share), 1)


def _misfits(nearest, spacing, reach):
    """Difference of each column's bonds from those two columns farther back, px.

    They join the same two sublattices: displacements of one against the other, tilt and
    strain leave no difference.
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
