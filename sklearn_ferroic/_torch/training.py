"""Training with skorch: validation set, batches, nets, and the loop over the epochs."""

import signal
import threading

import numpy as np
import skorch
import torch
from sklearn.model_selection import train_test_split
from skorch.callbacks import LRScheduler
from torch.utils.data import Subset

from .callbacks import (
    FiniteLoss,
    Progress,
    ProgressLine,
    divergence,
    early_stopping,
    is_interactive,
)


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
        Number of epochs.
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


class InterruptWatch:
    """Record whether an interrupt signal arrived inside this context.

    A callback of skorch ends the training by raising KeyboardInterrupt, as a Ctrl-C
    does; only the signal distinguishes them. The previous handler is called in
    any case, and put back at the end. Signals reach the main thread only.

    Attributes
    ----------
    came : bool
        Whether the signal arrived.
    """

    def __enter__(self):
        self.came = False
        self._handler = signal.getsignal(signal.SIGINT)
        in_main_thread = threading.current_thread() is threading.main_thread()
        self._is_watching = in_main_thread and callable(self._handler)
        if self._is_watching:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_):
        if self._is_watching:
            signal.signal(signal.SIGINT, self._handler)

    def _note(self, number, frame):
        self.came = True
        return self._handler(number, frame)


def make_net(
    module,
    criterion,
    batches,
    options,
    split,
    *,
    device,
    random_state,
    anneal=True,
    schedule=None,
    adam_eps=1e-8,
    first_callbacks=(),
    last_callbacks=(),
):
    """Create a net with Adam and a cosine schedule of the learning rate.

    Parameters
    ----------
    module, criterion : torch.nn.Module
        The model and its loss.
    batches : type
        Iterator over batches.
    options : NamedTuple
        `n_epochs`, `batch_size`, `learning_rate`, `callbacks`, `validation_fraction`,
        `n_iter_no_change`, `tol` and `verbose`.
    split : Split
        Split into training and validation sets.
    device : torch.device
        Device of the training.
    random_state : RandomState
        Shuffles the batches.
    anneal : bool, default=True
        Whether the learning rate is annealed.
    schedule : skorch.callbacks.Callback, default=None
        Sets the learning rate instead of the cosine over all epochs; has the
        interface of `LRScheduler` towards checkpoints.
    adam_eps : float, default=1e-8
        Constant that Adam adds to the root mean square of each gradient.
    first_callbacks, last_callbacks : list of tuple, default=()
        Names and callbacks that come before and after all others.

    Returns
    -------
    net : skorch.NeuralNet
        The net, initialized.
    """
    n_batches = -(-len(split.training) // options.batch_size)
    callbacks = list(first_callbacks)
    if schedule is not None:
        callbacks.append(("learning_rate", schedule))
    elif anneal:
        schedule = LRScheduler(
            policy=torch.optim.lr_scheduler.CosineAnnealingLR,
            T_max=max(1, options.n_epochs * n_batches),
            step_every="batch",
        )
        callbacks.append(("learning_rate", schedule))
    if options.verbose:
        callbacks.append(("progress", Progress()))
    elif is_interactive():
        callbacks.append(("progress", ProgressLine(options.n_epochs * n_batches)))
    callbacks += options.callbacks
    if options.validation_fraction is not None:
        stopping = early_stopping(
            options.n_iter_no_change, options.tol, options.verbose
        )
        callbacks.append(("early_stopping", stopping))
    return skorch.NeuralNet(
        module,
        FiniteLoss(criterion, options.learning_rate),
        optimizer=torch.optim.Adam,
        optimizer__fused=device.type in ("cpu", "cuda"),
        optimizer__eps=adam_eps,
        lr=options.learning_rate,
        max_epochs=options.n_epochs,
        batch_size=options.batch_size,
        iterator_train=batches,
        iterator_train__random_state=random_state,
        iterator_valid=batches,
        train_split=split,
        callbacks=[*callbacks, *last_callbacks],
        callbacks__print_log=None,
        device=str(device),
        verbose=options.verbose,
    ).initialize()


class Split:
    """Split a dataset of skorch with a block of consecutive rows for validation.

    Neighbouring samples overlap or are similar, so that individually drawn rows would
    share pixels with the training set. Rows are ordered by image and from top to
    bottom, so that a block is a stripe of an image.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    validation_fraction : float or None
        Fraction of the rows in the block; None for no validation set.
    first : int or None
        First row after the block, which may continue from the last row to the first.

    Attributes
    ----------
    training, validation : ndarray of int
        Indices of the rows; `validation` is None without a validation set.
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


class IndexBatches:
    """Iterable of the batches of row numbers of a subset of a skorch dataset.

    Parameters
    ----------
    subset : torch.utils.data.Subset
        Subset of any dataset.
    batch_size : int
        Largest number of rows in a batch.
    random_state : RandomState, default=None
        Shuffles the rows in each pass; None keeps their order.
    """

    def __init__(self, subset, batch_size, random_state=None):
        self.indices = subset.indices
        self.batch_size = batch_size
        self.random_state = random_state

    def __len__(self):
        return -(-len(self.indices) // self.batch_size)

    def __iter__(self):
        order = self.indices
        if self.random_state is not None:
            order = self.random_state.permutation(order)
        # in the order of the file, which may be a memory map
        yield from map(np.sort, np.array_split(order, len(self)))
