"""Labels of training images: columns or masks, checked."""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import label as connected_regions
from scipy.spatial import cKDTree

from ..._utils.validation import refuse_mask
from ...sites import AtomSites
from .network import CLASSES, N_CLASSES
from .network_image import from_net, net_length, to_net

# A column of the classes A and B is a disc of this radius, px of the network.
RADIUS_PX = 2.1
# Neighbours up to this multiple of the nearest one's distance are of its shell.
_SHELL_RATIO = 1.35
_EXPECTED = (
    "Pass, for each image, AtomSites, an object with `positions` and `sublattice`, a "
    "tuple (positions, sublattice), or a mask of the image's shape with 0 for the "
    "background, 1 for A and 2 for B columns"
)


class Labels(NamedTuple):
    """The true columns of an image.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns, px; of a mask, the centroids of its regions.
    sublattice : ndarray of int of shape (n,)
        0 for A, 1 for B.
    mask : ndarray of int of shape (n_rows, n_cols) or None
        Classes of the pixels, where the user gave them.
    """

    positions: np.ndarray
    sublattice: np.ndarray
    mask: np.ndarray | None = None

    def spacing(self):
        """Return the typical distance of neighbours, px; NaN if there are none."""
        if len(self.positions) < 2:
            return np.nan
        n_near = min(len(self.positions), 5)
        distance = cKDTree(self.positions).query(self.positions, n_near)[0][:, 1:]
        # Displaced columns have near and far neighbours: all of the first shell count.
        nearest = np.median(distance[:, 0])
        return float(np.median(distance[distance < _SHELL_RATIO * nearest]))

    def classes(self, shape, factor):
        """Render the classes at the scale of the network.

        Parameters
        ----------
        shape : tuple of int
            Shape of the image.
        factor : float
            Side of a pixel of the network, px.

        Returns
        -------
        classes : ndarray of uint8 of shape (n_net_rows, n_net_cols)
            0, 1 or 2 as in `CLASSES`.
        """
        net_shape = [net_length(length, factor) for length in shape]
        if self.mask is not None:
            rows, cols = (
                np.clip(np.rint(from_net(np.arange(n), factor)), 0, length - 1)
                for n, length in zip(net_shape, shape, strict=True)
            )
            return self.mask[np.ix_(rows.astype(int), cols.astype(int))].astype(
                np.uint8
            )
        return _paint(to_net(self.positions, factor), self.sublattice, net_shape)


def check_labels(y, images):
    """Check the labels of images.

    Parameters
    ----------
    y : AtomSites, object with `positions` and `sublattice`, array-like, or list
        See `UNetAtomLocator.fit`.
    images : list of ndarray of shape (n_rows, n_cols)
        The images.

    Returns
    -------
    labels : list of Labels
        One an image.

    Raises
    ------
    TypeError, ValueError
        If they are missing, do not fit the images or have other classes.
    """
    if y is None:
        raise ValueError(
            "The training images have no labels: y is None. " + _EXPECTED + ". To "
            "locate without training, take UNetAtomLocator(weights='pretrained')."
        )
    entries = _split(y, len(images))
    if len(entries) != len(images):
        raise ValueError(
            f"y contains labels of {len(entries)} image(s), X contains {len(images)} "
            f"image(s). {_EXPECTED}."
        )
    return [
        _check(entry, image.shape, number)
        for number, (entry, image) in enumerate(zip(entries, images, strict=True))
    ]


def _split(y, n_images):
    if isinstance(y, AtomSites):
        if len(y.images) != n_images:
            raise ValueError(
                f"y contains sites of {len(y.images)} image(s), X contains {n_images}."
            )
        return [y[y.frame == number] for number in range(n_images)]
    if _has_columns(y) or _is_pair(y):
        return [y]
    if isinstance(y, np.ndarray) and y.ndim == 2:
        return [y]
    try:
        return list(y)
    except TypeError:
        raise TypeError(f"y is of type {type(y).__name__}. {_EXPECTED}.") from None


def _has_columns(entry):
    return hasattr(entry, "positions") and hasattr(entry, "sublattice")


def _is_pair(entry):
    return isinstance(entry, tuple) and len(entry) == 2 and np.ndim(entry[1]) == 1


def _check(entry, shape, number):
    if _has_columns(entry):
        entry = entry.positions, entry.sublattice
    if _is_pair(entry):
        return _check_columns(*entry, shape, number)
    return _check_mask(entry, shape, number)


def _check_columns(positions, sublattice, shape, number):
    refuse_mask(positions, "positions")
    refuse_mask(sublattice, "sublattice")
    positions = np.asarray(positions, dtype=np.float64)
    if positions.size == 0:
        positions = positions.reshape(0, 2)
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise ValueError(
            f"The positions of image {number} must be (row, col) pairs of shape "
            f"(n, 2), got shape {positions.shape}."
        )
    sublattice = np.asarray(sublattice)
    if sublattice.shape != (len(positions),):
        raise ValueError(
            f"The labels of image {number} have {len(positions)} positions and "
            f"a sublattice of shape {sublattice.shape}."
        )
    if not np.isfinite(positions).all():
        raise ValueError(f"The positions of image {number} have NaN or infinity.")
    if not np.isin(sublattice, (0, 1)).all():
        raise ValueError(
            f"The sublattices of image {number} are {_different(sublattice)}, "
            "expected 0 for A and 1 for B columns."
        )
    near = np.all((positions >= -0.5) & (positions <= np.array(shape) - 0.5), axis=1)
    if len(near) and not near.any():
        raise ValueError(
            f"No labelled column of image {number} lies on its {shape} pixels: are "
            "positions (row, col) in px, and images and labels in the same order?"
        )
    return Labels(positions[near], sublattice[near].astype(np.intp))


def _different(sublattice):
    """Return the different values, some of which may not be comparable."""
    return sorted(set(sublattice.tolist()), key=str)


def _check_mask(entry, shape, number):
    refuse_mask(entry, "mask")
    try:
        mask = np.asarray(entry)
    except ValueError:
        mask = np.empty(0, dtype=object)
    if mask.dtype.kind not in "buif":
        raise TypeError(
            f"The labels of image {number} are of type {type(entry).__name__}. "
            f"{_EXPECTED}."
        )
    if mask.shape != tuple(shape):
        raise ValueError(
            f"The mask of image {number} has shape {mask.shape}, the image {shape}. "
            f"{_EXPECTED}."
        )
    found = np.unique(mask)
    if not np.isin(found, np.arange(N_CLASSES)).all():
        names = ", ".join(f"{value} {name}" for value, name in enumerate(CLASSES))
        raise ValueError(
            f"The mask of image {number} has the classes {found[:6].tolist()}, "
            f"expected no others than {names}."
        )
    mask = mask.astype(np.uint8)
    return Labels(*_centroids(mask), mask)


def _centroids(mask):
    """Return centroid and sublattice of every region of a mask."""
    positions, sublattice = [np.empty((0, 2))], [np.empty(0, dtype=np.intp)]
    for kind in range(1, N_CLASSES):
        regions, n_regions = connected_regions(mask == kind)
        row, col = np.nonzero(regions)
        own = regions[row, col] - 1
        sums = [np.bincount(own, weight, n_regions) for weight in (row, col)]
        positions.append(np.stack(sums, axis=1) / np.bincount(own)[:n_regions, None])
        sublattice.append(np.full(n_regions, kind - 1))
    return np.concatenate(positions), np.concatenate(sublattice)


def _paint(positions, sublattice, shape):
    """Render a disc for each column; where two overlap, that of the nearer column."""
    if not len(positions):
        return np.zeros(shape, dtype=np.uint8)
    pixel = np.indices(shape).reshape(2, -1).T
    _, nearest = cKDTree(positions).query(pixel, distance_upper_bound=RADIUS_PX)
    # Where no column is near, the index is the number of columns.
    kinds = np.append(sublattice + 1, 0).astype(np.uint8)
    return kinds[nearest].reshape(shape)
