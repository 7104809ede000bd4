"""Gaussian columns as exponentials of polynomials in the pixel coordinates.

On a window of pixels the logarithm of a Gaussian is a quadratic polynomial, and so
are, over the Gaussian itself, its derivatives by place and shape. The polynomial's
monomials are the same for all columns: products with them are one matrix product
for all windows, and what is a column's own are six coefficients.
"""

import numpy as np

from .columns import AMPLITUDE, COL, ROW, SIGMA, STRETCH

# Powers of row and col step: of a quadratic, and of the product of two.
_QUADRATIC = np.array([[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]])
_QUARTIC = np.array([[i - j, j] for i in range(5) for j in range(i + 1)])
_PLACE = {tuple(powers): place for place, powers in enumerate(_QUARTIC.tolist())}
# Where the product of two quadratic monomials stands among the quartic ones.
PRODUCT = np.array([[_PLACE[tuple(a + b)] for b in _QUADRATIC] for a in _QUADRATIC])


def monomials(row, col):
    """Compute the monomials up to the fourth degree; six of them are quadratic.

    Parameters
    ----------
    row, col : ndarray of shape (n_pixels,)
        Coordinates.

    Returns
    -------
    quadratic : ndarray of shape (n_pixels, 6)
        Monomials up to the second degree, float32.
    quartic : ndarray of shape (n_pixels, 15)
        Monomials up to the fourth degree, float32.
    """
    powers = np.empty((2, 5, len(row)))
    for power, step in zip(powers, (row, col), strict=True):
        np.cumprod([np.ones_like(step), *[step] * 4], axis=0, out=power)
    return tuple(
        (powers[0, degrees[:, 0]] * powers[1, degrees[:, 1]]).T.astype(np.float32)
        for degrees in (_QUADRATIC, _QUARTIC)
    )


def exponents(table, anchor, unit):
    """Compute the polynomials whose exponentials are Gaussians of unit height.

    Parameters
    ----------
    table : ndarray of shape (n, 4) or (n, 6)
        Amplitude, row, col, sigma, and the stretch of elliptical columns.
    anchor : ndarray of shape (n, 2)
        Where the coordinates of each column start, px.
    unit : float
        Unit of the coordinates, px.

    Returns
    -------
    exponent : ndarray of shape (n, 6)
        Coefficients of the quadratic monomials, float32.
    """
    if table.shape[1] == SIGMA + 1:
        return _round_exponents(table, anchor, unit).astype(np.float32)
    _, u, v = _whitened(table, anchor, unit)
    return (-0.5 * (_product(u, u) + _product(v, v))).astype(np.float32)


def _round_exponents(table, anchor, unit):
    place = (table[:, ROW : COL + 1] - anchor) / unit
    exponent = np.empty((len(table), len(_QUADRATIC)))
    exponent[:, 0] = np.einsum("ni,ni->n", place, place)
    exponent[:, 1:3] = -2 * place
    exponent[:, 3:] = 1, 0, 1
    exponent *= -0.5 * (unit / table[:, SIGMA, None]) ** 2
    return exponent


def slopes(table, anchor, unit):
    """Compute the polynomials that make derivatives of a Gaussian of unit height.

    Parameters
    ----------
    table : ndarray of shape (n, n_parameters)
        Amplitude, row, col, sigma, and the stretch of elliptical columns.
    anchor : ndarray of shape (n, 2)
        Where the coordinates of each column start, px.
    unit : float
        Unit of the coordinates, px.

    Returns
    -------
    slope : ndarray of shape (n, n_parameters, 6)
        Derivative by each parameter over the Gaussian of unit height.
    """
    height = table[:, AMPLITUDE, None]
    slope = np.zeros((*table.shape, len(_QUADRATIC)))
    slope[:, AMPLITUDE, 0] = 1
    if table.shape[1] == SIGMA + 1:
        # A round column's exponent depends on the distance from its place alone.
        exponent = _round_exponents(table, anchor, unit)
        slope[:, [ROW, COL], 0] = -height / unit * exponent[:, 1:3]
        slope[:, [ROW, COL], [1, 2]] = -2 * height / unit * exponent[:, 3:4]
        slope[:, SIGMA] = -2 * height / table[:, SIGMA, None] * exponent
        return slope
    (rows, cross, cols), u, v = _whitened(table, anchor, unit)
    slope[:, ROW, :3] = height / unit * (rows * u + cross * v)
    slope[:, COL, :3] = height / unit * (cross * u + cols * v)
    uu, vv = _product(u, u), _product(v, v)
    slope[:, SIGMA] = height / table[:, SIGMA, None] * (uu + vv)
    slope[:, STRETCH.start] = height * 0.5 * (vv - uu)
    slope[:, STRETCH.start + 1] = height * _product(u, v)
    return slope


def _whitened(table, anchor, unit):
    """Root of the inverse covariance; coordinates in which an ellipse is round."""
    root = 1 / table[:, SIGMA, None] * unit
    along_col, diagonal = table[:, STRETCH].T[:, :, None]
    half = 0.5 * np.hypot(along_col, diagonal)
    even = root * np.cosh(half)
    odd = 0.5 * root * np.sinh(half) / np.maximum(half, 1e-12)
    rows, cross, cols = even + odd * along_col, -odd * diagonal, even - odd * along_col
    place = (table[:, ROW : COL + 1] - anchor) / unit
    row, col = place[:, :1], place[:, 1:]
    u = np.concatenate([-(rows * row + cross * col), rows, cross], axis=1)
    v = np.concatenate([-(cross * row + cols * col), cross, cols], axis=1)
    return (rows, cross, cols), u, v


def _product(a, b):
    """Product of two linear polynomials."""
    product = np.empty((len(a), len(_QUADRATIC)))
    for place, (i, j) in enumerate([(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]):
        product[:, place] = a[:, i] * b[:, j]
        if i != j:
            product[:, place] += a[:, j] * b[:, i]
    return product
