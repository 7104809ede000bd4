"""Positions on an image: pixels, sub-pixel maxima, distances from the border."""

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates


def vertex(surface, row, col):
    """Compute sub-pixel maxima of a surface by parabolas along the axes."""
    middle = surface[row, col]
    last_row, last_col = np.array(surface.shape) - 1
    above, below = np.maximum(row - 1, 0), np.minimum(row + 1, last_row)
    left, right = np.maximum(col - 1, 0), np.minimum(col + 1, last_col)
    vertices = []
    for place, low, high in (
        (row, surface[above, col], surface[below, col]),
        (col, surface[row, left], surface[row, right]),
    ):
        curvature = low - 2 * middle + high
        shift = np.where(
            curvature < 0, (low - high) / (2 * np.minimum(curvature, -1e-30)), 0
        )
        # At half a pixel, rounding errors would decide the nearest pixel.
        vertices.append(place + np.clip(shift, -0.49, 0.49))
    return np.stack(vertices, axis=1)


def on_image(positions, shape, margin=0.0):
    """Check which positions lie on the area of the pixels, by a margin."""
    first, last = margin - 0.5, np.array(shape) - 0.5 - margin
    return ((positions >= first) & (positions <= last)).all(axis=1)


def at_pixels(image, positions):
    """Return the pixels nearest to positions, those of the border off the image.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    positions : ndarray of shape (n, 2)
        Where.

    Returns
    -------
    values : ndarray of shape (n,)
        The pixels.
    """
    nearest = np.clip(np.rint(positions).astype(int), 0, np.array(image.shape) - 1)
    return image[nearest[:, 0], nearest[:, 1]]


def clear_of_border(positions, shape, mask, margin):
    """Check which positions are a margin away from the border and from bad pixels.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Where, px.
    shape : tuple of int
        Shape of the image.
    mask : ndarray of bool of that shape or None
        Good pixels; None if all are good.
    margin : float
        Distance from the border of the image and from bad pixels, px.

    Returns
    -------
    clear : ndarray of bool of shape (n,)
        Which ones.
    """
    clear = on_image(positions, shape, margin)
    if mask is not None:
        # Distances are to the centres of pixels, the margin is to their edges.
        distance = distance_transform_edt(mask)
        distance = map_coordinates(distance, positions.T, order=1, mode="nearest")
        clear &= distance - 0.5 >= margin
    return clear


class GoodArea:
    """The area of the good pixels of an image."""

    def __init__(self, shape, mask):
        self.shape = np.array(shape)
        self.inside = self.outside = None
        if mask is not None:
            self.inside = distance_transform_edt(mask)
            self.outside = distance_transform_edt(~mask)

    def depth(self, places):
        """Return the distances of places from the border, negative outside, px."""
        beyond = np.abs(places - (self.shape - 1) / 2) - self.shape / 2
        depth = -beyond.max(axis=1)
        off_image = np.hypot(*np.maximum(beyond, 0).T)
        if self.inside is not None:
            inside, outside = (
                map_coordinates(distance, places.T, order=1, mode="nearest") - 0.5
                for distance in (self.inside, self.outside)
            )
            depth = np.minimum(depth, np.where(inside > outside, inside, -outside))
            off_image = np.hypot(off_image, np.maximum(outside, 0))
        return np.where(depth > 0, depth, -off_image)
