"""Check whether the located columns can be those of a crystal."""

import numpy as np
from scipy.spatial import cKDTree

# Fewer sites show nothing about an image.
_MIN_SITES = 12
# Sites with no other within this many spacings are isolated; neighbours closer than
# that share of it are short pairs.
_FAR = 1.6
_SHORT = 0.6
# Largest shares in an image that may be right. Edges and amorphous matter have some.
_MAX_UNCONVERGED = 0.25
_MAX_SHORT = 0.1
_MAX_ISOLATED = 0.2
# Typical distance of neighbours over the spacing. Where one sublattice of a perovskite
# is missed, it is 1.41.
_RATIOS = (0.6, 1.3)
# Sites per area in the places where there are sites, of those of a square lattice.
# Dumbbells fill 0.18 and more, scattered sites less than 0.1.
_MIN_DENSITY = 0.12
_RADIUS_OF_DENSITY = 3.0
# Columns of smaller spacing, px, are barely sampled, and noise may look like them.
_FINE_PX = 5.0


def check_sites(positions, converged, spacing):
    """List what shows that sites are not the columns of a crystal.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Sites of one image, px.
    converged : ndarray of bool of shape (n,)
        Whether the fit of each can be trusted.
    spacing : float
        Nearest-neighbour spacing they were looked for with, px.

    Returns
    -------
    findings : list of str
        What is wrong, as clauses of a sentence; empty if nothing is.
    """
    n = len(positions)
    if n < _MIN_SITES:
        return []
    tree = cKDTree(positions)
    nearest = tree.query(positions, 2)[0][:, 1]
    unconverged = np.mean(~np.asarray(converged, dtype=bool))
    typical = np.median(nearest)
    # A spacing that is somewhat too large makes no pairs short.
    expected = np.clip(typical, _SHORT * spacing, spacing)
    short = np.mean(nearest < _SHORT * expected)
    isolated = np.mean(nearest > _FAR * spacing)
    radius = _RADIUS_OF_DENSITY * spacing
    around = tree.query_ball_point(positions, radius, return_length=True)
    density = np.median(around) / (np.pi * _RADIUS_OF_DENSITY**2)
    findings = []
    if unconverged > _MAX_UNCONVERGED:
        findings.append(f"{unconverged:.0%} of the fits did not converge")
    if isolated > _MAX_ISOLATED:
        findings.append(f"{isolated:.0%} of the sites have no neighbour")
    if short > _MAX_SHORT:
        findings.append(f"{short:.0%} of the sites are too close to another")
    if not _RATIOS[0] < typical / spacing < _RATIOS[1]:
        findings.append(
            f"neighbours are typically {typical:.1f} px apart, not {spacing:.1f} px"
        )
    elif density < _MIN_DENSITY:
        findings.append(f"there are {density:.0%} of the sites a lattice has")
    if findings and spacing < _FINE_PX:
        findings.append(f"the spacing is below {_FINE_PX:.0f} px")
    return findings


def describe_implausible_sites(number, positions, converged, spacing):
    """Describe what is wrong with the sites of an image, and what to do.

    Parameters
    ----------
    number : int
        Index of the image.
    positions, converged, spacing
        As `check_sites` takes them.

    Returns
    -------
    message : str
        The text of a warning; empty if nothing is wrong.
    """
    findings = check_sites(positions, converged, spacing)
    if not findings:
        return ""
    return (
        f"The sites of image {number} may not be its atomic columns: "
        f"{', '.join(findings)}. The spacing used is {spacing:.1f} px. "
        "Look at the sites over the image. If the spacing is wrong, pass "
        "spacing= in px; if the image shows noise or vacuum, crop or mask it; if "
        "columns are missing, lower threshold= or use UNetAtomLocator."
    )
