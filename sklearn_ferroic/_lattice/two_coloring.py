"""The two sublattices of a crystal as the two colours of its graph of neighbours.

Nearest neighbours carry different colours. Pairs of columns merge into small
clusters, clusters into larger ones, each time along the relation that most bonds
between the two clusters agree on. What one bond says wrongly beside a dislocation, a
missing or an invented column is outvoted by the bonds around it, and the colours are
carried as far as the crystal goes. Clusters whose bonds contradict one another are
different crystals, and so may be those whose brightness speaks against a merger.
"""

from typing import NamedTuple

import numpy as np

# Clusters merge if the bonds between them agree to this degree and are not a chance
# contact: bonds over the root of the smaller cluster's size.
_MIN_AGREEMENT = 0.6
_MIN_CONTACT = 0.4
# Brightness speaks for a cluster by this mean vote, so many times above chance.
_MIN_VOTE = 0.3
_VOTE_SIGNIFICANCE = 4
# Of like mergers those come first, by up to this share, that the votes are for: then
# no cluster straddles a boundary where names are exchanged.
_PREFERENCE = 0.3
_N_CLEANINGS = 24


class Coloring(NamedTuple):
    """Two colours for the columns of each crystal.

    Parameters
    ----------
    sign : ndarray of shape (n,)
        −1 or 1; in each crystal 1 is what most votes are for.
    crystal : ndarray of int of shape (n,)
        Which crystal a column belongs to.
    favor : ndarray of shape (n_crystals,)
        By how many votes the colours of each crystal are chosen.
    """

    sign: np.ndarray
    crystal: np.ndarray
    favor: np.ndarray


def color_in_two(n, pairs, weight, vote):
    """Give the two ends of as many bonds as possible different signs.

    Parameters
    ----------
    n : int
        Number of columns.
    pairs : ndarray of shape (n_pairs, 2)
        Bonds.
    weight : ndarray of shape (n_pairs,)
        How surely a bond joins nearest neighbours, about 1 if surely.
    vote : ndarray of shape (n,)
        Sign that a column would have by its brightness, −1 to 1.

    Returns
    -------
    coloring : Coloring
        Signs, crystal by crystal.
    """
    sign, cluster = np.ones(n), np.arange(n)
    bonds = _Bonds(*pairs.T, -weight, weight)
    size, favor = np.ones(n), vote
    # Lattices are full of equals: chance breaks the ties, or chains would form.
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
    """Bonds between clusters: what they say of the relation, and how many."""

    first: np.ndarray
    second: np.ndarray
    relation: np.ndarray
    amount: np.ndarray

    def ends(self, which):
        """Clusters at the two ends."""
        return self.first[which], self.second[which]

    def mergers(self, size, favor):
        """List the mergers that are allowed, and how much speaks for each."""
        voiced = is_voiced(size, favor)
        opposed = favor[self.first] * favor[self.second] * self.relation < 0
        opposed &= voiced[self.first] & voiced[self.second]
        contact = _MIN_CONTACT * np.sqrt(
            np.minimum(size[self.first], size[self.second])
        )
        strength = np.abs(self.relation)
        allowed = strength >= _MIN_AGREEMENT * self.amount
        allowed &= (self.amount >= contact) & ~opposed
        allowed = np.flatnonzero(allowed)
        # Compact clusters of one size before large ones that swallow the small.
        first, second = self.ends(allowed)
        compact = strength[allowed] / np.sqrt(size[first] * size[second])
        agree = favor[first] * favor[second] * np.sign(self.relation[allowed])
        agree /= size[first] * size[second]
        return allowed, compact * (1 + _PREFERENCE * agree)

    def between(self, target, flip):
        """Make the bonds of the merged clusters."""
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


def is_voiced(size, favor):
    """Tell for which clusters their brightness speaks."""
    return np.abs(favor) > np.maximum(
        _MIN_VOTE * size, _VOTE_SIGNIFICANCE * np.sqrt(size)
    )


def _mutual_choice(n, first, second, merit, rng):
    """Pick the mergers that are the best for both of their clusters."""
    merit = merit * rng.uniform(0.9, 1, len(merit))
    best = np.zeros(n)
    np.maximum.at(best, first, merit)
    np.maximum.at(best, second, merit)
    return np.flatnonzero((best[first] == merit) & (best[second] == merit))


def clean_colors(sign, graph):
    """Let every column listen to its surroundings, which outvote single errors.

    Parameters
    ----------
    sign : ndarray of shape (n,)
        Colours, −1 or 1.
    graph : sparse array of shape (n, n)
        Share that each neighbour has in a column's surroundings.

    Returns
    -------
    sign : ndarray of shape (n,)
        Colours.
    """
    vote = sign
    for _ in range(_N_CLEANINGS):
        vote = 0.5 * (vote - graph @ vote)
    return np.where(np.abs(vote) < 1e-9, sign, np.sign(vote))
