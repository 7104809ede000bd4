"""Connected domains of labelled cells, without those that noise explains."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import hypergeom

# Agreement (Cohen's kappa) between the label of a cell and that of the cells around it
# from which a border counts as real. Labels sorted by noise have about 0, labels of
# which one in five is wrong have about 0.6.
_MIN_AGREEMENT = 0.3
# A region of its own class is a wall if it has at most this many layers of cells at
# other regions (six cells across, the full width of a wall of this class), its mean
# vector lies between those of both sides, and it changes from side to side by at least
# this share of the step.
_MAX_WALL_LAYERS = 3
_MAX_WALL_PLACE = 0.35
_MAX_WALL_ACROSS = 0.25
_MIN_WALL_SLOPE = 0.2
# Rounds of merging; each round merges all regions that it can.
_MAX_ROUNDS = 30


def segment_domains(graph, codes, n_classes, *, min_cells, significance, vectors=None):
    """Find domains: connected cells of one label that noise does not explain.

    Parameters
    ----------
    graph : CellGraph
        Neighbours of the cells.
    codes : ndarray of int of shape (n_sites,)
        Index of each cell's label, -1 for none.
    n_classes : int
        Number of labels.
    min_cells : int
        Smaller regions are given to their surroundings.
    significance : float or None
        Largest p value at which a border between two regions is kept; None keeps all.
    vectors : ndarray of shape (n_sites, 2), default=None
        Vectors, NaN where unknown: narrow regions whose vectors lie between those of
        their neighbours are walls and are divided among these.

    Returns
    -------
    domain : ndarray of int of shape (n_sites,)
        Number of the domain of each cell, -1 where the cell has no label.
    cleaned : ndarray of int of shape (n_sites,)
        Index of the label of the cell's domain, -1 for none.
    """
    cleaned = _dissolve_small(graph, graph.bridge(codes), n_classes, min_cells)
    if vectors is not None:
        cleaned = _divide_walls(graph, cleaned, n_classes, vectors)
    known = cleaned >= 0
    domain = graph.regions(cleaned, known)
    if significance is None or not known.any():
        return domain, cleaned
    ring = graph.ring_votes(codes, n_classes, codes >= 0).astype(np.int16).toarray()
    for _ in range(_MAX_ROUNDS):
        merged = _merge_unsupported(graph, domain, cleaned, codes, ring, significance)
        if merged is None:
            break
        cleaned = merged
        domain = graph.regions(cleaned, known)
    return domain, cleaned


def _dissolve_small(graph, codes, n_classes, min_cells):
    """Assign the commonest label of their neighbours to cells of small regions."""
    cleaned = codes.copy()
    for _ in range(_MAX_ROUNDS):
        known = cleaned >= 0
        region = graph.regions(cleaned, known)
        if not known.any():
            break
        size = np.bincount(region[known])
        small = known & (size[region] < min_cells)
        large = known & ~small
        if not small.any() or not large.any():
            break
        # Layer by layer from the large regions inwards.
        votes = graph.votes(cleaned, n_classes, large)
        voted = small & (np.asarray(votes.sum(axis=1)).ravel() > 0)
        if not voted.any():
            cleaned[small] = -1
            break
        cleaned[voted] = np.asarray(votes[voted].argmax(axis=1)).ravel()
    return cleaned


def _divide_walls(graph, codes, n_classes, vectors):
    """Assign the cells of regions that are walls to the regions on both sides."""
    known = codes >= 0
    region = graph.regions(codes, known)
    n_regions = region.max() + 1
    if n_regions < 3:
        return codes
    depth = region_depth(graph, region)
    deepest = np.zeros(n_regions, dtype=int)
    np.maximum.at(deepest, region[known], depth[known])
    narrow = deepest <= _MAX_WALL_LAYERS
    measured = known & np.isfinite(vectors).all(axis=1)
    first, second = np.concatenate([graph.pairs, graph.pairs[:, ::-1]]).T
    border = (region[first] != region[second]) & known[first] & known[second]
    first, second = first[border], second[border]
    by_region = split_members(region[first], n_regions)
    code_of = np.zeros(n_regions, dtype=int)
    code_of[region[known]] = codes[known]
    # The mean of a side is that of its cells beyond the reach of the wall.
    inner = measured & (depth > 2)
    means = _region_means(vectors, region, inner, n_regions)
    divided = codes.copy()
    wall = np.zeros(len(codes), dtype=bool)
    for number in np.flatnonzero(narrow):
        contacts = by_region[number]
        others, count = np.unique(region[second[contacts]], return_counts=True)
        wide = ~narrow[others]
        others = others[wide][np.argsort(-count[wide], kind="stable")][:2]
        if len(others) < 2 or code_of[others[0]] == code_of[others[1]]:
            continue
        step = means[others[1]] - means[others[0]]
        square = step @ step
        if not square > 0:
            continue
        own = np.flatnonzero((region == number) & measured)
        if len(own) == 0:
            continue
        offset = vectors[own].mean(axis=0) - means[others[0]]
        place = offset @ step / square
        across = (offset @ [step[1], -step[0]]) / square
        if abs(place - 0.5) > _MAX_WALL_PLACE or abs(across) > _MAX_WALL_ACROSS:
            continue
        near = [
            np.unique(first[contacts[region[second[contacts]] == k]]) for k in others
        ]
        only = [np.setdiff1d(near[0], near[1]), np.setdiff1d(near[1], near[0])]
        only = [cells[measured[cells]] for cells in only]
        if all(len(cells) for cells in only):
            # A nonpolar layer between two domains has no slope.
            low, high = (vectors[cells].mean(axis=0) @ step / square for cells in only)
            if high - low < _MIN_WALL_SLOPE:
                continue
        wall[region == number] = True
    if not wall.any():
        return codes
    # Layer by layer from both sides.
    settled = known & ~wall
    while True:
        votes = graph.votes(divided, n_classes, settled)
        voted = wall & ~settled & (np.asarray(votes.sum(axis=1)).ravel() > 0)
        if not voted.any():
            return divided
        divided[voted] = np.asarray(votes[voted].argmax(axis=1)).ravel()
        settled |= voted


def region_depth(graph, region):
    """Return the layer of each cell, counted from 1 at other regions, up to four."""
    first, second = graph.pairs.T
    known = region >= 0
    depth = np.full(len(region), _MAX_WALL_LAYERS + 1)
    foreign = (region[first] != region[second]) & known[first] & known[second]
    depth[graph.pairs[foreign].ravel()] = 1
    same = graph.pairs[region[first] == region[second]]
    for layer in range(2, _MAX_WALL_LAYERS + 1):
        for near, cell in (same.T, same[:, ::-1].T):
            reached = cell[(depth[near] == layer - 1) & (depth[cell] > layer)]
            depth[reached] = layer
    return depth


def _region_means(vectors, region, chosen, n_regions):
    """Return the mean vector of the chosen cells of each region, NaN for none."""
    count = np.bincount(region[chosen], minlength=n_regions)
    with np.errstate(invalid="ignore"):
        return np.column_stack(
            [
                np.bincount(region[chosen], column[chosen], minlength=n_regions) / count
                for column in vectors.T
            ]
        )


def _merge_unsupported(graph, domain, cleaned, codes, ring, significance):
    """Merge neighbouring domains whose border is not significant; None if all are."""
    first, second = domain[graph.pairs].T
    border = (first != second) & (first >= 0) & (second >= 0)
    if not border.any():
        return None
    n_domains = domain.max() + 1
    low, high = np.minimum(first, second)[border], np.maximum(first, second)[border]
    key, contact = np.unique(low * n_domains + high, return_counts=True)
    low, high = np.divmod(key, n_domains)
    members = split_members(domain, n_domains)
    label = cleaned[[cells[0] for cells in members]]
    tables = {}
    weak = np.array(
        [
            not _is_supported(
                _agreement(tables, members, label, i, j, codes, ring)
                + _agreement(tables, members, label, j, i, codes, ring)[::-1, ::-1],
                significance,
            )
            for i, j in zip(low, high, strict=True)
        ]
    )
    if not weak.any():
        return None
    # Each domain joins the neighbour with which it shares most of its border, if that
    # border is weak; the larger one of the two keeps its label.
    size = np.bincount(domain[domain >= 0], minlength=n_domains)
    best = np.full(n_domains, -1)
    order = np.argsort(contact[weak], kind="stable")
    for index in np.flatnonzero(weak)[order]:
        i, j = low[index], high[index]
        small, large = (i, j) if size[i] <= size[j] else (j, i)
        best[small] = large
    joined = np.flatnonzero(best >= 0)
    graph_of_domains = coo_array(
        (np.ones(len(joined)), (joined, best[joined])), shape=(n_domains, n_domains)
    )
    group = connected_components(graph_of_domains, directed=False)[1]
    by_size = np.lexsort([size, group])
    largest = by_size[np.flatnonzero(np.diff(group[by_size], append=-1))]
    label_of_group = np.empty(group.max() + 1, dtype=label.dtype)
    label_of_group[group[largest]] = label[largest]
    merged = cleaned.copy()
    known = domain >= 0
    merged[known] = label_of_group[group[domain[known]]]
    return merged


def _agreement(tables, members, label, domain, other, codes, ring):
    """Count the cells of a domain by own label and by that of the cells around.

    Rows: the domain's own label and that of the other domain; columns: the same for
    the majority of the cells around.
    """
    key = domain, label[other]
    if key not in tables:
        cells = members[domain]
        pair = label[domain], label[other]
        cells = cells[np.isin(codes[cells], pair)]
        votes_own, votes_other = ring[cells][:, pair[0]], ring[cells][:, pair[1]]
        own, around = codes[cells] == pair[0], votes_own > votes_other
        tied = votes_own == votes_other
        tables[key] = np.array(
            [[(r & a & ~tied).sum() for a in (around, ~around)] for r in (own, ~own)]
        )
    return tables[key]


def _is_supported(table, significance):
    """Check that labels of two domains follow those of the cells around."""
    n = table.sum()
    if n == 0:
        return False
    n_own, n_around = table[0].sum(), table[:, 0].sum()
    agree = np.trace(table) / n
    chance = (n_own * n_around + (n - n_own) * (n - n_around)) / n**2
    if chance == 1 or (agree - chance) / (1 - chance) < _MIN_AGREEMENT:
        return False
    # Fisher's exact test: as many agreements or more if labels were independent.
    return hypergeom.sf(table[0, 0] - 1, n, n_own, n_around) <= significance


def split_members(numbers, n_groups):
    """Return the indices of the members of each group, a list of arrays."""
    order = np.argsort(numbers, kind="stable")
    start = np.searchsorted(numbers[order], np.arange(n_groups + 1))
    return [order[start[k] : start[k + 1]] for k in range(n_groups)]
