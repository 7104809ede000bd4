"""Callbacks of skorch, and copies of those that users supply."""

import copy
import multiprocessing
import sys
import time

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


# Shorter trainings show no progress line.
_SHORTEST_SHOWN_S = 10.0
# The duration is first estimated after this time, and the line is rewritten as often.
_REFRESH_S = 1.0


class ProgressLine(Callback):
    """Show the share of the steps done and the time left if a training takes long.

    The line is written to the standard error, rewritten in place, and then removed.

    Parameters
    ----------
    n_steps : int
        Largest number of gradient steps.
    clock : callable, default=time.monotonic
        Returns the time, s.
    """

    def __init__(self, n_steps, clock=time.monotonic):
        self.n_steps = n_steps
        self.clock = clock

    def on_train_begin(self, net, **kwargs):
        """Start the clock."""
        self.n_done = 0
        self.width = 0
        self.started = self.written = self.clock()

    def on_batch_end(self, net, training=True, **kwargs):
        """Count a step and rewrite the line."""
        if not training:
            return
        self.n_done += 1
        now = self.clock()
        if now - self.written < _REFRESH_S:
            return
        self.written = now
        elapsed = now - self.started
        left = elapsed * max(0.0, self.n_steps / self.n_done - 1)
        if not self.width and elapsed + left < _SHORTEST_SHOWN_S:
            return
        share = min(1.0, self.n_done / self.n_steps)
        bar = f"{'#' * round(20 * share):20}"
        self._write(f"[{bar}] {share:4.0%}, at most {left:.0f} s left")

    def on_train_end(self, net, **kwargs):
        """Remove the line."""
        if self.width:
            self._write("")
            sys.stderr.write("\r")
            sys.stderr.flush()

    def _write(self, text):
        sys.stderr.write("\r" + text.ljust(self.width))
        sys.stderr.flush()
        self.width = len(text)


def is_interactive():
    """Return whether the standard error of this process is a terminal or a notebook.

    Not in workers, whose lines would overwrite one another.
    """
    stream = sys.stderr
    if multiprocessing.current_process().name != "MainProcess":
        return False
    if type(stream).__module__.startswith("ipykernel"):
        return True
    return stream is not None and stream.isatty()


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
            "callbacks must contain callbacks of skorch, or tuples (name, callback), "
            f"got {item!r}."
        )
    copied = copy.copy(callback)
    return (item[0], copied) if is_named else copied


def _write_line(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
