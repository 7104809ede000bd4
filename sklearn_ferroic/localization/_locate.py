"""From one image to its fitted columns: find, fit, look again, judge."""

import numpy as np
from scipy.ndimage import maximum_filter, uniform_filter

from ._column_fit import fit_columns
from ._columns import AMPLITUDE, BACKGROUND, COL, ROW, SIGMA, ColumnFit, on_image
from ._neighbors import neighbor_pairs
from ._peaks import (
    blob_response,
    drop_crowded,
    find_peaks,
    noise_response,
    trough_power,
)
from ._scale import smooth
from ._windows import center_of_mass, matched_significance, render_columns

# A column must stand this many times above the noise of a filter of its width.
SIGNIFICANCE = 4.0
# A faint column has at least so many neighbours within so many spacings.
_MIN_COMPANY = 2
_COMPANY_REACH = 1.5
# Sigma of a column, as a share of the spacing, before anything is known.
_FIRST_WIDTH = 0.16
# Wider filters merge a faint column with the bright ones around it.
_WIDEST_FILTER = 0.17
# Half a column tells its centre only if its width is known: columns cut by the
# border are taken to be as wide as the typical one, give or take this share ...
_WIDTH_SCATTER = 0.1
# ... and within a width of the border, a centre is known to this share of the width.
_MAX_BORDER_STD = 0.25
_CROP = 18  # side in spacings of the crop that it is learned from


def estimate_width(image, spacing):
    """Estimate the typical sigma of the bright columns.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    spacing : float
        Nearest-neighbour spacing, px.

    Returns
    -------
    width : float
        Median sigma, px; NaN if no column could be fitted.
    """
    width = _FIRST_WIDTH * spacing
    image = _busiest_crop(image, spacing)
    for _ in range(2):
        response = blob_response(image, min(width, _WIDEST_FILTER * spacing))
        table = _start_table(image, response, spacing, width, 0.15)
        fit = fit_columns(image, table, spacing=spacing, width=width, max_rounds=6)
        good = fit.table[fit.converged | (fit.std[:, SIGMA] < 0.2 * width)]
        if not len(good):
            return np.nan
        bright = good[:, AMPLITUDE] > 0.5 * np.quantile(good[:, AMPLITUDE], 0.9)
        width = float(np.median(good[bright, SIGMA]))
    return width


def _busiest_crop(image, spacing):
    """Cut the square of the image where the columns are most contrasty."""
    side = [min(int(_CROP * spacing), length) for length in image.shape]
    contrast = (image - smooth(image, spacing)) ** 2
    power = uniform_filter(contrast, side, mode="constant")
    half = [length // 2 for length in side]
    valid = power[
        half[0] : image.shape[0] - side[0] + half[0] + 1,
        half[1] : image.shape[1] - side[1] + half[1] + 1,
    ]
    row, col = np.unravel_index(valid.argmax(), valid.shape)
    return image[row : row + side[0], col : col + side[1]]


def locate_columns(image, *, spacing, width, threshold, refine):
    """Find and refine all columns of an image.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image, float32.
    spacing, width : float
        Nearest-neighbour spacing and typical sigma, px.
    threshold : float
        Faintest column kept, as a share of the brightest nearby.
    refine : {"gaussian", "center_of_mass", None}
        How the positions are refined.

    Returns
    -------
    fit : ColumnFit
        The columns whose centres lie on the image, row by row. Columns that
        were not fitted have NaN for all but position and amplitude.
    """
    filter_width = min(width, _WIDEST_FILTER * spacing)
    response = blob_response(image, filter_width)
    table = _start_table(image, response, spacing, width, threshold)
    if not len(table):
        return _unfitted(table)
    fit = fit_columns(image, table, spacing=spacing, width=width, max_rounds=4)
    table, inflation = _look_again(
        image, response, fit, spacing, width, filter_width, threshold
    )
    table = _judge(image, table, fit.noise, inflation, spacing, width)
    if refine == "gaussian" and len(table):
        fit = _final_fit(image, table, spacing, width, fit.noise, inflation)
    else:
        if refine == "center_of_mass" and len(table):
            places = center_of_mass(image, table[:, ROW : COL + 1], 1.5 * width)
            table[:, ROW : COL + 1] = places
        fit = _unfitted(table)
    order = np.flatnonzero(_stands_inside(fit, image.shape, width))
    row, col = np.rint(fit.table[order, ROW : COL + 1]).T
    order = order[np.lexsort((col, row))]
    return ColumnFit(fit.table[order], fit.std[order], fit.converged[order], fit.noise)


def _start_table(image, response, spacing, width, threshold):
    positions, height = find_peaks(response, spacing, threshold)
    return _table(image, positions, height, width)


def _table(image, positions, height, width):
    table = np.empty((len(positions), 5))
    table[:, AMPLITUDE] = height
    table[:, ROW : COL + 1] = positions
    table[:, SIGMA] = width
    nearest = np.clip(np.rint(positions).astype(int), 0, np.array(image.shape) - 1)
    table[:, BACKGROUND] = image[nearest[:, 0], nearest[:, 1]] - height
    return table


def _look_again(image, response, fit, spacing, width, filter_width, threshold):
    """Add the columns that the first model leaves in the residual.

    Also tells by how much noise in the band of the columns exceeds white noise
    of the pixels' variance: detectors correlate neighbouring pixels, and columns
    are not quite Gaussian.
    """
    model = render_columns(image.shape, fit.table, width)
    residual = blob_response(image - model, filter_width)
    model += np.float32(np.median(fit.table[:, BACKGROUND]))
    power = trough_power(residual, fit.noise.variance(model))
    inflation = max(1.0, np.sqrt(power) / noise_response(filter_width))
    positions, height = find_peaks(residual, spacing, 0.3)
    found = height > threshold * _local_maximum(response, positions, spacing)
    extra = _table(image, positions[found], height[found], width)
    local = noise_response(filter_width) * np.sqrt(
        fit.noise.variance(extra[:, BACKGROUND])
    )
    extra = extra[extra[:, AMPLITUDE] > SIGNIFICANCE * inflation * local]
    return np.concatenate([fit.table, extra]), inflation


def _local_maximum(response, positions, spacing):
    return _sample(maximum_filter(response, 2 * int(1.5 * spacing) + 1), positions)


def _sample(surface, positions):
    nearest = np.clip(np.rint(positions).astype(int), 0, np.array(surface.shape) - 1)
    return surface[nearest[:, 0], nearest[:, 1]]


def _judge(image, table, noise, inflation, spacing, width):
    """Keep the columns that stand above the noise and apart from each other."""
    significance = matched_significance(image, table, noise, width) / inflation
    keep = significance > SIGNIFICANCE
    table, significance = table[keep], significance[keep]
    positions, height = table[:, ROW : COL + 1], table[:, AMPLITUDE]
    pairs, distance = neighbor_pairs(positions, _COMPANY_REACH * spacing)
    keep = drop_crowded(positions, height, pairs, distance, spacing)
    # Bumps of noise stand alone, columns do not.
    company = np.bincount(pairs[keep[pairs].all(axis=1)].ravel(), minlength=len(table))
    keep &= (company >= _MIN_COMPANY) | (significance > 2 * SIGNIFICANCE)
    return table[keep]


def _final_fit(image, table, spacing, width, noise, inflation):
    fit = fit_columns(
        image,
        table,
        spacing=spacing,
        width=width,
        noise=noise,
        width_scatter=_WIDTH_SCATTER,
    )
    # Noise in the band of the columns is what moves them.
    fit.std[:] *= inflation
    # A fit that leaves the image from its border is a column off the image.
    start, ended = table[:, ROW : COL + 1], fit.table[:, ROW : COL + 1]
    well_inside = on_image(start - 0.5 * width, image.shape) & on_image(
        start + 0.5 * width, image.shape
    )
    bad = np.flatnonzero(~fit.converged & (well_inside | on_image(ended, image.shape)))
    if bad.size:
        start = np.clip(table[bad, ROW : COL + 1], 0, np.array(image.shape) - 1)
        fit.table[bad, ROW : COL + 1] = center_of_mass(image, start, 1.5 * width)
    return fit


def _stands_inside(fit, shape, width):
    """Tell which columns have their centres on the image, as far as can be known.

    The half or the tail of a column fits a range of centres: a fit counts if it is
    inside by its standard error, and at the border if it is not a mere guess.
    """
    positions, std = fit.table[:, ROW : COL + 1], fit.std[:, ROW : COL + 1]
    # Without a fit, or with a doubtful one, there is the position alone.
    std = np.where(fit.converged[:, None], np.nan_to_num(std), 0)
    known = (std < _MAX_BORDER_STD * width).all(axis=1)
    return on_image(positions, shape, std) & (known | on_image(positions, shape, width))


def _unfitted(table):
    table = table.copy()
    table[:, [SIGMA, BACKGROUND]] = np.nan
    std = np.full_like(table, np.nan)
    return ColumnFit(table, std, np.ones(len(table), dtype=bool), None)


def explained_variance(image, fit, width):
    """Share of the structure above the noise that the columns explain.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    fit : ColumnFit
        Its columns.
    width : float
        Typical sigma, px.

    Returns
    -------
    score : float
        At most 1, times the share of trustworthy columns.
    """
    table = fit.table.copy()
    table[:, SIGMA] = np.where(np.isfinite(table[:, SIGMA]), table[:, SIGMA], width)
    model = render_columns(image.shape, table, width)
    # Both through the blob filter: backgrounds leave, and most of the noise.
    scale = np.ptp(image)
    seen = blob_response(image / scale, width)
    left = blob_response((image - model) / scale, width)
    noise = trough_power(left)
    structure = max(float(np.mean(seen**2)) - noise, 1e-30)
    unexplained = max(float(np.mean(left**2)) - noise, 0)
    return (1 - unexplained / structure) * float(np.mean(fit.converged))
