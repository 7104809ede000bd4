"""When a training has converged, and how its learning rate falls then."""

import math

from skorch.callbacks import Callback

# Gradient steps over which an improvement of the loss is judged: one epoch of a large
# image, two of 1,600 windows. Over fewer the loss of the batches scatters too much.
_N_JUDGED_STEPS = 50
# Epochs at a falling learning rate for each epoch before.
_ANNEALED_SHARE = 0.4


class AnnealWhenConverged(Callback):
    """Hold the learning rate until the loss settles, lower it along a cosine, and stop.

    All is derived from the losses of the epochs so far, so that a training resumed from
    a checkpoint goes on in the same way.

    Parameters
    ----------
    max_epochs : int
        Largest number of epochs, those at a falling learning rate included.
    n_batches : int
        Gradient steps in an epoch.
    tol : float
        Improvement of the loss over 50 steps below which it has settled.
    """

    def __init__(self, max_epochs, n_batches, tol):
        self.max_epochs = max_epochs
        self.n_batches = n_batches
        self.tol = tol

    @property
    def lr_scheduler_(self):
        """The object whose state a checkpoint keeps; it has none but the losses."""
        return self

    def state_dict(self):
        """Return no state."""
        return {}

    def load_state_dict(self, state):
        """Accept no state."""

    def on_epoch_begin(self, net, **kwargs):
        """Note how far the learning rate has fallen, and free the offset then."""
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
        """Return whether the last epoch of the plan has been run."""
        losses = _losses(net)
        _, end = self._plan(losses)
        return end is not None and len(losses) >= end

    def _plan(self, losses):
        """Epochs after which the learning rate falls and the training stops."""
        lag = math.ceil(_N_JUDGED_STEPS / self.n_batches)
        tol = self.tol * lag * self.n_batches / _N_JUDGED_STEPS
        for epoch in range(1, len(losses) + 1):
            n_annealed = math.ceil(_ANNEALED_SHARE * epoch)
            has_settled = (
                epoch > lag and losses[epoch - 1 - lag] - losses[epoch - 1] < tol
            )
            if has_settled or epoch + n_annealed >= self.max_epochs:
                return epoch, min(epoch + n_annealed, self.max_epochs)
        # a single epoch leaves no time to hold the rate
        return (0, 1) if self.max_epochs == 1 else (None, None)


def _losses(net):
    """Return the losses of the finished epochs."""
    rows = [row for row in net.history if "train_loss" in row]
    return [float(row["train_loss"]) for row in rows]
