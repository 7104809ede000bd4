"""Batches of row numbers."""

import numpy as np


class IndexBatches:
    """Row numbers of a skorch dataset's subset, batch by batch.

    Parameters
    ----------
    subset : torch.utils.data.Subset
        Of any dataset.
    batch_size : int
        Largest number of rows in a batch.
    random_state : RandomState, default=None
        Shuffles the rows in each pass; None keeps their order.
    """

    def __init__(self, subset, batch_size, random_state=None):
        self.indices = subset.indices
        self.batch_size = batch_size
        self.random_state = random_state

    def __len__(self):
        return -(-len(self.indices) // self.batch_size)

    def __iter__(self):
        order = self.indices
        if self.random_state is not None:
            order = self.random_state.permutation(order)
        # in the order of the file, which may be a memory map
        yield from map(np.sort, np.array_split(order, len(self)))
