"""Wall lines between domains, traced through pairs of neighbouring cells."""

from itertools import pairwise

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import (
    breadth_first_order,
    connected_components,
    dijkstra,
)
from scipy.spatial import cKDTree

from ..._lattice.neighbor_graph import minimum_forest

# Crossing points of one line are at most this far apart: one cell on a straight line,
# 1.5 next to a missing cell.
_LINK_CELLS = 1.6
# Kernel width of the smoothing that removes the steps of the lattice from a line.
_SMOOTHING_CELLS = 2.0
# Kernel width of the straight pieces that the smoothing starts from.
_WIDE_CELLS = 6.0
# A line is divided where its directions over this length before and after differ by
# more than this angle: walls of one pair of domains with two orientations.
_CORNER_REACH_CELLS = 4.0
_CORNER_RAD = np.radians(60)
# Distance of the vertices of a line.
_STEP_CELLS = 0.5
# Vertices smoothed at a time; bounds the scratch memory.
_CHUNK_POINTS = 512


class WallLine:
    """A smooth line with its normals, from domain a to domain b.

    Parameters
    ----------
    points : ndarray of shape (n, 2)
        Vertices ``(row, col)``, px, in order.
    toward : ndarray of shape (2,)
        Any vector from side a to side b at the vertex `anchor`.
    anchor : int
        That vertex.
    closed : bool
        Whether the last vertex is connected to the first one.
    """

    def __init__(self, points, toward, anchor, closed):
        self.points = points
        self.closed = closed
        tangent = _tangents(points, closed)
        normal = np.column_stack([-tangent[:, 1], tangent[:, 0]])
        if normal[anchor] @ toward < 0:
            normal = -normal
        self.tangent, self.normal = tangent, normal
        step = np.hypot(*np.diff(points, axis=0).T)
        self.arc = np.concatenate([[0.0], np.cumsum(step)])
        self.length = float(self.arc[-1])
        if closed:
            self.length += float(np.hypot(*(points[0] - points[-1])))
        self._tree = cKDTree(points)

    def locate(self, positions, overhang):
        """Return the signed distance from the line and the arc length of positions.

        The distance is positive on side b, and NaN beyond the ends of an open line.
        """
        nearest = self._tree.query(positions)[1]
        offset = positions - self.points[nearest]
        along = (offset * self.tangent[nearest]).sum(axis=1)
        distance = (offset * self.normal[nearest]).sum(axis=1)
        arc = self.arc[nearest] + along
        if not self.closed:
            beyond = (arc < -overhang) | (arc > self.length + overhang)
            distance = np.where(beyond, np.nan, distance)
        return distance, np.clip(arc, 0, self.length)

    def axes_at(self, positions):
        """Return the normal and the tangent of the line nearest to positions."""
        nearest = self._tree.query(positions)[1]
        return self.normal[nearest], self.tangent[nearest]

    def vertex_lengths(self):
        """Return the length of the line that belongs to each vertex, px."""
        step = np.diff(self.arc, append=self.length)
        if self.closed:
            return (step + np.roll(step, 1)) / 2
        return (step + np.concatenate([[0.0], step[:-1]])) / 2

    def mean_normal(self):
        """Return the normal averaged along the line; zero for a closed line."""
        if self.closed:
            return np.zeros(2)
        weight = self.vertex_lengths()
        return weight @ self.normal / weight.sum()

    def shifted(self, offset):
        """Return the line moved along its normals by an offset at each vertex, px."""
        points = self.points + offset[:, None] * self.normal
        anchor = len(points) // 2
        return WallLine(points, self.normal[anchor], anchor, self.closed)


def trace_lines(positions, pairs, spacing, longest=None):
    """Trace lines between two domains.

    Parameters
    ----------
    positions : ndarray of shape (n_sites, 2)
        Cells, px.
    pairs : ndarray of shape (n_pairs, 2)
        Neighbouring cells of domain a (first) and b (second).
    spacing : float
        Size of a cell, px.
    longest : float, default=None
        Length of the longer lattice vector, px; `spacing` by default.

    Returns
    -------
    lines : list of tuple (WallLine, ndarray)
        Each line, and the indices of the pairs that it goes through.
    """
    crossing = positions[pairs].mean(axis=1)
    step = np.diff(positions[pairs], axis=1)[:, 0]
    n = len(crossing)
    reach = _LINK_CELLS * (spacing if longest is None else max(longest, spacing))
    links = cKDTree(crossing).query_pairs(reach, output_type="ndarray")
    distance = np.hypot(*(crossing[links[:, 0]] - crossing[links[:, 1]]).T)
    # A sparse matrix does not store links of length 0.
    graph = coo_array(
        (distance + 1e-6 * spacing, (links[:, 0], links[:, 1])), shape=(n, n)
    ).tocsr()
    tree = minimum_forest(graph)
    part = connected_components(tree, directed=False)[1]
    lines = []
    for number in range(part.max() + 1):
        members = np.flatnonzero(part == number)
        if len(members) < 2:
            continue
        path = members[_longest_path(tree[members][:, members])]
        gap = np.hypot(*(crossing[path[0]] - crossing[path[-1]]))
        closed = len(path) > 6 and gap < reach
        parts = _split_at_corners(crossing[path], spacing, closed)
        # Crossings off the path go with the nearest one on it.
        on_path = cKDTree(crossing[path]).query(crossing[members])[1]
        for chosen in parts:
            if len(chosen) < 2:
                continue
            through = members[np.isin(on_path, chosen)]
            is_loop = closed and len(parts) == 1
            smooth = _smooth(crossing[path[chosen]], spacing, is_loop)
            anchor = len(smooth) // 2
            tree_of_part = cKDTree(crossing[through])
            nearest = tree_of_part.query(smooth[anchor], k=min(3, len(through)))[1]
            toward = step[through[np.atleast_1d(nearest)]].mean(axis=0)
            lines.append((WallLine(smooth, toward, anchor, is_loop), through))
    return lines


def _split_at_corners(points, spacing, closed):
    """Return the parts of a path between sharp corners, lists of indices in order."""
    n = len(points)
    step = np.hypot(*np.diff(points, axis=0).T).mean() if n > 1 else spacing
    reach = max(2, round(_CORNER_REACH_CELLS * spacing / step))
    index = np.arange(n)
    if closed:
        before, after = points[index - reach], points[(index + reach) % n]
        inner = np.ones(n, dtype=bool)
    else:
        before, after = (
            points[np.maximum(index - reach, 0)],
            points[np.minimum(index + reach, n - 1)],
        )
        inner = (index >= reach) & (index < n - reach)
    first, second = points - before, after - points
    cross = first[:, 1] * second[:, 0] - first[:, 0] * second[:, 1]
    bend = np.abs(np.arctan2(cross, (first * second).sum(axis=1)))
    bend[~inner] = 0
    corners = []
    for place in np.argsort(-bend, kind="stable"):
        if bend[place] < _CORNER_RAD:
            break
        gap = np.abs(np.array(corners) - place)
        if not (np.minimum(gap, n - gap) < reach).any() if corners else True:
            corners.append(place)
    if not corners:
        return [index]
    corners = np.sort(corners)
    if closed:
        index = np.roll(index, -corners[0])
        cuts = corners - corners[0]
        return [
            index[np.arange(low, high + 1) % n]
            for low, high in zip(cuts, [*cuts[1:], n], strict=True)
        ]
    cuts = [0, *corners, n - 1]
    return [index[low : high + 1] for low, high in pairwise(cuts)]


def _longest_path(tree):
    """Return the nodes of the longest path of a tree, in order."""
    start = _farthest(tree, 0)
    end = _farthest(tree, start)
    _, previous = breadth_first_order(tree, start, directed=False)
    path = [end]
    while path[-1] != start:
        path.append(previous[path[-1]])
    return np.array(path[::-1])


def _farthest(tree, start):
    return int(np.argmax(dijkstra(tree, directed=False, indices=start)))


def _smooth(points, spacing, closed):
    """Return vertices at equal steps on a smooth line through points in order.

    A straight piece is fitted over a wide kernel around each vertex, and the mean of
    the residuals over a narrow one is added: so curves are followed, and single points
    at the ends do not turn the line.
    """
    if closed:
        points = np.concatenate([points, points[:1]])
    arc = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    length = arc[-1]
    n_steps = max(2, round(length / (_STEP_CELLS * spacing)))
    target = np.linspace(0, length, n_steps + 1)
    if closed:
        target = target[:-1]
        arc = np.concatenate([arc[:-1] - length, arc[:-1], arc[:-1] + length])
        points = np.tile(points[:-1], (3, 1))
    wide = min(_WIDE_CELLS * spacing, max(length / 4, spacing))
    narrow = _SMOOTHING_CELLS * spacing
    residual = points - _kernel_fit(arc, points, arc, wide, linear=True)
    line = _kernel_fit(arc, points, target, wide, linear=True)
    return line + _kernel_fit(arc, residual, target, narrow, linear=False)


def _kernel_fit(arc, values, target, width, *, linear):
    """Return local means, or local straight fits, with a Gaussian kernel."""
    fitted = np.empty((len(target), values.shape[1]))
    for first in range(0, len(target), _CHUNK_POINTS):
        part = target[first : first + _CHUNK_POINTS]
        ends = [part[0] - 4 * width, part[-1] + 4 * width]
        near = slice(*np.searchsorted(arc, ends))
        lag = (arc[near] - part[:, None]) / width
        weight = np.exp(-0.5 * lag**2)
        if linear:
            s0, s1, s2 = ((weight * lag**k).sum(axis=1) for k in range(3))
            total = s0 * s2 - s1**2
            flat = total < 1e-9 * s0**2
            straight = weight * (s2[:, None] - s1[:, None] * lag)
            weight = np.where(flat[:, None], weight, straight)
        fitted[first : first + _CHUNK_POINTS] = (
            weight @ values[near] / weight.sum(axis=1)[:, None]
        )
    return fitted


def _tangents(points, closed):
    if closed:
        step = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
    else:
        step = np.gradient(points, axis=0) if len(points) > 1 else np.ones((1, 2))
    length = np.hypot(*step.T)
    return step / np.maximum(length, 1e-12)[:, None]
