"""Search for a sublattice that has been missed as a whole.

A spacing that is too long hides columns: those of a faint sublattice between the ones
that were found. They remain in the residual image.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from ..._lattice.local_lattice import lattice_vectors
from .._fitting.windows import render_columns
from .._image.binning import bin_image, binned_scale, choose_binning
from .._image.context import image_unit
from .._image.filters import blob_response, filter_sigma

_OTHER_PLACES = ((0.5, 0.0), (0.0, 0.5), (1 / 3, 1 / 3), (2 / 3, 2 / 3))


@dataclass(frozen=True)
class _MissedSublatticeSettings:
    """Settings of the search for a missed sublattice, with their reasons."""

    # Places in the unit cell of the columns located, in lattice vectors: the centre,
    # and those that the residual at the centre is compared with.
    center: tuple = (0.5, 0.5)
    # The centres hold columns if the median response of the residual there is this
    # share of the columns' amplitude, this number of standard errors above zero, at
    # least twice that at any other place, and positive in this share of the cells.
    # Missed sublattices have at least 0.035, 20, 2.9 and 0.9 in generated images;
    # columns of one kind have at most 0.01 and negative values in experimental ones.
    min_share: float = 0.02
    min_significance: float = 10.0
    min_contrast: float = 2.0
    min_positive: float = 0.85
    min_cells: int = 9
    # Narrower columns than this (spacings) do not hide others between them.
    min_sigma_spacings: float = 0.11
    # Cells at least this far from the border are evaluated, in spacings.
    margin_spacings: float = 1.0


_SETTINGS = _MissedSublatticeSettings()


def find_closer_spacing(image, fit, is_one_kind, spacing, sigma):
    """Return the spacing of an image if a sublattice has been missed.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    fit : ColumnFit
        Its columns, as located with the spacing.
    is_one_kind : bool
        Whether all of them are of one sublattice.
    spacing, sigma : float
        Spacing assumed, and typical sigma, px.

    Returns
    -------
    spacing : float or None
        Nearest-neighbour spacing, px; None if no sublattice has been missed.
    """
    positions = fit.positions
    if len(positions) < _SETTINGS.min_cells:
        return None
    if not is_one_kind or sigma < _SETTINGS.min_sigma_spacings * spacing:
        return None
    if not fit.table.is_known.any():
        return None
    vectors = lattice_vectors(positions, np.zeros(len(positions), dtype=int))
    side = choose_binning(spacing, sigma)
    image, fit = bin_image(image, side) / side**2, fit.binned(side)
    spacing, sigma = binned_scale(spacing, sigma, side)
    positions, vectors = fit.positions, vectors / side
    response = _residual_response(image, fit, spacing, sigma)
    median, scatter, share, places = _at_places(
        response, positions, vectors, _SETTINGS.center, spacing
    )
    if len(places) < _SETTINGS.min_cells:
        return None
    others = [
        _at_places(response, positions, vectors, place, spacing)[0]
        for place in _OTHER_PLACES
    ]
    is_column = (
        median > _SETTINGS.min_share * np.median(fit.amplitude)
        and median > _SETTINGS.min_significance * scatter / np.sqrt(len(places))
        and median > _SETTINGS.min_contrast * max(others)
        and share > _SETTINGS.min_positive
    )
    if not is_column:
        return None
    distance, _ = cKDTree(positions).query(places)
    return side * float(np.median(distance))


def _residual_response(image, fit, spacing, sigma):
    """Return the response of the blob filter to the residual image."""
    unit = image_unit(image)
    fitted = fit.table.take(fit.table.is_known)
    residual = image - render_columns(image.shape, fitted, sigma)
    return blob_response(residual / unit, filter_sigma(spacing, sigma)) * unit


def _at_places(response, positions, vectors, place, spacing):
    """Return median, scatter and share of positive values at places in the cells."""
    places = positions + place[0] * vectors[:, 0] + place[1] * vectors[:, 1]
    margin = _SETTINGS.margin_spacings * spacing
    last = np.array(response.shape) - 1 - margin
    # Vectors that are not known are NaN.
    places = places[((places > margin) & (places < last)).all(axis=1)]
    if not len(places):
        return 0.0, 0.0, 0.0, places
    values = map_coordinates(response, places.T, order=1)
    median = float(np.median(values))
    scatter = 1.4826 * float(np.median(np.abs(values - median)))
    return median, scatter, float(np.mean(values > 0)), places
