"""Assembly of AtomSites from the fitted columns of images."""

from typing import NamedTuple

import numpy as np

from .._image.pixels import clear_of_border
from .._lattice.local_lattice import lattice_vectors
from .._lattice.neighbors import Nearest, cage_displacement, sublattice_members
from .._lattice.reference_lattice import lattice_positions
from .._lattice.sublattices import label_sublattices
from ..sites import AtomSites, SiteFlag
from ..sites._quality.checks import check_image
from ..sites._quality.residual import Columns
from ._checks import no_such_sublattice
from ._detection.pair_fit import label_pairs
from ._fitting.columns import ColumnFit
from ._quality_warning import (
    describe_implausible_sites,
    warn_of_coarse_sampling,
    warn_of_doubtful_sites,
    warn_of_implausible_pixel_size,
    warn_of_long_columns,
)

# Columns at least this many sigmas from the border are completely on the image.
_BORDER_SIGMA = 2
# Distances of fewer columns are not representative of the image.
_MIN_N_COLUMNS = 12
# Labels less probable than this are doubtful: one in five of them is wrong.
_MIN_PROBABILITY = 0.8


def assemble_sites(carried, labeled, scales, *, sublattice, border, probabilities=None):
    """Assemble AtomSites from the columns of images.

    Parameters
    ----------
    carried : tuple of (list, list, list)
        Images, masks and pixel sizes, as `check_images` returns them.
    labeled : list of LabeledFit
        Columns of each image, with their sublattices.
    scales : list of tuple of float
        Nearest-neighbour spacing and typical sigma of each image, px.
    sublattice : int, list of int or None
        Sublattices that are returned; None for all.
    border : {"keep", "drop"}
        Treatment of columns that the border cuts.
    probabilities : list of ndarray, default=None
        Probability that each column is one of its sublattice.

    Returns
    -------
    sites : AtomSites
        The columns, image by image.

    Raises
    ------
    ValueError
        If no image shows the sublattice.
    """
    images, masks, pixel_sizes = carried
    tables = [
        site_columns(part, spacing)
        for part, (spacing, _) in zip(labeled, scales, strict=True)
    ]
    columns = {
        name: np.concatenate([table[name] for table in tables]) for name in tables[0]
    }
    if probabilities is not None:
        columns["probability"] = np.concatenate(probabilities)
    sizes = [len(part.sublattice) for part in labeled]
    frame = np.repeat(np.arange(len(labeled)), sizes)
    columns["significance"] = np.concatenate([_significance(part) for part in labeled])
    sites = AtomSites(images, frame=frame, pixel_size=pixel_sizes, **columns)
    sites.flags = _flag_sites(sites, labeled, masks, scales)
    if sublattice is not None:
        chosen = np.isin(sites.sublattice, sublattice)
        if not chosen.any():
            raise no_such_sublattice(sublattice, 1 + sites.sublattice.max())
        sites = sites[chosen]
    if border == "drop":
        sites = sites[_is_whole(sites, masks, scales)]
    return sites


def _significance(labeled):
    """Compute the amplitudes over their standard errors; NaN without a fit."""
    amplitude, std = labeled.fit.amplitude, labeled.fit.std.amplitude
    known = np.isfinite(std) & (std > 0)
    return np.divide(amplitude, std, out=np.full(len(std), np.nan), where=known)


def _flag_sites(sites, labeled, masks, scales):
    """Check the sites of all images, and warn once of implausible ones."""
    doubtful = sites.probability < _MIN_PROBABILITY
    flags = np.where(doubtful, np.uint16(SiteFlag.LABEL_DOUBTFUL), np.uint16(0))
    flags[~_is_whole(sites, masks, scales)] |= np.uint16(SiteFlag.EDGE)
    checks, implausible, ratios, spacings = [], [], [], []
    for number, part in enumerate(labeled):
        own = np.flatnonzero(sites.frame == number)
        columns = Columns(
            sites.positions[own],
            sites.amplitude[own],
            sites.sigma[own],
            sites.ellipticity[own],
            sites.ellipse_rotation[own],
        )
        check = check_image(
            sites.images[number],
            columns,
            part.equivalents,
            sites.lattice_vectors[own],
            converged=sites.converged[own],
            significance=sites.significance[own],
            mask=masks[number],
            nearest=part.nearest,
            members=part.members if part.end is None else None,
        )
        flags[own] |= check.flags
        if part.label_doubtful is not None:
            flags[own[part.label_doubtful]] |= np.uint16(SiteFlag.LABEL_DOUBTFUL)
        if part.merged is not None:
            flags[own[part.merged]] |= np.uint16(SiteFlag.MERGED)
        checks.append(check)
        implausible.append(
            describe_implausible_sites(
                number,
                columns.positions,
                sites.converged[own],
                scales[number][0],
                in_pairs=part.end is not None,
            )
        )
        # Pairs that are not resolved are known.
        known = part.merged is not None
        ratios.append(1.0 if known else _common_ellipticity(columns.ellipticity))
        spacings.append(_typical_distance(part.nearest))
    by_network = np.isfinite(sites.probability).any()
    alternative = "AtomLocator" if by_network else "UNetAtomLocator"
    # Coarse sampling is the cause of columns that are missed or not fitted well.
    sigmas = [sigma for _, sigma in scales]
    if any(implausible) or not warn_of_coarse_sampling(spacings, sigmas):
        warn_of_doubtful_sites(checks, implausible, alternative)
    warn_of_long_columns(ratios)
    if not any(implausible):
        warn_of_implausible_pixel_size(spacings, sites.pixel_size)
    return flags


def _typical_distance(nearest):
    """Return the median distance of nearest columns, px; NaN for fewer than a dozen."""
    if nearest is None or len(nearest.positions) < _MIN_N_COLUMNS:
        return np.nan
    return nearest.typical_distance()


def _common_ellipticity(ellipticity):
    """Return the ratio of the axes that all columns have in common, else 1.

    Columns with ellipses of their own report their ratios individually.
    """
    if not len(ellipticity) or np.isnan(ellipticity).any() or np.ptp(ellipticity) > 0:
        return 1.0
    return float(ellipticity[0])


def _is_whole(sites, masks, scales):
    whole = np.empty(len(sites), dtype=bool)
    for number, (image, mask) in enumerate(zip(sites.images, masks, strict=True)):
        own = sites.frame == number
        sigma = scales[number][1]
        whole[own] = clear_of_border(
            sites.positions[own], image.shape, mask, _BORDER_SIGMA * sigma
        )
    return whole


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
    end : ndarray of int of shape (n,) or None
        Ends of close pairs, 0 or 1, which the lattice does not map onto each other;
        None if the columns are not pairs.
    merged : ndarray of bool of shape (n,) or None
        Columns that are pairs which were not resolved; None if there are no pairs.
    undivided : tuple of UndividedLevels
        Sublattices that may be several, but were not divided.
    members : dict of tuple or None
        Result of `sublattice_members` for the labels; None if it is not known.
    vectors : ndarray of shape (n, 2, 2) or None
        Result of `lattice_vectors` for the equivalents; None if it is not known.
    """

    fit: ColumnFit
    sublattice: np.ndarray
    nearest: Nearest | None
    label_doubtful: np.ndarray | None = None
    equivalent: bool = False
    end: np.ndarray | None = None
    merged: np.ndarray | None = None
    undivided: tuple = ()
    members: dict | None = None
    vectors: np.ndarray | None = None

    @property
    def equivalents(self):
        """Labels of columns that translations of the lattice map onto each other."""
        return self.sublattice if self.end is None else self.end


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
        fit.positions, fit.amplitude, spacing, n_sublattices, nearest
    )
    members = labels.members
    if members is None:
        members = sublattice_members(fit.positions, labels.sublattice, nearest)
    return LabeledFit(
        fit,
        labels.sublattice,
        nearest,
        labels.doubtful,
        labels.equivalent,
        undivided=labels.undivided,
        members=members,
        vectors=lattice_vectors(fit.positions, labels.sublattice, members, nearest),
    )


def label_pair_columns(pairs, spacing, n_sublattices):
    """Label the columns of an image of close pairs by sublattice.

    Parameters
    ----------
    pairs : PairFit
        The columns.
    spacing : float
        Distance between the middles of nearest pairs, px.
    n_sublattices : int or "auto"
        Number of sublattices, at most two.

    Returns
    -------
    labeled : LabeledFit
        The columns with their labels.
    """
    sublattice, end = label_pairs(pairs, spacing, n_sublattices)
    return LabeledFit(
        pairs.fit,
        sublattice,
        nearest_columns(pairs.fit),
        end=end,
        merged=pairs.merged,
    )


def nearest_columns(fit):
    """Return the neighbours of columns; None for fewer than two columns."""
    return Nearest(fit.positions) if len(fit) > 1 else None


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
            row[number] = np.median(part.fit.amplitude[own])
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
    members = labeled.members
    if members is None:
        members = sublattice_members(positions, sublattice, nearest)
    of_lattice, vectors = members, labeled.vectors
    if labeled.end is not None:
        of_lattice = sublattice_members(positions, labeled.end, nearest)
    equivalents = labeled.equivalents
    if vectors is None:
        vectors = lattice_vectors(positions, equivalents, of_lattice, nearest)
    unknown = np.full((len(positions), 2), np.nan)
    ellipticity, ellipse_rotation = (unknown if fit.ellipse is None else fit.ellipse).T
    return {
        "positions": positions,
        "sublattice": sublattice,
        "amplitude": fit.amplitude,
        "sigma": fit.table.sigma,
        "background": fit.table.background,
        "position_std": fit.std.positions,
        "converged": fit.converged,
        "polarization": cage_displacement(positions, sublattice, spacing, members),
        "lattice_position": lattice_positions(positions, equivalents, of_lattice),
        "lattice_vectors": vectors,
        "ellipticity": ellipticity,
        "ellipse_rotation": ellipse_rotation,
    }
