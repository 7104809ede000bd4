"""Split into training and validation sets, and batches of row numbers."""

import numpy as np
from sklearn.model_selection import train_test_split
from torch.utils.data import Subset


class Split:
    """Split a dataset of skorch with a block of consecutive rows for validation.

    Neighbouring samples overlap or are similar, so that individually drawn rows would
    share pixels with the training set. Rows are ordered by image and from top to
    bottom, so that a block is a stripe of an image.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    validation_fraction : float or None
        Fraction of the rows in the block; None for no validation set.
    first : int or None
        First row after the block, which may continue from the last row to the first.

    Attributes
    ----------
    training, validation : ndarray of int
        Indices of the rows; `validation` is None without a validation set.
    """

    def __init__(self, n_rows, validation_fraction=None, first=None):
        self.training, self.validation = np.arange(n_rows), None
        if validation_fraction is not None:
            order = np.roll(self.training, -first)
            self.training, self.validation = train_test_split(
                order, test_size=validation_fraction, shuffle=False
            )

    def __call__(self, dataset, y=None):
        """Return the two subsets of a dataset."""
        held_out = self.validation
        return Subset(dataset, self.training), (
            None if held_out is None else Subset(dataset, held_out)
        )


class IndexBatches:
    """Iterable of the batches of row numbers of a subset of a skorch dataset.

    Parameters
    ----------
    subset : torch.utils.data.Subset
        Subset of any dataset.
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
