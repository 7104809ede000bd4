"""Columns to pixels: Gaussian stamps in batched array operations."""

import numpy as np

# A stamp reaches this many sigmas from its column (3.7e-6 of the peak).
REACH_SIGMA = 5.0
# Pixels that one batch of stamps may contain, so that memory stays small.
BATCH_PIXELS = 4_000_000


def stretch_matrix(ratio, angle):
    """Return the area-preserving stretch that makes a round column elliptical.

    Parameters
    ----------
    ratio : float
        Long axis over short axis.
    angle : float
        Direction of the long axis from +col towards +row, radians.

    Returns
    -------
    matrix : ndarray of shape (2, 2)
        Covariance, in (row, col), of an astigmatic column of sigma 1.
    """
    along = np.array([np.sin(angle), np.cos(angle)])
    along = np.outer(along, along)
    return ratio * along + (np.eye(2) - along) / ratio


def covariances(sigma, elongation, astigmatism):
    """Return the covariance of each column's image.

    The probe is elliptical, the tilted column adds its projected length.

    Parameters
    ----------
    sigma : ndarray of shape (n,)
        Geometric mean of the standard deviations along both axes, px.
    elongation : ndarray of shape (n, 2)
        Projection of the tilted column as (row, col), px.
    astigmatism : ndarray of shape (2, 2)
        From `stretch_matrix`.

    Returns
    -------
    covariance : ndarray of shape (n, 2, 2)
    """
    smear = elongation[:, :, None] * elongation[:, None, :] / 12
    return smear + sigma[:, None, None] ** 2 * astigmatism


def jitter_shift(positions, covariance, line_shift):
    """Return by how much the jitter of the lines moves each fitted column.

    A least-squares fit weights every pixel by the squared derivative of the column
    with respect to its position. Over the pixels of one line these weights are
    ``exp(-y**2)`` for the position along the line and ``y**2 exp(-y**2)`` across,
    y being the distance of the line from the centre in sigmas.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Column centres without jitter, px.
    covariance : ndarray of shape (n, 2, 2)
        Shapes of the columns, px squared.
    line_shift : ndarray of shape (rows, 2)
        As in `render_columns`.

    Returns
    -------
    shift : ndarray of shape (n, 2)
        To be added to the positions, px.
    """
    sigma = np.sqrt(covariance[:, 0, 0])[:, None]
    radius = int(np.ceil(4 * sigma.max(initial=0.0)))
    rows = np.rint(positions[:, :1]).astype(int) + np.arange(-radius, radius + 1)
    squared = ((rows - positions[:, :1]) / sigma) ** 2
    line = -line_shift[np.clip(rows, 0, len(line_shift) - 1)]
    along = np.exp(-squared)
    across = squared * along
    weights = np.stack([across, along], axis=2)
    # Lines beyond the border do not exist and are excluded from the fit.
    weights *= ((rows >= 0) & (rows < len(line_shift)))[:, :, None]
    total = weights.sum(axis=1)
    shift = (weights * line).sum(axis=1)
    return np.divide(shift, total, out=np.zeros_like(shift), where=total > 0)


def render_columns(
    shape, positions, amplitude, covariance, line_shift, reach=REACH_SIGMA
):
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
    reach : float, default=REACH_SIGMA
        Where columns are cut, in units of their largest sigma.

    Returns
    -------
    image : ndarray of shape `shape`
    """
    largest = np.sqrt(np.linalg.eigvalsh(covariance).max(initial=0.5))
    slack = np.abs(line_shift).max(initial=0.0)
    radius = int(np.ceil(reach * largest + slack))
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
