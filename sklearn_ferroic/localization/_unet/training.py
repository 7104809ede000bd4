"""Training the network on crops, with skorch's training loop."""

from typing import NamedTuple

import torch
from torch import nn

from ..._torch.batches import Split
from ..._torch.checkpoint import (
    AtEpochEnd,
    capture_training_state,
    get_random_state,
    loss_curve,
    reading_checkpoint,
    restore_training_state,
)
from ..._torch.training import draw_seed, make_net, run_epochs, to_arrays
from .crops import CropBatches
from .network import from_arrays, new_network

# Columns cover a fifth of the pixels or less, and each counts.
_CLASS_WEIGHTS = (1.0, 2.0, 2.0)


class TrainingOptions(NamedTuple):
    """Options of a training; `callbacks` are copies of those of the user."""

    n_filters: int
    n_epochs: int
    batch_size: int
    learning_rate: float
    callbacks: list
    validation_fraction: float | None
    n_iter_no_change: int
    tol: float
    verbose: int


class Trained(NamedTuple):
    """Trained weights as arrays, and the losses of each epoch."""

    weights: dict
    losses: list
    validation_losses: list | None


def train(crops, options, *, device, random_state, start=None, checkpoint=None):
    """Train a network, or continue from a checkpoint.

    Parameters
    ----------
    crops : Crops
        Contrast and classes.
    options : TrainingOptions
        How to train.
    device : torch.device
        Where to train.
    random_state : RandomState
        Source of all random numbers; not used where a checkpoint has its own.
    start : dict of ndarray, default=None
        Weights to start from; random ones if None.
    checkpoint : Checkpoint, default=None
        Read at first, and written after each epoch.

    Returns
    -------
    trained : Trained
        The result.
    """
    state = None if checkpoint is None else checkpoint.load()
    seed = draw_seed(random_state)
    if start is None:
        network = new_network(options.n_filters, seed)
    else:
        network = from_arrays(start, options.n_filters)
    first = None
    if options.validation_fraction is not None:
        first = random_state.randint(len(crops.contrast))
    if state is not None:
        with reading_checkpoint(checkpoint.path):
            random_state = get_random_state(state)
            first = state["first"]
    split = Split(len(crops.contrast), options.validation_fraction, first)

    def save(net):
        captured = capture_training_state(net, random_state)
        checkpoint.save(captured | {"first": first})

    last = [] if checkpoint is None else [("checkpoint", AtEpochEnd(save))]
    # Of no use here, but a part of the state that checkpoints hold.
    network.generator = torch.Generator("cpu").manual_seed(seed)
    network = network.to(memory_format=torch.channels_last)
    net = make_net(
        network,
        nn.CrossEntropyLoss(weight=torch.tensor(_CLASS_WEIGHTS)),
        CropBatches,
        options,
        split,
        device=device,
        random_state=random_state,
        last_callbacks=last,
    )
    data = {"X": crops.contrast, "y": crops.classes}
    net.notify("on_train_begin", **data)
    if state is not None:
        with reading_checkpoint(checkpoint.path):
            restore_training_state(net, state)
    run_epochs(net, data["X"], options.n_epochs - len(net.history), data["y"])
    net.notify("on_train_end", **data)
    return Trained(
        to_arrays(net.module_),
        loss_curve(net, "train_loss"),
        loss_curve(net, "valid_loss"),
    )
