"""Domain walls as lines, with type, charge and width, as a table."""

from copy import copy
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree
from sklearn.utils import Bunch
from sklearn.utils._param_validation import validate_params

from .._utils.angles import wrap_angle
from .._utils.mean_vectors import (
    Place,
    cell_size,
    neighbor_factor,
    pool_vectors,
)
from .._utils.optional import import_optional
from .._utils.validation import Interval
from ._cell_graph import CellGraph, check_cells, check_one_sublattice, pad_cells
from ._lattice_steps import with_vacancies
from ._shared.segmentation import region_depth, segment_domains, split_members
from ._shared.table_attributes import Polylines, SiteNumbers
from ._walls.lines import trace_lines
from ._walls.profile import fit_wall_profile
from ._walls.sides import check_wall_types, describe_sides

# Fewer cells on a side are too few for a mean; then nearer ones count, too, from this
# distance on.
_MIN_SIDE_COUNT = 6
_NEAR_SIDE_CELLS = 0.75
# Relative error of the height of a profile up to which vectors are corrected for the
# slope of the wall, and minimum share of the height that is corrected.
_MAX_HEIGHT_ERROR_SHARE = 0.2
_MIN_SHARE_OF_HEIGHT = 0.5
# Layers of cells from a border in which the slope of a wall is seen.
_SLOPE_CELLS = 2
# A line whose mean normal is shorter bends: there the vectors may rotate with the line,
# as around a bubble with radial vectors, and are taken along its normals and along it
# where that makes the step longer by this factor.
_CURVED_RESULTANT = 0.8
_MIN_GAIN_OF_ROTATION = 1.3
# A cell this near to a wall belongs to it: half a cell and the scatter of a rough wall.
_ON_WALL_CELLS = 0.75


@validate_params(
    {
        "min_cells": [Interval(Integral, 1, None, closed="left")],
        "min_length": [Interval(Real, 0, None, closed="left")],
        "min_angle": [Interval(Real, 0, 180, closed="both")],
        "significance": [Interval(Real, 0, 1, closed="both"), None],
        "wall_types": ["array-like"],
        "side_cells": ["array-like"],
        "profile_cells": [Interval(Real, 2, None, closed="left")],
        "axial": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def find_walls(
    sites,
    labels,
    vectors=None,
    *,
    min_cells=8,
    min_length=3.0,
    min_angle=20.0,
    significance=1e-3,
    wall_types=(90, 180),
    side_cells=(1.5, 7.0),
    profile_cells=6.0,
    axial=False,
):
    """Find the walls between domains and measure them.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        Cells of one sublattice, such as ``sites[sites.sublattice == 1]``.
    labels : array-like of shape (n_sites,)
        Class of each cell, such as the variant or the cluster. Cells with the label
        -1 (also NaN, None or "") belong to no domain and have no walls, unless they are
        a gap of one or two cells between domains. A class of the cells of a wall, up to
        six cells wide and with vectors between those of both sides, is divided among
        them.
    vectors : array-like of shape (n_sites, 2), default=None
        Polarization ``(row, col)`` of each cell, NaN where unknown;
        ``sites.polarization`` by default. Remove the common shift of a mistilt before,
        see :class:`~sklearn_ferroic.PolarizationVector`.
    min_cells : int, default=8
        Regions of fewer cells are given to their surroundings.
    min_length : float, default=3.0
        Walls shorter than this many cells are left out.
    min_angle : float, default=20.0
        Walls between vectors that differ in direction by less, degrees, are left out:
        the labels differ, and the polarization does not.
    significance : float, default=1e-3
        Largest p value of a border between labels (see :func:`find_domains`) and of the
        difference of the vectors of its two sides, near the wall or in the whole
        domains; other walls are left out. None keeps all.
    wall_types : tuple of float, default=(90, 180)
        Angles that walls can have, degrees. Along a cube axis the walls of
        tetragonal, orthorhombic and rhombohedral crystals show 90° and 180°; along a
        face diagonal 71°, 109° and 180° are seen.
    side_cells : tuple of float, default=(1.5, 7.0)
        Smallest and largest distance from the wall, in unit cells, of the cells whose
        mean is the vector of a side. Use a larger first value for wide walls, such as
        (5, 12), and a smaller second one where the polarization rotates within the
        domains, as in a vortex or next to an interface. On a side with fewer than
        six cells in this range, as in narrow domains, nearer cells are used, and if
        these are too few, all cells of the side.
    profile_cells : float, default=6.0
        Distance from the wall, in unit cells, up to which the profile is fitted. Use
        about the width of the wall if it is wider than six cells, because the profile
        is then not level at six cells.
    axial : bool, default=False
        Whether opposite vectors count as equal, for domains with antipolar order,
        whose vectors add up to zero. Then angles are those between the axes of the
        vectors, in [0, 90], and charges are undetermined.

    Returns
    -------
    walls : pandas.DataFrame
        One row per wall, the longest first. Lengths are in nm, and in px, with names
        that end in ``_px``, where no pixel size is known.

        frame : int
            Image.
        label_a, label_b : object
            Labels of the two sides.
        domain_a, domain_b : int
            Rows of the two sides in the table of :func:`find_domains` of the same
            labels and vectors.
        angle_deg, angle_std_deg : float
            Angle between the mean vectors of the two sides, in [0, 180], and its
            standard error; NaN without a significant vector on both sides, as at an
            interface with a nonpolar material.
        wall_type : str
            The nearest of `wall_types`, ``"other"`` if none is within 25° and
            ``"undetermined"`` without a significant vector on both sides.
        charge : {"neutral", "head-to-head", "tail-to-tail", "undetermined"}
            Whether the step of the vectors points to the wall, away from it, or along
            it: neutral where `net_normal` is within ±0.35; undetermined where its error
            is too large, without vectors, or where the charge changes sign along the
            wall, as it does around an island between opposite vectors.
        net_normal, net_normal_std : float
            Step of the normal component, (a - b)·n with n from a to b, averaged along
            the wall over the length of a - b, in [-1, 1]: positive for head-to-head,
            0 for a closed wall between uniform domains; and its standard error.
        normal_step, normal_step_std : float
            The averaged step (a - b)·n itself, in the unit of `vectors`: the bound
            charge per area if these are polarizations.
        head_to_head_fraction, tail_to_tail_fraction : float
            Shares of the length where the step of the normal component is above 0.35
            and below -0.35 times the length of a - b. The rest is neutral.
        length_nm : float
            Length of the line.
        n_cells : int
            Length in unit cells, rounded.
        orientation_deg : float
            Direction of the wall line, from +col towards +row, in [-90, 90).
        width_nm, width_std_nm : float
            Full width 2ξ of the wall and its standard error.
        roughness_nm : float
            Root mean square distance of the line from the straight line through it.
        row, col : float
            Middle of the line, px.
        closed : bool
            Whether the wall encloses a domain.
        p_value : float
            Probability of such a difference of the two sides if there were none.

        ``walls.attrs["polylines"]`` maps each row's index to the line, an ndarray of
        shape (n_vertices, 2) in px; ``walls.attrs["profiles"]`` maps it to the
        fitted profile, with `parameters` (c, A, ξ), their `covariance`, and
        `offset_std`, the standard error of the position of the wall, px;
        ``walls.attrs["wall"]`` is the index of the wall on which each site lies, -1
        for none, and ``walls.attrs["domain"]`` the domain of each site.

    Raises
    ------
    TypeError
        If `sites` are not AtomSites.
    ValueError
        If shapes do not fit or the sites are of several sublattices.
    ImportError
        If pandas is not installed.

    See Also
    --------
    find_domains : The domains between the walls.
    sklearn_ferroic.inspection.DomainMapDisplay : Draws walls over domains.

    Notes
    -----
    A line through the middles of neighbouring cells with different labels is smoothed
    over two cells, then moved onto the wall: with s the distance from the line,
    t the arc length and u the component of the vector along the difference of the two
    sides, c + A tanh((s - s0(t)) / ξ) is fitted to u within `profile_cells`, the shift
    s0 being linear between knots four cells apart. So the width is that across the wall
    as it runs, and its roughness does not add to it. A wall narrower than half a cell
    is not resolved; its width is uncertain by at least that.

    The vectors of the two sides are means over the cells at the distances `side_cells`
    from the wall, or over nearer ones where these are fewer than six, corrected for the
    slope of the fitted profile, which reaches into them in narrow domains.

    Where a line bends and the vectors rotate with it, as those of a bubble that point
    to its centre, both sides are averaged as components along the normals of the line
    and along the line; angle and charge are then local ones.

    A step ΔP·n of the normal component of the polarization is a bound charge per area.
    **Charge is that of the vectors given.** Where the polarization is opposite to the
    displacement of the B columns, as in PbTiO3 and BiFeO3, give the polarization
    (``PolarizationVector(unit="uC/cm2", material=...)``) or the negative displacement;
    otherwise head-to-head and tail-to-tail are exchanged.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.domains import find_walls
    >>> positions = 10.0 * np.indices((12, 20)).reshape(2, -1).T + 5
    >>> x = (positions[:, 1] - 81) / 10
    >>> rng = np.random.default_rng(0)
    >>> polarization = rng.normal(0, 0.1, (240, 2))
    >>> polarization[:, 0] += np.tanh(x / 1.5)
    >>> sites = AtomSites(
    ...     np.eye(120, 200), positions, polarization=polarization, pixel_size=0.04
    ... )
    >>> walls = find_walls(sites, x > 0)
    >>> walls[["angle_deg", "charge", "length_nm", "width_nm"]].round(1)
       angle_deg   charge  length_nm  width_nm
    0      179.9  neutral        4.4       1.3
    """
    pandas = import_optional("pandas", "io")
    check_one_sublattice(sites)
    wall_types = check_wall_types(wall_types)
    side_cells = _check_side_cells(side_cells)
    # Standard errors are px, and vectors that are given may have another unit.
    std = sites.position_std if vectors is None else np.full((len(sites), 2), np.nan)
    classes, codes, vectors = check_cells(sites, labels, vectors)
    vectors = np.where(sites.converged[:, None], vectors, np.nan)
    if axial:
        vectors = _doubled(vectors)
        std = np.full((len(sites), 2), np.nan)
    n_found = len(sites)
    sites = with_vacancies(sites)
    codes, vectors, std = pad_cells(codes, vectors, std, len(sites) - n_found)
    graph = CellGraph(sites)
    domain, cleaned = segment_domains(
        graph,
        codes,
        len(classes),
        vectors=vectors,
        min_cells=min_cells,
        significance=significance,
    )
    rank = _rank_by_size(domain, n_found)
    inner = region_depth(graph, domain) > _SLOPE_CELLS
    context = _Context(
        sites, vectors, std, domain, inner, axial, side_cells, profile_cells
    )
    lines = _all_lines(graph, sites, domain, min_length)
    nearest = _nearest_line(sites, lines)
    found = [
        _measure(context, graph, line, cells, wall_types)
        for line, cells in zip(lines, split_members(nearest, len(lines)), strict=True)
    ]
    kept = [
        number
        for number, (row, _, _) in enumerate(found)
        if not row["angle_deg"] < min_angle
        and (
            significance is None
            or not np.isfinite(row["p_value"])
            or row["p_value"] <= significance
        )
    ]
    kept.sort(key=lambda number: -found[number][0]["n_cells"])
    rows = []
    for number in kept:
        a, b = lines[number].pair
        row = found[number][0]
        row |= {
            "label_a": classes[_code_of(cleaned, domain, a)],
            "label_b": classes[_code_of(cleaned, domain, b)],
            "domain_a": rank[a],
            "domain_b": rank[b],
        }
        rows.append(row)
    calibrated = np.isfinite(sites.pixel_size_per_site()).any()
    table = pandas.DataFrame(rows, columns=_columns("nm" if calibrated else "px"))
    final = [found[number][1] for number in kept]
    table.attrs["polylines"] = Polylines(
        {index: _outline(line) for index, line in enumerate(final)}
    )
    table.attrs["profiles"] = Polylines(
        {index: found[number][2] for index, number in enumerate(kept)}
    )
    on_wall = _site_walls(
        sites, final, [lines[number].frame for number in kept], graph.spacing
    )
    table.attrs["wall"] = SiteNumbers(on_wall[:n_found])
    number = np.where(domain >= 0, rank[domain], -1)
    table.attrs["domain"] = SiteNumbers(number[:n_found])
    return table


class _Line(NamedTuple):
    """A traced line between two domains of one image."""

    line: object
    pair: tuple
    frame: int
    spacing: float
    crossings: np.ndarray


class _Context:
    """Data for the measurement of all walls."""

    def __init__(
        self, sites, vectors, std, domain, inner, axial, side_cells, profile_cells
    ):
        self.sites, self.vectors, self.std, self.domain = sites, vectors, std, domain
        self.axial = axial
        self.side_cells, self.profile_cells = side_cells, profile_cells
        self.usable = np.isfinite(vectors).all(axis=1)
        self.place = Place(sites.positions, sites.frame, cell_size(sites))
        # On the slope of a wall neighbours are alike without a correlation of errors.
        judged = self.usable & (domain >= 0)
        if (judged & inner).any():
            judged &= inner
        self.factor = neighbor_factor(vectors, domain, judged, self.place)
        self._means = {}
        self.scale = sites.pixel_size_per_site()
        if not np.isfinite(self.scale).any():
            self.scale = np.ones(len(sites))

    def along_line(self, line, cells):
        """Return the same for vectors as components along the normal and the line."""
        rotated = copy(self)
        normal, tangent = line.axes_at(self.sites.positions[cells])
        rotated.vectors = np.full_like(self.vectors, np.nan)
        rotated.std = np.full_like(self.std, np.nan)
        for column, axis in enumerate((normal, tangent)):
            rotated.vectors[cells, column] = (self.vectors[cells] * axis).sum(axis=1)
            rotated.std[cells, column] = np.sqrt(
                (self.std[cells] ** 2 * axis**2).sum(axis=1)
            )
        return rotated

    def domain_mean(self, number):
        """Return the pooled mean vector of a domain."""
        if number not in self._means:
            cells = np.flatnonzero((self.domain == number) & self.usable)
            self._means[number] = self.pool(cells)
        return self._means[number]

    def pool(self, cells):
        """Return the pooled mean vector of cells."""
        return pool_vectors(
            self.vectors[cells],
            self.std[cells],
            self.place.take(cells),
            factor=self.factor,
        )


def _doubled(vectors):
    """Return vectors of the same length and twice the angle."""
    angle = 2 * np.arctan2(vectors[:, 0], vectors[:, 1])
    length = np.hypot(*vectors.T)
    return length[:, None] * np.column_stack([np.sin(angle), np.cos(angle)])


def _columns(unit):
    return [
        "frame",
        "label_a",
        "label_b",
        "domain_a",
        "domain_b",
        "angle_deg",
        "angle_std_deg",
        "wall_type",
        "charge",
        "net_normal",
        "net_normal_std",
        "normal_step",
        "normal_step_std",
        "head_to_head_fraction",
        "tail_to_tail_fraction",
        f"length_{unit}",
        "n_cells",
        "orientation_deg",
        f"width_{unit}",
        f"width_std_{unit}",
        f"roughness_{unit}",
        "row",
        "col",
        "closed",
        "p_value",
    ]


def _rank_by_size(domain, n_found):
    known = domain[:n_found] >= 0
    size = np.bincount(domain[:n_found][known], minlength=max(domain.max() + 1, 1))
    rank = np.empty(len(size), dtype=int)
    rank[np.argsort(-size, kind="stable")] = np.arange(len(size))
    return rank


def _code_of(cleaned, domain, number):
    return cleaned[np.argmax(domain == number)]


def _all_lines(graph, sites, domain, min_length):
    """Trace the lines between all pairs of neighbouring domains."""
    first, second = domain[graph.pairs].T
    border = (first != second) & (first >= 0) & (second >= 0)
    pairs = graph.pairs[border]
    swap = first[border] > second[border]
    pairs[swap] = pairs[swap, ::-1]
    key = domain[pairs[:, 0]] * (domain.max() + 1) + domain[pairs[:, 1]]
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    lines = []
    for part in np.split(order, starts[1:]) if len(order) else []:
        own = pairs[part]
        cell = own[0, 0]
        spacing = graph.spacing[cell]
        longest = graph.longest(sites.frame[cell])
        for line, through in trace_lines(sites.positions, own, spacing, longest):
            n_cells = graph.length_in_cells(_outline(line), sites.frame[cell])
            if n_cells >= min_length:
                lines.append(
                    _Line(
                        line,
                        tuple(domain[own[0]]),
                        sites.frame[cell],
                        spacing,
                        sites.positions[own[through]].mean(axis=1),
                    )
                )
    return lines


def _nearest_line(sites, lines):
    """Return the number of the line that is nearest to each site, -1 for none."""
    nearest = np.full(len(sites), -1)
    for frame in np.unique([line.frame for line in lines]):
        numbers = [k for k, line in enumerate(lines) if line.frame == frame]
        crossings = [lines[k].crossings for k in numbers]
        owner = np.repeat(numbers, [len(points) for points in crossings])
        rows = np.flatnonzero(sites.frame == frame)
        tree = cKDTree(np.concatenate(crossings))
        nearest[rows] = owner[tree.query(sites.positions[rows])[1]]
    return nearest


def _measure(context, graph, traced, cells, wall_types):
    """Return the row of a wall, its line, and the fit of its profile."""
    a = traced.pair[0]
    line = traced.line
    own = context.domain[cells]
    member = (own == traced.pair[0]) | (own == traced.pair[1])
    cells = cells[member & context.usable[cells]]
    whole = [context.domain_mean(number) for number in traced.pair]
    sides = _sides(context, traced, line, cells)
    along_line = False
    if np.hypot(*line.mean_normal()) < _CURVED_RESULTANT and not context.axial:
        rotated = context.along_line(line, cells)
        rotated_sides = _sides(rotated, traced, line, cells)
        along_line = _step(rotated_sides) > _MIN_GAIN_OF_ROTATION * _step(sides)
        if along_line:
            context, sides, whole = rotated, rotated_sides, rotated_sides
    profile = None
    if sides is not None:
        for _ in range(2):
            line, profile = _fit(context, traced, line, cells, sides, profile)
            previous, sides = sides, _sides(context, traced, line, cells) or sides
        if profile is not None:
            step = previous[1].mean - previous[0].mean
            sides = _without_slope(context, traced, line, cells, sides, profile, step)
    middle = line.points[len(line.points) // 2]
    scale = context.scale[np.argmax(context.domain == a)]
    calibrated = np.isfinite(context.sites.pixel_size_per_site()).any()
    unit = "nm" if calibrated else "px"
    width, width_std = np.nan, np.nan
    if profile is not None:
        width = 2 * profile.parameters[2]
        width_std = 2 * np.sqrt(profile.covariance[2, 2])
    row = {
        "frame": traced.frame,
        **describe_sides(
            line,
            sides,
            whole,
            wall_types,
            along_line=along_line,
            axial=context.axial,
        ),
        f"length_{unit}": line.length * scale,
        "n_cells": round(graph.length_in_cells(_outline(line), traced.frame)),
        **_describe_course(line, scale, unit),
        f"width_{unit}": width * scale,
        f"width_std_{unit}": width_std * scale,
        "row": middle[0],
        "col": middle[1],
        "closed": line.closed,
    }
    fitted = None
    if profile is not None:
        fitted = Bunch(
            parameters=profile.parameters,
            covariance=profile.covariance,
            knots=profile.knots,
            offset_std=profile.offset_std,
        )
    return row, line, fitted


def _step(sides):
    """Return the length of the difference of the mean vectors of the two sides."""
    return 0.0 if sides is None else float(np.hypot(*(sides[1].mean - sides[0].mean)))


def _sides(context, traced, line, cells):
    """Return the pooled vectors on sides a and b, None where there are too few."""
    distance, _ = line.locate(context.sites.positions[cells], traced.spacing / 2)
    pooled = []
    for sign in (-1, 1):
        chosen = _side_cells(
            cells, sign * distance / traced.spacing, context.side_cells
        )
        if len(chosen) < 4:
            return None
        pooled.append(context.pool(chosen))
    return pooled


def _check_side_cells(side_cells):
    """Return the range of distances that are averaged on each side of a wall, cells."""
    limits = np.asarray(side_cells)
    valid = limits.shape == (2,) and limits.dtype.kind in "iuf"
    if not valid or not 0 <= limits[0] < limits[1]:
        raise ValueError(
            "side_cells must be two distances in unit cells, the smaller one first, "
            f"such as (1.5, 7.0), got {side_cells!r}."
        )
    return tuple(limits.tolist())


def _side_cells(cells, depth, limits):
    """Return the cells on one side of a wall that are averaged."""
    nearest, farthest = limits
    nearer = min(nearest, _NEAR_SIDE_CELLS)
    for low, high in (limits, (nearer, farthest), (0.0, np.inf)):
        chosen = cells[(depth >= low) & (depth <= high)]
        if len(chosen) >= _MIN_SIDE_COUNT:
            break
    return chosen


def _without_slope(context, traced, line, cells, sides, profile, step):
    """Return the vectors of the sides with what the slope of the wall takes away.

    In narrow domains the slope reaches into the cells that are averaged. The fitted
    profile is known to the full height: its mean over these cells over its height is
    what the component along the step is divided by, about the centre of the profile.
    """
    center, height, half_width = profile.parameters
    uncertain = np.sqrt(profile.covariance[1, 1]) > _MAX_HEIGHT_ERROR_SHARE * abs(
        height
    )
    if uncertain or height == 0:
        return sides
    direction = step / np.hypot(*step)
    distance, _ = line.locate(context.sites.positions[cells], traced.spacing / 2)
    corrected = []
    for side, sign in zip(sides, (-1, 1), strict=True):
        chosen = _side_cells(
            np.arange(len(cells)), sign * distance / traced.spacing, context.side_cells
        )
        depth = distance[chosen]
        share = float(np.mean(np.abs(np.tanh(depth / half_width))))
        along = side.mean @ direction - center
        gain = along * (1 / max(share, _MIN_SHARE_OF_HEIGHT) - 1)
        corrected.append(side._replace(mean=side.mean + gain * direction))
    return corrected


def _fit(context, traced, line, cells, sides, previous):
    """Fit the profile across a line, and return the line moved onto the wall."""
    step = sides[1].mean - sides[0].mean
    size = np.hypot(*step)
    if not size > 0:
        return line, None
    distance, arc = line.locate(context.sites.positions[cells], traced.spacing / 2)
    near = np.abs(distance) <= context.profile_cells * traced.spacing
    profile = fit_wall_profile(
        distance[near],
        arc[near],
        context.vectors[cells[near]] @ (step / size),
        line.length,
        traced.spacing,
        factor=context.factor,
        half_width=traced.spacing if previous is None else previous.parameters[2],
    )
    if profile is None:
        return line, None
    offset = np.interp(line.arc, profile.knots, profile.offsets)
    return line.shifted(offset), profile


def _describe_course(line, scale, unit):
    """Return orientation and roughness of a line."""
    if line.closed:
        return {"orientation_deg": np.nan, f"roughness_{unit}": np.nan}
    centered = line.points - line.points.mean(axis=0)
    values, axes = np.linalg.eigh(centered.T @ centered / len(centered))
    along = axes[:, 1]
    angle = wrap_angle(np.arctan2(along[0], along[1]), 2)
    return {
        "orientation_deg": float(np.degrees(angle)),
        f"roughness_{unit}": float(np.sqrt(max(values[0], 0))) * scale,
    }


def _outline(line):
    """Return the vertices of a line, the first one repeated if it is closed."""
    points = (
        np.concatenate([line.points, line.points[:1]]) if line.closed else line.points
    )
    points = points.copy()
    points.setflags(write=False)
    return points


def _site_walls(sites, lines, frames, spacing):
    """Return the index of the wall on which each site lies, -1 for none."""
    wall = np.full(len(sites), -1)
    for frame in np.unique(frames):
        numbers = [k for k, own in enumerate(frames) if own == frame]
        owner = np.repeat(numbers, [len(lines[k].points) for k in numbers])
        tree = cKDTree(np.concatenate([lines[k].points for k in numbers]))
        rows = np.flatnonzero(sites.frame == frame)
        nearest = owner[tree.query(sites.positions[rows])[1]]
        for number, place in enumerate(split_members(nearest, len(lines))):
            own = rows[place]
            if len(own):
                line = lines[number]
                distance, _ = line.locate(sites.positions[own], spacing[own][0] / 2)
                on_wall = np.abs(distance) < _ON_WALL_CELLS * spacing[own]
                wall[own[on_wall]] = number
    return wall
