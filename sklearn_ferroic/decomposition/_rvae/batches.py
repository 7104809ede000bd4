"""Batches of patches for training."""

import torch

from ..._torch.batches import IndexBatches
from .._patch_rows import load_rows


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
        self.rows = IndexBatches(subset, batch_size, random_state)

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        for rows in self.rows:
            yield load_rows(self.patches, rows), torch.zeros(len(rows))
