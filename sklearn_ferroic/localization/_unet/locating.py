"""Location of labelled columns: probabilities, peaks, fits, and a test of each class.

Trained on crystals of two sublattices, a network expects the second one between the
columns of a crystal of one kind. What the columns of the other class leave of the image
shows whether there is any.
"""

from typing import NamedTuple

import numpy as np
import torch
from joblib import delayed
from scipy.spatial import cKDTree

from ..._image.context import ImageContext
from ..._image.filters import blob_response, filter_sigma
from ..._image.pixels import at_pixels
from ..._image.tiles import cut_tiles
from .._assembly import LabeledFit, nearest_columns
from .._batch import naming_the_image, run
from .._detection.calibration import Calibration
from .._detection.locate import fit_positions
from .._detection.refine import refine_columns
from .._detection.selection import has_center_inside
from .._fitting.columns import ColumnFit
from .._fitting.profiles import PROFILES
from .._fitting.windows import render_columns
from .evidence import REACH_PX, confidences, find_columns, has_neighbors
from .inference import grow, probabilities, see, tiles
from .network_image import NET_SPACING_PX, from_net, resample
from .settings import UNET

# Fits that end this far (spacings) from the network's position are rejected, unless the
# border is nearer than a spacing and cuts the input of the network. A tighter limit
# would have smaller errors at few counts, but the network knows displacements only in
# part.
_MAX_SHIFT_SPACINGS = 0.2


_ABSENT = UNET.absent_columns


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
        Spacing and sigma of each, px.
    n_jobs : int or None
        Number of parallel jobs, one per image.
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
    mask,
    scale,
    network,
    *,
    threshold,
    refine,
    shape,
    max_iter,
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
    mask : ndarray of bool of shape (n_rows, n_cols) or None
        Good pixels; None if all are good.
    scale : tuple of float
        Nearest-neighbour spacing and typical sigma, px.
    network : UNet
        The network, in evaluation mode.
    threshold : float
        Minimum evidence for a column.
    refine : {"gaussian", "center_of_mass", None}
        How positions are refined.
    shape : {"circular", "elliptical"}
        Profile of the columns.
    max_iter : int
        Maximum number of iterations of a joint fit of columns.
    tile_size : int or None
        Side of the tiles, px.
    n_views : int
        Views over which probabilities are averaged.

    Returns
    -------
    located : Located
        The columns.
    """
    spacing, _ = scale
    context = ImageContext(image, mask, *scale, max_iter=max_iter)
    positions, evidence = find_in_image(
        image, network, spacing, threshold, tile_size, n_views
    )
    label = evidence.argmax(axis=1)
    absent = find_absent(context, positions, label, PROFILES[shape], tile_size)
    positions, evidence = positions[~absent], evidence[~absent]
    fit, calibration = refine_columns(
        context,
        positions,
        refine=refine,
        shape=shape,
        tile_size=tile_size,
        max_shift=_MAX_SHIFT_SPACINGS,
    )
    inside = np.flatnonzero(has_center_inside(fit, context))
    if not inside.size:
        raise ValueError(
            f"No columns found in image {number}. Does it show resolved columns, "
            "bright on dark? Dark columns (bright field, ABF) need -image, and "
            f"spacing= sets the distance of nearest columns, here {spacing:.1f} px."
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
    seen = see(image, spacing / NET_SPACING_PX, tile_size)
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
    seen = see(image, spacing / NET_SPACING_PX, tile_size)
    coarse = np.empty((3, *seen.shape), dtype=np.float32)
    for core in tiles(seen.shape, seen.factor, tile_size):
        coarse[:, core[0], core[1]] = probabilities(network, seen, core, n_views)
    whole = tuple(slice(0, length) for length in image.shape)
    maps = [resample(part, 1 / seen.factor, whole) for part in coarse]
    return np.stack(maps, axis=-1)


def on_device(network, device):
    """Move a network to a device, in a memory layout that is fast there."""
    return network.to(device, memory_format=torch.channels_last).eval()


def find_absent(context, positions, label, profile, tile_size):
    """Find sites of the fainter class where the image shows no columns.

    Parameters
    ----------
    context : ImageContext
        The image.
    positions : ndarray of shape (n, 2)
        Sites found by the network, px.
    label : ndarray of int of shape (n,)
        Their classes, 0 for A and 1 for B.
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
    if min(np.bincount(label, minlength=2)) < _ABSENT.min_n_sites:
        return absent
    context = context.replace(image=context.image.astype(np.float32, copy=False))
    blob_sigma = filter_sigma(context.spacing, context.sigma)
    height = at_pixels(blob_response(context.image, blob_sigma), positions)
    bright = int(np.median(height[label == 1]) > np.median(height[label == 0]))
    residual, amplitude = np.full(len(positions), np.nan), []
    for tile in cut_tiles(context.shape, tile_size, context.spacing):
        part = context.crop(tile.window)
        place = positions - tile.origin
        seen = np.all((place >= -0.5) & (place <= np.array(part.shape) - 0.5), axis=1)
        others = seen & (label == bright)
        first, last = tile.core.T
        own = (label != bright) & np.all((positions >= first) & (positions < last), 1)
        if not others.any() or not own.any():
            continue
        table = fit_positions(part, place[others], profile)
        amplitude.append(table.amplitude)
        rest = part.image - render_columns(part.shape, table, part.sigma)
        if part.mask is not None:
            rest *= part.mask
        residual[own] = at_pixels(blob_response(rest, blob_sigma), place[own])
    judged = np.flatnonzero(np.isfinite(residual))
    if len(judged) < _ABSENT.min_n_sites:
        return absent
    n_averaged = min(_ABSENT.n_averaged, len(judged))
    _, near = cKDTree(positions[judged]).query(positions[judged], n_averaged)
    own, around = residual[judged], residual[judged][near]
    middle = np.median(around, axis=1)
    scatter = 1.4826 * np.median(np.abs(around - middle[:, None]), axis=1)
    mean, error = around.mean(axis=1), around.std(axis=1) / np.sqrt(n_averaged)
    usual = np.median(np.concatenate(amplitude))
    is_absent = mean < np.minimum(
        _ABSENT.min_share * usual, _ABSENT.min_significance_std * error
    )
    # Few columns among many sites without one.
    is_absent &= own < np.maximum(middle, 0) + _ABSENT.max_own_std * scatter
    absent[judged] = is_absent
    return absent
