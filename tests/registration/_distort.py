"""Distorted scans of an image whose columns are known."""

import numpy as np
from scipy.ndimage import map_coordinates

from sklearn_ferroic.registration._lines.several_scans import center_of, rotation_matrix


def draw_lines(n_rows, rng, *, shear=0.02, wave=1.0, jitter=0.15):
    """Return displacements of scan lines: steady drift, a slow wave and jitter, px."""
    time = np.arange(n_rows) / n_rows - 0.5
    lines = np.zeros((n_rows, 2))
    angle, phase = rng.uniform(0, 2 * np.pi, 2)
    lines += time[:, None] * n_rows * shear * [0.3 * np.sin(angle), np.cos(angle)]
    lines[:, 0] += 0.5 * wave * np.sin(3 * np.pi * time + phase)
    lines[:, 1] += wave * np.sin(2.6 * np.pi * time + 2 * phase)
    return lines + rng.normal(size=(n_rows, 2)) * jitter * [0.5, 1.0]


def scan(image, lines, degrees, shape, rng, counts=None):
    """Scan an image of the specimen at a rotation, with displaced lines.

    Returns the scan and its truth: a function from specimen positions to those in it.
    """
    matrix, middle = rotation_matrix(degrees), center_of(image.shape)
    pixels = np.indices(shape).transpose(1, 2, 0) + lines[:, None, :]
    place = (pixels - center_of(shape)) @ matrix.T + middle
    scanned = map_coordinates(image, place.transpose(2, 0, 1), order=3, mode="nearest")
    if counts is not None:
        scanned = rng.poisson(np.maximum(scanned, 0) * counts / image.max())
    return scanned.astype(np.float32)


def drift_of(lines, degrees, positions, image_shape, shape):
    """Return where columns of the specimen appear in a scan without its jitter."""
    in_scan = (positions - center_of(image_shape)) @ rotation_matrix(degrees)
    seen = in_scan + center_of(shape)
    rows = np.arange(shape[0])
    target = seen.copy()
    for _ in range(5):
        step = [np.interp(seen[:, 0], rows, part) for part in lines.T]
        seen = target - np.stack(step, axis=1)
    return seen
