"""Callbacks of skorch, and copies of those that users supply."""

import copy
import sys

import torch
from skorch.callbacks import Callback, EarlyStopping
from skorch.utils import noop


class FiniteLoss(torch.nn.Module):
    """Compute a loss and stop before its gradient is taken if it is not finite.

    Parameters
    ----------
    criterion : torch.nn.Module
        The loss.
    learning_rate : float
        Named in the error.
    """

    def __init__(self, criterion, learning_rate):
        super().__init__()
        self.criterion = criterion
        self.learning_rate = learning_rate

    def forward(self, *args):
        """Return the loss."""
        loss = self.criterion(*args)
        if not torch.isfinite(loss).all():
            raise divergence(self.learning_rate)
        return loss


def divergence(learning_rate, subject="The loss is"):
    """Return the error of a training whose numbers have overflowed."""
    return ValueError(
        f"{subject} no longer finite with learning_rate={learning_rate}. Lower it, "
        "or look for extreme values in X."
    )


class Progress(Callback):
    """Write a line per epoch."""

    def on_epoch_end(self, net, **kwargs):
        """Write what the epoch that has ended gave."""
        row = net.history[-1]
        parts = [f"loss {row['train_loss']:.5f}"]
        if "valid_loss" in row:
            parts.append(f"validation loss {row['valid_loss']:.5f}")
        count = f"{row['epoch']:{len(str(net.max_epochs))}}/{net.max_epochs}"
        _write_line(f"epoch {count}: {', '.join(parts)}, {row['dur']:.2f} s")


def early_stopping(n_iter_no_change, tol, verbose):
    """Make skorch's early stopping, which restores the best weights."""
    return EarlyStopping(
        patience=n_iter_no_change,
        threshold=tol,
        threshold_mode="abs",
        load_best=True,
        sink=_write_line if verbose else noop,
    )


def copy_callbacks(callbacks):
    """Check the callbacks that a user supplies, and copy them.

    Parameters
    ----------
    callbacks : list or None
        Callbacks of skorch, or tuples of a name and a callback.

    Returns
    -------
    copies : list
        The same, with a shallow copy of each: what a callback notes about a fit on
        itself does not change the parameter, and where it writes to is shared.
    """
    return [_copy_callback(item) for item in callbacks or []]


def _copy_callback(item):
    is_named = isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)
    callback = item[1] if is_named else item
    is_class = isinstance(callback, type) and issubclass(callback, Callback)
    if not (is_class or isinstance(callback, Callback)):
        raise TypeError(
            "callbacks must hold callbacks of skorch, or tuples (name, callback), "
            f"got {item!r}."
        )
    copied = copy.copy(callback)
    return (item[0], copied) if is_named else copied


def _write_line(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
