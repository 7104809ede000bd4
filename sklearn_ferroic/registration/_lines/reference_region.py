"""Displacement of the scan lines of one image from a lattice that is known.

Columns of the reference region lie on a perfect lattice; deviations from it are drift
and jitter. Outside the region lattice lines continue straight along the slow scan axis
where the crystal is coherent, so that the fast component is known from them. The slow
component follows there from the even spacing of the rows within a domain, as far as
drift of the size of the fast component explains it; see `even_rows`.
"""

from dataclasses import replace

import numpy as np

from ..._lattice.reference_lattice import lattice_indices
from ..._utils.robust import bisquare_root
from .even_rows import MIN_LINES, LatticeLines
from .line_model import (
    LEAST_STD_PX,
    LinePrior,
    fit_lines,
    row_medians,
    structure_field,
)

# Rounds of lattice and lines, each given the other.
_N_ROUNDS = 4
_MIN_REFERENCE_COLUMNS = 12
# Rows of atoms above and below a column whose trend is compared with it.
_TREND_ROWS = 2
_SETTLED_PX = 1e-4
_N_STRUCTURE_ROUNDS = 3
# A lattice line is followed as long as it departs from the others by less than this
# share of the spacing, and while there are this number of lines.
_MAX_KINK_SPACINGS = 0.06


def lines_of_reference(sites, reference, sigma, spacing, n_rows, coherent):
    """Return the displacement of the lines of an image with a reference region.

    Parameters
    ----------
    sites : AtomSites
        Columns of one image.
    reference : ndarray of bool of shape (n_sites,) or None
        Columns of the reference region; None if only the jitter is to be measured.
    sigma, spacing : float
        Sigma of a column and distance of nearest columns, px.
    n_rows : int
        Number of scan lines.
    coherent : bool
        Whether lattice lines continue straight out of the reference region.

    Returns
    -------
    lines : list of two LineDisplacement
        Row and column component.
    vectors : ndarray of shape (2, 2)
        Lattice vectors of the reference region in the corrected image, px.
    assumed : float
        Root mean square of the slow row component that is corrected outside the
        reference region because rows are taken to be evenly spaced, px; 0 if none is.
    """
    positions, sublattice = sites.positions, sites.sublattice
    index = lattice_indices(positions, sublattice)
    known = np.isfinite(index).all(axis=1) & sites.converged
    whole = reference is None
    reference = known if whole else reference & known
    n_reference = np.count_nonzero(reference)
    if n_reference < _MIN_REFERENCE_COLUMNS:
        raise ValueError(
            f"The reference region contains {n_reference} columns on one lattice, but "
            f"at least {_MIN_REFERENCE_COLUMNS} are needed. Choose a larger region of "
            "a perfect crystal."
        )
    variance = np.nan_to_num(sites.position_std, nan=np.nanmedian(sites.position_std))
    variance = np.square(np.nan_to_num(variance, nan=0.05))
    prior = LinePrior(
        constant=False,
        slope=False,
        drift=True,
        jitter_length=sigma,
        spacing=spacing,
    )
    corrected = positions.copy()
    rows = positions[:, 0]
    if whole:
        trend = _trend(positions, index, sublattice) - positions
        jitter = replace(prior, drift=False)
        use = known & np.isfinite(trend).all(axis=1)
        lines = [
            fit_lines(rows[use], trend[use, axis], variance[use, axis], n_rows, jitter)
            for axis in range(2)
        ]
        return lines, _fit_reference(positions, index, sublattice, reference)[1], 0.0
    lattice_lines = LatticeLines(
        positions,
        np.where(known[:, None], index, np.nan),
        sublattice,
        reference,
        _steep_axis(positions, index),
        sigma,
        spacing,
    )
    for _ in range(_N_ROUNDS):
        origins, vectors = _fit_reference(corrected, index, sublattice, reference)
        ideal = origins[sublattice] + np.nan_to_num(index) @ vectors
        miss = ideal - positions
        if coherent:
            along = _along_lines(ideal, corrected, vectors, positions)
            others = known & (sublattice == 0) & ~reference
            others &= _are_coherent(along, index, vectors, reference, others, spacing)
            miss[others, 1] = along[others]
        used = [reference, reference | others if coherent else reference]
        absolute = [
            _fit_absolute(
                positions[use], miss[use, axis], variance[use, axis], n_rows, prior
            )
            for axis, use in enumerate(used)
        ]
        drift = None
        if coherent and np.count_nonzero(others) >= _MIN_REFERENCE_COLUMNS:
            drift = lattice_lines.drift(
                positions,
                corrected,
                variance[:, 0],
                absolute[0].jitter_std,
                _size_of_bend(absolute[1].shift),
                absolute[1].drift_length,
                n_rows,
            )
        smooth = np.zeros_like(positions)
        if drift is not None:
            smooth[:, 0] = _at(drift.shift, rows)
        # Deviations from the neighbours above and below are jitter, drift is not.
        trend = _trend(positions + smooth, index, sublattice) - positions - smooth
        lines = []
        for axis, use in enumerate(used):
            rest = known & np.isfinite(trend[:, axis])
            rest &= ~_has_reference(rows, use, spacing)
            lines.append(
                _with_jitter(
                    absolute[axis],
                    drift if axis == 0 else None,
                    rows,
                    trend[:, axis],
                    variance[:, axis],
                    rest,
                    use,
                    prior,
                )
            )
        # A straight line would shear and stretch the specimen as well as its lattice.
        lines = [replace(line, shift=_without_slope(line.shift)) for line in lines]
        before = corrected
        shift = np.stack([_at(line.shift, rows) for line in lines], axis=1)
        corrected = positions + shift
        if np.abs(corrected - before).max() < _SETTLED_PX:
            break
    return lines, vectors, _size_of_assumed(drift, rows, reference, spacing)


def _size_of_assumed(drift, rows, reference, spacing):
    """Return the size of the row component that follows from even rows alone, px.

    Its straight part is left out: an affine map of the film is not a relaxation.
    """
    if drift is None:
        return 0.0
    lines = np.arange(len(drift.shift))
    outside = ~_has_reference(lines, reference, spacing, rows)
    outside &= (lines >= rows.min()) & (lines <= rows.max())
    if np.count_nonzero(outside) < 3:
        return 0.0
    return _size_of_bend(drift.shift[outside])


def _fit_absolute(positions, values, variance, n_rows, prior):
    """Fit the lines and the specimen's own smooth displacements alternately, px."""
    structure = np.zeros(len(values))
    for _ in range(_N_STRUCTURE_ROUNDS):
        rest = values - row_medians(positions[:, 0], values - structure, prior.spacing)
        structure = structure_field(positions, rest, prior.spacing)
    return fit_lines(positions[:, 0], values - structure, variance, n_rows, prior)


def _are_coherent(along, index, vectors, reference, others, spacing):
    """Return which columns lie on lattice lines that continue without a kink.

    The lines are followed row by row from the reference region outwards; a line that
    departs from the median of the lines is not followed further, because it has entered
    a tilted domain or a relaxed part.
    """
    steep = int(np.argmax(np.abs(vectors[:, 0]) / np.hypot(*vectors.T)))
    row, line = np.nan_to_num(index[:, [steep, 1 - steep]]).astype(int).T
    coherent = np.zeros(len(row), dtype=bool)
    seen = row[reference]
    if not others.any():
        return coherent
    limit = _MAX_KINK_SPACINGS * spacing
    for sign, start in ((1, seen.max()), (-1, seen.min())):
        near = reference & (np.abs(row - start) <= _TREND_ROWS)
        followed = np.unique(line[near])
        level = np.median(along[near])
        n_missing = 0
        for place in range(
            start + sign,
            row[others].max() + 1 if sign > 0 else row[others].min() - 1,
            sign,
        ):
            own = np.flatnonzero(others & (row == place) & np.isin(line, followed))
            if len(own) < MIN_LINES:
                n_missing += 1
                if n_missing > _TREND_ROWS:
                    break
                continue
            level = np.median(along[own])
            fits = np.abs(along[own] - level) < limit
            coherent[own[fits]] = True
            followed = np.setdiff1d(followed, line[own[~fits]])
    # Rows between reference columns contain others, too.
    between = others & (row >= seen.min()) & (row <= seen.max())
    return coherent | (
        between & (np.abs(along - np.median(along[reference])) < 4 * limit)
    )


def _without_slope(shift):
    """Subtract the slope of a displacement over the scan lines, but not its mean."""
    rows = np.arange(len(shift)) - (len(shift) - 1) / 2
    return shift - rows * (rows @ shift) / (rows @ rows)


def _at(shift, rows):
    """Interpolate a value of the lines at rows."""
    return np.interp(rows, np.arange(len(shift)), shift)


def _fit_reference(positions, index, sublattice, reference):
    """Fit one origin per sublattice and common lattice vectors to the reference."""
    n_origins = int(sublattice.max()) + 1
    design = np.zeros((np.count_nonzero(reference), n_origins + 2))
    design[np.arange(len(design)), sublattice[reference]] = 1
    design[:, n_origins:] = index[reference]
    weight = np.ones(len(design))
    for _ in range(4):
        fitted, *_ = np.linalg.lstsq(
            design * weight[:, None], positions[reference] * weight[:, None], rcond=None
        )
        miss = np.hypot(*(positions[reference] - design @ fitted).T)
        weight = np.sqrt(bisquare_root(miss, LEAST_STD_PX)) ** 2
    return fitted[:n_origins], fitted[n_origins:]


def _along_lines(ideal, corrected, vectors, positions):
    """Return the column displacement that brings each column onto its lattice line.

    Lattice lines are those along the vector that is nearer to the slow scan axis.
    """
    steep = vectors[np.argmax(np.abs(vectors[:, 0]) / np.hypot(*vectors.T))]
    slope = steep[1] / steep[0]
    place = ideal[:, 1] + (corrected[:, 0] - ideal[:, 0]) * slope
    return place - positions[:, 1]


def _has_reference(lines, reference, spacing, rows=None):
    """Return which rows lie within one spacing of a column of the reference region."""
    own = np.sort((lines if rows is None else rows)[reference])
    right = np.clip(np.searchsorted(own, lines), 0, len(own) - 1)
    left = np.clip(right - 1, 0, None)
    distance = np.minimum(np.abs(own[right] - lines), np.abs(own[left] - lines))
    return distance < spacing


def _size_of_bend(shift):
    """Return the standard deviation of the displacement of lines about a line, px."""
    lines = np.arange(len(shift))
    return float(np.std(shift - np.polyval(np.polyfit(lines, shift, 1), lines)))


def _with_jitter(inside, drift, rows, trend, variance, others, reference, prior):
    """Add jitter, and drift if it is known, of the rows without reference columns."""
    n_rows = len(inside.shift)
    near = _has_reference(np.arange(n_rows), reference, prior.spacing, rows)
    shift, std = np.zeros(n_rows), np.full(n_rows, inside.drift_std)
    if drift is not None:
        shift, std = drift.shift, drift.std
    if np.count_nonzero(others) >= _MIN_REFERENCE_COLUMNS:
        jitter = fit_lines(
            rows[others],
            trend[others],
            variance[others],
            n_rows,
            replace(prior, drift=False),
            inside.jitter_std,
        )
        shift, std = shift + jitter.shift, np.hypot(std, jitter.std)
    elif drift is None:
        return inside
    return replace(
        inside,
        shift=np.where(near, inside.shift, shift),
        std=np.where(near, inside.std, std),
    )


def _steep_axis(positions, index):
    """Return the lattice vector that is nearer to the slow scan axis, 0 or 1."""
    known = np.isfinite(index).all(axis=1)
    place = index[known] - index[known].mean(axis=0)
    slopes = np.linalg.lstsq(place, positions[known, 0], rcond=None)[0]
    return int(np.argmax(np.abs(slopes)))


def _trend(positions, index, sublattice):
    """Return the position of each column interpolated from those above and below."""
    known = np.flatnonzero(np.isfinite(index).all(axis=1))
    place = index[known].astype(int)
    axis = _steep_axis(positions, index)
    place -= place.min(axis=0)
    size = place.max(axis=0) + 1 + 2 * _TREND_ROWS
    table = np.full((int(sublattice.max()) + 1, *size, 2), np.nan)
    place += _TREND_ROWS
    kind = sublattice[known]
    table[kind, place[:, 0], place[:, 1]] = positions[known]
    around = []
    for distance in range(1, _TREND_ROWS + 1):
        step = distance * np.eye(2, dtype=int)[axis]
        pair = [table[(kind, *(place + sign * step).T)] for sign in (-1, 1)]
        around.append(np.mean(pair, axis=0))
    around = np.array(around)
    count = np.isfinite(around).sum(axis=0)
    total = np.nansum(around, axis=0)
    trend = np.full(positions.shape, np.nan)
    trend[known] = np.divide(
        total, count, out=np.full(total.shape, np.nan), where=count > 0
    )
    return trend


def affine_rate(vectors, lattice):
    """Return the drift per line that deforms a known lattice into the one seen.

    A displacement that is proportional to the row adds to each lattice vector in
    proportion to its row component. Two conditions, the ratio of the lengths and the
    angle, determine its two components.

    Parameters
    ----------
    vectors : ndarray of shape (2, 2)
        Lattice vectors as seen, px.
    lattice : {"square", "hexagonal"} or tuple of float (ratio, angle)
        Length of the second vector over that of the first, and the angle between them
        in degrees.

    Returns
    -------
    rate : ndarray of shape (2,)
        To be multiplied by the row and added to the positions, px per line.
    """
    ratio, degrees = {"square": (1.0, 90.0), "hexagonal": (1.0, 120.0)}.get(
        lattice if isinstance(lattice, str) else "", lattice
    )
    a, b = vectors
    # The first vector is the one nearer to the fast scan axis.
    if abs(a[0]) * np.hypot(*b) > abs(b[0]) * np.hypot(*a):
        a, b = b, a
        ratio = 1 / ratio
    best = None
    for angle in np.radians([degrees, -degrees, 180 - degrees, degrees - 180]):
        turn = ratio * np.array(
            [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        )
        matrix = b[0] * np.eye(2) - a[0] * turn
        rate = np.linalg.solve(matrix, turn @ a - b)
        if best is None or np.hypot(*rate) < np.hypot(*best):
            best = rate
    return best
