"""Convert fitted columns to the arrays of AtomSites."""

from typing import NamedTuple

import numpy as np

from .._lattice.local_lattice import lattice_vectors
from .._lattice.neighbors import Nearest, cage_displacement, sublattice_members
from .._lattice.reference_lattice import lattice_positions
from .._lattice.sublattices import label_sublattices
from ._fitting.columns import AMPLITUDE, BACKGROUND, COL, ROW, SIGMA, ColumnFit


class LabeledFit(NamedTuple):
    """Columns of one image and their sublattices.

    Parameters
    ----------
    fit : ColumnFit
        The columns.
    sublattice : ndarray of int of shape (n,)
        Labels, 0 = brightest.
    nearest : Nearest or None
        Neighbours of the columns; None for fewer than two columns.
    label_doubtful : ndarray of bool of shape (n,) or None
        Whether brightness and alternation do not support a label, or contradict each
        other; None if labels were not checked.
    equivalent : bool
        Whether sublattices 0 and 1 are equally bright within the errors.
    """

    fit: ColumnFit
    sublattice: np.ndarray
    nearest: Nearest | None
    label_doubtful: np.ndarray | None = None
    equivalent: bool = False


def label_columns(fit, spacing, n_sublattices):
    """Label the columns of one image by sublattice.

    Parameters
    ----------
    fit : ColumnFit
        The columns.
    spacing : float
        Nearest-neighbour spacing, px.
    n_sublattices : int or "auto"
        Number of sublattices; "auto" decides between one and two.

    Returns
    -------
    labeled : LabeledFit
        The columns with their labels.
    """
    nearest = nearest_columns(fit)
    labels = label_sublattices(
        fit.positions, fit.table[:, AMPLITUDE], spacing, n_sublattices, nearest
    )
    return LabeledFit(
        fit, labels.sublattice, nearest, labels.doubtful, labels.equivalent
    )


def nearest_columns(fit):
    """Return the neighbours of columns; None for fewer than two columns."""
    return Nearest(fit.positions) if len(fit.table) > 1 else None


def relative_brightness(labeled, n_sublattices):
    """Compute the brightness of sublattices relative to the brightest one.

    Parameters
    ----------
    labeled : list of LabeledFit
        Columns of each image.
    n_sublattices : int
        Number of sublattices.

    Returns
    -------
    brightness : ndarray of shape (n_sublattices,)
        Median over the images that show a sublattice.
    """
    # Image by image: exposures differ.
    level = np.full((len(labeled), n_sublattices), np.nan)
    for row, part in zip(level, labeled, strict=True):
        for number in np.unique(part.sublattice):
            own = part.sublattice == number
            row[number] = np.median(part.fit.table[own, AMPLITUDE])
    known = level[level[:, 0] > 0]
    if len(known) < 2:
        return (known / known[:, :1]).ravel() if len(known) else level[0] * np.nan
    return np.nanmedian(known / known[:, :1], axis=0)


def site_columns(labeled, spacing):
    """Compute the arrays of AtomSites for one image's columns.

    Parameters
    ----------
    labeled : LabeledFit
        The columns.
    spacing : float
        Nearest-neighbour spacing, px.

    Returns
    -------
    columns : dict of ndarray
        Arguments of AtomSites by name.
    """
    fit, sublattice, nearest = labeled.fit, labeled.sublattice, labeled.nearest
    positions = fit.positions
    members = sublattice_members(positions, sublattice, nearest)
    unknown = np.full((len(positions), 2), np.nan)
    ellipticity, ellipse_rotation = (unknown if fit.ellipse is None else fit.ellipse).T
    return {
        "positions": positions,
        "sublattice": sublattice,
        "amplitude": fit.table[:, AMPLITUDE],
        "sigma": fit.table[:, SIGMA],
        "background": fit.table[:, BACKGROUND],
        "position_std": fit.std[:, ROW : COL + 1],
        "converged": fit.converged,
        "polarization": cage_displacement(positions, sublattice, spacing, members),
        "lattice_position": lattice_positions(positions, sublattice, members),
        "lattice_vectors": lattice_vectors(positions, sublattice, members, nearest),
        "ellipticity": ellipticity,
        "ellipse_rotation": ellipse_rotation,
    }
