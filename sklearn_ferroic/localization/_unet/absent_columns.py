"""Test whether a class of columns that the network finds is in the image.

Trained on crystals of two sublattices, a network expects the second one between the
columns of a crystal of one kind. What the columns of the other class leave of the image
shows whether there is any.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from .._detection.locate import fit_positions
from .._fitting.windows import render_columns
from .._image.context import ImageContext
from .._image.filters import blob_response, filter_sigma
from .._image.positions import at_pixels
from .._image.tiles import cut_tiles


@dataclass(frozen=True)
class _AbsentColumnsSettings:
    """Settings of the test for absent columns, with their reasons."""

    # Columns are absent if the mean response of the residual image at this number of
    # neighbouring sites of their class is below this share of the amplitude of the
    # other class and below this number of standard errors: single sites are too noisy.
    # Faint sublattices have at least 0.16 and 4 in generated and multislice images,
    # crystals of one kind at most 0.045 and 5.5.
    n_averaged: int = 24
    min_share: float = 0.06
    min_significance: float = 6.0
    # A site whose own response exceeds that at its neighbours by this number of robust
    # standard deviations is a column in any case.
    max_own_std: float = 4.0
    # Fewer sites are not judged.
    min_sites: int = 8


_SETTINGS = _AbsentColumnsSettings()


def find_absent(image, mask, positions, label, *, spacing, sigma, profile, tile_size):
    """Find sites of the fainter class where the image shows no columns.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    mask : ndarray of bool of shape (n_rows, n_cols) or None
        Good pixels; all if None.
    positions : ndarray of shape (n, 2)
        Sites found by the network, px.
    label : ndarray of int of shape (n,)
        Their classes, 0 for A and 1 for B.
    spacing, sigma : float
        Nearest-neighbour spacing and typical sigma, px.
    profile : ColumnProfile
        Profile of the columns.
    tile_size : int or None
        Side of the tiles, px.

    Returns
    -------
    absent : ndarray of bool of shape (n,)
        True for sites without a column.
    """
    absent = np.zeros(len(positions), dtype=bool)
    if min(np.bincount(label, minlength=2)) < _SETTINGS.min_sites:
        return absent
    image = image.astype(np.float32, copy=False)
    blob_sigma = filter_sigma(spacing, sigma)
    height = at_pixels(blob_response(image, blob_sigma), positions)
    bright = int(np.median(height[label == 1]) > np.median(height[label == 0]))
    residual, amplitude = np.full(len(positions), np.nan), []
    for tile in cut_tiles(image.shape, tile_size, spacing):
        part = image[tile.window]
        place = positions - tile.origin
        seen = np.all((place >= -0.5) & (place <= np.array(part.shape) - 0.5), axis=1)
        others = seen & (label == bright)
        first, last = tile.core.T
        own = (label != bright) & np.all((positions >= first) & (positions < last), 1)
        if not others.any() or not own.any():
            continue
        context = ImageContext(
            part, None if mask is None else mask[tile.window], spacing, sigma
        )
        table = fit_positions(context, place[others], profile)
        amplitude.append(table.amplitude)
        rest = part - render_columns(part.shape, table, sigma)
        if mask is not None:
            rest *= mask[tile.window]
        residual[own] = at_pixels(blob_response(rest, blob_sigma), place[own])
    judged = np.flatnonzero(np.isfinite(residual))
    if len(judged) < _SETTINGS.min_sites:
        return absent
    n_averaged = min(_SETTINGS.n_averaged, len(judged))
    _, near = cKDTree(positions[judged]).query(positions[judged], n_averaged)
    own, around = residual[judged], residual[judged][near]
    middle = np.median(around, axis=1)
    scatter = 1.4826 * np.median(np.abs(around - middle[:, None]), axis=1)
    mean, error = around.mean(axis=1), around.std(axis=1) / np.sqrt(n_averaged)
    usual = np.median(np.concatenate(amplitude))
    is_absent = mean < np.minimum(
        _SETTINGS.min_share * usual, _SETTINGS.min_significance * error
    )
    # Few columns among many sites without one.
    is_absent &= own < np.maximum(middle, 0) + _SETTINGS.max_own_std * scatter
    absent[judged] = is_absent
    return absent
