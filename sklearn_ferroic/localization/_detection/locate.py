"""Detection and fit of the columns in a tile of an image."""

import numpy as np

from .._fitting.column_fit import WIDTH_SCATTER, fit_columns
from .._fitting.columns import (
    AMPLITUDE,
    BACKGROUND,
    COL,
    ROW,
    SIGMA,
    ColumnFit,
    start_table,
    unbin_fit,
)
from .._fitting.windows import center_of_mass, render_columns
from .._image.binning import bin_image, binned_scale
from .._image.filters import blob_response, filter_width, noise_response, smooth
from .._image.peaks import find_peaks
from .._image.positions import at_pixels, on_image
from .calibration import FIRST_THRESHOLD, OVERLAP_WIDTH_SPACINGS, FirstLook
from .lattice_continuation import append_outer_columns, predict_inner_columns
from .selection import (
    brightest_near,
    has_center_inside,
    has_room,
    is_noise,
    select_columns,
    weakest,
)
from .threshold import FIRST_GLANCE, Floor, significance_of

# Columns are well separated if their width is below this fraction of the spacing.
_APART_SPACINGS = 0.2
# Factor by which the width of a fit grows per step, and maximum number of steps.
_WIDTH_STEP, _MAX_WIDTH_STEPS = 1.1, 4
# Columns at places where the lattice continues start from this share of the heights of
# their kind at least. They end with this share of them at least, and no farther from
# there than this (spacings).
_MIN_START_SHARE = 0.1
_MAX_FILL_ROUNDS = 4
_MIN_FILLED_SHARE, _MAX_FILLED_SHIFT_SPACINGS = 0.5, 0.25
# The background of a candidate is the mean around it, weighted by a Gaussian of this
# sigma (spacings). The candidate's own pixel alone would underestimate the background
# and with it the noise.
_LEVEL_REACH = 0.5


def locate_columns(
    image,
    valid,
    calibration,
    *,
    spacing,
    width,
    threshold,
    refine,
    shape="circular",
):
    """Find and refine all columns of an image.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image, float32, in the calibration's unit.
    valid : ndarray of bool of shape (n_rows, n_cols) or None
        Pixels that count; None for all.
    calibration : Calibration
        Noise of the image.
    spacing, width : float
        Nearest-neighbour spacing and typical sigma, px.
    threshold : float
        Faintest column kept, as a share of the brightest nearby.
    refine : {"gaussian", "center_of_mass", None}
        How the positions are refined.
    shape : {"circular", "elliptical"}, default="circular"
        What columns are fitted with in the end.

    Returns
    -------
    fit : ColumnFit
        The columns whose centres lie on pixels that count. Columns that were not
        fitted have NaN for all but position and amplitude.
    """
    scale = {"spacing": spacing, "width": width}
    if refine == "gaussian":
        fit = _find_and_fit(image, valid, calibration, threshold, shape, **scale)
    else:
        table = _find(image, valid, calibration, threshold, **scale)
        level = noise_response(filter_width(spacing, width)) * calibration.inflation
        significance = Floor(image, level, width, calibration.noise).times(table)
        fit = _unfitted(table)
        fit = fit.take(select_columns(fit, significance, calibration, spacing))
        if refine == "center_of_mass" and len(fit.table):
            fit.positions[:] = center_of_mass(
                image, fit.positions, 1.5 * width, valid=valid
            )
    return fit.take(has_center_inside(fit, image.shape, valid, width))


def _find(image, valid, calibration, threshold, *, spacing, width):
    """Find candidate columns."""
    blob_width = filter_width(spacing, width)
    response = blob_response(image, blob_width)
    level = noise_response(blob_width) * calibration.inflation
    level *= FIRST_GLANCE * calibration.significance
    floor = Floor(image, level, width, calibration.noise)
    positions, height = find_peaks(response, spacing, threshold, floor, floor.least())
    table = start_table(image, positions, height, width)
    if valid is not None:
        table = table[at_pixels(valid, positions)]
    return table


def _find_and_fit(image, valid, calibration, threshold, shape, *, spacing, width):
    options = {"valid": valid, "elliptical": shape == "elliptical"}
    start = _search(image, calibration, threshold, spacing, width, options)
    if not len(start.table):
        return _unfitted(start.table)
    scale = {"spacing": spacing, "width": width}
    fit, bad = fit_found(image, start, valid, calibration, shape, **scale)
    if bad.size:
        inside = np.clip(start.positions[bad], 0, np.array(image.shape) - 1)
        fit.positions[bad] = center_of_mass(image, inside, 1.5 * width, valid=valid)
    return fit.take(~is_noise(fit))


def fit_found(image, start, valid, calibration, shape, *, spacing, width):
    """Fit columns that have been found, and tell which fits are of no use.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image, float32, in the calibration's unit.
    start : ColumnFit
        The columns, nearly.
    valid : ndarray of bool of shape (n_rows, n_cols) or None
        Pixels that count; None for all.
    calibration : Calibration
        Noise of the image.
    shape : {"circular", "elliptical"}
        What columns are fitted with.
    spacing, width : float
        Nearest-neighbour spacing and typical sigma, px.

    Returns
    -------
    fit : ColumnFit
        The same columns, in order.
    bad : ndarray of int
        Those on the image whose fit tells nothing.
    """
    n_columns = len(start.table)
    start, outer = append_outer_columns(start, image.shape, valid, spacing, width)
    fit = fit_columns(
        image,
        start.table,
        ellipse=start.ellipse,
        width_scatter=WIDTH_SCATTER,
        outer=outer,
        typical=calibration.typical,
        valid=valid,
        elliptical=shape == "elliptical",
        spacing=spacing,
        width=_width_of_fit(start, width),
    ).take(slice(n_columns))
    start = start.take(slice(n_columns))
    # A fit that leaves the image from its border is a column off the image.
    well_inside = on_image(start.positions - 0.5 * width, image.shape) & on_image(
        start.positions + 0.5 * width, image.shape
    )
    bad = ~fit.converged & (well_inside | on_image(fit.positions, image.shape))
    return fit, np.flatnonzero(bad)


def _width_of_fit(start, width):
    """Return the width for a fit: columns may prove wider than where they were found.

    In steps, so that tiles of an image agree on it.
    """
    height, sigma = start.table[:, AMPLITUDE], start.table[:, SIGMA]
    bright = height > 0.5 * np.quantile(height, 0.9)
    n_steps = np.floor(np.log(np.median(sigma[bright]) / width) / np.log(_WIDTH_STEP))
    return width * _WIDTH_STEP ** float(np.clip(n_steps, 0, _MAX_WIDTH_STEPS))


def approach(image, positions, valid, calibration, shape, *, spacing, width):
    """Bring columns that were found by other means near, for `fit_found`.

    Parameters
    ----------
    image, valid, calibration, shape, spacing, width
        As `fit_found` takes them.
    positions : ndarray of shape (n, 2)
        The columns, px.

    Returns
    -------
    start : ColumnFit
        The same columns, in order.
    """
    side = calibration.side
    image, calibration = bin_image(image, side), calibration.binned()
    spacing, width = binned_scale(spacing, width, side)
    positions = (positions + 0.5) / side - 0.5
    height = at_pixels(blob_response(image, filter_width(spacing, width)), positions)
    options = {
        "spacing": spacing,
        "width": width,
        "valid": valid,
        "typical": calibration.typical,
        "elliptical": shape == "elliptical",
    }
    # Noise may leave a column no height to start from.
    least = np.median(height) / 8 if len(height) else 0
    table = start_table(image, positions, np.maximum(height, least), width)
    return unbin_fit(fit_columns(image, table, first_look=True, **options), side)


def _search(image, calibration, threshold, spacing, width, options):
    """Find the columns and bring them near, on the binned image."""
    side = calibration.side
    image, calibration = bin_image(image, side), calibration.binned()
    spacing, width = binned_scale(spacing, width, side)
    start = search(image, calibration, threshold, spacing, width, **options)
    return unbin_fit(start, side)


def search(
    image, calibration, threshold, spacing, width, *, valid=None, elliptical=False
):
    """Find columns: the bright ones, others in the residual, then in the lattice.

    Parameters
    ----------
    image, calibration, threshold, spacing, width, valid
        As `locate_columns` takes them; nothing is binned.
    elliptical : bool, default=False
        Whether columns may be longer along one direction.

    Returns
    -------
    start : ColumnFit
        The selected columns after a first fit.
    """
    scale = {"spacing": spacing, "width": width}
    options = {
        "typical": calibration.typical,
        "valid": valid,
        "elliptical": elliptical,
        **scale,
    }
    first = calibration.first
    # Where columns are apart, fainter ones show in the residual.
    if width < _APART_SPACINGS * spacing:
        first_threshold = max(threshold, FIRST_THRESHOLD)
    else:
        first_threshold = threshold
    if first is None or first_threshold != FIRST_THRESHOLD:
        table = _find(image, valid, calibration, first_threshold, **scale)
        first = _first_look(image, table, options)
    both = _look_again(image, valid, first, calibration, spacing, width, threshold)
    start = _select(image, both, calibration, width, spacing, valid, first.significance)
    # Columns that have been filled in support others.
    n_rounds = _MAX_FILL_ROUNDS if width > OVERLAP_WIDTH_SPACINGS * spacing else 0
    for _ in range(n_rounds):
        filled = _fill_lattice(image, start, first.response, options)
        if filled is None:
            break
        n_before = len(start.table)
        start = _select(image, filled, calibration, width, spacing, valid)
        if len(start.table) <= n_before:
            break
    return start


def _select(image, fit, calibration, width, spacing, valid, known=None):
    """Select the candidates that are columns; the significance of some may be known."""
    noise, inflation = calibration.noise, calibration.inflation
    significance = significance_of(fit, image, valid, noise, inflation, width, known)
    significance = significance / inflation
    return fit.take(select_columns(fit, significance, calibration, spacing))


def _fill_lattice(image, fit, response, options):
    """Add columns where the lattice continues; return None if there are not any."""
    spacing, width, valid = (options[name] for name in ("spacing", "width", "valid"))
    places, heights = predict_inner_columns(
        fit.table, image.shape, valid, spacing, width
    )
    if not len(places):
        return None
    # In vacancies the fit starts from hardly a column.
    seen = np.clip(at_pixels(response, places), _MIN_START_SHARE * heights, heights)
    extra = np.zeros((len(places), fit.table.shape[1]))
    extra[:, AMPLITUDE], extra[:, SIGMA] = seen, width
    extra[:, ROW : COL + 1] = places
    start = fit.append(extra)
    options = {**options, "width": _width_of_fit(fit, width)}
    both = fit_columns(
        image, start.table, ellipse=start.ellipse, first_look=True, **options
    )
    # In vacancies, overlapping columns leave no more than their misfit.
    filled = both.take(slice(len(fit.table), None))
    is_column = filled.table[:, AMPLITUDE] > _MIN_FILLED_SHARE * heights
    shift = np.hypot(*(filled.positions - places).T)
    is_column &= shift < _MAX_FILLED_SHIFT_SPACINGS * spacing
    keep = np.append(np.ones(len(fit.table), dtype=bool), is_column)
    return both.take(keep)


def _first_look(image, table, options):
    fit = fit_columns(image, table, first_look=True, **options)
    width = options["width"]
    rest = image - render_columns(image.shape, fit.columns, width)
    response = blob_response(rest, filter_width(options["spacing"], width))
    return FirstLook(fit, None, rest, response)


def _look_again(image, valid, first, calibration, spacing, width, threshold):
    """Add the columns that the first look leaves in the residual."""
    blob_width = filter_width(spacing, width)
    level = noise_response(blob_width) * calibration.inflation
    least = weakest(calibration)
    floor = Floor(image, least * level, width, calibration.noise)
    positions, height = find_peaks(first.response, spacing, 0.3, floor, floor.least())
    known = first.fit.positions, first.fit.table[:, AMPLITUDE]
    found = height > threshold * brightest_near(*known, positions, spacing)
    if least < calibration.significance:
        clear = least * height > calibration.significance * floor(
            *np.rint(positions.T).astype(np.intp)
        )
        found &= clear | has_room(positions, height, known[0], spacing)
    if valid is not None:
        found &= at_pixels(valid, positions)
    extra = start_table(first.rest, positions[found], height[found], width)
    extra[:, BACKGROUND] = _level_below(first.rest, extra, spacing, width)
    return first.fit.append(extra)


def _level_below(rest, extra, spacing, width):
    """Background of columns that the pixels in their middle say little of."""
    reach = _LEVEL_REACH * spacing
    # So smooth a mean is the same of bins.
    side = max(1, int(reach / 2))
    mean = smooth(bin_image(rest, side), reach / side) / side**2
    around = at_pixels(mean, (extra[:, ROW : COL + 1] + 0.5) / side - 0.5)
    own = width**2 / (width**2 + reach**2)
    return around - own * extra[:, AMPLITUDE]


def _unfitted(table):
    table = table.copy()
    table[:, [SIGMA, BACKGROUND]] = np.nan
    std = np.full_like(table, np.nan)
    return ColumnFit(table, std, np.ones(len(table), dtype=bool))
