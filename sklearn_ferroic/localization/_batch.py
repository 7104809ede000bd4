"""Many images at a time: what joblib runs."""

import math

from joblib import Parallel, delayed

from ._fitting.background import bin_sides
from ._image.binning import choose_binning
from ._image.tiles import cut_tiles
from ._single_image import (
    calibrate_image,
    estimate_scale,
    locate_tile,
    merge_tiles,
    score_image,
)


def run(calls, n_jobs):
    """Let joblib make the calls, unless there is but one."""
    calls = list(calls)
    if len(calls) == 1:
        ((function, args, kwargs),) = calls
        return [function(*args, **kwargs)]
    return Parallel(n_jobs=n_jobs)(calls)


def estimate_scales(images, masks, spacing, n_jobs):
    """Estimate spacing and width of the columns of images.

    Parameters
    ----------
    images : list of ndarray of shape (n_rows, n_cols)
        The images.
    masks : list of (ndarray of bool or None)
        Pixels of each that count; None for all.
    spacing : float or None
        Nearest-neighbour spacing if it is known, px.
    n_jobs : int or None
        Number of images at a time.

    Returns
    -------
    scales : list of tuple of float
        Spacing and width of each, px, and a skewness: negative for dark columns.
    """
    calls = (
        delayed(estimate_scale)(number, image, valid, spacing)
        for number, (image, valid) in enumerate(zip(images, masks, strict=True))
    )
    return run(calls, n_jobs)


def locate_images(
    images, masks, *, spacing, width, shape, tile_size, n_jobs, **options
):
    """Locate the columns of images.

    Parameters
    ----------
    images : list of ndarray of shape (n_rows, n_cols)
        The images.
    masks : list of (ndarray of bool or None)
        Pixels of each that count; None for all.
    spacing, width : float
        Nearest-neighbour spacing and typical sigma of the columns, px.
    shape : {"circular", "elliptical"}
        What columns are fitted with.
    tile_size : int or None
        Side of the tiles, px.
    n_jobs : int or None
        Number of images or tiles at a time.
    **options
        As `locate_columns` takes them.

    Returns
    -------
    fits : list of ColumnFit
        The columns of each image.
    calibrations : list of Calibration
        The noise of each image.
    """
    scale = {"spacing": spacing, "width": width, "shape": shape}
    calls = (
        delayed(calibrate_image)(number, image, valid, **scale)
        for number, (image, valid) in enumerate(zip(images, masks, strict=True))
    )
    calibrations = run(calls, n_jobs)
    step = window_step(spacing, width)
    places = [
        (number, tile)
        for number, image in enumerate(images)
        for tile in cut_tiles(image.shape, tile_size, spacing, step)
    ]
    calls = (
        delayed(locate_tile)(
            number,
            images[number][tile.window],
            None if masks[number] is None else masks[number][tile.window],
            tile,
            calibrations[number],
            **scale,
            **options,
        )
        for number, tile in places
    )
    parts = run(calls, n_jobs)
    by_image = [[] for _ in images]
    for (number, _), part in zip(places, parts, strict=True):
        by_image[number].append(part)
    fits = [
        merge_tiles(number, fits, images[number].shape, calibration, spacing)
        for number, (fits, calibration) in enumerate(
            zip(by_image, calibrations, strict=True)
        )
    ]
    return fits, calibrations


def window_step(spacing, width):
    """Tell where windows of tiles may begin, so that bins are the same in all.

    Parameters
    ----------
    spacing, width : float
        Nearest-neighbour spacing and typical sigma of the columns, px.

    Returns
    -------
    step : int
        At multiples of this, px.
    """
    return math.lcm(
        math.prod(bin_sides(spacing, width)), choose_binning(spacing, width)
    )


def score_images(
    images, masks, fits, calibrations, *, spacing, width, tile_size, n_jobs
):
    """Rate the columns of images.

    Parameters
    ----------
    images : list of ndarray of shape (n_rows, n_cols)
        The images.
    masks : list of (ndarray of bool or None)
        Pixels of each that count; None for all.
    fits : list of ColumnFit
        Their columns.
    calibrations : list of Calibration
        Their noise.
    spacing, width : float
        Nearest-neighbour spacing and typical sigma of the columns, px.
    tile_size : int or None
        Side of the tiles, px.
    n_jobs : int or None
        Number of images at a time.

    Returns
    -------
    scores : list of float
        The figure of merit of each image.
    """
    calls = (
        delayed(score_image)(
            number,
            image,
            valid,
            fit,
            cut_tiles(image.shape, tile_size, spacing),
            calibration,
            width,
        )
        for number, (image, valid, fit, calibration) in enumerate(
            zip(images, masks, fits, calibrations, strict=True)
        )
    )
    return run(calls, n_jobs)
