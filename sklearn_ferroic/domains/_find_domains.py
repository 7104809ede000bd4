"""Connected domains of cells with equal label, as a table."""

from numbers import Integral, Real

import numpy as np
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
from ._shared.segmentation import segment_domains, split_members
from ._shared.table_attributes import SiteNumbers

# Cells that must remain for a mean without two layers of cells at other domains, and
# without one.
_CORE_CELLS = (15, 8)
# A cell nearer to the border of the image than this is cut by it or lacks neighbours.
_BORDER_CELLS = 1.0


@validate_params(
    {
        "min_cells": [Interval(Integral, 1, None, closed="left")],
        "significance": [Interval(Real, 0, 1, closed="both"), None],
    },
    prefer_skip_nested_validation=True,
)
def find_domains(sites, labels, *, vectors=None, min_cells=8, significance=1e-3):
    """Find connected domains and measure them.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        Cells of one sublattice, such as ``sites[sites.sublattice == 1]``.
    labels : array-like of shape (n_sites,)
        Class of each cell, such as the variant or the cluster. Cells with the label
        -1 (also NaN, None or "") belong to no domain, unless they are a gap of one or
        two cells between domains. A class of the cells of a wall, up to six cells wide
        and with vectors between those of both sides, is divided among them.
    vectors : array-like of shape (n_sites, 2), default=None
        Vectors ``(row, col)`` to average, NaN where unknown; ``sites.polarization``,
        in px, by default. `PolarizationVector` returns them in other units.
    min_cells : int, default=8
        Regions of fewer cells are given to their surroundings.
    significance : float, default=1e-3
        Two neighbouring regions are joined unless the labels of their cells agree with
        the labels two cells away more than by chance, with at most this p value. None
        joins none.

    Returns
    -------
    domains : pandas.DataFrame
        One row a domain, the largest first, with the columns

        frame : int
            Image.
        label : object
            Label of the domain.
        n_cells : int
            Number of cells.
        area_nm2 : float
            Sum of the areas of the cells, nm², that of single missing cells included;
            ``area_px2`` where no pixel size is known.
        perimeter_nm : float
            Length of the boundary along the edges of the cells, that at the border of
            the image included, nm; ``perimeter_px`` where no pixel size is known.
        row, col : float
            Centroid, px.
        row_min, row_max, col_min, col_max : float
            Bounding box of the positions, px.
        touches_border : bool
            Whether the border of the image cuts the domain.
        n_averaged : int
            Number of vectors in the mean. Cells within two cells of another domain, on
            the slope of the wall, are left out where 15 cells remain; in smaller
            domains those next to another domain where 8 remain; otherwise none.
        mean_row, mean_col : float
            Mean vector, in the unit of `vectors`.
        mean_row_std, mean_col_std, mean_covariance : float
            Standard errors of its components, and their covariance.
        magnitude, magnitude_std : float
            Length of the mean vector and its standard error.
        angle_deg, angle_std_deg : float
            Angle of the mean vector from +col towards +row, degrees in [-180, 180), and
            its standard error.
        p_value : float
            Probability of a mean vector as long if there were none; see
            :func:`~sklearn_ferroic.feature_extraction.pool_polarization`.

        ``domains.attrs["domain"]`` is the row of the domain of each site, -1 for none,
        shape (n_sites,).

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
    find_walls : The walls between domains.
    label_smoothing : Labels smoothed by those of their neighbours.
    sklearn_ferroic.feature_extraction.pool_polarization : Mean vectors of any groups.

    Notes
    -----
    Neighbours are cells up to 1.25 apart where the lattice vectors around them have
    length 1: four on square and rectangular lattices, six on hexagonal ones. A missing
    cell between two others along a or b counts as a cell without label and vector, so
    that vacancies divide no domain.

    A clustering divides a uniform region, too, and sorts its cells by noise. Such
    labels are independent of those of the cells two cells away, which share no atomic
    column and, for windows of up to 2.4 cells, hardly a pixel. A border is kept if
    Cohen's kappa of a cell's own label and of the majority of these cells is at least
    0.3, and Fisher's exact test is significant. A lamella less than four cells wide
    cannot pass this test; use ``significance=None`` for fine textures.

    A boundary along the diagonal of a square lattice is a staircase, so that
    `perimeter_nm` is 1.41 times its length.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.domains import find_domains
    >>> positions = 10.0 * np.indices((12, 20)).reshape(2, -1).T + 5
    >>> right = positions[:, 1] > 80
    >>> rng = np.random.default_rng(0)
    >>> polarization = rng.normal(0, 0.5, (240, 2)) + np.where(right, 1, -1)[:, None]
    >>> sites = AtomSites(
    ...     np.eye(120, 200), positions, polarization=polarization, pixel_size=0.04
    ... )
    >>> domains = find_domains(sites, right)
    >>> domains[["label", "n_cells", "area_nm2"]].round(1)
       label  n_cells  area_nm2
    0   True      144      23.0
    1  False       96      15.4
    """
    pandas = import_optional("pandas", "io")
    check_one_sublattice(sites)
    # Standard errors are px, and vectors that are given may have another unit.
    std = sites.position_std if vectors is None else np.full((len(sites), 2), np.nan)
    classes, codes, vectors = check_cells(sites, labels, vectors)
    filled = with_vacancies(sites)
    n_found, n_vacant = len(sites), len(filled) - len(sites)
    codes, vectors, std = pad_cells(codes, vectors, std, n_vacant)
    graph = CellGraph(filled)
    domain, cleaned = segment_domains(
        graph,
        codes,
        len(classes),
        vectors=vectors,
        min_cells=min_cells,
        significance=significance,
    )
    is_cell = np.arange(len(filled)) < n_found
    rows = _largest_first(np.where(is_cell, domain, -1), domain.max() + 1)
    n_domains = domain.max() + 1
    members = split_members(domain, n_domains)
    averaged = _cores(graph, domain, members)
    means = pooled_means(filled, vectors, std, averaged)
    touching = _near_border(filled, graph.spacing)
    boundary = _boundary(graph, domain)
    areas = cell_areas(graph)
    nm = filled.pixel_size_per_site()
    calibrated = bool(np.isfinite(nm).any())
    scale = nm if calibrated else np.ones(len(filled))
    unit = "nm" if calibrated else "px"
    table = []
    for number, cells in enumerate(members):
        own = cells[is_cell[cells]]
        position = filled.positions[own if len(own) else cells]
        (row, col), low, high = (
            position.mean(axis=0),
            position.min(axis=0),
            position.max(axis=0),
        )
        table.append(
            {
                "frame": filled.frame[cells[0]],
                "label": classes[cleaned[cells[0]]],
                "n_cells": len(own),
                f"area_{unit}2": (areas[cells] * scale[cells] ** 2).sum(),
                f"perimeter_{unit}": (boundary[cells] * scale[cells]).sum(),
                "row": row,
                "col": col,
                "row_min": low[0],
                "row_max": high[0],
                "col_min": low[1],
                "col_max": high[1],
                "touches_border": bool(touching[cells].any()),
                "n_averaged": means[number].n_sites,
                **describe_mean(means[number]),
                "p_value": means[number].p_value,
            }
        )
    columns = None if table else ["frame", "label", "n_cells", f"area_{unit}2"]
    domains = pandas.DataFrame(table, columns=columns)
    domains = domains.iloc[np.argsort(rows)].reset_index(drop=True)
    number = np.where(domain >= 0, rows[domain] if n_domains else -1, -1)
    domains.attrs["domain"] = SiteNumbers(number[:n_found])
    return domains


def pooled_means(sites, vectors, std, members):
    """Return the pooled mean vector of each group of cells, a list of PooledVector.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        The cells.
    vectors : ndarray of shape (n_sites, 2)
        Vectors, NaN where unknown.
    std : ndarray of shape (n_sites, 2)
        Standard errors of the positions in the unit of the vectors; NaN where unknown.
    members : list of ndarray of int
        Indices of the cells of each group.

    Returns
    -------
    means : list of PooledVector
        One a group.
    """
    usable = np.isfinite(vectors).all(axis=1) & sites.converged
    place = Place(sites.positions, sites.frame, cell_size(sites))
    group = np.full(len(sites), -1)
    for number, cells in enumerate(members):
        group[cells] = number
    kept = usable & (group >= 0)
    factor = neighbor_factor(vectors, group, kept, place)
    means = []
    for cells in members:
        own = cells[usable[cells]]
        means.append(
            pool_vectors(
                vectors[own],
                std[own],
                place.take(own),
                factor=factor,
            )
        )
    return means


def _cores(graph, domain, members):
    """Return the cells of each domain that are away from others, a list of arrays."""
    first, second = graph.pairs.T
    foreign = (domain[first] != domain[second]) & (domain[first] >= 0)
    foreign &= domain[second] >= 0
    layer = np.full(graph.n_sites, len(_CORE_CELLS))
    layer[graph.pairs[foreign].ravel()] = 0
    outer = layer == 0
    next_to_it = np.concatenate([second[outer[first]], first[outer[second]]])
    layer[next_to_it[layer[next_to_it] > 0]] = 1
    cores = []
    for cells in members:
        core = cells
        for n_layers, least in zip((2, 1), _CORE_CELLS, strict=True):
            inner = cells[layer[cells] >= n_layers]
            if len(inner) >= least:
                core = inner
                break
        cores.append(core)
    return cores


def describe_mean(pooled):
    """Return the components, length and angle of a mean vector with errors."""
    mean, covariance = pooled.mean, pooled.covariance
    length = float(np.hypot(*mean))
    along = mean / length if length > 0 else np.array([np.nan, np.nan])
    across = np.array([along[1], -along[0]])
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "mean_row": mean[0],
            "mean_col": mean[1],
            "mean_row_std": np.sqrt(covariance[0, 0]),
            "mean_col_std": np.sqrt(covariance[1, 1]),
            "mean_covariance": covariance[0, 1],
            "magnitude": length,
            "magnitude_std": np.sqrt(along @ covariance @ along),
            "angle_deg": np.degrees(wrap_angle(np.arctan2(mean[0], mean[1]))),
            "angle_std_deg": np.degrees(np.sqrt(across @ covariance @ across) / length),
        }


def cell_areas(graph):
    """Return the area of each cell, px²; the square of the spacing where unknown."""
    a, b = graph.vectors[:, 0], graph.vectors[:, 1]
    area = np.abs(a[:, 1] * b[:, 0] - a[:, 0] * b[:, 1])
    return np.where(np.isfinite(area), area, graph.spacing**2)


def _largest_first(domain, n_domains):
    """Return the rank by size of each domain."""
    size = np.bincount(domain[domain >= 0], minlength=n_domains)
    rank = np.empty(len(size), dtype=int)
    rank[np.argsort(-size, kind="stable")] = np.arange(len(size))
    return rank


def _near_border(sites, spacing):
    """Return which cells are cut by the border of their image or next to it."""
    shapes = np.array([image.shape for image in sites.images])[sites.frame]
    depth = np.minimum(sites.positions, shapes - 1 - sites.positions).min(axis=1)
    return depth < _BORDER_CELLS * spacing


def _boundary(graph, domain):
    """Return the length of the sides of each cell that face no cell of its domain."""
    neighbors, length = graph.sides()
    padded = np.append(domain, -2)
    return np.where(padded[neighbors] != domain[:, None], length, 0.0).sum(axis=1)
