"""Training of an estimator's network: parameters, labels, crops and checkpoint."""

from contextlib import nullcontext
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from ..._torch.callbacks import copy_callbacks
from ..._torch.checkpoint import Checkpoint, digest_arrays
from ..._torch.device import choose_device, warn_if_shared
from ..._utils.validation import Interval
from .crops import cut_crops
from .labels import check_labels
from .network import STRIDE
from .training import TrainingOptions, train

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
            "The labels hold no column: the network would learn that there are none."
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
            "The labels hold less than two columns an image, which tells no spacing. "
            "Give spacing, px."
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
