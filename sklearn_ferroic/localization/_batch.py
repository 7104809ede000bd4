"""Work on images and their tiles, with joblib."""

import math
from dataclasses import dataclass
from functools import wraps

import numpy as np
from joblib import Parallel, delayed

from .._image.context import ImageContext
from .._image.filters import SAME_COLUMN_SPACINGS, blob_response, noise_response
from .._image.pixels import binned_scale, choose_binning, on_image
from .._image.spacing import estimate_spacing
from .._image.tiles import cut_tiles, not_twice
from .._utils.scale import FINE_SPACING_PX
from ._dask_calls import get_dask_client, run_on_dask
from ._detection.calibration import calibrate
from ._detection.locate import (
    fit_without_tails,
    locate_columns,
    locate_peaks,
    select_located,
    sum_for_tails,
)
from ._detection.scale import estimate_sigma
from ._fitting.background import bin_sides
from ._fitting.column_tails import subtract_tails
from ._fitting.columns import ColumnFit
from ._fitting.error_calibration import error_scale
from ._fitting.profiles import PROFILES
from ._fitting.windows import render_columns


@dataclass(frozen=True)
class _BatchSettings:
    """Settings of the work on images and tiles, with their reasons."""

    # The image must contain this many spacings along each side.
    min_spacings: int = 3
    # Columns contribute to tiles within this distance of their centres, in sigmas.
    tail_sigma: int = 6


_SETTINGS = _BatchSettings()


def run(calls, n_jobs):
    """Run the calls with joblib, unless there is only one."""
    calls = list(calls)
    if len(calls) == 1:
        ((function, args, kwargs),) = calls
        return [function(*args, **kwargs)]
    client = get_dask_client(n_jobs)
    if client is not None:
        return run_on_dask(client, calls)
    return Parallel(n_jobs=n_jobs)(calls)


def estimate_scales(images, masks, spacing, n_jobs):
    """Estimate spacing and sigma of the columns of images.

    Parameters
    ----------
    images : list of ndarray of shape (n_rows, n_cols)
        The images.
    masks : list of (ndarray of bool or None)
        Good pixels of each; None if all are good.
    spacing : float, sequence of float or None
        Nearest-neighbour spacing, of all images or of each, if it is known, px.
    n_jobs : int or None
        Number of parallel jobs, one per image.

    Returns
    -------
    scales : list of tuple of float
        Spacing and sigma of each, px, and a skewness: negative for dark columns.
    """
    if np.ndim(spacing) == 0:
        spacing = [spacing] * len(images)
    calls = (
        delayed(estimate_scale)(number, *of_image)
        for number, of_image in enumerate(zip(images, masks, spacing, strict=True))
    )
    return run(calls, n_jobs)


def locate_images(
    images, masks, *, spacing, sigma, shape, max_iter, tile_size, n_jobs, **options
):
    """Locate the columns of images.

    Parameters
    ----------
    images : list of ndarray of shape (n_rows, n_cols)
        The images.
    masks : list of (ndarray of bool or None)
        Good pixels of each; None if all are good.
    spacing, sigma : float
        Nearest-neighbour spacing and typical sigma of the columns, px.
    shape : {"circular", "elliptical"}
        Profile of the columns.
    max_iter : int
        Maximum number of iterations of a joint fit of columns.
    tile_size : int or None
        Side of the tiles, px.
    n_jobs : int or None
        Number of parallel jobs.
    **options
        `threshold` and `refine`, see `locate_tile`.

    Returns
    -------
    fits : list of ColumnFit
        The columns of each image.
    calibrations : list of Calibration
        The noise of each image.
    """
    profile = PROFILES[shape]
    contexts = [
        ImageContext(image, mask, spacing, sigma, max_iter=max_iter)
        for image, mask in zip(images, masks, strict=True)
    ]
    calibrations = run(
        (
            delayed(calibrate_image)(number, context, profile)
            for number, context in enumerate(contexts)
        ),
        n_jobs,
    )
    step = window_step(spacing, sigma)
    jobs = [
        (number, tile, context.crop(tile.window), calibration)
        for number, (context, calibration) in enumerate(
            zip(contexts, calibrations, strict=True)
        )
        for tile in cut_tiles(context.shape, tile_size, spacing, step)
    ]
    found = run(
        (delayed(locate_tile)(*job, profile=profile, **options) for job in jobs),
        n_jobs,
    )

    def fit_all_again(found, tails):
        calls = (
            delayed(fit_tile_again)(*jobs[index], columns, tails[index], profile)
            for index, columns in found.items()
        )
        return run(calls, n_jobs)

    tiles_of = [
        [index for index, (owner, *_) in enumerate(jobs) if owner == number]
        for number in range(len(images))
    ]
    found = subtract_tails(found, tiles_of, fit_all_again)
    by_image = [[] for _ in images]
    for job, columns in zip(jobs, found, strict=True):
        by_image[job[0]].append(finish_tile(*job, columns))
    fits = [
        merge_tiles(number, fits, images[number].shape, calibration, spacing)
        for number, (fits, calibration) in enumerate(
            zip(by_image, calibrations, strict=True)
        )
    ]
    return fits, calibrations


def window_step(spacing, sigma):
    """Return the step at which windows of tiles may begin: bins are the same in all.

    Parameters
    ----------
    spacing, sigma : float
        Nearest-neighbour spacing and typical sigma of the columns, px.

    Returns
    -------
    step : int
        Multiples of this, px.
    """
    return math.lcm(
        math.prod(bin_sides(spacing, sigma)), choose_binning(spacing, sigma)
    )


def score_images(
    images, masks, fits, calibrations, *, spacing, sigma, tile_size, n_jobs
):
    """Rate the columns of images.

    Parameters
    ----------
    images : list of ndarray of shape (n_rows, n_cols)
        The images.
    masks : list of (ndarray of bool or None)
        Good pixels of each; None if all are good.
    fits : list of ColumnFit
        Their columns.
    calibrations : list of Calibration
        Their noise.
    spacing, sigma : float
        Nearest-neighbour spacing and typical sigma of the columns, px.
    tile_size : int or None
        Side of the tiles, px.
    n_jobs : int or None
        Number of parallel jobs, one per image.

    Returns
    -------
    scores : list of float
        The figure of merit of each image.
    """
    calls = (
        delayed(score_image)(
            number, ImageContext(image, mask, spacing, sigma), *found, tile_size
        )
        for number, (image, mask, *found) in enumerate(
            zip(images, masks, fits, calibrations, strict=True)
        )
    )
    return run(calls, n_jobs)


def naming_the_image(work):
    """Add the number of the image to the messages of errors."""

    @wraps(work)
    def named(number, *args, **kwargs):
        try:
            return work(number, *args, **kwargs)
        except Exception as error:
            if f"image {number}" in str(error).lower():
                raise
            message = f"Image {number} could not be located: {error!r}"
            raise RuntimeError(message) from error

    return named


@naming_the_image
def estimate_scale(number, image, mask, spacing):
    """Estimate spacing and sigma of the columns of an image.

    Parameters
    ----------
    number : int
        Index of the image, for messages.
    image : ndarray of shape (n_rows, n_cols)
        The image.
    mask : ndarray of bool of shape (n_rows, n_cols) or None
        Good pixels; None if all are good.
    spacing : float or None
        Nearest-neighbour spacing if it is known, px.

    Returns
    -------
    spacing, sigma : float
        Nearest-neighbour spacing and typical sigma, px.
    skewness : float
        Negative where the columns are dark.
    """
    if spacing is None:
        spacing = estimate_spacing(image)
    if not np.isfinite(spacing):
        raise ValueError(_nothing_found(number, spacing))
    _check_size(number, image, spacing)
    sigma, skewness = estimate_sigma(image, mask, float(spacing))
    if not np.isfinite(sigma):
        raise ValueError(_nothing_found(number, spacing))
    return spacing, sigma, skewness


@naming_the_image
def calibrate_image(number, context, profile):
    """Estimate the noise of an image; raise an error if it shows no columns.

    Parameters
    ----------
    number : int
        Index of the image, for messages.
    context : ImageContext
        The image.
    profile : ColumnProfile
        Profile of the columns.

    Returns
    -------
    calibration : Calibration
        The noise.
    """
    _check_size(number, context.image, context.spacing)
    calibration = calibrate(context, profile)
    if calibration is None:
        raise ValueError(_nothing_found(number, context.spacing))
    return calibration


@naming_the_image
def locate_tile(number, tile, context, calibration, *, profile, threshold, refine):
    """Locate the columns of a tile.

    Parameters
    ----------
    number : int
        Index of the image, for messages.
    tile : Tile
        Window and core of the tile.
    context : ImageContext
        The window, before the calibration.
    calibration : Calibration
        Noise and detection limit of the image.
    profile : ColumnProfile
        Profile of the columns.
    threshold : float
        Faintest column kept, as a share of the brightest nearby.
    refine : {"gaussian", "center_of_mass", None}
        Method for the positions.

    Returns
    -------
    found : FoundColumns
        The columns of the window.
    sums : TailSums or None
        Sums over the tile's own pixels for the estimate of the tails.
    """
    if calibration.preliminary is not None:
        side = calibration.binning
        _, binned_sigma = binned_scale(context.spacing, context.sigma, side)
        part = calibration.preliminary.crop(
            tile.window, side, _SETTINGS.tail_sigma * binned_sigma
        )
        calibration = calibration._replace(preliminary=part)
    context = calibration.apply(context)
    if refine == "gaussian":
        found = locate_columns(
            context, calibration, threshold=threshold, profile=profile
        )
    else:
        found = locate_peaks(context, calibration, threshold=threshold, refine=refine)
    return found, sum_for_tails(context, found, tile.inner())


@naming_the_image
def fit_tile_again(number, tile, context, calibration, found, tails, profile):
    """Fit the columns of a tile again, without their tails.

    Parameters
    ----------
    number, tile, context, calibration
        As in `locate_tile`.
    found : FoundColumns
        The columns of the window.
    tails : ColumnTails
        Their tails.
    profile : ColumnProfile
        Profile of the columns.

    Returns
    -------
    found : FoundColumns
        The same columns.
    sums : TailSums or None
        Sums over the tile's own pixels for a better estimate of the tails.
    """
    context = calibration.apply(context)
    found = fit_without_tails(context, found, tails, profile)
    return found, sum_for_tails(context, found, tile.inner())


@naming_the_image
def finish_tile(number, tile, context, calibration, found):
    """Return a tile's own columns after the last fit.

    Parameters
    ----------
    number, tile, context, calibration
        As in `locate_tile`.
    found : FoundColumns
        The columns of the window.

    Returns
    -------
    fit : ColumnFit
        The tile's own columns, at their positions in the image.
    """
    fit = select_located(calibration.apply(context), found)
    fit = fit.at(fit.positions + tile.origin)
    return fit.take(tile.owns(fit.positions))


@naming_the_image
def merge_tiles(number, fits, shape, calibration, spacing):
    """Merge the columns of an image's tiles.

    Parameters
    ----------
    number : int
        Index of the image, for messages.
    fits : list of ColumnFit
        Columns of the tiles.
    shape : tuple of int
        Shape of the image.
    calibration : Calibration
        Holds the unit of the image.
    spacing : float
        Nearest-neighbour spacing, px.

    Returns
    -------
    fit : ColumnFit
        The columns of the image, from top to bottom.
    """
    whole = ColumnFit.concatenate(fits)
    positions = whole.positions
    # A slope that ends at the border may look like columns along it.
    is_inside = on_image(positions, shape, spacing)
    if not is_inside.any() or not whole.converged.any():
        raise ValueError(_nothing_found(number, spacing))
    modes = [fit.modes for fit in fits if fit.modes is not None]
    if modes:
        modes = np.concatenate(modes)
        inflation = calibration.inflation
        whole = whole.scaled_std(*error_scale(whole.amplitude, modes, inflation))
    tile = np.repeat(np.arange(len(fits)), [len(fit) for fit in fits])
    order = np.flatnonzero(not_twice(positions, tile, SAME_COLUMN_SPACINGS * spacing))
    row, col = np.rint(positions[order]).T
    whole = whole.take(order[np.lexsort((col, row))])
    return whole.scaled_values(calibration.unit)


@naming_the_image
def score_image(number, context, fit, calibration, tile_size):
    """Rate the columns of an image.

    Parameters
    ----------
    number : int
        Index of the image, for messages.
    context : ImageContext
        The image, before the calibration.
    fit : ColumnFit
        Its columns.
    calibration : Calibration
        Noise and unit of the image.
    tile_size : int or None
        Side of the tiles, px.

    Returns
    -------
    score : float
        Share of the structure above the noise that is explained, times the share of
        columns that can be trusted.
    """
    fit = fit.scaled_values(1 / calibration.unit)
    reach, sums = _SETTINGS.tail_sigma * context.sigma, 0
    for tile in cut_tiles(context.shape, tile_size, context.spacing):
        part = context.crop(tile.window)
        part = part.replace(image=part.image / calibration.unit)
        place = fit.positions - tile.origin
        near = (place > -reach) & (place < np.add(part.shape, reach))
        own = fit.at(place).take(near.all(axis=1))
        sums = sums + power_sums(part, own, tile.inner(), calibration)
    return explained_variance(sums) * float(np.mean(fit.converged))


def _check_size(number, image, spacing):
    if min(image.shape) < _SETTINGS.min_spacings * spacing:
        raise ValueError(
            f"Image {number} of shape {image.shape} is smaller than "
            f"{_SETTINGS.min_spacings} column spacings of {spacing:.1f} px. Give a "
            "larger image, or the right spacing in px."
        )


def _nothing_found(number, spacing):
    """Return why an image may show no columns, and a remedy."""
    coarse = ""
    if spacing < FINE_SPACING_PX:
        coarse = (
            f"Its spacing seems to be {spacing:.1f} px: use an image of higher "
            "magnification, or one that was not binned. "
        )
    return (
        f"No columns found in image {number}. Does it show resolved atomic columns, "
        f"bright on dark, {FINE_SPACING_PX:.0f} px apart or more? {coarse}Dark columns "
        "(bright field, ABF) need -image, faint ones UNetAtomLocator, and spacing= "
        "sets the distance of nearest columns in px, which images of few columns need."
    )


def power_sums(context, fit, inner, calibration):
    """Sum the squares of a tile's blob response, and of that of its residual.

    Parameters
    ----------
    context : ImageContext
        The tile.
    fit : ColumnFit
        Its columns.
    inner : tuple of slice
        The tile's own pixels.
    calibration : Calibration
        Noise of the image.

    Returns
    -------
    sums : ndarray of shape (6,)
        Squares of the blob response of the image, of the image minus its columns, and
        of the noise that was learned; squares of the second where it is below zero;
        numbers of pixels of all and of those.
    """
    image, mask, sigma = context.image, context.mask, context.sigma
    table = fit.table
    table = table.replace(sigma=np.where(np.isnan(table.sigma), sigma, table.sigma))
    rest = image - render_columns(image.shape, table, sigma)
    if mask is not None:
        # Masked pixels are filled in the image, and there is nothing to explain.
        rest = np.where(mask, rest, image)
    # Both through the blob filter: backgrounds leave, and most of the noise.
    seen, left = (
        blob_response(part, sigma)[inner].astype(np.float64) for part in (image, rest)
    )
    noise = calibration.noise.variance(image[inner]).astype(np.float64)
    noise *= (noise_response(sigma) * calibration.inflation) ** 2
    if mask is not None:
        noise = noise[mask[inner]]
        seen, left = seen[mask[inner]], left[mask[inner]]
    trough = left[left < 0]
    return np.array(
        [
            np.sum(seen**2),
            np.sum(left**2),
            np.sum(noise),
            np.sum(trough**2),
            seen.size,
            trough.size,
        ]
    )


def explained_variance(sums):
    """Compute the share of the structure above the noise that the columns explain.

    Parameters
    ----------
    sums : ndarray of shape (6,)
        Sums of :func:`power_sums` over all tiles.

    Returns
    -------
    share : float
        At most 1.
    """
    seen, left, noise, trough, n_pixels, n_trough = sums
    # Crests of the rest may be columns missed; troughs are noise, or columns that are
    # too bright.
    noise = min(noise / n_pixels, trough / max(n_trough, 1))
    structure = max(seen / n_pixels - noise, 1e-30)
    return 1 - max(left / n_pixels - noise, 0) / structure
