"""Local brightness levels of two sublattices, and the evidence of each column for them.

The image is divided into square tiles. Around each tile, a window of three by three
tiles is described by two levels of log brightness on a common plane, which describes
thickness and tilt. The levels are those of given labels, or of the two brightness
classes into which the window divides best.
"""

from typing import NamedTuple

import numpy as np

# Windows of 3 x 3 tiles are about 10 nearest-neighbour spacings wide: some 90 columns,
# few enough for a plane and enough for two levels.
_TILE_SPACINGS = 3.2
# Rounds of the division into two classes, each with the levels of the one before.
_N_CLASS_ROUNDS = 5
# Smallest standard error of a level difference in any image (natural log).
_MIN_ERROR_LOG = 0.01
# A level needs this many columns, and this share of a window's columns.
_MIN_LEVEL_COLUMNS = 5
_MIN_LEVEL_SHARE = 0.15
# Two brightness classes are distinct without other evidence if their levels differ by
# this many standard deviations within them. The best division of one normal
# distribution into halves has a ratio of 2.6, of a uniform one 3.5.
_CLEAR_RATIO = 4.0
# Log-likelihood ratios beyond this are not credible: distributions have tails.
MAX_EVIDENCE_NATS = 12.0
# Mean absolute deviation to standard deviation of a normal distribution.
_STD_PER_MEAN_ABSOLUTE = 1.2533


class Tiles(NamedTuple):
    """Columns sorted into square tiles.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns, in units of the tile side.
    shape : tuple of int
        Number of tiles per axis, with an empty margin of one tile.
    tile : ndarray of int of shape (n,)
        Tile of each column, row by row.
    order : ndarray of int of shape (n,)
        Columns in order of their tiles.
    start : ndarray of int of shape (n_tiles + 1,)
        First of each tile in this order.
    """

    positions: np.ndarray
    shape: tuple
    tile: np.ndarray
    order: np.ndarray
    start: np.ndarray

    @classmethod
    def of(cls, positions, spacing):
        """Sort columns into tiles."""
        positions = positions / (_TILE_SPACINGS * spacing)
        place = np.floor(positions - positions.min(axis=0)).astype(np.intp) + 1
        shape = tuple(place.max(axis=0) + 2)
        tile = place[:, 0] * shape[1] + place[:, 1]
        count = np.bincount(tile, minlength=shape[0] * shape[1])
        start = np.concatenate([[0], np.cumsum(count)])
        return cls(positions, shape, tile, np.argsort(tile, kind="stable"), start)

    def around(self, tiles):
        """Select the tiles next to given ones, these included; occupied ones only."""
        near = np.unique(self.block(tiles))
        return near[self.start[near + 1] > self.start[near]]

    def block(self, tiles):
        """List the 3 x 3 tiles around each given, occupied one."""
        n_cols = self.shape[1]
        steps = np.add.outer([-n_cols, 0, n_cols], [-1, 0, 1]).ravel()
        return tiles[:, None] + steps

    def members(self, tiles):
        """List the columns of the windows around tiles, padded with −1."""
        first = tiles[:, None] + np.array([-1, 0, 1]) * self.shape[1] - 1
        begin, end = self.start[first], self.start[first + 3]
        length = (end - begin).ravel()
        window = np.repeat(np.arange(len(tiles)), (end - begin).sum(axis=1))
        place = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        column = self.order[np.repeat(begin.ravel(), length) + place]
        size = np.bincount(window, minlength=len(tiles))
        in_window = np.arange(len(window)) - np.repeat(np.cumsum(size) - size, size)
        members = np.full((len(tiles), size.max()), -1)
        members[window, in_window] = column
        return members


class Levels(NamedTuple):
    """Two levels of log brightness on a plane, for each of several windows.

    Parameters
    ----------
    tiles : ndarray of int of shape (n_windows,)
        Middle tile of each window, sorted.
    plane : ndarray of shape (n_windows, 3)
        Mean of the two levels, and slopes of the plane per tile side.
    gap : ndarray of shape (n_windows,)
        Upper minus lower level; 0 where there are not two.
    scatter : ndarray of shape (n_windows,)
        Standard deviation within the levels.
    middle : ndarray of shape (n_windows, 2)
        Position where the plane has the mean of the levels, in units of the tile side.
    """

    tiles: np.ndarray
    plane: np.ndarray
    gap: np.ndarray
    scatter: np.ndarray
    middle: np.ndarray

    @property
    def are_clear(self):
        """Whether brightness alone distinguishes the two levels of a window."""
        return self.gap > _CLEAR_RATIO * self.scatter

    def windows_of(self, tile):
        """Find the windows of columns by their tiles; −1 where there is none."""
        window = np.searchsorted(self.tiles, tile)
        window[window == len(self.tiles)] = 0
        return np.where(self.tiles[window] == tile, window, -1)

    def evidence(self, tiles, log_brightness):
        """Compute log-likelihood ratios of the upper against the lower level.

        Parameters
        ----------
        tiles : Tiles
            The columns.
        log_brightness : ndarray of shape (n,)
            Natural logarithm of their brightness.

        Returns
        -------
        evidence : ndarray of shape (n,)
            Ratio, clipped; 0 for columns without a window.
        window : ndarray of int of shape (n,)
            Window of each column, −1 for none.
        """
        window = self.windows_of(tiles.tile)
        offset = tiles.positions - self.middle[window]
        level, slopes = self.plane[window, 0], self.plane[window, 1:]
        above = log_brightness - level - (slopes * offset).sum(axis=1)
        evidence = self.gap[window] * above / self.scatter[window] ** 2
        evidence[window < 0] = 0
        return np.clip(evidence, -MAX_EVIDENCE_NATS, MAX_EVIDENCE_NATS), window


def brightness_levels(tiles, which, log_brightness, upper=None):
    """Fit two levels of brightness in windows.

    Parameters
    ----------
    tiles : Tiles
        The columns.
    which : ndarray of int of shape (n_windows,)
        Middle tiles of the windows, sorted.
    log_brightness : ndarray of shape (n,)
        Natural logarithm of the columns' brightness.
    upper : ndarray of bool of shape (n,), default=None
        Columns of the upper level; None for the best division of each window.

    Returns
    -------
    levels : Levels
        The levels; those of given labels may have a negative gap.
    """
    members = tiles.members(which)
    used = (members >= 0).astype(float)
    count = used.sum(axis=1)
    value = log_brightness[members]
    place = tiles.positions[members]
    middle = np.einsum("wmk,wm->wk", place, used) / count[:, None]
    place = place - middle[:, None]
    if upper is None:
        plane = _least_squares(used[:, :, None], place, value, used)
        above = value - _predict(used[:, :, None], place, plane)
        is_upper = _best_division(above, used > 0)
        n_rounds = _N_CLASS_ROUNDS
    else:
        is_upper, n_rounds = upper[members].astype(float), 1
    for round_ in range(n_rounds):
        classes = np.stack([is_upper, 1 - is_upper], axis=2)
        fitted = _least_squares(classes, place, value, used)
        if round_ == n_rounds - 1:
            break
        above = value - np.einsum("wmk,wk->wm", place, fitted[:, 2:])
        is_upper = (above > fitted[:, :2].mean(axis=1)[:, None]).astype(float)
    off = np.abs(value - _predict(classes, place, fitted)) * used
    scatter = _STD_PER_MEAN_ABSOLUTE * off.sum(axis=1) / np.maximum(count - 4, 1)
    size = np.einsum("wmk,wm->wk", classes, used)
    both = size.min(axis=1) >= np.maximum(_MIN_LEVEL_COLUMNS, _MIN_LEVEL_SHARE * count)
    return Levels(
        which,
        np.column_stack([fitted[:, :2].mean(axis=1), fitted[:, 2:]]),
        np.where(both, fitted[:, 0] - fitted[:, 1], 0),
        np.maximum(scatter, _MIN_ERROR_LOG),
        middle,
    )


def _least_squares(classes, place, value, used):
    """Fit class means and slopes in each window, with a small ridge penalty."""
    design = np.concatenate([classes, place], axis=2)
    weighted = (design * used[:, :, None]).transpose(0, 2, 1)
    normal = weighted @ design + 1e-6 * np.eye(design.shape[2])
    return np.linalg.solve(normal, weighted @ value[:, :, None])[:, :, 0]


def _predict(classes, place, fitted):
    """Evaluate class means and slopes."""
    return (np.concatenate([classes, place], axis=2) @ fitted[:, :, None])[:, :, 0]


def _best_division(value, used):
    """Divide each row of values into two classes of minimum variance; 1 for upper."""
    ordered = np.sort(np.where(used, value, np.inf), axis=1)
    count = used.sum(axis=1)[:, None]
    finite = np.where(np.isfinite(ordered), ordered, 0)
    below = np.cumsum(finite, axis=1)
    n_below = np.arange(1, value.shape[1] + 1)
    n_above = np.maximum(count - n_below, 1)
    between = below**2 / n_below + (below[:, -1:] - below) ** 2 / n_above
    between[n_below >= count] = -np.inf
    last = between.argmax(axis=1)[:, None]
    return (value > np.take_along_axis(ordered, last, axis=1)).astype(float)
