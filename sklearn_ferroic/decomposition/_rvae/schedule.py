"""Schedules of the training: convergence, learning rate, release of the offset."""

import math

from skorch.callbacks import Callback

# Gradient steps over which the decrease of the loss is measured: one epoch of a large
# image, two of 1,600 windows. Over fewer steps the loss of the batches is too noisy.
_N_COMPARED_STEPS = 50
# Epochs with decreasing learning rate per epoch before.
_ANNEALED_FRACTION = 0.4


class AnnealWhenConverged(Callback):
    """Keep the learning rate until the loss converges, anneal it, and stop.

    The schedule is a function of the losses of the previous epochs only, so that a
    training resumed from a checkpoint continues identically.

    Parameters
    ----------
    max_epochs : int
        Largest number of epochs, including those with decreasing learning rate.
    n_batches : int
        Gradient steps per epoch.
    tol : float
        Decrease of the loss over 50 steps below which it has converged.
    """

    def __init__(self, max_epochs, n_batches, tol):
        self.max_epochs = max_epochs
        self.n_batches = n_batches
        self.tol = tol

    @property
    def lr_scheduler_(self):
        """Object whose state is part of a checkpoint; the losses determine it."""
        return self

    def state_dict(self):
        """Return an empty state."""
        return {}

    def load_state_dict(self, state):
        """Ignore the empty state."""

    def on_epoch_begin(self, net, **kwargs):
        """Update the schedule, and free the offset during annealing."""
        start, end = self._plan(_losses(net))
        epoch = len(_losses(net))
        self._step = None if start is None else (epoch - start) * self.n_batches
        self._n_steps = None if start is None else (end - start) * self.n_batches
        net.module_.offset_is_free = start is not None
        net.module_.progress = min(1.0, (epoch + 1) / self.max_epochs)

    def on_batch_begin(self, net, batch=None, training=True, **kwargs):
        """Set the learning rate."""
        if not training:
            return
        rate = net.lr
        if self._step is not None:
            rate *= 0.5 * (1 + math.cos(math.pi * self._step / self._n_steps))
            self._step += 1
        for group in net.optimizer_.param_groups:
            group["lr"] = rate

    def is_done(self, net):
        """Return whether the last planned epoch has been run."""
        losses = _losses(net)
        _, end = self._plan(losses)
        return end is not None and len(losses) >= end

    def _plan(self, losses):
        """Return the epochs at which annealing starts and training ends."""
        lag = math.ceil(_N_COMPARED_STEPS / self.n_batches)
        tol = self.tol * lag * self.n_batches / _N_COMPARED_STEPS
        for epoch in range(1, len(losses) + 1):
            n_annealed = math.ceil(_ANNEALED_FRACTION * epoch)
            has_converged = (
                epoch > lag and losses[epoch - 1 - lag] - losses[epoch - 1] < tol
            )
            if has_converged or epoch + n_annealed >= self.max_epochs:
                return epoch, min(epoch + n_annealed, self.max_epochs)
        # a single epoch is annealed from its start
        return (0, 1) if self.max_epochs == 1 else (None, None)


class FreeOffsetHalfway(Callback):
    """Fix the offset at 0 in the first half of the training, and update the progress.

    An offset that is free from the start would absorb part of the polarization.
    """

    def __init__(self, n_before, n_planned):
        self.n_before = n_before
        self.n_planned = n_planned

    def on_epoch_begin(self, net, **kwargs):
        """Update the state of the offset and the progress."""
        epoch = self.n_before + len(net.history)
        net.module_.offset_is_free = epoch > self.n_planned // 2
        net.module_.progress = min(1.0, epoch / self.n_planned)


def _losses(net):
    """Return the losses of the finished epochs."""
    rows = [row for row in net.history if "train_loss" in row]
    return [float(row["train_loss"]) for row in rows]
