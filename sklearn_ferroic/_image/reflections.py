"""Reflections of the power spectrum: those of a lattice, and those of interference."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import fft
from scipy.ndimage import uniform_filter, uniform_filter1d
from scipy.spatial import cKDTree

from .settings import IMAGE

# Mean of the logarithm of exponentially distributed numbers of mean one.
_MEAN_LOG = -np.euler_gamma


_SETTINGS = IMAGE.reflections


class Reflections(NamedTuple):
    """Strongest reflections of an image.

    Parameters
    ----------
    period : float
        That of the lattice's strongest reflection, px; NaN without a lattice.
    interference : ndarray of shape (n, 2)
        Frequencies (row, col) of reflections that belong to no lattice, 1/px.
    """

    period: float
    interference: np.ndarray


def find_reflections(tiles):
    """Find the strongest reflection of the lattice, and those of interference.

    A lattice's reflections are sums and differences of one another. A sinusoid added
    to the image, such as hum of the mains, forms no sums with them.

    Parameters
    ----------
    tiles : list of ndarray of shape (n_rows, n_cols)
        Parts of an image, of one shape and of zero mean.

    Returns
    -------
    reflections : Reflections
        What was found.
    """
    shape = tiles[0].shape
    logs, limit, frequency = _spectrum(tiles)
    allowed = (frequency > 2.5 / min(shape)) & (frequency < 0.48)
    excess = logs > limit
    allowed = np.flatnonzero(allowed & excess)
    none = np.empty((0, 2))
    if not allowed.size:
        return Reflections(np.nan, none)
    # Weighted by the curvature they cause: layers and ramps are strong but slow.
    merit = np.exp(logs.flat[allowed]) - np.exp(limit.flat[allowed])
    merit *= frequency.flat[allowed] ** 2
    strongest, merit = _select_apart(allowed, merit, logs.shape, shape)
    vectors = strongest / shape
    length = np.hypot(*vectors.T)
    sine = _sines(vectors)
    if not (np.abs(sine) > _SETTINGS.min_sine).any():
        return Reflections(np.nan, vectors)
    foreign = _without_sums(strongest, merit / length**2, sine)
    foreign &= ~_on_rings(length, merit)
    first = np.flatnonzero(~foreign)[0]
    foreign &= merit > _SETTINGS.min_strength_share * merit[first]
    return Reflections(float(1 / length[first]), vectors[foreign])


def _sines(vectors):
    """Return the sines of the angles between vectors."""
    row, col = (vectors / np.hypot(*vectors.T)[:, None]).T
    return row[:, None] * col - col[:, None] * row


def _on_rings(length, merit):
    """Mark reflections among many that are as long and strong, of many grains."""
    similar = np.abs(np.log(length / length[:, None])) < _SETTINGS.ring_width_share
    similar &= merit > _SETTINGS.min_strength_share * merit[:, None]
    return similar.sum(axis=1) > _SETTINGS.min_n_on_ring


def _spectrum(tiles):
    """Compute log power, the log power that reflections exceed, and frequency."""
    shape = tiles[0].shape
    window, frequency, ring, n_in_ring = _rings(shape)
    power = np.full_like(frequency, np.finfo(np.float32).tiny)
    for tile in tiles:
        spectrum = fft.rfft2(tile * window)
        power += spectrum.real**2
        power += spectrum.imag**2
    # The mean logarithm is that of noise, however strong the reflections.
    logs = np.log(power)
    mean = np.bincount(ring, logs.ravel()) / n_in_ring
    limit = mean.astype(np.float32)[ring].reshape(power.shape)
    nearby = uniform_filter(logs, _SETTINGS.square_samples, mode="wrap")
    np.maximum(limit, nearby, out=limit)
    for axis in (0, 1):
        line = uniform_filter1d(logs, _SETTINGS.line_samples, axis=axis, mode="wrap")
        np.maximum(limit, line, out=limit)
    limit += np.float32(np.log(_SETTINGS.min_excess_ratio) - _MEAN_LOG)
    return logs, limit, frequency


# Stacks are of one shape.
@lru_cache(maxsize=1)
def _rings(shape):
    """Return the window, absolute frequencies, their rings, and the sizes of rings."""
    window = np.outer(*(np.hanning(length + 2)[1:-1] for length in shape))
    rows = fft.fftfreq(shape[0])[:, None].astype(np.float32)
    cols = fft.rfftfreq(shape[1]).astype(np.float32)
    frequency = np.sqrt(rows**2 + cols**2)
    n_rings = max(8, min(shape) // 6)
    ring = np.minimum((frequency * (2 * n_rings)).astype(np.intp), n_rings).ravel()
    return window.astype(np.float32), frequency, ring, np.bincount(ring)


def _select_apart(allowed, merit, spectrum_shape, shape):
    """Select the strongest samples, none within the flank of a stronger one."""
    order = np.argsort(-merit)[:2000]
    merit = merit[order]
    row, col = np.unravel_index(allowed[order], spectrum_shape)
    row = (row + shape[0] // 2) % shape[0] - shape[0] // 2
    points = np.stack([row, col], axis=1)
    chosen, merits = [], []
    while len(points) and len(chosen) < _SETTINGS.n_compared:
        first = points[0]
        chosen.append(first)
        merits.append(merit[0])
        apart = [np.hypot(*(points - end * first).T) for end in (1, -1)]
        far = np.minimum(*apart) > _SETTINGS.min_apart_samples
        points, merit = points[far], merit[far]
    return np.array(chosen), np.array(merits)


def _without_sums(strongest, power, sine):
    """Mark reflections that form fewer sums with the others than these do."""
    both = np.concatenate([strongest, -strongest])
    sums = (strongest[:, None] + both).reshape(-1, 2)
    distance, index = cKDTree(both).query(
        sums, p=np.inf, distance_upper_bound=_SETTINGS.max_off_samples + 0.5
    )
    found = (distance <= _SETTINGS.max_off_samples).reshape(len(strongest), -1)
    found &= np.tile(np.abs(sine) > _SETTINGS.min_sine, 2)
    # Clipped, interference and lattice form sums as well, but weak ones.
    both_powers = np.tile(power, 2)
    sum_power = both_powers[np.where(found, index.reshape(found.shape), 0)]
    three = np.broadcast_arrays(power[:, None], both_powers, sum_power)
    weakest, second = np.sort(three, axis=0)[:2]
    weighted = (
        found * np.minimum(1, weakest / (_SETTINGS.min_sum_share * second))
    ).sum(axis=1)
    best = weighted.argmax()
    if np.count_nonzero(found[best]) < _SETTINGS.min_n_sums:
        return np.zeros(len(strongest), dtype=bool)
    return weighted < _SETTINGS.min_support_share * weighted[best]


def remove_interference(tile, frequencies):
    """Subtract sinusoids of known frequencies, whose strength and phase may vary.

    Parameters
    ----------
    tile : ndarray of shape (n_rows, n_cols)
        Part of an image.
    frequencies : ndarray of shape (n, 2)
        Frequencies (row, col), 1/px.

    Returns
    -------
    cleaned : ndarray of shape (n_rows, n_cols)
        The part without them.
    """
    for frequency in frequencies:
        side = int(
            max(_SETTINGS.n_periods / np.hypot(*frequency), _SETTINGS.min_followed_px)
        )
        waves = [
            np.exp(-2j * np.pi * f * np.arange(n)).astype(np.complex64)
            for f, n in zip(frequency, tile.shape, strict=True)
        ]
        wave = np.outer(*waves)
        carried = tile * wave
        for _ in range(2):
            for axis in (0, 1):
                carried = uniform_filter1d(carried.real, side, axis=axis) + (
                    1j * uniform_filter1d(carried.imag, side, axis=axis)
                )
        tile = tile - 2 * (carried * wave.conj()).real.astype(np.float32)
    return tile
