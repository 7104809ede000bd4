"""Loop over the epochs of a training."""

import numpy as np
import torch

from .callbacks import divergence
from .interruption import InterruptWatch


def draw_seed(random_state):
    """Draw the seed of another generator."""
    return int(random_state.randint(np.iinfo(np.int32).max))


def to_arrays(model):
    """Copy a model's state into plain arrays."""
    return {name: value.numpy(force=True) for name, value in model.state_dict().items()}


def check_weights(model, learning_rate):
    """Raise ValueError if a weight of a model is not finite."""
    if not all(torch.isfinite(value).all() for value in model.state_dict().values()):
        raise divergence(learning_rate, "Some weights are")


def run_epochs(net, X, n_epochs, y=None):
    """Run epochs of a skorch net after its `on_train_begin` callbacks.

    Parameters
    ----------
    net : skorch.NeuralNet
        The net.
    X, y : object
        The data.
    n_epochs : int
        How many epochs.
    """
    # Not net.fit, which treats any interrupt as the end of the training.
    with InterruptWatch() as watch:
        try:
            net.fit_loop(X, y, epochs=n_epochs)
        except KeyboardInterrupt:
            is_between_epochs = "train_loss" in net.history[-1]
            if watch.came or not is_between_epochs:
                raise
        except torch.linalg.LinAlgError as error:
            # torch refuses to invert what is not finite
            raise divergence(net.lr) from error
