"""From fitted columns to what AtomSites holds of them."""

import numpy as np

from ._columns import AMPLITUDE, BACKGROUND, COL, ROW, SIGMA
from ._ideal_lattice import lattice_positions
from ._local_lattice import lattice_vectors
from ._neighbors import cage_displacement, sublattice_members
from ._sublattices import assign_sublattices


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
    sublattice : ndarray of int of shape (n,)
        Labels, 0 = brightest.
    """
    return assign_sublattices(
        fit.table[:, ROW : COL + 1], fit.table[:, AMPLITUDE], spacing, n_sublattices
    )


def relative_brightness(fits, labels, n_sublattices):
    """Compute how bright sublattices are, relative to the brightest one.

    Parameters
    ----------
    fits : list of ColumnFit
        Columns of each image.
    labels : list of ndarray of int
        Their sublattices.
    n_sublattices : int
        Number of sublattices.

    Returns
    -------
    brightness : ndarray of shape (n_sublattices,)
        Median over the images that show a sublattice.
    """
    # Image by image: exposures differ.
    level = np.full((len(fits), n_sublattices), np.nan)
    for row, fit, label in zip(level, fits, labels, strict=True):
        for number in np.unique(label):
            row[number] = np.median(fit.table[label == number, AMPLITUDE])
    known = level[level[:, 0] > 0]
    if len(known) < 2:
        return (known / known[:, :1]).ravel() if len(known) else level[0] * np.nan
    return np.nanmedian(known / known[:, :1], axis=0)


def site_columns(fit, sublattice, spacing):
    """Compute all that AtomSites holds of one image's columns.

    Parameters
    ----------
    fit : ColumnFit
        The columns.
    sublattice : ndarray of int of shape (n,)
        Their sublattices.
    spacing : float
        Nearest-neighbour spacing, px.

    Returns
    -------
    columns : dict of ndarray
        Arguments of AtomSites by name.
    """
    positions = fit.table[:, ROW : COL + 1]
    members = sublattice_members(positions, sublattice)
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
        "lattice_vectors": lattice_vectors(positions, sublattice, members),
        "ellipticity": ellipticity,
        "ellipse_rotation": ellipse_rotation,
    }
