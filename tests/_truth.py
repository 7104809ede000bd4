"""Finding the true column of each site."""

import numpy as np
from scipy.spatial import cKDTree


def match(sites, data, sublattice=1):
    """Index of the nearest true column of each site, and whether it is within 2 px."""
    true = np.flatnonzero(data.sublattice == sublattice)
    distance, nearest = cKDTree(data.positions[true]).query(sites.positions)
    return true[nearest], distance < 2
