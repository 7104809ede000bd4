"""What passes between the localization benchmark and the tools."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Known:
    """What a tool may know of an image beforehand.

    Parameters
    ----------
    expected : ndarray
        The image without noise, from which thresholds are set.
    spacing : float
        Distance of nearest neighbours, px.
    basis : ndarray of shape (2, 2)
        Edges of the unit cell, one per row, (row, col) px.
    origin : ndarray of shape (2,)
        An A column near the middle of the image, px.
    ratio : float
        Peak of the B columns over that of the A columns; 0 if there are none.
    sigma : float
        Typical width, px.
    background : float
        Counts a pixel.
    """

    expected: np.ndarray
    spacing: float
    basis: np.ndarray
    origin: np.ndarray
    ratio: float
    sigma: float
    background: float


@dataclass(frozen=True)
class Located:
    """What a tool found, and the CPU seconds that it took.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        (row, col), px.
    seconds : float
        The whole job: find, fit, and what else the tool does for a user.
    fit_seconds : float or None
        Its part for the fitting alone; None where it cannot be told apart.
    position_std : ndarray of shape (n, 2) or None
        Standard errors, where the tool gives them.
    """

    positions: np.ndarray
    seconds: float
    fit_seconds: float | None = None
    position_std: np.ndarray | None = None
