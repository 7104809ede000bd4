"""Columns to pixels: Gaussian stamps in batched array operations."""

import numpy as np

# A stamp reaches this many widths from its column (3.7e-6 of the peak).
REACH = 5.0
# Pixels that one batch of stamps may hold, so that memory stays small.
BATCH_PIXELS = 4_000_000


def covariances(width, elongation):
    """Covariance of each column: round of `width`, longer along `elongation`.

    Parameters
    ----------
    width : ndarray of shape (n,)
        Standard deviation of the round column, px.
    elongation : ndarray of shape (n, 2)
        Projection of the tilted column as (row, col), px.

    Returns
    -------
    covariance : ndarray of shape (n, 2, 2)
    """
    smear = elongation[:, :, None] * elongation[:, None, :] / 12
    return smear + width[:, None, None] ** 2 * np.eye(2)


def render_columns(shape, positions, amplitude, covariance, line_shift):
    """Sum of elliptic Gaussians, sampled where the scan really was.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the image.
    positions : ndarray of shape (n, 2)
        Column centres (row, col), px.
    amplitude : ndarray of shape (n,)
        Peak heights.
    covariance : ndarray of shape (n, 2, 2)
        Shapes of the columns, px squared.
    line_shift : ndarray of shape (rows, 2)
        By how much each scan line was displaced from its place, px.

    Returns
    -------
    image : ndarray of shape `shape`
    """
    largest = np.sqrt(np.trace(covariance, axis1=1, axis2=2).max(initial=1.0))
    slack = np.abs(line_shift).max(initial=0.0)
    radius = int(np.ceil(REACH * largest / np.sqrt(2) + slack))
    offsets = np.arange(-radius, radius + 1)
    near = np.all(
        (positions > -radius - 1) & (positions < np.asarray(shape) + radius), axis=1
    )
    positions, amplitude, covariance = (
        positions[near],
        amplitude[near],
        covariance[near],
    )
    image = np.zeros(shape[0] * shape[1])
    batch = max(1, BATCH_PIXELS // len(offsets) ** 2)
    for start in range(0, len(positions), batch):
        part = slice(start, start + batch)
        _add_stamps(
            image,
            shape,
            positions[part],
            amplitude[part],
            np.linalg.inv(covariance[part]),
            line_shift,
            offsets,
        )
    return image.reshape(shape)


def _add_stamps(image, shape, positions, amplitude, precision, line_shift, offsets):
    pixel = np.rint(positions).astype(int)
    rows = pixel[:, :1] + offsets
    cols = pixel[:, 1:] + offsets
    line = line_shift[np.clip(rows, 0, shape[0] - 1)]
    d_row = rows + line[..., 0] - positions[:, :1]
    d_col = (cols - positions[:, 1:])[:, None, :] + line[..., 1][:, :, None]
    a, b, c = precision[:, 0, 0], precision[:, 0, 1], precision[:, 1, 1]
    # exp(-(a r^2 + 2 b r c + c c^2) / 2), the row part taken out of the exp.
    exponent = c[:, None, None] * d_col
    exponent += (2 * b[:, None] * d_row)[:, :, None]
    exponent *= d_col
    exponent += (a[:, None] * d_row**2)[:, :, None]
    exponent *= -0.5
    stamp = np.exp(exponent, out=exponent)
    stamp *= amplitude[:, None, None]
    inside = ((rows >= 0) & (rows < shape[0]))[:, :, None] & (
        (cols >= 0) & (cols < shape[1])
    )[:, None, :]
    flat = (rows * shape[1])[:, :, None] + cols[:, None, :]
    image += np.bincount(flat[inside], stamp[inside], minlength=len(image))
