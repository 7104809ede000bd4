"""The smooth background under all columns.

Where columns overlap, a background of its own for each column would let all sigmas
drift together: wider columns, lower backgrounds, wider columns. One smooth field
under all of them cannot. It is a local weighted regression of the image on a
constant, the model of the columns, and the model's change if all columns nearby
grew or widened together; the last two are returned as corrections, because steps
of single columns converge to them slowly.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import correlate1d, map_coordinates

from ..._image.pixels import sum_blocks
from .settings import FITTING

_SETTINGS = FITTING.background


class Background(NamedTuple):
    """Background of one image on a coarse grid.

    Parameters
    ----------
    level : ndarray of shape (n_coarse_rows, n_coarse_cols)
        Background.
    growth, widening : ndarray of shape (n_coarse_rows, n_coarse_cols)
        Correction of log amplitude and of log sigma of the columns nearby.
    binning : int
        Side of a coarse pixel, px.
    """

    level: np.ndarray
    growth: np.ndarray
    widening: np.ndarray
    binning: int

    def at(self, positions, *names):
        """Sample fields at columns.

        Parameters
        ----------
        positions : ndarray of shape (n, 2)
            Columns, px.
        *names : str
            Names of the fields.

        Returns
        -------
        fields : list of ndarray of shape (n,)
            Their values.
        """
        fields = [getattr(self, name) for name in names]
        return _sample(fields, positions, self.binning)

    def image(self, shape, pad):
        """Interpolate the level between the coarse pixels.

        Parameters
        ----------
        shape : tuple of int
            Shape of the image.
        pad : int
            Distance beyond the border to which the level is extrapolated, px.

        Returns
        -------
        level : ndarray of shape (n_rows + 2 * pad, n_cols + 2 * pad)
            Background, float32.
        """
        (row, up), (col, left) = (
            _between(length, pad, n_coarse, self.binning)
            for length, n_coarse in zip(shape, self.level.shape, strict=True)
        )
        level = self.level.astype(np.float32)
        step = np.diff(level, axis=0, append=level[-1:])
        level = level[row] + step[row] * up[:, None]
        if level.shape[1] == 1:
            return np.repeat(level, len(col), axis=1)
        fine = np.empty((len(row), len(col)), dtype=np.float32)
        for first in range(0, len(col), _SETTINGS.strip_px):
            strip = slice(first, first + _SETTINGS.strip_px)
            start = col[strip][0]
            share = np.zeros((col[strip][-1] + 2 - start, len(col[strip])), np.float32)
            pixel = np.arange(share.shape[1])
            share[col[strip] - start, pixel] = 1 - left[strip]
            share[col[strip] - start + 1, pixel] = left[strip]
            near = level[:, start : start + len(share)]
            np.matmul(near, share, out=fine[:, strip])
        return fine


def _sample(fields, positions, binning):
    """Interpolate fields on the coarse grid at positions in px."""
    place = ((positions - (binning - 1) / 2) / binning).T
    return [map_coordinates(f, place, order=1, mode="nearest") for f in fields]


def _between(length, pad, n_coarse, binning):
    """Return the coarse pixel before each pixel, and the distance from it."""
    place = (np.arange(-pad, length + pad) - (binning - 1) / 2) / binning
    before = np.clip(np.floor(place), 0, max(n_coarse - 2, 0)).astype(np.intp)
    return before, (place - before).astype(np.float32)


def bin_sides(spacing, sigma):
    """Choose how pixels are binned.

    Parameters
    ----------
    spacing, sigma : float
        Nearest-neighbour spacing and typical sigma of the columns, px.

    Returns
    -------
    fine : int
        Side of the first bins, px.
    coarse : int
        Side of the coarse pixels, in fine bins.
    """
    fine = max(1, int(sigma / _SETTINGS.n_bins_per_sigma))
    return fine, max(1, round(spacing / _SETTINGS.n_bins_per_spacing / fine))


def strength_of_overlap(spacing, sigma):
    """Compute how strongly neighbouring columns overlap.

    Parameters
    ----------
    spacing, sigma : float
        Nearest-neighbour spacing and typical sigma of the columns, px.

    Returns
    -------
    strength : float
        0 where they hardly do, 1 where they are barely resolved.
    """
    return float(np.interp(sigma / spacing, _SETTINGS.overlap_sigma_spacings, (0, 1)))


class BackgroundRegression:
    """Local regression of images on a constant and a model of columns.

    Parameters
    ----------
    total : ndarray of shape (n_binned_rows, n_binned_cols)
        All columns' Gaussians, means over the fine bins of :func:`bin_sides`.
    spread : ndarray of shape (n_binned_rows, n_binned_cols)
        Change of `total` with the logarithm of all sigmas.
    weight : ndarray of shape (n_binned_rows, n_binned_cols)
        Inverse variance of the pixels.
    shape : tuple of int
        Shape of the images.
    mask : ndarray of bool of that shape or None
        Good pixels; all if None.
    spacing, sigma : float
        Nearest-neighbour spacing and typical sigma of the columns, px.
    """

    def __init__(self, total, spread, weight, shape, mask, spacing, sigma):
        # Products of finely binned images, binned further: columns stay resolved.
        self.fine, self.coarse = bin_sides(spacing, sigma)
        strength = strength_of_overlap(spacing, sigma)
        smoothing = np.interp(strength, (0, 1), _SETTINGS.smoothing_spacings)
        self.kernel = _gaussian(smoothing * spacing / (self.fine * self.coarse))
        self.mask = mask
        if mask is None:
            share = np.outer(*(_bin_line(length, self.fine) for length in shape))
        else:
            share = sum_blocks(mask.astype(np.float32), self.fine)
        self.scale = 1 / np.maximum(share, 1)
        self.total, self.spread, self.weight = total, spread, weight * share
        self._prepare()

    def exclude(self, bad):
        """Set the weights of some pixels to zero.

        Parameters
        ----------
        bad : ndarray of bool of shape (n_rows, n_cols)
            The pixels.
        """
        self.weight *= self.mean((~bad).astype(np.float32))
        self._prepare()

    def _prepare(self):
        total, spread, weight = self.total, self.spread, self.weight
        self.weighted = weight, weight * total, weight * spread
        # The upper triangle of the matrix, row by row.
        self.moments = self._sums(
            *self.weighted,
            self.weighted[1] * total,
            self.weighted[1] * spread,
            self.weighted[2] * spread,
        )
        self.matrix = self._smooth(self.moments)
        for place in (3, 5):
            self.matrix[place] *= 1 + _SETTINGS.ridge_share
            self.matrix[place] += 1e-6 * self.matrix[place].max() + 1e-30
        self.matrix[0] += 1e-30
        self.factors = _eliminate(self.matrix)

    def mean(self, image):
        """Average an image over the good pixels of each fine bin.

        Parameters
        ----------
        image : ndarray of shape (n_rows, n_cols)
            The image.

        Returns
        -------
        mean : ndarray of shape (n_binned_rows, n_binned_cols)
            The means.
        """
        image = image if self.mask is None else image * self.mask
        image = sum_blocks(image, self.fine)
        image *= self.scale
        return image

    def _smooth(self, moments):
        for axis in (-2, -1):
            moments = correlate1d(moments, self.kernel, axis, mode="constant")
        return moments

    def _sums(self, *images):
        sums = np.stack([sum_blocks(image, self.coarse) for image in images])
        return sums.astype(np.float64)

    def fit(self, residual):
        """Fit the background.

        Parameters
        ----------
        residual : ndarray of shape (n_binned_rows, n_binned_cols)
            The image minus all columns' Gaussians, means over the fine bins.

        Returns
        -------
        background : Background
            The fields.
        """
        right = self._sums(*(part * residual for part in self.weighted))
        level, growth, widening = _substitute(self.factors, self._smooth(right))
        growth = np.clip(
            growth, -_SETTINGS.max_log_correction, _SETTINGS.max_log_correction
        )
        widening = np.clip(
            widening, -_SETTINGS.max_log_correction, _SETTINGS.max_log_correction
        )
        # Repeated on the residual: one average flattens slopes, most at the border.
        left = right[0] - self.moments[1] * growth - self.moments[2] * widening
        for _ in range(2):
            rest = self._smooth(left - self.moments[0] * level)
            level = level + rest / self.matrix[0]
        return Background(level, growth, widening, self.fine * self.coarse)


def _eliminate(matrix):
    """Factorize symmetric matrices of three rows, for every pixel at once."""
    m00, m01, m02, m11, m12, m22 = matrix
    # Without the first unknown, then without the second.
    f1, f2 = m01 / m00, m02 / m00
    m11, m12, m22 = m11 - f1 * m01, m12 - f1 * m02, m22 - f2 * m02
    f12 = m12 / m11
    return f1, f2, f12, 1 / m00, 1 / m11, 1 / (m22 - f12 * m12)


def _substitute(factors, right):
    """Solve the equations whose matrices have been factorized."""
    (f1, f2, f12, p0, p1, p2), (r0, r1, r2) = factors, right
    r1 = r1 - f1 * r0
    third = (r2 - f2 * r0 - f12 * r1) * p2
    second = r1 * p1 - f12 * third
    return r0 * p0 - f1 * second - f2 * third, second, third


def _bin_line(length, side):
    """Count the pixels in each bin of a line."""
    return np.diff(np.append(np.arange(0, length, side), length)).astype(np.float32)


def _gaussian(sigma):
    reach = int(3 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return kernel / kernel.sum()
