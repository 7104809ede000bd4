"""Series of short exposures of one ferroelectric, with ground truth."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import validate_params

from .._utils.validation import Interval
from ._generator.columns import inside, lay_out, make_columns, select
from ._generator.image import expected_columns
from ._generator.options import BACKGROUND, PRESETS, resolve_options, streams_of
from ._generator.render import jitter_shift, render_columns

# Brightness between the columns, relative to a Bi column: that of BiFeO3.
_BACKGROUND = BACKGROUND[0]
# A bad frame is defocused: columns are this many times wider, at constant intensity.
_DEFOCUS_FACTOR = 2.5
# The beam settles after the flyback within this share of a line.
_FLYBACK_DECAY_SHARE = 0.03


@validate_params(
    {
        "n_frames": [Interval(Integral, 2, None, closed="left")],
        "shape": ["array-like"],
        "pixel_size": [Interval(Real, 0, None, closed="neither")],
        "dose": [Interval(Real, 0, None, closed="neither")],
        "drift": [Interval(Real, 0, None, closed="left")],
        "line_drift": [Interval(Real, 0, None, closed="left")],
        "n_jumps": [Interval(Integral, 0, None, closed="left")],
        "jitter": [Interval(Real, 0, None, closed="left")],
        "flyback": [Interval(Real, 0, None, closed="left")],
        "n_bad": [Interval(Integral, 0, None, closed="left")],
        "switching": ["boolean"],
        "intensity_scatter": [Interval(Real, 0, 1, closed="both")],
        "substrate": [Interval(Real, 0, 1, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_ferroic_series(
    n_frames=20,
    *,
    shape=(256, 256),
    pixel_size=0.02,
    dose=1000.0,
    drift=15.0,
    line_drift=0.5,
    n_jumps=1,
    jitter=0.3,
    flyback=0.0,
    n_bad=1,
    switching=False,
    intensity_scatter=0.05,
    substrate=0.15,
    random_state=None,
):
    """Generate a series of short exposures of one ferroelectric film.

    All frames show the film of :func:`make_ferroic_image`, each with its own drift,
    jitter of the scan lines and counted electrons.

    Parameters
    ----------
    n_frames : int, default=20
        Number of frames, at least 2.

    shape : tuple of int (n_rows, n_cols), default=(256, 256)
        Size of a frame, px.

    pixel_size : float, default=0.02
        Size of a pixel, nm.

    dose : float, default=1000
        Electrons per square ångström in each frame; 1000 make 4.8 detected electrons
        at the peak of a Bi column at the default pixel size.

    drift : float, default=15
        Length of the steady drift over the whole series, px. A random walk of a tenth
        of it is added.

    line_drift : float, default=0.5
        Standard deviation of the drift from the first to the last line of a frame, px.

    n_jumps : int, default=1
        Number of frames before which the specimen jumps by one unit cell.

    jitter : float, default=0.3
        Standard deviation of the random displacement of each scan line along the fast
        scan direction, px; half as much across.

    flyback : float, default=0
        Displacement of the first pixel of every line along the line, px, which decays
        exponentially.

    n_bad : int, default=1
        Number of frames that are defocused.

    switching : bool, default=False
        Whether the polarization of the left half of the film is reversed in the second
        half of the series.

    intensity_scatter : float, default=0.05
        Relative standard deviation of the brightness of the A columns; twice as much
        for the B columns.

    substrate : float, default=0.15
        Share of the rows that the SrTiO3 substrate fills.

    random_state : int, RandomState instance or None, default=None
        Determines the specimen, the drift and all noise.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, of n columns that every frame shows.

        image : ndarray of shape (n_frames, n_rows, n_cols), float32
            Counted electrons.
        shifts : ndarray of shape (n_frames, 2)
            Mean displacement of each frame: pixel ``(row, col)`` of frame f shows the
            point ``(row, col) + shifts[f]`` of the specimen, px.
        line_shifts : ndarray of shape (n_frames, n_rows, 2)
            Deviation of each scan line from `shifts`, px: drift and jitter.
        positions : ndarray of shape (n, 2)
            Columns in the specimen, px, before any switching.
        frame_positions : ndarray of shape (n_frames, n, 2)
            Columns in each frame as a fit sees them on average, px, jitter and
            switching included.
        sublattice, variant : ndarray of shape (n,), int
            As in :func:`make_ferroic_image`, before any switching.
        switched : ndarray of shape (n_frames, n), bool
            Whether the polarization of the column's cell is reversed.
        bad_frames, jump_frames : ndarray of int
            Defocused frames, and frames before which the specimen jumped by one cell.
        pixel_size, dose : float
            nm per pixel, and electrons per square ångström in one frame.

    Raises
    ------
    ValueError
        If the options contradict each other or the frames show too few cells.

    See Also
    --------
    make_ferroic_image : One image of the same film.
    sklearn_ferroic.registration.FrameAverager : Registers and averages the frames.

    Examples
    --------
    >>> from sklearn_ferroic.datasets import make_ferroic_series
    >>> data = make_ferroic_series(3, shape=(96, 96), n_bad=0, random_state=0)
    >>> data.image.shape, data.shifts.shape, data.line_shifts.shape
    ((3, 96, 96), (3, 2), (3, 96, 2))
    """
    shape = tuple(int(n) for n in shape)
    if n_bad + 2 > n_frames or n_jumps >= n_frames:
        raise ValueError(
            f"n_bad={n_bad} and n_jumps={n_jumps} are too many for n_frames="
            f"{n_frames}: two frames must be good, and jumps occur between frames."
        )
    random_state = check_random_state(random_state)
    cell = PRESETS["film"]["lattice_parameter_nm"] / pixel_size
    rng = np.random.RandomState(random_state.randint(np.iinfo(np.int32).max))
    shifts, jumps = _draw_shifts(n_frames, drift, n_jumps, cell, rng)
    bad = np.sort(rng.permutation(n_frames)[:n_bad])
    lines = _draw_lines(n_frames, shape[0], line_drift, jitter, rng)
    # The specimen reaches as far as the frames move, plus a cell.
    margin = int(np.ceil(np.abs(shifts).max() + np.abs(lines).max() + cell))
    options = resolve_options(
        "film",
        {
            "shape": tuple(n + 2 * margin for n in shape),
            "pixel_size": pixel_size,
            "dose": dose,
            "drift": 0.0,
            "intensity_scatter": (intensity_scatter, min(1.0, 2 * intensity_scatter)),
            "substrate": substrate,
        },
    )
    streams = streams_of(random_state)
    crystal = lay_out(options, streams)
    columns = make_columns(options, crystal, streams)
    electrons, amplitude, covariance = expected_columns(columns, options, streams)
    positions = columns["positions"] - margin
    switches = _switching_cells(columns, positions, shape) & bool(switching)
    reverse = np.where(
        switches[:, None], -2 * np.nan_to_num(columns["polarization"]), 0
    )
    images, seen = [], []
    for frame in range(n_frames):
        place = positions - shifts[frame]
        if frame >= n_frames // 2:
            place = place + reverse
        # Columns off the image at the start of the lines are displaced as the first
        # pixels: an exponential would throw them across the image.
        start = np.maximum(place[:, 1], 0)
        place[:, 1] += flyback * np.exp(-start / (_FLYBACK_DECAY_SHARE * shape[1]))
        blur = _DEFOCUS_FACTOR**2 if frame in bad else 1.0
        expected = render_columns(
            shape, place, amplitude / blur, covariance * blur, lines[frame]
        )
        counts = streams["counts"].poisson(expected + _BACKGROUND * electrons)
        images.append(counts.astype(np.float32))
        seen.append(place + jitter_shift(place, covariance, lines[frame]))
    seen = np.array(seen)
    within = np.all([inside(place, shape) for place in seen], axis=0)
    later = np.arange(n_frames)[:, None] >= n_frames // 2
    return Bunch(
        image=np.array(images),
        shifts=shifts,
        line_shifts=lines,
        positions=positions[within],
        frame_positions=seen[:, within],
        **select({name: columns[name] for name in ("sublattice", "variant")}, within),
        switched=later & switches[within],
        bad_frames=bad,
        jump_frames=jumps,
        pixel_size=float(pixel_size),
        dose=float(dose),
    )


def _draw_shifts(n_frames, drift, n_jumps, cell, rng):
    """Draw the displacement of each frame, and the frames before which jumps occur."""
    angle = rng.uniform(0, 2 * np.pi)
    steady = np.linspace(-0.5, 0.5, n_frames)[:, None] * drift
    steady = steady * [np.sin(angle), np.cos(angle)]
    steps = rng.normal(size=(n_frames, 2)) * 0.1 * drift / np.sqrt(n_frames)
    jumps = np.sort(1 + rng.permutation(n_frames - 1)[:n_jumps])
    shifts = steady + np.cumsum(steps, axis=0)
    for frame in jumps:
        axis, sign = rng.randint(2), rng.choice([-1, 1])
        shifts[frame:, axis] += sign * cell
    return shifts - shifts[n_frames // 2], jumps


def _draw_lines(n_frames, n_rows, line_drift, jitter, rng):
    """Draw the displacement of each line from the mean of its frame."""
    time = np.linspace(-0.5, 0.5, n_rows)[:, None]
    rate = rng.normal(size=(n_frames, 1, 2)) * line_drift
    white = rng.normal(size=(n_frames, n_rows, 2)) * jitter * np.array([0.5, 1.0])
    lines = rate * time + white
    return lines - lines.mean(axis=1, keepdims=True)


def _switching_cells(columns, positions, shape):
    """Return which columns belong to cells of the left half that are polar."""
    polar = (columns["sublattice"] == 1) & (columns["variant"] >= 0)
    return polar & (positions[:, 1] < shape[1] / 2)
