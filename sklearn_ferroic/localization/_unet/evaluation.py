"""Scores of located columns against labels."""

import numpy as np

from ..._image.context import ImageContext
from .._batch import score_image
from .evidence import TOLERANCE_SPACINGS, calibrate, pair
from .locating import find_in_image


def mean_f1(located, labels, scales):
    """Compute the mean F1 of the classes of images.

    Parameters
    ----------
    located : list of Located
        Columns located in each image.
    labels : list of Labels
        True columns of each image.
    scales : list of tuple of float
        Spacing and sigma of each, px.

    Returns
    -------
    score : float
        Mean over the classes that an image shows, and over the images.
    """
    scores = []
    for found, true, (spacing, _) in zip(located, labels, scales, strict=True):
        for kind in np.union1d(found.sublattice, true.sublattice):
            own = found.fit.positions[found.sublattice == kind]
            wanted = true.positions[true.sublattice == kind]
            n_right = np.sum(pair(own, wanted, TOLERANCE_SPACINGS * spacing) >= 0)
            scores.append(2 * n_right / (len(own) + len(wanted)))
    return float(np.mean(scores))


def mean_merit(images, masks, located, scales, tile_size):
    """Compute AtomLocator's figure of merit of the columns of images.

    Parameters
    ----------
    images : list of ndarray of shape (n_rows, n_cols)
        The images.
    masks : list of (ndarray of bool or None)
        Good pixels of each; None if all are good.
    located : list of Located
        What was found in each.
    scales : list of tuple of float
        Spacing and sigma of each, px.
    tile_size : int or None
        Side of the tiles, px.

    Returns
    -------
    score : float
        Mean over the images.
    """
    scores = []
    for number, (image, mask, found) in enumerate(
        zip(images, masks, located, strict=True)
    ):
        context = ImageContext(image, mask, *scales[number])
        known = found.fit, found.calibration, tile_size
        # Without a calibration, no column exceeds the noise: the score is 0.
        seen = found.calibration is not None
        scores.append(score_image(number, context, *known) if seen else 0.0)
    return float(np.mean(scores))


def calibrate_on(estimator, network, images, labels):
    """Fit the coefficients of the confidence to labelled images.

    Parameters
    ----------
    estimator : UNetAtomLocator
        Holds the parameters.
    network : UNet
        The network.
    images : list of ndarray of shape (n_rows, n_cols)
        The images.
    labels : list of Labels
        Their columns.

    Returns
    -------
    coefficients : tuple of float
        For `confidences`.
    """
    parts = []
    for image, true in zip(images, labels, strict=True):
        spacing = true.spacing() if estimator.spacing is None else estimator.spacing
        if np.isfinite(spacing):
            found = find_in_image(
                image,
                network,
                spacing,
                estimator.threshold,
                estimator.tile_size,
                estimator.n_views,
            )
            parts.append(
                (found[1], _is_right(*found, true, TOLERANCE_SPACINGS * spacing))
            )
    if not parts:
        raise ValueError("The labels contain no columns to calibrate on.")
    evidence, is_right = (np.concatenate(part) for part in zip(*parts, strict=True))
    return calibrate(evidence, is_right)


def _is_right(positions, evidence, true, tolerance):
    partner = pair(positions, true.positions, tolerance)
    is_right = partner >= 0
    found = evidence[is_right].argmax(axis=1)
    is_right[is_right] = true.sublattice[partner[is_right]] == found
    return is_right
