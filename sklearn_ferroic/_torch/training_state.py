"""State of a training between two epochs: capture and restore."""

import numpy as np
import torch
from skorch.callbacks import Callback

# What EarlyStopping notes about the epochs so far.
_EARLY_STOPPING = (
    "misses_",
    "dynamic_threshold_",
    "best_epoch_",
    "best_model_weights_",
)


def capture(net, random_state):
    """Collect everything that later epochs depend on.

    Parameters
    ----------
    net : skorch.NeuralNet
        The net, between two epochs.
    random_state : RandomState
        Shuffles the batches.

    Returns
    -------
    state : dict
        Nested dicts and lists of tensors, arrays, numbers and text.
    """
    callbacks = dict(net.callbacks_)
    state = {
        "model": net.module_.state_dict(),
        "optimizer": net.optimizer_.state_dict(),
        "learning_rate": callbacks["learning_rate"].lr_scheduler_.state_dict(),
        "generator": net.module_.generator.get_state(),
        "random_state": random_state.get_state(legacy=False),
        "losses": loss_curve(net, "train_loss"),
        "validation_losses": loss_curve(net, "valid_loss"),
    }
    if "early_stopping" in callbacks:
        stopping = callbacks["early_stopping"]
        state["early_stopping"] = [getattr(stopping, name) for name in _EARLY_STOPPING]
    return state


def restore(net, state):
    """Set a net to a captured state.

    Parameters
    ----------
    net : skorch.NeuralNet
        An initialised net after its `on_train_begin` callbacks.
    state : dict
        What `capture` gave.
    """
    callbacks = dict(net.callbacks_)
    net.module_.load_state_dict(state["model"])
    net.optimizer_.load_state_dict(state["optimizer"])
    _lay_out_as_weights(net.optimizer_)
    callbacks["learning_rate"].lr_scheduler_.load_state_dict(state["learning_rate"])
    net.module_.generator.set_state(state["generator"])
    for epoch, loss in enumerate(state["losses"]):
        net.history.new_epoch()
        net.history.record("epoch", epoch + 1)
        net.history.record("train_loss", loss)
        if state["validation_losses"] is not None:
            net.history.record("valid_loss", state["validation_losses"][epoch])
    if "early_stopping" in callbacks:
        for name, value in zip(_EARLY_STOPPING, state["early_stopping"], strict=True):
            setattr(callbacks["early_stopping"], name, value)


def _lay_out_as_weights(optimizer):
    """Restore the memory layout of an optimizer's state from that of the weights.

    Fused steps iterate over both in parallel.
    """
    for weight, known in optimizer.state.items():
        for name, value in known.items():
            if value.shape == weight.shape:
                known[name] = torch.empty_like(weight).copy_(value)


def get_random_state(state):
    """Return a RandomState that continues from that of a captured state."""
    stored = state["random_state"]
    key = stored["state"]["key"].numpy()
    random_state = np.random.RandomState()
    random_state.set_state({**stored, "state": {**stored["state"], "key": key}})
    return random_state


def stored_losses(state):
    """Return the losses of a captured state; None for those of no validation."""
    losses, validation = state["losses"], state["validation_losses"]
    if validation is not None:
        validation = [float(loss) for loss in validation]
    return [float(loss) for loss in losses], validation


def loss_curve(net, name):
    """Return the losses of all epochs as floats; None if there are none."""
    if not net.history or name not in net.history[-1]:
        return [] if name == "train_loss" else None
    return [float(loss) for loss in net.history[:, name]]


class AtEpochEnd(Callback):
    """Call a function of the net at the end of each epoch."""

    def __init__(self, function):
        self.function = function

    def on_epoch_end(self, net, **kwargs):
        """Call the function."""
        self.function(net)
