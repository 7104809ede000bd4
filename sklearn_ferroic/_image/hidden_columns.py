"""Columns between the bright ones that the autocorrelation does not resolve.

There, the peak of faint or close neighbours merges with the flank of a stronger one.
The mean window around the bright columns is sharper. What it shows between them is
compared with what columns of one kind could add up to: a lattice of one profile, an
ellipse with a flat top and any tails that fall off smoothly.
"""

from typing import NamedTuple

import numpy as np
from scipy import fft
from scipy.ndimage import (
    gaussian_filter,
    map_coordinates,
    maximum_filter,
    uniform_filter,
)
from scipy.optimize import minimize, nnls

from .filters import vertex
from .settings import IMAGE

# A profile is a sum of Gaussians of these sigmas and of discs of these radii, in
# spacings of bright columns. None of them adds up to a maximum between the columns.
_SIGMA_SPACINGS = np.geomspace(0.08, 0.45, 7)
_RADIUS_SPACINGS = np.linspace(0.06, 0.34, 6)
# A window that is centred on maxima also contains those of noise, a narrow peak in the
# centre.
_OWN_SIGMA_SPACINGS = np.array([0.07, 0.12, 0.2])
# Places of high symmetry, in lattice vectors.
_SYMMETRIC_VECTORS = (
    np.array([[1, 1], [1, -1], [1, 0], [0, 1], [2 / 3, 2 / 3], [2 / 3, -2 / 3]]) / 2
)


_SETTINGS = IMAGE.hidden_columns


class Window(NamedTuple):
    """Mean window around bright columns.

    Parameters
    ----------
    mean : ndarray of shape (n, n)
        The window, 0 at its darkest near the centre and 1 in the centre.
    brighter : ndarray of shape (n, n)
        The same around the brighter half of them.
    noise : float
        Standard deviation of the mean's pixels.
    """

    mean: np.ndarray
    brighter: np.ndarray
    noise: float


def resolve_hidden_columns(tiles, spacing):
    """Correct a spacing for columns between those that have it.

    Parameters
    ----------
    tiles : list of ndarray of shape (n_rows, n_cols)
        Parts of an image, of zero mean.
    spacing : float
        Spacing that the autocorrelation shows, px.

    Returns
    -------
    spacing : float
        The distance of the bright columns from those between them, px; the spacing
        itself if most parts of the image show none.
    """
    distances = []
    for block in _blocks(tiles, spacing):
        window = _mean_window(block)
        if window is None:
            continue
        distances.append(_nearest_distance(window) / _SETTINGS.spacing_px)
        closer = _agreeing(distances)
        if _SETTINGS.n_agreeing_blocks in (len(closer), len(distances) - len(closer)):
            break
    if not distances:
        return spacing
    closer = _agreeing(distances)
    if not len(closer) or 2 * len(closer) < len(distances):
        return spacing
    closer = float(closer.mean() * spacing)
    return closer if closer > _SETTINGS.min_spacing_px else spacing


def _agreeing(distances):
    """Return the distances that make the spacing smaller and agree with each other."""
    closer = np.array([d for d in distances if d < _SETTINGS.max_spacing_ratio])
    if not len(closer):
        return closer
    return closer[np.abs(closer / np.median(closer) - 1) < _SETTINGS.agreement_share]


def _blocks(tiles, spacing):
    """Cut tiles into blocks; yield some of much contrast, resampled."""
    blocks = []
    for tile in tiles:
        parts = [
            max(1, round(n / (_SETTINGS.block_spacings * spacing))) for n in tile.shape
        ]
        for rows in np.array_split(tile, parts[0], axis=0):
            blocks += np.array_split(rows, parts[1], axis=1)
    blocks = [
        b for b in blocks if min(b.shape) >= _SETTINGS.min_block_spacings * spacing
    ]
    if not blocks:
        return
    contrast = np.array([np.std(block) for block in blocks])
    good = np.flatnonzero(
        contrast
        > _SETTINGS.min_contrast_share * np.quantile(contrast, _SETTINGS.best_quantile)
    )
    # From all over the image.
    chosen = np.unique(
        np.linspace(0, len(good) - 1, _SETTINGS.n_blocks).round().astype(int)
    )
    for k in good[chosen]:
        yield _resample(blocks[k], _SETTINGS.spacing_px / spacing)


def _resample(block, scale):
    """Resample a block by band-limited interpolation, and smooth it."""
    shape = [round(n * scale) for n in block.shape]
    kept = [
        np.arange(1 - min(n, m) // 2, min(n, m) // 2)
        for n, m in zip(block.shape, shape, strict=True)
    ]
    spectrum = np.zeros(shape, dtype=np.complex64)
    spectrum[np.ix_(*kept)] = fft.fft2(block - block.mean())[np.ix_(*kept)]
    for axis, n in enumerate(shape):
        gain = np.exp(-2 * (np.pi * fft.fftfreq(n) * _SETTINGS.smoothing_px) ** 2)
        spectrum *= np.expand_dims(gain.astype(np.float32), 1 - axis)
    return fft.ifft2(spectrum).real * np.float32(np.prod(shape) / block.size)


def _mean_window(block):
    """Average the surroundings of the bright columns of a block."""
    size = 2 * _SETTINGS.isolated_px + 1
    peak = block == maximum_filter(block, size)
    peak[: _SETTINGS.reach_px] = peak[-_SETTINGS.reach_px :] = False
    peak[:, : _SETTINGS.reach_px] = peak[:, -_SETTINGS.reach_px :] = False
    row, col = np.nonzero(peak)
    if len(row) < _SETTINGS.min_n_columns:
        return None
    level_side = _SETTINGS.level_side_spacings * _SETTINGS.spacing_px
    height = (block - uniform_filter(block, level_side))[row, col]
    n_brightest = max(
        _SETTINGS.min_n_brightest, len(height) // _SETTINGS.n_columns_per_brightest
    )
    brightest = np.sort(height)[-n_brightest:].mean()
    bright = np.flatnonzero(height > _SETTINGS.min_bright_share * brightest)
    if len(bright) < _SETTINGS.min_n_columns:
        return None
    bright = bright[: _SETTINGS.max_n_columns]
    offset = np.arange(-_SETTINGS.reach_px, _SETTINGS.reach_px + 1)
    rows = row[bright, None, None] + offset[:, None]
    windows = block[rows, col[bright, None, None] + offset]
    halves = windows[::2].mean(axis=0), windows[1::2].mean(axis=0)
    mean = (halves[0] + halves[1]) / 2
    # Of two kinds of similar height, the brighter half is mostly one.
    height = height[bright]
    brighter = windows[height >= np.median(height)].mean(axis=0)
    dark_reach = _SETTINGS.dark_reach_spacings * _SETTINGS.spacing_px
    dark = mean[_distance() < dark_reach].min()
    height = mean[_SETTINGS.reach_px, _SETTINGS.reach_px] - dark
    noise = float(np.std(halves[0] - halves[1]) / 2)
    if not height > 0:
        return None
    return Window((mean - dark) / height, (brighter - dark) / height, noise / height)


def _offsets():
    """Return the pixels' places relative to the centre of a window."""
    offset = np.arange(-_SETTINGS.reach_px, _SETTINGS.reach_px + 1)
    return np.stack(np.meshgrid(offset, offset, indexing="ij"), axis=-1)


def _distance():
    """Return the pixels' distances from the centre of a window."""
    return np.hypot(*np.moveaxis(_offsets(), -1, 0))


def _nearest_distance(window):
    """Return the distance of the central column's nearest neighbours."""
    vectors = _resolved_neighbors(window)
    if not len(vectors):
        return np.inf
    length = np.hypot(*vectors.T)
    shell = length[length < _SETTINGS.shell_ratio * length[0]]
    if length[0] < _SETTINGS.max_pair_px or len(shell) >= _SETTINGS.min_n_around:
        if length[0] < _SETTINGS.max_spacing_ratio * _SETTINGS.spacing_px:
            return shell.mean()
    far = length >= _SETTINGS.max_spacing_ratio * _SETTINGS.spacing_px
    if not far.any():
        return np.inf
    vectors, length = vectors[far], length[far]
    nearest = length < _SETTINGS.shell_ratio * length[0]
    height = map_coordinates(window.brighter, vectors.T + _SETTINGS.reach_px, order=1)
    if np.median(height[nearest]) < _SETTINGS.other_kind_share * height[~nearest].max(
        initial=0
    ):
        return length[nearest].mean()
    basis = _lattice_basis(vectors[height > _SETTINGS.same_kind_share])
    return np.inf if basis is None else _unresolved_distance(window, basis)


def _resolved_neighbors(window):
    """Return vectors to the maxima of a window, the shortest first."""
    mean = window.mean
    peak = mean == maximum_filter(mean, _SETTINGS.maxima_side_px)
    peak &= (mean > _SETTINGS.min_height_share) & (
        _distance() > _SETTINGS.min_distance_px
    )
    peak[[0, -1]] = peak[:, [0, -1]] = False
    row, col = np.nonzero(peak)
    vectors = vertex(mean, row, col) - _SETTINGS.reach_px
    # On the way there, the window falls below both.
    way = np.linspace(0, 1, 2 * _SETTINGS.reach_px)[:, None, None] * vectors
    lowest = map_coordinates(
        mean, np.moveaxis(way, -1, 0) + _SETTINGS.reach_px, order=1
    )
    end = np.minimum(mean[row, col], 1)
    dip = end - lowest.min(axis=0)
    distinct = dip > np.maximum(
        _SETTINGS.min_dip_share * end, _SETTINGS.min_depth_share
    )
    distinct &= dip > _SETTINGS.min_significance_std * window.noise
    vectors = vectors[distinct]
    # The central column is within half a pixel of the centre.
    vectors = vectors - _center(mean)
    return vectors[np.argsort(np.hypot(*vectors.T))]


def _center(mean):
    """Return the place of the central column, relative to the centre of a window."""
    place = np.array([_SETTINGS.reach_px])
    return vertex(mean, place, place)[0] - _SETTINGS.reach_px


def _lattice_basis(vectors):
    """Return the shortest two vectors that are not along one row."""
    for k in range(1, len(vectors)):
        area = np.linalg.det(vectors[[0, k]])
        lengths = np.hypot(*vectors[[0, k]].T)
        if abs(area) > _SETTINGS.min_basis_sine * np.prod(lengths):
            return vectors[[0, k]]
    return None


def _unresolved_distance(window, basis):
    """Return the distance of columns hidden in the flanks of a lattice's columns."""
    cells = np.arange(-_SETTINGS.n_lattice_cells, _SETTINGS.n_lattice_cells + 1)
    index = np.stack(np.meshgrid(cells, cells, indexing="ij"), axis=-1)
    lattice = index.reshape(-1, 2) @ basis
    reach = _SETTINGS.lattice_reach_spacings * _SETTINGS.spacing_px
    lattice = lattice[np.hypot(*lattice.T) < reach]
    shortest = float(np.hypot(*basis.T).min())
    center = _center(window.mean)
    offset = (_offsets() - center)[:, :, None] - lattice
    distance = np.hypot(offset[..., 0], offset[..., 1])
    # The central column's own cell and some of the next ones'.
    own = int(np.hypot(*lattice.T).argmin())
    margin = _SETTINGS.cell_margin_distances * shortest
    cell = distance[..., own] <= distance.min(axis=-1) + margin
    model = _OneKind(window.mean[cell], offset[cell], shortest, own)
    between = cell & (distance.min(axis=-1) > _SETTINGS.min_hidden_distances * shortest)
    if not between.any():
        return np.inf
    hidden = model.find(
        _core_ellipse(window.mean, shortest), between, cell, basis, center
    )
    closer = (
        _shell(lattice, hidden) < _SETTINGS.max_spacing_ratio * _SETTINGS.spacing_px
    )
    if closer and _is_candidate(hidden, window):
        # The shape of broad columns shows in the whole window only.
        hidden = model.refine(hidden)
        distance = np.hypot(*(lattice - hidden.position).T).min()
        is_between = distance > _SETTINGS.min_hidden_distances * shortest
        # Higher ones would show as maxima.
        is_faint = hidden.share < _SETTINGS.max_share
        if is_between and is_faint and _is_column(hidden, window):
            return _shell(lattice, hidden)
    return np.inf


def _shell(lattice, hidden):
    """Return the mean distance of a column from the nearest of a lattice."""
    length = np.hypot(*(lattice - hidden.position).T)
    return float(length[length < _SETTINGS.shell_ratio * length.min()].mean())


class Hidden(NamedTuple):
    """A column between the bright ones.

    Parameters
    ----------
    ellipse : ndarray of shape (2,)
        Shape of the columns.
    position : ndarray of shape (2,)
        Relative to the bright column, px.
    share : float
        Its height, of that of the bright column.
    explained : float
        Share of the sum of squares that the bright columns leave.
    misfit : float
        Root mean square that these leave.
    sensitivity : float
        Error of the share that unit noise causes.
    """

    ellipse: np.ndarray
    position: np.ndarray
    share: float
    explained: float
    misfit: float
    sensitivity: float


def _is_candidate(hidden, window):
    """Check that a column is high and significant, and explains some of the window."""
    error = hidden.sensitivity * window.noise
    return (
        hidden.share > max(_SETTINGS.min_share, _SETTINGS.min_significance_std * error)
        and hidden.explained > _SETTINGS.min_first_explained_share
    )


def _is_column(hidden, window):
    """Check that a column is high and significant, and explains the window."""
    is_small = hidden.misfit < _SETTINGS.small_misfit_share
    required = (
        _SETTINGS.min_small_explained_share
        if is_small
        else _SETTINGS.min_explained_share
    )
    return _is_candidate(hidden, window) and hidden.explained > required


class _OneKind:
    """Model of a window: a lattice of columns of one profile."""

    def __init__(self, values, offset, shortest, own):
        self.values = values
        self.offset = offset
        self.shortest = shortest
        # Number of the central column.
        self.own = own

    def radius(self, ellipse, position=(0, 0)):
        """Return the pixels' distances from the columns, in those of bright columns."""
        offset = self.offset - np.asarray(position)
        across = offset @ _metric_root(ellipse)
        return np.hypot(across[..., 0], across[..., 1]) / self.shortest

    def design(self, ellipse):
        """Return the contribution of each part of a profile to the pixels."""
        square = self.radius(ellipse) ** 2
        parts = [np.exp(square * (-0.5 / s**2)).sum(axis=1) for s in _SIGMA_SPACINGS]
        radius, half = (
            np.sqrt(square),
            (_RADIUS_SPACINGS[1] - _RADIUS_SPACINGS[0]) / 2,
        )
        parts += [
            np.clip((r + half - radius) / (2 * half), 0, 1).sum(axis=1)
            for r in _RADIUS_SPACINGS
        ]
        own = square[:, self.own]
        parts += [np.exp(own * (-0.5 / s**2)) for s in _OWN_SIGMA_SPACINGS]
        one = np.ones(len(square))
        return np.stack([*parts, one, -one], axis=1)

    def find(self, ellipse, between, cell, basis, center):
        """Find the column that explains most of the residual of the lattice fit."""
        design = self.design(ellipse)
        weights, norm = nnls(design, self.values)
        residual = np.zeros(cell.shape)
        residual[cell] = self.values - design @ weights
        residual = gaussian_filter(residual, _SETTINGS.residual_sigma_px)
        peak = residual == maximum_filter(residual, _SETTINGS.maxima_side_px)
        row, col = np.nonzero(peak & between & (residual > 0))
        order = np.argsort(-residual[row, col])[: _SETTINGS.n_residual_maxima]
        places = list(_SYMMETRIC_VECTORS @ basis)
        places = [
            p
            for p in places
            if np.hypot(*p) > _SETTINGS.min_hidden_distances * self.shortest
        ]
        n_symmetric = len(places)
        places += list(
            vertex(residual, row[order], col[order]) - _SETTINGS.reach_px - center
        )
        best = None
        core = self._core_sigma(ellipse)
        for k, place in enumerate(places):
            hidden = self.with_column(ellipse, place, design, norm, core)
            bonus = _SETTINGS.min_improvement_share if k >= n_symmetric else 0
            if best is None or hidden.explained > best.explained + bonus:
                best = hidden
        return best

    def refine(self, hidden):
        """Fit the ellipse without the column, and ellipse and place with it."""
        alone = self._minimize(
            lambda x: nnls(self.design(x), self.values)[1],
            hidden.ellipse,
            _SETTINGS.n_ellipse_evaluations,
        )
        norm = alone.fun

        def left(x):
            more = self.with_column(x[:2], x[2:] * self.shortest, norm=norm)
            return np.sqrt(1 - more.explained) * norm

        start = np.concatenate([hidden.ellipse, hidden.position / self.shortest])
        both = self._minimize(left, start, _SETTINGS.n_place_evaluations).x
        return self.with_column(both[:2], both[2:] * self.shortest, norm=norm)

    @staticmethod
    def _minimize(function, start, n_evaluations):
        steps = _SETTINGS.ellipse_step_log, _SETTINGS.place_step_distances
        size = np.repeat(steps, 2)[: len(start)]
        simplex = start + np.vstack([np.zeros(len(start)), np.diag(size)])
        options = {"initial_simplex": simplex, "maxfev": n_evaluations}
        return minimize(function, start, method="Nelder-Mead", options=options)

    def with_column(self, ellipse, position, design=None, norm=None, core=None):
        """Add a column, of which every cell has one, to the lattice."""
        if design is None:
            design = self.design(ellipse)
        if core is None:
            core = self._core_sigma(ellipse)
        square = (self.radius(ellipse, position) / core) ** 2
        blob = np.exp(-0.5 * square).sum(axis=1)
        weights, left = nnls(np.hstack([design, blob[:, None]]), self.values)
        height = max(
            weights[: len(_SIGMA_SPACINGS) + len(_RADIUS_SPACINGS)].sum(), 1e-9
        )
        # Root of the area over which noise is correlated.
        sigma = np.hypot(_SETTINGS.smoothing_px, _SETTINGS.resampling_px)
        correlated = np.sqrt(4 * np.pi) * sigma
        error = correlated / np.sqrt(((blob - blob.mean()) ** 2).sum())
        return Hidden(
            ellipse=_limited(ellipse),
            position=position,
            share=weights[-1] / height,
            explained=1 - (left / norm) ** 2,
            misfit=norm / np.sqrt(len(self.values)),
            sensitivity=error / height,
        )

    def _core_sigma(self, ellipse):
        """Return the sigma of the bright columns' core, in distances of them."""
        own = self.radius(ellipse).min(axis=1)
        core = own < _SETTINGS.core_distances
        logs = np.log(np.clip(self.values[core], _SETTINGS.min_core_share, None))
        slope = np.polyfit(own[core] ** 2, logs, 1)[0]
        # The lower bound of the slope keeps the quotient finite.
        return np.clip(
            np.sqrt(0.5 / max(-slope, 1e-3)),
            _SETTINGS.min_core_sigma_distances,
            _SETTINGS.max_core_sigma_distances,
        )


def _core_ellipse(mean, shortest):
    """Return the ellipse of the central column's core.

    It is half the logarithm of the ratio of its axes, as a vector along twice the
    angle of the long axis.
    """
    core_px = max(_SETTINGS.core_distances * shortest, _SETTINGS.min_core_px)
    core = _distance() < core_px
    row, col = _offsets()[core].T.astype(float)
    design = np.stack([np.ones_like(row), row, col, row**2, row * col, col**2], axis=1)
    logs = np.log(np.clip(mean[core], _SETTINGS.min_core_share, None))
    coefficients = np.linalg.lstsq(design, logs, rcond=None)[0]
    down, both, along = -coefficients[3:]
    eigen, axes = np.linalg.eigh([[down, both / 2], [both / 2, along]])
    if eigen[0] <= 0:
        return np.zeros(2)
    angle = 2 * np.arctan2(*axes[:, 0])
    size = np.log(eigen[1] / eigen[0]) / 4
    return _limited(size * np.array([np.cos(angle), np.sin(angle)]))


def _limited(ellipse):
    """Clip the ratio of an ellipse's axes to what columns may have."""
    size = np.hypot(*ellipse)
    return ellipse * min(1, 0.5 * np.log(_SETTINGS.max_axis_ratio) / max(size, 1e-9))


def _metric_root(ellipse):
    """Return the matrix that makes an ellipse round, for vectors (row, col)."""
    ellipse = _limited(ellipse)
    size = np.hypot(*ellipse)
    angle = np.arctan2(ellipse[1], ellipse[0]) / 2
    long_axis = np.array([np.sin(angle), np.cos(angle)])
    projector = np.outer(long_axis, long_axis)
    return np.exp(-size) * projector + np.exp(size) * (np.eye(2) - projector)
