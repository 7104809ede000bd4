"""Location of labelled columns: probabilities, peaks, fits."""

from typing import NamedTuple

import numpy as np
import torch
from joblib import delayed
from scipy.spatial import cKDTree

from .._assembly import LabeledFit, nearest_columns
from .._batch import naming_the_image, run, window_step
from .._detection.calibration import Calibration, calibrate
from .._detection.locate import (
    MASS_RADIUS_SIGMA,
    detect_columns,
    fit_found,
    fit_positions,
)
from .._detection.selection import has_center_inside
from .._fitting.columns import ColumnFit, ColumnTable
from .._fitting.error_calibration import error_scale
from .._fitting.profiles import PROFILES
from .._fitting.windows import center_of_mass
from .._image.context import ImageContext
from .._image.filters import blob_response, filter_sigma
from .._image.positions import at_pixels, on_image
from .._image.tiles import cut_tiles
from .absent_columns import find_absent
from .evidence import REACH_PX, confidences, find_columns, has_neighbors
from .inference import grow, probabilities, see, tiles
from .network_image import NET_SPACING, from_net, resample

# Fits that move two columns closer than this share of the spacing are rejected,
_MIN_DISTANCE_SPACINGS = 0.35
# nor are those that end this far (spacings) from the network's position, unless the
# border is nearer than a spacing and cuts the input of the network. A tighter limit
# would have smaller errors at few counts, but the network knows displacements only in
# part.
_MAX_SHIFT_SPACINGS = 0.2


class Located(NamedTuple):
    """Columns of an image.

    Parameters
    ----------
    fit : ColumnFit
        The columns, from top to bottom.
    sublattice : ndarray of int of shape (n,)
        0 for A, 1 for B.
    evidence : ndarray of shape (n, 2)
        Share of each column's disc that is A, and that is B.
    calibration : Calibration or None
        Noise of the image.
    """

    fit: ColumnFit
    sublattice: np.ndarray
    evidence: np.ndarray
    calibration: Calibration | None

    def labeled(self):
        """Return the columns with their labels."""
        return LabeledFit(self.fit, self.sublattice, nearest_columns(self.fit))

    def probability(self, coefficients):
        """Compute the probability that each is a column of its class."""
        return confidences(self.evidence, coefficients)


def locate_all(network, images, masks, scales, *, n_jobs, **options):
    """Locate the columns of images.

    Parameters
    ----------
    network : UNet
        The network, in evaluation mode.
    images : list of ndarray of shape (n_rows, n_cols)
        The images.
    masks : list of (ndarray of bool or None)
        Good pixels of each; None if all are good.
    scales : list of tuple of float
        Spacing and width of each, px.
    n_jobs : int or None
        Number of images at a time.
    **options
        As `locate_image` takes them.

    Returns
    -------
    located : list of Located
        The columns of each image.
    """
    return run(
        (
            delayed(locate_image)(number, *job, network, **options)
            for number, job in enumerate(zip(images, masks, scales, strict=True))
        ),
        n_jobs,
    )


@naming_the_image
def locate_image(
    number,
    image,
    valid,
    scale,
    network,
    *,
    threshold,
    refine,
    shape,
    tile_size,
    n_views,
):
    """Locate the columns of an image.

    Parameters
    ----------
    number : int
        Index of the image, for messages.
    image : ndarray of shape (n_rows, n_cols)
        The image.
    valid : ndarray of bool of shape (n_rows, n_cols) or None
        Good pixels; None if all are good.
    scale : tuple of float
        Nearest-neighbour spacing and typical sigma, px.
    network : UNet
        The network, in evaluation mode.
    threshold : float
        Least evidence for a column.
    refine : {"gaussian", "center_of_mass", None}
        How positions are refined.
    shape : {"circular", "elliptical"}
        What columns are fitted with.
    tile_size : int or None
        Side of the tiles, px.
    n_views : int
        Views over which probabilities are averaged.

    Returns
    -------
    located : Located
        The columns.
    """
    spacing, width = scale
    positions, evidence = find_in_image(
        image, network, spacing, threshold, tile_size, n_views
    )
    absent = find_absent(
        image,
        valid,
        positions,
        evidence.argmax(axis=1),
        spacing=spacing,
        width=width,
        profile=PROFILES[shape],
        tile_size=tile_size,
    )
    positions, evidence = positions[~absent], evidence[~absent]
    fit, calibration = refine_columns(
        image,
        valid,
        positions,
        spacing=spacing,
        width=width,
        refine=refine,
        shape=shape,
        tile_size=tile_size,
    )
    context = ImageContext(image, valid, spacing, width)
    inside = np.flatnonzero(has_center_inside(fit, context))
    if not inside.size:
        raise ValueError(
            f"No columns found in image {number}. Does it show resolved columns, "
            "bright on dark, and is their spacing right? If so, a lower threshold may "
            "help."
        )
    row, col = np.rint(fit.positions[inside]).T
    order = inside[np.lexsort((col, row))]
    evidence = evidence[order]
    return Located(fit.take(order), evidence.argmax(axis=1), evidence, calibration)


def find_in_image(image, network, spacing, threshold, tile_size, n_views):
    """Find the columns of an image, tile by tile.

    Parameters
    ----------
    image, network, spacing, threshold, tile_size, n_views
        As `locate_image` takes them.

    Returns
    -------
    positions : ndarray of shape (n, 2)
        Columns, px.
    evidence : ndarray of shape (n, 2)
        Share of each column's disc that is A, and that is B.
    """
    seen = see(image, spacing / NET_SPACING, tile_size)
    positions, evidence = [np.empty((0, 2))], [np.empty((0, 2))]
    for core in tiles(seen.shape, seen.factor, tile_size):
        wider = grow(core, REACH_PX, seen.shape)
        map_ = probabilities(network, seen, wider, n_views)
        place, strength = find_columns(map_, threshold)
        # Peaks within half a pixel of a border are of the pixel that is highest.
        place += [part.start for part in wider]
        first = np.array([part.start for part in core])
        last = np.array([part.stop for part in core])
        own = np.all((np.rint(place) >= first) & (np.rint(place) < last), axis=1)
        positions.append(place[own])
        evidence.append(strength[own])
    positions, evidence = np.concatenate(positions), np.concatenate(evidence)
    together = has_neighbors(positions, evidence, seen.shape)
    return from_net(positions[together], seen.factor), evidence[together]


def class_map(image, network, spacing, tile_size, n_views):
    """Compute the probabilities of the classes at each pixel of an image.

    Parameters
    ----------
    image, network, spacing, tile_size, n_views
        As `locate_image` takes them.

    Returns
    -------
    probability : ndarray of shape (n_rows, n_cols, 3), float32
        Of background, A and B.
    """
    seen = see(image, spacing / NET_SPACING, tile_size)
    coarse = np.empty((3, *seen.shape), dtype=np.float32)
    for core in tiles(seen.shape, seen.factor, tile_size):
        coarse[:, core[0], core[1]] = probabilities(network, seen, core, n_views)
    whole = tuple(slice(0, length) for length in image.shape)
    maps = [resample(part, 1 / seen.factor, whole) for part in coarse]
    return np.stack(maps, axis=-1)


def on_device(network, device):
    """Move a network to a device, in a memory layout that is fast there."""
    return network.to(device, memory_format=torch.channels_last).eval()


def refine_columns(
    image, valid, positions, *, spacing, width, refine, shape, tile_size
):
    """Refine the positions of columns.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    valid : ndarray of bool of shape (n_rows, n_cols) or None
        Good pixels; None if all are good.
    positions : ndarray of shape (n, 2)
        Where the network has found columns, px.
    spacing, width : float
        Nearest-neighbour spacing and typical sigma, px.
    refine : {"gaussian", "center_of_mass", None}
        How.
    shape : {"circular", "elliptical"}
        What columns are fitted with.
    tile_size : int or None
        Side of the tiles, px.

    Returns
    -------
    fit : ColumnFit
        The columns, in order. Where a fit is not usable, the position is the
        network's.
    calibration : Calibration or None
        Noise of the image; None if its columns do not exceed the noise.
    """
    profile = PROFILES[shape]
    context = ImageContext(image, valid, spacing, width)
    calibration = calibrate(context, profile, detect_columns)
    fits, rows, modes = [], [], []
    step = window_step(spacing, width)
    for tile in cut_tiles(image.shape, tile_size, spacing, step):
        first, last = tile.core.T
        own = np.all((positions >= first) & (positions < last), axis=1)
        if not own.any():
            continue
        part = image[tile.window]
        mask = None if valid is None else valid[tile.window]
        mask = None if mask is None or mask.all() else mask
        place = positions - tile.origin
        seen = np.all((place >= -0.5) & (place <= np.array(part.shape) - 0.5), axis=1)
        seen |= own
        if calibration is None:
            context = ImageContext(part, mask, spacing, width)
        else:
            context = calibration.context(part, mask, spacing, width)
        found = _refine_part(context, place[seen], refine, profile)
        if found.modes is not None:
            modes.append(found.modes)
        found = found.at(found.positions + tile.origin)
        fits.append(found.take(own[seen]))
        rows.append(np.flatnonzero(own))
    if fits:
        fit = ColumnFit.concatenate(fits).take(np.argsort(np.concatenate(rows)))
    else:
        fit = ColumnFit.unfitted(ColumnTable.make(0.0, positions, 0.0))
    if modes:
        modes = np.concatenate(modes)
        fit = fit.scaled_std(error_scale(fit.amplitude, modes, calibration.inflation))
    fit = _undo_collisions(fit, positions, spacing)
    if calibration is not None:
        fit = fit.scaled_values(calibration.unit)
    return fit, calibration


def _refine_part(context, positions, refine, profile):
    """Refine the positions of columns in a tile."""
    if refine == "gaussian" and context.statistics is not None:
        start = fit_positions(context, positions, profile)
        fit, bad = fit_found(context, start, profile)
        refined, converged = fit.positions.copy(), fit.converged.copy()
        refined[bad] = positions[bad]
        astray = (
            np.hypot(*(refined - positions).T) > _MAX_SHIFT_SPACINGS * context.spacing
        )
        astray &= on_image(positions, context.shape, context.spacing)
        refined[astray] = positions[astray]
        converged[astray] = False
        return fit.at(refined).replace(converged=converged, statistics=None)
    image, sigma = context.image, context.sigma
    response = blob_response(
        image.astype(np.float32, copy=False), filter_sigma(context.spacing, sigma)
    )
    table = ColumnTable.at_peaks(
        image, positions, at_pixels(response, positions), sigma
    )
    if refine == "center_of_mass":
        radius = MASS_RADIUS_SIGMA * sigma
        centers = center_of_mass(image, positions, radius, mask=context.mask)
        table = table.replace(positions=centers)
    # Without a fit, the shape is not known.
    unknown = np.full((len(table), profile.n_shape), np.nan)
    return ColumnFit.unfitted(table.with_profile(profile, unknown))


def _undo_collisions(fit, positions, spacing):
    """Return columns to where they were detected if two have moved to one place."""
    if len(positions) < 2:
        return fit
    pairs = cKDTree(fit.positions).query_pairs(
        _MIN_DISTANCE_SPACINGS * spacing, output_type="ndarray"
    )
    refined, converged = fit.positions.copy(), fit.converged.copy()
    refined[pairs] = positions[pairs]
    converged[pairs] = False
    return fit.at(refined).replace(converged=converged)
