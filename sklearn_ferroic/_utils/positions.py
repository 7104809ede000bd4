"""Checks of positions against their images."""

import numpy as np


def check_on_image(positions, image):
    """Check that positions lie on an image.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Positions ``(row, col)``, px.
    image : ndarray of shape (n_rows, n_cols)
        The image.
    """
    on_image = _is_on(positions, image.shape)
    if not on_image.all():
        row, col = positions[~on_image][0]
        hint = " Positions are counted in pixels of this image, after cropping."
        if _is_on(positions[:, ::-1], image.shape).all():
            hint = (
                " Positions are (row, col), that is (y, x): these seem to be (x, y). "
                "Pass positions[:, ::-1]."
            )
        raise ValueError(
            f"{np.count_nonzero(~on_image)} of {len(positions)} positions are off the "
            f"image of {image.shape[0]} x {image.shape[1]} px, such as row {row:.1f}, "
            f"col {col:.1f}.{hint}"
        )


def refuse_swapped(positions, frame, images):
    """Raise ValueError for positions that are on their image only as ``(x, y)``.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Positions ``(row, col)``, px.
    frame : ndarray of int of shape (n,)
        Index of the image of each.
    images : list of ndarray of shape (n_rows, n_cols)
        The images.
    """
    for number, image in enumerate(images):
        own = positions[frame == number]
        if len(own) and _is_on(own[:, ::-1], image.shape).all():
            check_on_image(own, image)


def _is_on(positions, shape):
    """Return which positions are on the pixels of an image."""
    last = np.array(shape) - 0.5
    return ((positions >= -0.5) & (positions <= last)).all(axis=1)
