"""Training of the network of an estimator: parameters, labels, crops and checkpoint."""

from contextlib import nullcontext
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import nn

from ..._torch.callbacks import copy_callbacks
from ..._torch.checkpoint import (
    AtEpochEnd,
    Checkpoint,
    capture_training_state,
    digest_arrays,
    get_random_state,
    loss_curve,
    reading_checkpoint,
    restore_training_state,
)
from ..._torch.device import choose_device, warn_if_shared
from ..._torch.training import Split, draw_seed, make_net, run_epochs, to_arrays
from ..._utils.validation import Interval
from .crops import CropBatches, cut_crops
from .labels import check_labels
from .network import STRIDE, from_arrays, new_network

# Columns cover a fifth of the pixels or less, and each counts.
_CLASS_WEIGHTS = (1.0, 2.0, 2.0)
TRAINING_CONSTRAINTS = {
    "n_filters": [Interval(Integral, 1, None, closed="left")],
    "crop_size": [Interval(Integral, 2 * STRIDE, None, closed="left")],
    "n_scales": [Interval(Integral, 1, None, closed="left")],
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
}
# What the trained weights depend on.
_TRAINING_PARAMETERS = ("weights", "spacing", *TRAINING_CONSTRAINTS, "random_state")


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
    # Training draws no numbers from it, but the state in a checkpoint includes it.
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


def fit_network(estimator, images, y, start=None):
    """Train the network of an estimator.

    Parameters
    ----------
    estimator : UNetAtomLocator
        Holds the parameters.
    images : list of ndarray of shape (n_rows, n_cols)
        The images.
    y : object
        Their labels, see `check_labels`.
    start : Weights, default=None
        Weights to start from; random ones if None.

    Returns
    -------
    trained : Trained
        The weights and losses.
    """
    options = _training_options(estimator, start)
    labels = check_labels(y, images)
    if not any(len(label.positions) for label in labels):
        raise ValueError(
            "The labels contain no column: the network would learn that there are none."
        )
    spacings = _spacings(labels, estimator.spacing)
    device = choose_device(estimator.device)
    random_state = check_random_state(estimator.random_state)
    crops = cut_crops(
        images,
        labels,
        spacings,
        side=estimator.crop_size,
        n_scales=estimator.n_scales,
        random_state=random_state,
    )
    if len(crops.contrast) < 2 and options.validation_fraction is not None:
        raise ValueError(
            "The images make one crop, of which nothing can be held out. Set "
            "early_stopping=False, or give larger images or a smaller crop_size."
        )
    checkpoint = None
    if estimator.checkpoint is not None:
        origin = _origin(estimator, crops, device)
        checkpoint = Checkpoint(estimator.checkpoint, origin)
    warn_if_shared(device)
    with nullcontext() if checkpoint is None else checkpoint.locked():
        return train(
            crops,
            options,
            device=device,
            random_state=random_state,
            start=None if start is None else start.arrays,
            checkpoint=checkpoint,
        )


def _training_options(estimator, start):
    if estimator.crop_size % STRIDE:
        raise ValueError(
            f"crop_size={estimator.crop_size} must be a multiple of {STRIDE}."
        )
    n_filters = estimator.n_filters if start is None else start.n_filters
    fraction = estimator.validation_fraction if estimator.early_stopping else None
    return TrainingOptions(
        n_filters=n_filters,
        n_epochs=estimator.max_epochs,
        batch_size=estimator.batch_size,
        learning_rate=estimator.learning_rate,
        callbacks=copy_callbacks(estimator.callbacks),
        validation_fraction=fraction,
        n_iter_no_change=estimator.n_iter_no_change,
        tol=estimator.tol,
        verbose=int(estimator.verbose),
    )


def _spacings(labels, spacing):
    if spacing is not None:
        return [float(spacing)] * len(labels)
    found = np.array([label.spacing() for label in labels])
    if not np.isfinite(found).any():
        raise ValueError(
            "The labels have fewer than two columns per image, which have no spacing. "
            "Pass spacing, px."
        )
    # An image without columns is shown as the others are.
    return np.where(np.isfinite(found), found, np.nanmedian(found)).tolist()


def _origin(estimator, crops, device):
    """Collect what a checkpoint keeps of the fit that it belongs to."""
    # Parameters of the location of columns do not affect the training.
    parameters = {name: getattr(estimator, name) for name in _TRAINING_PARAMETERS}
    for name, value in parameters.items():
        if not isinstance(value, int | float | str | bool | None):
            # Values that have no text form are not distinguished.
            parameters[name] = None
    return {
        "parameters": parameters,
        "data": [len(crops.contrast), digest_arrays(crops)],
        "device": device.type,
    }
