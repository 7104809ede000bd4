"""Coordinates of the samples of a splitter."""

import warnings
from numbers import Real

import numpy as np
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.validation import _num_samples

from .._utils.validation import Interval
from ..sites import AtomSites

# What the splitters' constructors have in common.
CONSTRAINTS = {
    "block_size": [Interval(Real, 0, np.inf, closed="right"), None],
    "guard": [Interval(Real, 0, None, closed="left")],
    "coordinates": ["array-like", None],
    "frame": ["array-like", None],
    "random_state": ["random_state"],
}


def find_coordinates(splitter, X, groups):
    """Return the coordinates of the samples from the splitter or else from `X`.

    Parameters
    ----------
    splitter : object
        With the attributes `coordinates` and `frame`.
    X : AtomSites or array-like
        The samples.
    groups : object
        Ignored, with a warning unless None.

    Returns
    -------
    positions : ndarray of shape (n_sites, 2)
        Coordinates, px.
    frame : ndarray of int of shape (n_sites,)
        Image of each sample, 0 … n_images − 1.

    Raises
    ------
    TypeError
        If neither knows coordinates.
    ValueError
        If there are no samples, or coordinates and samples differ in number.
    """
    name = type(splitter).__name__
    if groups is not None:
        warnings.warn(f"The groups parameter is ignored by {name}", stacklevel=3)
    positions, frame = splitter.coordinates, splitter.frame
    if isinstance(X, AtomSites):
        positions = X.positions if positions is None else positions
        frame = X.frame if frame is None else frame
    elif positions is None:
        raise TypeError(
            f"{name} takes AtomSites, which know their coordinates, got "
            f"{type(X).__name__}. For other samples give the constructor "
            "coordinates=, one (row, col) a row of X, and frame= if they are of "
            "several images; for images, put an AtomLocator before the search."
        )
    if len(positions) == 0:
        raise ValueError(f"{name} found no sites (0 samples): nothing to split.")
    positions = check_array(positions, dtype=np.float64, input_name="coordinates")
    if positions.shape[1] != 2:
        raise ValueError(
            "coordinates must be (row, col) pairs of shape (n_sites, 2), got shape "
            f"{positions.shape}."
        )
    frame = np.zeros(len(positions)) if frame is None else column_or_1d(frame)
    n_samples = _num_samples(X)
    if not len(frame) == len(positions) == n_samples:
        raise ValueError(
            "X, coordinates and frame must have one row a sample each, got "
            f"{n_samples}, {len(positions)} and {len(frame)} rows."
        )
    return positions, np.unique(frame, return_inverse=True)[1].ravel()
