"""Complex Zernike moments of image patches."""

import numpy as np
from scipy.special import eval_jacobi


def zernike_orders(max_order):
    """List all ``(n, m)`` with ``0 <= m <= n <= max_order`` and n - m even."""
    return [(n, m) for n in range(max_order + 1) for m in range(n % 2, n + 1, 2)]


def zernike_basis(patch_shape, orders):
    """Sample Zernike polynomials on the circle inscribed in a patch.

    Parameters
    ----------
    patch_shape : tuple of (int, int)
        Height and width of the patch, px.
    orders : list of (int, int)
        Radial order n and angular order m of each polynomial.

    Returns
    -------
    basis : ndarray of shape (h * w, n_orders), complex
        ``R_nm(r) exp(i m theta)`` with ``theta = arctan2(row, col)``, of unit norm
        on the disc. Rotating a patch by an angle multiplies its moment
        ``rows @ basis`` by ``exp(i m angle)``.
    """
    row, col = np.indices(patch_shape).reshape(2, -1) - (
        (np.array(patch_shape)[:, None] - 1) / 2
    )
    distance, theta = np.hypot(row, col), np.arctan2(row, col)
    radius = max(min(patch_shape), 2) / 2
    # pixels on the rim have partial weights: a jagged rim is not isotropic
    area = np.clip(radius - distance + 0.5, 0, 1)
    r = np.minimum(distance / radius, 1)
    columns = [
        # the radial polynomials are Jacobi polynomials, up to a sign
        ((n + 1) * (1 if m == 0 else 2) / np.pi) ** 0.5
        / radius
        * area
        * r**m
        * eval_jacobi((n - m) // 2, 0, m, 2 * r**2 - 1)
        * np.exp(1j * m * theta)
        for n, m in orders
    ]
    return np.stack(columns, axis=1)
