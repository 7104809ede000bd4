"""Construction of the skorch net of a training."""

import skorch
import torch
from skorch.callbacks import LRScheduler

from .callbacks import (
    FiniteLoss,
    Progress,
    ProgressLine,
    early_stopping,
    is_interactive,
)


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
        What is trained, and its loss.
    batches : type
        Iterator over batches.
    options : NamedTuple
        `n_epochs`, `batch_size`, `learning_rate`, `callbacks`, `validation_fraction`,
        `n_iter_no_change`, `tol` and `verbose`.
    split : Split
        What is held out.
    device : torch.device
        Where to train.
    random_state : RandomState
        Shuffles the batches.
    anneal : bool, default=True
        Whether the learning rate falls.
    schedule : skorch.callbacks.Callback, default=None
        Sets the learning rate instead of the cosine over all epochs; has the
        interface of `LRScheduler` towards checkpoints.
    adam_eps : float, default=1e-8
        What Adam adds to the root mean square of each gradient.
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
