"""Batches of patches for training."""

import torch

from ..._torch.batches import IndexBatches
from .._patch_rows import load_rows


class Batches:
    """Iterable of the batches of a subset of a skorch dataset.

    Parameters
    ----------
    subset : torch.utils.data.Subset
        Subset of a dataset whose `X` contains the patches.
    batch_size : int
        Largest number of patches per batch.
    random_state : RandomState, default=None
        Shuffles the patches before each pass; None keeps their order.
    """

    def __init__(self, subset, batch_size, random_state=None):
        self.patches = subset.dataset.X
        self.rows = IndexBatches(subset, batch_size, random_state)

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        for rows in self.rows:
            yield load_rows(self.patches, rows), torch.zeros(len(rows))
