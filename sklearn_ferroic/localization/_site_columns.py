"""From fitted columns to what AtomSites holds of them."""

from typing import NamedTuple

import numpy as np

from ._columns import AMPLITUDE, BACKGROUND, COL, ROW, SIGMA, ColumnFit
from ._ideal_lattice import lattice_positions
from ._local_lattice import lattice_vectors
from ._neighbors import Nearest, cage_displacement, sublattice_members
from ._sublattices import assign_sublattices


class LabeledFit(NamedTuple):
    """Columns of one image and their sublattices.

    Parameters
    ----------
    fit : ColumnFit
        The columns.
    sublattice : ndarray of int of shape (n,)
        Labels, 0 = brightest.
    nearest : Nearest or None
        Who stands near whom; None for fewer than two columns.
    """

    fit: ColumnFit
    sublattice: np.ndarray
    nearest: Nearest | None


def label_columns(fit, spacing, n_sublattices):
    """Label the columns of one image by sublattice.

    Parameters
    ----------
    fit : ColumnFit
        The columns.
    spacing : float
        Nearest-neighbour spacing, px.
    n_sublattices : int or "auto"
        How many to look for.

    Returns
    -------
    labeled : LabeledFit
        The columns with their labels.
    """
    nearest = nearest_columns(fit)
    sublattice = assign_sublattices(
        fit.positions, fit.table[:, AMPLITUDE], spacing, n_sublattices, nearest
    )
    return LabeledFit(fit, sublattice, nearest)


def nearest_columns(fit):
    """Look up who stands near whom; None for fewer than two columns."""
    return Nearest(fit.positions) if len(fit.table) > 1 else None


def relative_brightness(labeled, n_sublattices):
    """Compute how bright sublattices are, relative to the brightest one.

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
    for row, (fit, label, _) in zip(level, labeled, strict=True):
        for number in np.unique(label):
            row[number] = np.median(fit.table[label == number, AMPLITUDE])
    known = level[level[:, 0] > 0]
    if len(known) < 2:
        return (known / known[:, :1]).ravel() if len(known) else level[0] * np.nan
    return np.nanmedian(known / known[:, :1], axis=0)


def site_columns(labeled, spacing):
    """Compute all that AtomSites holds of one image's columns.

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
    fit, sublattice, nearest = labeled
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
