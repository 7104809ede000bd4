"""Batches of patches for training."""

import numpy as np
import torch

from ._patch_rows import load_rows


class Batches:
    """Batches of a skorch dataset's subset, cut from the patches in one piece each.

    Parameters
    ----------
    subset : torch.utils.data.Subset
        Of a dataset whose `X` holds the patches.
    batch_size : int
        Largest number of patches in a batch.
    random_state : RandomState, default=None
        Shuffles the patches anew in each pass; None keeps their order.
    """

    def __init__(self, subset, batch_size, random_state=None):
        self.patches = subset.dataset.X
        self.indices = subset.indices
        self.batch_size = batch_size
        self.random_state = random_state

    def __len__(self):
        return -(-len(self.indices) // self.batch_size)

    def __iter__(self):
        order = self.indices
        if self.random_state is not None:
            order = self.random_state.permutation(order)
        for part in np.array_split(order, len(self)):
            yield load_rows(self.patches, np.sort(part)), torch.zeros(len(part))
