"""Batches of patches for training, and the part that is held out of it."""

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch.utils.data import Subset

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


class Split:
    """Split a dataset of skorch, so that a block of neighbouring rows is held out.

    Patches beside each other overlap, so that rows drawn at random would be known
    in part from the training. Rows come image by image from top to bottom, and a
    block of them is a stripe of an image.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    validation_fraction : float or None
        Share of the rows in the block; None holds nothing out.
    first : int or None
        First row that is not in the block, which ends before it and may go on
        from the last row to the first.

    Attributes
    ----------
    training, validation : ndarray of int
        Indices of the rows; `validation` is None if nothing is held out.
    """

    def __init__(self, n_rows, validation_fraction=None, first=None):
        self.training, self.validation = np.arange(n_rows), None
        if validation_fraction is not None:
            order = np.roll(self.training, -first)
            self.training, self.validation = train_test_split(
                order, test_size=validation_fraction, shuffle=False
            )

    def __call__(self, dataset, y=None):
        """Give the two subsets of a dataset."""
        held_out = self.validation
        return Subset(dataset, self.training), (
            None if held_out is None else Subset(dataset, held_out)
        )
