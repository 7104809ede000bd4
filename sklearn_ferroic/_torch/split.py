"""Split of the samples into training and validation sets."""

import numpy as np
from sklearn.model_selection import train_test_split
from torch.utils.data import Subset


class Split:
    """Split a dataset of skorch, so that a block of neighbouring rows is held out.

    Neighbouring samples overlap or are similar, so that random rows would
    be known in part from the training. Rows come image by image from top to bottom,
    and a block of them is a stripe of an image.

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
        """Return the two subsets of a dataset."""
        held_out = self.validation
        return Subset(dataset, self.training), (
            None if held_out is None else Subset(dataset, held_out)
        )
