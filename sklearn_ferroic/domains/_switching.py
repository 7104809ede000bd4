"""Change points of the displacements of cells over the frames of a series."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import validate_params

from .._utils.optional import import_optional
from .._utils.robust import STD_PER_MEDIAN
from .._utils.validation import Interval
from ..sites import SiteTracks

# A value in one frame that deviates by more standard deviations from those before and
# after it, which agree with each other, is an error of the fit.
_OUTLIER_DEVIATIONS = 6.0
_TINY = 1e-12
# Differences below this share of the largest value are rounding errors.
_MIN_NOISE_SHARE = 1e-9


class Switching:
    """Displacements that are constant between change points, of `find_switching`.

    Parameters
    ----------
    tracks : SiteTracks
        The columns over the frames.
    cells : ndarray of int of shape (n_cells,)
        Tracks that have displacements.
    vectors : ndarray of shape (n_frames, n_cells, 2)
        Measured displacements ``(row, col)``; NaN where there is none.
    means : ndarray of shape (n_frames, n_cells, 2)
        Mean displacement between the change points.
    means_std : ndarray of shape (n_frames, n_cells, 2)
        Standard error of `means`.
    changes : ndarray of bool of shape (n_frames, n_cells)
        Whether the frame is the first one after a change point.
    noise_std : ndarray of shape (n_cells,)
        Standard deviation of a displacement in one frame, along each axis.

    Attributes
    ----------
    angle : ndarray of shape (n_frames, n_cells)
        Angle of `means`, radians in [−π, π).
    magnitude : ndarray of shape (n_frames, n_cells)
        Length of `means`, in the unit of the displacements.
    n_changes : ndarray of int of shape (n_cells,)
        Number of change points.
    change_frame : ndarray of int of shape (n_cells,)
        First frame after the largest change; -1 for cells without any.
    positions : ndarray of shape (n_cells, 2)
        Places of the cells, px.

    See Also
    --------
    find_switching : Makes it.
    sklearn_ferroic.inspection.SwitchingDisplay : Draws it.

    Examples
    --------
    >>> from sklearn_ferroic import AtomLocator
    >>> from sklearn_ferroic.datasets import make_ferroic_series
    >>> from sklearn_ferroic.domains import find_switching
    >>> data = make_ferroic_series(
    ...     6, shape=(128, 128), dose=2e4, n_bad=0, switching=True, random_state=0
    ... )
    >>> sites = AtomLocator().fit_transform(data.image)
    >>> switching = find_switching(sites.track(data.shifts))
    >>> switching.angle.shape == (6, len(switching))
    True
    """

    def __init__(self, tracks, cells, vectors, means, means_std, changes, noise_std):
        self.tracks = tracks
        self.cells = cells
        self.vectors = vectors
        self.means = means
        self.means_std = means_std
        self.changes = changes
        self.noise_std = noise_std
        self.angle = np.arctan2(means[..., 0], means[..., 1])
        self.angle[self.angle >= np.pi] -= 2 * np.pi
        self.magnitude = np.hypot(means[..., 0], means[..., 1])
        self.n_changes = changes.sum(axis=0)
        self.positions = tracks.positions[cells]
        step = np.zeros(changes.shape)
        step[1:] = np.hypot(*np.moveaxis(np.diff(means, axis=0), -1, 0))
        step = np.where(changes, step, -1.0)
        self.change_frame = np.where(self.n_changes > 0, step.argmax(axis=0), -1)

    def __len__(self):
        return len(self.cells)

    def __repr__(self):
        return (
            f"<Switching: {np.count_nonzero(self.n_changes)} of {len(self)} cells "
            f"switch in {len(self.vectors)} frames>"
        )

    def to_frame(self):
        """Return a table of the changes.

        Returns
        -------
        table : pandas.DataFrame
            One row a change, by frame and track: `track`, `frame` (the first one
            after it), `row` and `col` (px), `magnitude_before`, `magnitude_after`,
            `angle_before_deg`, `angle_after_deg`, `rotation_deg` (from before to
            after, in [−180, 180)), `change` (length of the difference) and
            `change_std`.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = import_optional("pandas", "io")
        frame, cell = np.nonzero(self.changes)
        before, after = self.means[frame - 1, cell], self.means[frame, cell]
        variance = (
            self.means_std[frame - 1, cell] ** 2 + self.means_std[frame, cell] ** 2
        )
        angles = np.degrees([self.angle[frame - 1, cell], self.angle[frame, cell]])
        return pandas.DataFrame(
            {
                "track": self.cells[cell],
                "frame": frame,
                "row": self.positions[cell, 0],
                "col": self.positions[cell, 1],
                "magnitude_before": np.hypot(*before.T),
                "magnitude_after": np.hypot(*after.T),
                "angle_before_deg": angles[0],
                "angle_after_deg": angles[1],
                "rotation_deg": (angles[1] - angles[0] + 180) % 360 - 180,
                "change": np.hypot(*(after - before).T),
                "change_std": np.sqrt(variance.mean(axis=1)),
            }
        )


@validate_params(
    {
        "tracks": [SiteTracks],
        "vectors": ["array-like", None],
        "sublattice": [Interval(Integral, 0, None, closed="left"), None],
        "alpha": [Interval(Real, 0, 1, closed="neither")],
        "min_frames": [Interval(Integral, 1, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def find_switching(tracks, vectors=None, *, sublattice=1, alpha=0.01, min_frames=2):
    """Find the frames in which the displacements of cells change.

    The displacement of each cell is constant between change points. Their number and
    frames minimise the sum of squared deviations over the noise, plus a penalty for
    each change point.

    Parameters
    ----------
    tracks : SiteTracks
        Columns over the frames, of :meth:`AtomSites.track`.
    vectors : array-like of shape (n_sites, 2), default=None
        Displacement ``(row, col)`` of each site of ``tracks.sites``, NaN where
        unknown; ``sites.polarization`` by default.
    sublattice : int or None, default=1
        Cells are the tracks of this sublattice; of all if None.
    alpha : float, default=0.01
        Probability of any change point in the whole series if no cell changes. It
        determines the penalty.
    min_frames : int, default=2
        Smallest number of frames between change points in which the displacement is
        measured. Shorter changes are not distinguished from errors of fits.

    Returns
    -------
    switching : Switching
        Displacements between change points, with their angles and lengths.

    Raises
    ------
    ValueError
        If no cell has displacements in enough frames.

    See Also
    --------
    sklearn_ferroic.AtomSites.track : Links the columns.

    Notes
    -----
    The noise is the median difference of successive frames, that of a cell or of all
    cells, whichever is larger; cells that switch in less than half of the frames do not
    affect it. A slow rotation appears as several small changes.

    References
    ----------
    .. [1] B. Jackson et al., "An algorithm for optimal partitioning of data on an
       interval", IEEE Signal Processing Letters 12 (2005) 105-108.

    Examples
    --------
    >>> from sklearn_ferroic import AtomLocator
    >>> from sklearn_ferroic.datasets import make_ferroic_series
    >>> from sklearn_ferroic.domains import find_switching
    >>> data = make_ferroic_series(
    ...     6, shape=(128, 128), dose=2e4, n_bad=0, switching=True, random_state=0
    ... )
    >>> sites = AtomLocator().fit_transform(data.image)
    >>> switching = find_switching(sites.track(data.shifts))
    >>> table = switching.to_frame()
    >>> table.frame.unique()
    array([3])
    """
    sites = tracks.sites
    vectors = sites.polarization if vectors is None else np.asarray(vectors, float)
    if vectors.shape != (len(sites), 2):
        raise ValueError(
            f"vectors must have the shape ({len(sites)}, 2), one (row, col) for each "
            f"site; got {vectors.shape}."
        )
    values = tracks.values(vectors)
    cells = np.ones(len(tracks), dtype=bool)
    if sublattice is not None:
        cells = tracks.sublattice == sublattice
    n_measured = np.isfinite(values).all(axis=-1).sum(axis=0)
    cells &= n_measured >= max(2 * min_frames, 3)
    cells = np.flatnonzero(cells)
    if not len(cells):
        raise ValueError(
            f"No column of sublattice {sublattice} has displacements in "
            f"{max(2 * min_frames, 3)} frames or more, as change points need. Columns "
            "without a complete cage of neighbours have none."
        )
    values = values[:, cells]
    noise = _noise(values)
    known = np.isfinite(values).all(axis=-1) & ~_isolated(values, noise)
    penalty = 2 * np.log(len(values) * len(cells) / alpha)
    starts = _partition(values, known, noise, penalty, min_frames)
    means, std = _segment_means(values, known, noise, starts)
    changes = starts.copy()
    changes[0] = False
    return Switching(tracks, cells, values, means, std, changes, noise)


def _noise(values):
    """Return the standard deviation of each cell in one frame, along one axis."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        step = np.abs(np.diff(values, axis=0))
        of_all = np.nanmedian(step)
        of_cells = np.nanmedian(step, axis=(0, 2))
    median = np.fmax(of_cells, of_all)
    least = max(_TINY, _MIN_NOISE_SHARE * float(np.nanmax(np.abs(values), initial=0)))
    # A difference of two frames has twice the variance.
    return np.maximum(STD_PER_MEDIAN * median / np.sqrt(2), least)


def _isolated(values, noise):
    """Return the values that deviate in one frame from those before and after it."""
    isolated = np.zeros(values.shape[:2], dtype=bool)
    limit = _OUTLIER_DEVIATIONS * noise
    with np.errstate(invalid="ignore"):
        before, own, after = values[:-2], values[1:-1], values[2:]
        away = np.minimum(_length(own - before), _length(own - after)) > limit
        isolated[1:-1] = away & (_length(after - before) < limit)
    return isolated


def _length(vectors):
    return np.hypot(vectors[..., 0], vectors[..., 1])


def _partition(values, known, noise, penalty, min_frames):
    """Return the first frames of the segments of the optimal partition of each cell."""
    n_frames, n_cells = known.shape
    # Values are centred, so that their squares do not lose the noise.
    n_known = np.maximum(known.sum(axis=0), 1)
    mean = values.sum(axis=0, where=known[..., None]) / n_known[:, None]
    scaled = np.where(known[..., None], values - mean, 0) / noise[:, None]
    zeros = np.zeros((1, n_cells))
    count = np.concatenate([zeros, np.cumsum(known, axis=0)])
    total = np.concatenate([zeros[..., None] * [0, 0], np.cumsum(scaled, axis=0)])
    power = np.concatenate([zeros, np.cumsum((scaled**2).sum(axis=-1), axis=0)])
    best = np.full((n_frames + 1, n_cells), np.inf)
    best[0] = -penalty
    begin = np.zeros((n_frames + 1, n_cells), dtype=int)
    for end in range(1, n_frames + 1):
        n = count[end] - count[:end]
        mean_power = np.square(total[end] - total[:end]).sum(axis=-1)
        cost = power[end] - power[:end] - mean_power / np.maximum(n, 1)
        cost += best[:end] + penalty
        cost[n < min_frames] = np.inf
        begin[end] = cost.argmin(axis=0)
        best[end] = cost.min(axis=0)
    starts = np.zeros((n_frames, n_cells), dtype=bool)
    cell, end = np.arange(n_cells), np.full(n_cells, n_frames)
    while len(cell):
        first = begin[end, cell]
        starts[first, cell] = True
        cell, end = cell[first > 0], first[first > 0]
    return starts


def _segment_means(values, known, noise, starts):
    """Return the mean of the segment of each frame, and its standard error."""
    n_frames, n_cells = known.shape
    segment = np.cumsum(starts, axis=0) - 1
    place = segment + n_frames * np.arange(n_cells)
    size = n_frames * n_cells
    count = np.bincount(place.ravel(), known.ravel(), size)[place]
    means = np.empty(values.shape)
    for axis in range(2):
        part = np.where(known, values[..., axis], 0)
        total = np.bincount(place.ravel(), part.ravel(), size)[place]
        means[..., axis] = np.divide(
            total, count, out=np.full(count.shape, np.nan), where=count > 0
        )
    with np.errstate(divide="ignore"):
        std = noise / np.sqrt(count)
    return means, np.repeat(std[..., None], 2, axis=-1)
