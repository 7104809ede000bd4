"""Two-colouring of the graph of neighbours: the two sublattices of a crystal.

Nearest neighbours have different colours. Pairs of columns are merged to small clusters
and these to larger ones, each time with the relative sign that most bonds between the
two clusters support. A wrong bond next to a dislocation, a missing or an invented
column is outvoted by the bonds around it, so that colours extend over the whole
crystal. Clusters with contradictory bonds are different crystals, as are clusters whose
brightness contradicts the merger.
"""

from typing import NamedTuple

import numpy as np

# Clusters merge if the bonds between them agree to this degree and are not a chance
# contact: bonds over the root of the smaller cluster's size.
_MIN_AGREEMENT = 0.6
_MIN_CONTACT = 0.4
# The brightness of a cluster is decisive with this mean vote, and this many standard
# deviations above chance.
_MIN_VOTE = 0.3
_VOTE_SIGNIFICANCE = 4
# Of equal mergers, those that the votes support have precedence, by up to this share,
# so that no cluster extends over a boundary where labels are exchanged.
_PREFERENCE = 0.3
_N_CLEANINGS = 24


class Coloring(NamedTuple):
    """Two colours for the columns of each crystal.

    Parameters
    ----------
    sign : ndarray of shape (n,)
        −1 or 1; in each crystal most votes are for this assignment.
    crystal : ndarray of int of shape (n,)
        Crystal of each column.
    favor : ndarray of shape (n_crystals,)
        Sum of the votes for the colours of each crystal.
    """

    sign: np.ndarray
    crystal: np.ndarray
    favor: np.ndarray


def color_in_two(n, pairs, weight, vote):
    """Assign signs so that the ends of as many bonds as possible differ.

    Parameters
    ----------
    n : int
        Number of columns.
    pairs : ndarray of shape (n_pairs, 2)
        Bonds.
    weight : ndarray of shape (n_pairs,)
        Weight of each bond, about 1 for nearest neighbours.
    vote : ndarray of shape (n,)
        Sign of each column according to its brightness, −1 to 1.

    Returns
    -------
    coloring : Coloring
        Signs of the columns of each crystal.
    """
    sign, cluster = np.ones(n), np.arange(n)
    bonds = _Bonds(*pairs.T, -weight, weight)
    size, favor = np.ones(n), vote
    # Ties are frequent in lattices: break them at random to avoid chains.
    rng = np.random.default_rng(0)
    while True:
        allowed, merit = bonds.mergers(size, favor)
        chosen = allowed[_mutual_choice(len(size), *bonds.ends(allowed), merit, rng)]
        if not chosen.size:
            sign *= np.where(favor < 0, -1, 1)[cluster]
            return Coloring(sign, cluster, np.abs(favor))
        kept, taken = bonds.ends(chosen)
        flip = np.ones(len(size))
        flip[taken] = np.sign(bonds.relation[chosen])
        target = np.arange(len(size))
        target[taken] = kept
        number = np.cumsum(target == np.arange(len(size))) - 1
        target = number[target]
        sign *= flip[cluster]
        cluster = target[cluster]
        size, favor = np.bincount(target, size), np.bincount(target, favor * flip)
        bonds = bonds.between(target, flip)


class _Bonds(NamedTuple):
    """Bonds between clusters: their sum of relative signs and of weights."""

    first: np.ndarray
    second: np.ndarray
    relation: np.ndarray
    amount: np.ndarray

    def ends(self, which):
        """Return the clusters at the two ends."""
        return self.first[which], self.second[which]

    def mergers(self, size, favor):
        """Return the mergers that are allowed, and the merit of each."""
        decisive = is_decisive(size, favor)
        opposed = favor[self.first] * favor[self.second] * self.relation < 0
        opposed &= decisive[self.first] & decisive[self.second]
        contact = _MIN_CONTACT * np.sqrt(
            np.minimum(size[self.first], size[self.second])
        )
        strength = np.abs(self.relation)
        allowed = strength >= _MIN_AGREEMENT * self.amount
        allowed &= (self.amount >= contact) & ~opposed
        allowed = np.flatnonzero(allowed)
        # Compact clusters of equal size before mergers of a large and a small one.
        first, second = self.ends(allowed)
        compact = strength[allowed] / np.sqrt(size[first] * size[second])
        agree = favor[first] * favor[second] * np.sign(self.relation[allowed])
        agree /= size[first] * size[second]
        return allowed, compact * (1 + _PREFERENCE * agree)

    def between(self, target, flip):
        """Return the bonds of the merged clusters."""
        relation = self.relation * flip[self.first] * flip[self.second]
        first, second = target[self.first], target[self.second]
        n = target.max() + 1
        key = np.minimum(first, second) * n + np.maximum(first, second)
        order = np.flatnonzero(first != second)
        order = order[np.argsort(key[order], kind="stable")]
        start = np.flatnonzero(np.diff(key[order], prepend=-1))
        return _Bonds(
            *np.divmod(key[order][start], n),
            np.add.reduceat(relation[order], start),
            np.add.reduceat(self.amount[order], start),
        )


def is_decisive(size, favor):
    """Return for which clusters the votes of the brightness are decisive."""
    return np.abs(favor) > np.maximum(
        _MIN_VOTE * size, _VOTE_SIGNIFICANCE * np.sqrt(size)
    )


def _mutual_choice(n, first, second, merit, rng):
    """Select the mergers that are the best for both of their clusters."""
    merit = merit * rng.uniform(0.9, 1, len(merit))
    best = np.zeros(n)
    np.maximum.at(best, first, merit)
    np.maximum.at(best, second, merit)
    return np.flatnonzero((best[first] == merit) & (best[second] == merit))


def clean_colors(sign, graph):
    """Correct single errors by the majority of the surrounding columns.

    Parameters
    ----------
    sign : ndarray of shape (n,)
        Colours, −1 or 1.
    graph : sparse array of shape (n, n)
        Weight of each neighbour of a column.

    Returns
    -------
    sign : ndarray of shape (n,)
        Colours.
    """
    vote = sign
    for _ in range(_N_CLEANINGS):
        vote = 0.5 * (vote - graph @ vote)
    return np.where(np.abs(vote) < 1e-9, sign, np.sign(vote))
