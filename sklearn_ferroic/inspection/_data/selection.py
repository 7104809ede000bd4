"""Selection of the sites of one image, and checks of per-site values."""

import numpy as np

from ..._utils.validation import as_labels, refuse_mask
from ...sites import AtomSites


def select_frame(sites, frame):
    """Return the image to draw and its sites.

    Parameters
    ----------
    sites : AtomSites
        Sites of one or several images.
    frame : int or None
        Index of the image; None selects the only one that has sites.

    Returns
    -------
    frame : int
        Index of the image.
    rows : ndarray of shape (n_shown,)
        Indices of the sites on it.
    """
    if not isinstance(sites, AtomSites):
        raise TypeError(
            f"sites must be AtomSites, got {type(sites).__name__}. "
            "AtomLocator().fit_transform(image) makes them from an image."
        )
    occupied = np.unique(sites.frame)
    if frame is None:
        if len(occupied) == 0:
            raise ValueError("There are no sites to draw.")
        if len(occupied) > 1:
            raise ValueError(
                f"The sites lie on {len(occupied)} images and a picture shows one. "
                f"Choose it by frame=, one of {occupied.tolist()}."
            )
        frame = int(occupied[0])
    if frame not in occupied:
        raise ValueError(
            f"frame={frame!r} has no sites; the sites lie on the images "
            f"{occupied.tolist()}."
        )
    return frame, np.flatnonzero(sites.frame == frame)


def check_per_site(name, values, n_sites, trailing=()):
    """Check that there is one value per site.

    Parameters
    ----------
    name : str
        Name of the values for the error.
    values : array-like
        The values.
    n_sites : int
        Number of sites.
    trailing : tuple of int, default=()
        Shape of one value.

    Returns
    -------
    values : ndarray of shape (n_sites, *trailing)
        The values.
    """
    refuse_mask(values, name)
    values = np.asarray(values)
    shape = (n_sites, *trailing)
    if values.shape != shape:
        raise ValueError(
            f"{name} must have one value per site, shape {shape} for these {n_sites} "
            f"sites, got shape {values.shape}."
        )
    return values


def check_labels_per_site(labels, n_sites):
    """Check that there is one label per site.

    Parameters
    ----------
    labels : array-like
        Numbers or strings.
    n_sites : int
        Number of sites.

    Returns
    -------
    labels : ndarray of shape (n_sites,)
        The labels, -1 where they are missing; without label are also empty strings.
    """
    labels, is_missing = as_labels(labels)
    labels = check_per_site("labels", labels, n_sites)
    is_text = [isinstance(one, str) for one in labels[~is_missing].tolist()]
    if any(is_text) and not all(is_text):
        raise ValueError(
            "labels must be all numbers or all strings, got values of several types."
        )
    if not is_missing.any():
        return labels
    if any(is_text):
        return np.where(is_missing, "", labels).astype(str)
    return np.array(np.where(is_missing, -1, labels).tolist())
