"""Displacement of the scan lines of images of one area at several scan rotations.

Each image is distorted along its own slow scan axis only. At a column that two images
show, their apparent positions differ by the displacement of the line of one image minus
that of the other. For scans at 90° the two are functions of different coordinates, so
that both are determined, steady drift included.
"""

import numpy as np
from joblib import Parallel, delayed
from scipy.ndimage import rotate
from scipy.spatial import cKDTree

from ..._utils.robust import bisquare_root
from .._rigid_shift import Correlator
from .line_model import LEAST_STD_PX, LinePrior, fit_lines

# Half the side of the area that is matched first, and its growth from round to round.
_FIRST_SPACINGS = 12.0
_GROWTH_FACTOR = 1.5
# Columns match if they are nearer than this share of the spacing.
_MATCH_SPACINGS = 0.4
_MIN_MATCHES = 12
_N_ROUNDS = 6
# Rounds end when no line moves by more: well below the error of a column.
_SETTLED_PX = 5e-3


def rotation_matrix(degrees):
    """Return the matrix from positions in a scan to those in the specimen.

    Parameters
    ----------
    degrees : float
        Rotation of the image that brings it into the orientation of the specimen,
        counter-clockwise as seen, as by ``numpy.rot90`` for 90.

    Returns
    -------
    matrix : ndarray of shape (2, 2)
        For ``(row, col)`` about the centres of the images.
    """
    angle = np.radians(degrees)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def center_of(shape):
    """Return the centre of an image, (row, col), px."""
    return (np.asarray(shape) - 1) / 2


class Scan:
    """Columns of one image at a scan rotation.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    sites : AtomSites
        Its columns.
    degrees : float
        Its rotation, see `rotation_matrix`.
    """

    def __init__(self, image, sites, degrees):
        self.image, self.sites, self.degrees = image, sites, degrees
        self.matrix = rotation_matrix(degrees)
        self.center = center_of(image.shape)
        self.shift = np.zeros((image.shape[0], 2))
        self.lines = []

    def corrected(self):
        """Return the positions in the specimen about the centre, px."""
        positions = self.sites.positions
        rows = np.arange(len(self.shift))
        shift = [np.interp(positions[:, 0], rows, part) for part in self.shift.T]
        return (positions + np.stack(shift, axis=1) - self.center) @ self.matrix.T

    def required(self, specimen, chosen):
        """Return the displacements that bring columns to positions in the specimen."""
        in_scan = specimen @ self.matrix + self.center
        return in_scan - self.sites.positions[chosen]

    def upright(self, shape):
        """Return the image in the orientation of the specimen, cropped or padded."""
        turned = rotate(
            self.image, self.degrees, reshape=True, order=1, cval=self.image.mean()
        )
        result = np.full(shape, float(self.image.mean()))
        target, source = [], []
        for wanted, got in zip(shape, turned.shape, strict=True):
            n = min(wanted, got)
            target.append(slice((wanted - n) // 2, (wanted - n) // 2 + n))
            source.append(slice((got - n) // 2, (got - n) // 2 + n))
        result[tuple(target)] = turned[tuple(source)]
        return result


def lines_of_scans(scans, sigma, spacing, n_jobs=None):
    """Estimate the displacements of the lines of all scans, in place.

    Parameters
    ----------
    scans : list of Scan
        At least two, of different rotations; positions refer to the first.
    sigma, spacing : float
        Sigma of a column and distance of nearest columns, px.
    n_jobs : int, default=None
        Components estimated at a time, in threads.

    Returns
    -------
    n_matched : int
        Number of columns that the first scan shares with any other.
    alike : float
        Lowest correlation of the amplitudes of shared columns of one sublattice, in
        units of its standard error without any correlation; NaN if unknown.
    """
    parallel = Parallel(n_jobs=n_jobs, prefer="threads")
    first = scans[0]
    reach = np.hypot(*first.image.shape) / 2
    for scan in scans[1:]:
        _place(first, scan, spacing)
    radius = _FIRST_SPACINGS * spacing
    while True:
        matches = [_match(first, scan, radius, spacing) for scan in scans[1:]]
        _affine_step(scans, matches, spacing)
        if radius >= reach:
            break
        radius *= _GROWTH_FACTOR
    for _ in range(_N_ROUNDS):
        matches = [_match(first, scan, np.inf, spacing) for scan in scans[1:]]
        if _line_step(scans, matches, sigma, spacing, parallel) < _SETTLED_PX:
            break
    alike = [
        _alikeness(first, scan, *match)
        for scan, match in zip(scans[1:], matches, strict=True)
    ]
    return len(np.unique(np.concatenate([own for own, _ in matches]))), min(alike)


def _alikeness(first, scan, own, partner):
    """Return the correlation of the amplitudes over its standard error."""
    one, other = first.sites.amplitude[own], scan.sites.amplitude[partner]
    known = np.isfinite(one) & np.isfinite(other) & (first.sites.sublattice[own] == 0)
    if np.count_nonzero(known) < _MIN_MATCHES:
        return np.nan
    ranks = np.argsort(np.argsort([one[known], other[known]], axis=1), axis=1)
    return float(np.corrcoef(ranks)[0, 1] * np.sqrt(np.count_nonzero(known)))


def _place(first, scan, spacing):
    """Set the constant displacement of a scan by correlating the middles of images."""
    side = int(
        min(2 * _FIRST_SPACINGS * spacing, *first.image.shape, *scan.image.shape)
    )
    middle = Scan(_middle(first.image, side), first.sites, first.degrees)
    # Twice as large, so that drift does not move it out of view.
    other = Scan(_middle(scan.image, side), scan.sites, scan.degrees)
    images = [one.upright((side, side)) for one in (middle, other)]
    correlator = Correlator(images, spacing)
    step = correlator.shift(*(correlator.prepare(image) for image in images))
    # The middle of an image of an even side lies half a pixel off its centre.
    scan.shift += step @ scan.matrix


def _middle(image, side):
    start = [(n - side) // 2 for n in image.shape]
    return image[start[0] : start[0] + side, start[1] : start[1] + side]


def _match(first, scan, radius, spacing):
    """Return the indices of columns that both scans show within a radius."""
    one, other = first.corrected(), scan.corrected()
    own = np.flatnonzero(np.abs(one).max(axis=1) <= radius)
    limit = _MATCH_SPACINGS * spacing
    tree = cKDTree(other)
    distance, partner = tree.query(one[own], distance_upper_bound=limit)
    found = np.isfinite(distance)
    own, partner = own[found], partner[found]
    _, back = cKDTree(one).query(other[partner])
    good = back == own
    good &= first.sites.sublattice[own] == scan.sites.sublattice[partner]
    good &= first.sites.converged[own] & scan.sites.converged[partner]
    own, partner = own[good], partner[good]
    if len(own) < _MIN_MATCHES:
        raise ValueError(
            f"Only {len(own)} columns of the image at {scan.degrees:g}° match those at "
            f"{first.degrees:g}°. Do the images show one area, with `rotation` in the "
            "right sense?"
        )
    return own, partner


def _affine_step(scans, matches, spacing):
    """Fit constants and slopes of the lines to all matches at once."""
    # Unknowns: slope of each scan, two components, then the constant of all but one.
    n = len(scans)
    blocks, values = [], []
    first = scans[0]
    for number, (own, partner) in enumerate(matches, start=1):
        scan = scans[number]
        difference = first.corrected()[own] - scan.corrected()[partner]
        design = np.zeros((len(own), 2, 4 * n - 2))
        for sign, which, chosen in ((-1, 0, own), (1, number, partner)):
            one = scans[which]
            time = one.sites.positions[chosen, 0] / one.image.shape[0] - 0.5
            design[:, :, 2 * which : 2 * which + 2] = (
                sign * time[:, None, None] * one.matrix
            )
        start = 2 * n + 2 * (number - 1)
        design[:, :, start : start + 2] = scan.matrix
        blocks.append(design.reshape(-1, 4 * n - 2))
        values.append(difference.ravel())
    design, value = np.concatenate(blocks), np.concatenate(values)
    solution = np.zeros(design.shape[1])
    for _ in range(4):
        rest = value - design @ solution
        weight = bisquare_root(rest, LEAST_STD_PX) if solution.any() else 1.0
        weighted = design.T * weight
        # A small share of the diagonal keeps what the matches do not determine at zero.
        normal = weighted @ design
        normal += 1e-9 * np.trace(normal) * np.eye(len(normal))
        solution = np.linalg.solve(normal, weighted @ value)
    for number, scan in enumerate(scans):
        time = np.arange(scan.image.shape[0]) / scan.image.shape[0] - 0.5
        scan.shift += time[:, None] * solution[2 * number : 2 * number + 2]
        if number:
            start = 2 * n + 2 * (number - 1)
            scan.shift += solution[start : start + 2]


def _line_step(scans, matches, sigma, spacing, parallel):
    """Estimate the lines of each scan given the others; return the largest change."""
    change = 0.0
    n_first = len(scans[0].sites)
    for number, scan in enumerate(scans):
        total = np.zeros((n_first, 2))
        count = np.zeros(n_first)
        variance = np.zeros((n_first, 2))
        partner_of = np.full(n_first, -1)
        others = [(0, np.arange(n_first), np.arange(n_first))] if number else []
        for other, (own, partner) in enumerate(matches, start=1):
            if other == number:
                partner_of[own] = partner
            else:
                others.append((other, own, partner))
        if not number:
            partner_of = np.arange(n_first)
        for other, own, partner in others:
            total[own] += scans[other].corrected()[partner]
            variance[own] += np.square(scans[other].sites.position_std[partner])
            count[own] += 1
        shared = np.flatnonzero((count > 0) & (partner_of >= 0))
        chosen = partner_of[shared]
        specimen = total[shared] / count[shared, None]
        values = scan.required(specimen, chosen)
        noise = np.square(scan.sites.position_std[chosen])
        noise = (
            noise + variance[shared].mean(axis=1)[:, None] / count[shared, None] ** 2
        )
        prior = LinePrior(bool(number), True, True, sigma, spacing)
        rows = scan.sites.positions[chosen, 0]
        n_rows = scan.image.shape[0]
        scan.lines = parallel(
            delayed(fit_lines)(
                *(rows, values[:, axis], noise[:, axis], n_rows, prior),
                previous=scan.lines[axis] if scan.lines else None,
            )
            for axis in range(2)
        )
        new = np.stack([line.shift for line in scan.lines], axis=1)
        change = max(change, float(np.abs(new - scan.shift).max()))
        scan.shift = new
    return change
