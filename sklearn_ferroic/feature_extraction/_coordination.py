"""Coordination shells of sites: displacements, their errors and reasons for NaN."""

import warnings
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from .._lattice.motif_match import match_motifs, motif_shells
from .._lattice.neighbors import Shell, is_surrounded, shell_displacement
from ..sites import SiteFlag
from ._motif import Motif

SHELL_FLAGS = np.uint16(SiteFlag.SHELL_MISSING | SiteFlag.SHELL_DISTORTED)
# A displacement needs a shell that surrounds the site, of at least this many.
_MIN_SURROUNDING_COLUMNS = 3
# A warning is issued if less than this share of the sites is assigned. Images with few
# sites are not reported: they may be a slice.
_MIN_ASSIGNED_SHARE = 0.75
MIN_REPORTED_SITES = 30


class SiteShells(NamedTuple):
    """Displacements of sites in their coordination shells.

    Parameters
    ----------
    displacement : ndarray of shape (n_sites, 2)
        Site minus centroid, px; NaN where the shell is incomplete.
    shell_variance : ndarray of shape (n_sites, 2)
        Variance of the centroid by those of the neighbours, px².
    flags : ndarray of uint16 of shape (n_sites,)
        SHELL_MISSING, SHELL_DISTORTED and UNASSIGNED.
    """

    displacement: np.ndarray
    shell_variance: np.ndarray
    flags: np.ndarray


class ImageMatch(NamedTuple):
    """Assignment of the sites of one image to a motif.

    Parameters
    ----------
    rows : ndarray of int of shape (n,)
        Sites of the image.
    match : MotifMatch
        Their columns of the motif.
    """

    rows: np.ndarray
    match: object


def as_motifs(motif):
    """Return a list of motifs from one or several, themselves or names of presets."""
    several = motif if isinstance(motif, list) else [motif]
    if not several or not all(isinstance(item, str | Motif) for item in several):
        raise TypeError(
            f"A list of motifs must contain Motif or names of presets, got {motif!r}."
        )
    return [
        item if isinstance(item, Motif) else Motif.from_preset(item) for item in several
    ]


def brightness_of(sites):
    """Return values that increase with the brightness of sites, or None.

    The fitted amplitudes, or the sublattices, 0 being the brightest, of sites that have
    no amplitudes.
    """
    if np.isfinite(sites.amplitude).any():
        return sites.amplitude
    if np.ptp(sites.sublattice) == 0:
        return None
    return 2.0 ** -sites.sublattice.astype(float)


def match_sites(sites, motifs, mirror=True):
    """Assign the sites of each image to the columns of motifs.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        All sites of the images.
    motifs : list of Motif
        The motifs.
    mirror : bool, default=True
        Whether the motif may be mirrored.

    Returns
    -------
    matches : list of ImageMatch
        One for each image with sites. A warning is issued if few sites are assigned or
        species might be exchanged.
    """
    geometries = [motif.geometry() for motif in motifs]
    matches = []
    for frame in np.unique(sites.frame):
        rows = np.flatnonzero(sites.frame == frame)
        own = sites[rows]
        match = match_motifs(
            np.asarray(own.positions),
            geometries,
            brightness_of(own),
            sites.pixel_size[frame],
            mirror,
        )
        matches.append(ImageMatch(rows, match))
    _warn_of_doubt(" or ".join(repr(motif.name) for motif in motifs), matches)
    return matches


def _warn_of_doubt(names, matches):
    """Warn once of few assigned sites, and of assignments that might be exchanged."""
    large = [item for item in matches if len(item.rows) >= MIN_REPORTED_SITES]
    column = np.concatenate([item.match.column for item in large] or [np.zeros(1)])
    share = np.mean(column >= 0)
    if share < _MIN_ASSIGNED_SHARE:
        warnings.warn(
            f"Only {share:.0%} of the sites match the motif {names}. Check the "
            "zone axis, the pixel size, that the motif has those columns only that "
            "the image shows (Motif.select), and that faint columns between others "
            "were located: AtomLocator(spacing=) finds them.",
            UserWarning,
            stacklevel=5,
        )
    elif any(item.match.ambiguous for item in large):
        warnings.warn(
            f"The columns of the motif {names} cannot be distinguished by "
            "brightness and position: species may be exchanged. The choice is the "
            "same over each crystal.",
            UserWarning,
            stacklevel=5,
        )


def shells_of_motif(sites, motif, matches, weights=None, number=0):
    """Compute displacements in the shells of a motif.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        The sites.
    motif : Motif
        The motif.
    matches : list of ImageMatch
        Result of `match_sites`.
    weights : {None, "charge"}, default=None
        Weights of the neighbours in the centroid.
    number : int, default=0
        Number of the motif; sites of others are unassigned here.

    Returns
    -------
    shells : SiteShells
        The displacements.
    table : dict of int to Shell
        Shell of each column of the motif; its partner is the species label of the
        nearest neighbour.
    """
    geometry = motif.geometry()
    shells = geometry.shell(motif.partner_mask())
    charge = _charges(motif) if weights == "charge" else np.ones(len(motif))
    n = len(sites)
    result = SiteShells(
        np.full((n, 2), np.nan), np.full((n, 2), np.nan), np.zeros(n, dtype=np.uint16)
    )
    distances = {number: [] for number in range(len(motif))}
    counts = np.zeros((len(motif), 2))
    for rows, whole in matches:
        match = whole.of_motif(number)
        positions = np.asarray(sites.positions[rows])
        neighbors, size = motif_shells(positions, match, geometry, shells)
        present = neighbors >= 0
        missing = (present.sum(axis=1) < size) | (size == 0)
        arms = positions[neighbors] - positions[:, None]
        # Absent places repeat the first neighbour, which changes no sector.
        filled = np.where(present[..., None], arms, arms[:, :1])
        distorted = (
            ~missing & (size >= _MIN_SURROUNDING_COLUMNS) & ~is_surrounded(filled)
        )
        complete = ~missing & ~distorted
        weight = np.where(present, charge[match.column[neighbors]], 0)
        weight /= np.where(complete, weight.sum(axis=1), 1)[:, None]
        centroid = np.einsum("nk,nkc->nc", weight, arms)
        variance = np.asarray(sites.position_std[rows]) ** 2
        spread = np.where(present[..., None], variance[neighbors], 0)
        spread = np.einsum("nk,nkc->nc", weight**2, spread)
        result.displacement[rows[complete]] = -centroid[complete]
        result.shell_variance[rows[complete]] = spread[complete]
        assigned = match.column >= 0
        flags = np.where(assigned & missing, int(SiteFlag.SHELL_MISSING), 0)
        flags |= np.where(distorted, int(SiteFlag.SHELL_DISTORTED), 0)
        flags |= np.where(assigned, 0, int(SiteFlag.UNASSIGNED))
        result.flags[rows] = flags
        length = np.linalg.norm(arms, axis=2)
        mean = np.where(present, length, 0).sum(axis=1) / np.maximum(size, 1)
        for column in range(len(motif)):
            own = match.column == column
            distances[column].extend(mean[own & complete].tolist())
            counts[column] += np.count_nonzero(own & complete), np.count_nonzero(own)
    table = {}
    for column, (target, _, _) in enumerate(shells):
        if len(target) and counts[column, 1]:
            typical = np.median(distances[column]) if distances[column] else np.nan
            table[column] = Shell(
                len(target),
                int(motif.species_labels[target[0]]),
                float(typical),
                float(counts[column, 0] / counts[column, 1]),
            )
    return result, table


def _charges(motif):
    """Return the charges of the columns, all known and of one sign in each shell."""
    charges = [column.charge for column in motif.columns]
    if None in charges or not all(charges):
        raise ValueError(
            f'shell_weights="charge" needs the charge of each column, and the motif '
            f"{motif.name!r} lacks some. Pass MotifColumn(..., charge=...)."
        )
    return np.abs(np.array(charges, dtype=float))


def shells_of_sublattices(sites, size):
    """Compute displacements in shells of the other sublattice.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        All sites of the images.
    size : int or "auto"
        Number of neighbours.

    Returns
    -------
    shells : SiteShells
        The displacements.
    table : dict of int to Shell
        Shell of each sublattice, of the image with most sites.
    """
    n = len(sites)
    result = SiteShells(
        np.full((n, 2), np.nan),
        np.full((n, 2), np.nan),
        np.full(n, SiteFlag.SHELL_MISSING, dtype=np.uint16),
    )
    table, n_most = {}, 0
    for frame in np.unique(sites.frame):
        rows = np.flatnonzero(sites.frame == frame)
        if len(rows) < 2:
            continue
        positions = np.asarray(sites.positions[rows])
        nearest = cKDTree(positions).query(positions, k=2)[0][:, 1]
        found = shell_displacement(
            positions, sites.sublattice[rows], float(np.median(nearest)), size
        )
        result.displacement[rows] = found.displacement
        flags = np.where(found.missing, int(SiteFlag.SHELL_MISSING), 0)
        result.flags[rows] = np.where(
            found.distorted, int(SiteFlag.SHELL_DISTORTED), flags
        )
        present = found.neighbors >= 0
        variance = np.asarray(sites.position_std[rows]) ** 2
        spread = np.where(present[..., None], variance[found.neighbors], 0)
        count = np.maximum(present.sum(axis=1), 1)[:, None]
        spread = spread.sum(axis=1) / count**2
        result.shell_variance[rows] = np.where(present[:, :1], spread, np.nan)
        if len(rows) > n_most:
            table, n_most = found.shells, len(rows)
    return result, table
