"""Construction, initialisation and training of models with skorch."""

import warnings
from contextlib import ExitStack, contextmanager, nullcontext
from numbers import Integral
from typing import NamedTuple

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from ..._torch.checkpoint import (
    AtEpochEnd,
    capture_training_state,
    get_random_state,
    loss_curve,
    reading_checkpoint,
    restore_training_state,
    stored_losses,
)
from ..._torch.device import limit_threads_after_fork
from ..._torch.training import (
    IndexBatches,
    Split,
    check_weights,
    draw_seed,
    make_net,
    run_epochs,
)
from .._patch_rows import check_float32, load_rows
from .._pose.alignment import align
from .._pose.geometry import pose
from .amortized_model import AmortizedModel
from .factors.image_model import FactoredImageModel
from .invariant_model import PosedImageModel
from .schedule import AnnealWhenConverged, FreeOffsetHalfway

# Patches for the initial template; more change it little.
_N_TEMPLATE_PATCHES = 2048
# Patches for the calibration, which estimates one number.
_N_CALIBRATION_PATCHES = 1024
# Patches for the calibration in a checkpoint, which is repeated after each epoch.
_N_CHECKPOINT_PATCHES = 256


class TrainingOptions(NamedTuple):
    """Options of the training.

    `n_before` of the `n_planned` epochs have already been run. `callbacks` are copies
    of skorch callbacks. Without a `validation_fraction` there are no validation patches
    and no early stopping. Without a `convergence_tol` all epochs are run.
    """

    n_epochs: int
    batch_size: int
    learning_rate: float
    anneal: bool
    calibrate_from_scratch: bool
    n_before: int
    n_planned: int
    n_init: int
    callbacks: list
    validation_fraction: float | None
    n_iter_no_change: int
    tol: float
    convergence_tol: float | None
    mixed_precision: bool
    verbose: int


class Trained(NamedTuple):
    """Trained model, its losses, and the RandomState at the end of the training."""

    model: torch.nn.Module
    losses: list
    validation_losses: list | None
    random_state: np.random.RandomState


class Known(NamedTuple):
    """Classes and angles that are known for some patches.

    `labels` are numbers of classes, -1 where unknown; `angle` are radians, NaN where
    unknown. None if none is known.
    """

    labels: np.ndarray | None = None
    angle: np.ndarray | None = None

    def rows(self):
        """Return the indices of the patches with a known class or angle."""
        rows = np.zeros(0, dtype=np.intp)
        if self.labels is not None:
            rows = np.flatnonzero(self.labels >= 0)
        if self.angle is not None:
            rows = np.union1d(rows, np.flatnonzero(np.isfinite(self.angle)))
        return rows


class _BatchBound(torch.nn.Module):
    """Criterion that returns the output of the model, which is the loss."""

    def forward(self, bound, _):
        return bound


def new_model(random_state, **architecture):
    """Build a model with initial weights drawn from a RandomState."""
    model = _without_weights(architecture)
    model.initialize(torch.Generator("cpu").manual_seed(draw_seed(random_state)))
    return model


def from_arrays(weights, device, **architecture):
    """Rebuild a model from arrays or CPU tensors."""
    limit_threads_after_fork()
    model = _without_weights(architecture)
    model.load_state_dict(
        {name: torch.tensor(np.asarray(value)) for name, value in weights.items()}
    )
    return model.to(device)


def _without_weights(architecture):
    # Constructors of layers draw from the global generator of torch, except on meta.
    with torch.device("meta"):
        model = _build(**architecture)
    return model.to_empty(device="cpu")


def _build(*, encoder, rotation_prior, n_classes=0, n_conditions=0, **common):
    if n_classes or n_conditions:
        for value in (n_classes, n_conditions):
            if not isinstance(value, Integral) or value < 0:
                raise ValueError(f"the number of classes or conditions is {value!r}")
        return FactoredImageModel(
            n_classes=n_classes, n_conditions=n_conditions, **common
        )
    if encoder == "invariant":
        return PosedImageModel(**common)
    return AmortizedModel(encoder=encoder, rotation_prior=rotation_prior, **common)


def calibrate(
    model,
    patches,
    random_state,
    *,
    from_scratch,
    n_drawn=_N_CALIBRATION_PATCHES,
    is_final=False,
):
    """Calibrate the posterior on a sample of the patches."""
    with torch.no_grad():
        sample = draw_rows(patches, random_state, n_drawn).to(model.pixel_mean)
        generator = torch.Generator(sample.device)
        generator.manual_seed(draw_seed(random_state))
        batch = model.prepare(sample)
        if is_final:
            model.finish(batch)
        model.calibrate(batch, generator, from_scratch=from_scratch)


def draw_rows(patches, random_state, n_drawn=_N_TEMPLATE_PATCHES):
    """Draw a random sample of the patches as a tensor of rows."""
    return _load_checked(patches, _choose_rows(len(patches), random_state, n_drawn))


def _choose_rows(n_patches, random_state, n_drawn):
    n_drawn = min(n_patches, n_drawn)
    return np.sort(random_state.choice(n_patches, n_drawn, replace=False))


def _load_checked(patches, chosen):
    check_float32(patches, chosen)
    return load_rows(patches, chosen)


def start_model(model, patches, random_state, n_init, known=None):
    """Set the scale of the pixels, and initialise a model with the common template.

    Models with an amortised angle start from random weights, because training would not
    preserve given angles. `known` are the labels of the patches, which are in the
    sample if they have one.
    """
    known = Known() if known is None else known
    chosen = _choose_rows(len(patches), random_state, _N_TEMPLATE_PATCHES)
    chosen = np.union1d(chosen, known.rows())
    sample = _load_checked(patches, chosen)
    model.set_scale(sample)
    if isinstance(model, AmortizedModel):
        return
    sample = model.standardize(sample)
    angle = model.fit_polarization(
        sample, None if known.angle is None else known.angle[chosen]
    )
    if angle is None:
        angle = align(
            model.polar(sample),
            model.polar.weights,
            n_starts=n_init,
            n_iterations=15,
            radii=model.polar.radii if model.may_shift else None,
            offset_scale=model.offset_scale,
        )
    side = model.decoder.side
    canonical = pose(sample, -angle, torch.zeros(len(angle), 2), (side, side))
    canonical = canonical.reshape(-1, side, side)
    model.start_at(canonical.mean(dim=0))
    if getattr(model, "n_classes", 0):
        labels = None if known.labels is None else known.labels[chosen]
        model.fit_classes(sample, angle, random_state, labels)
        model.start_classes(sample, canonical)


@torch.no_grad()
def update_class_shares(model, patches, random_state):
    """Fit the shares of the classes of a trained model to a sample of other patches."""
    sample = draw_rows(patches, random_state)
    model.update_class_shares(model.standardize(sample))


def fit_from_scratch(
    patches,
    architecture,
    options,
    *,
    device,
    random_state,
    checkpoint=None,
    known=None,
):
    """Build, initialise and train a model, or resume from a checkpoint.

    Parameters
    ----------
    patches : ndarray of shape (n, h * w) or (n, h, w)
        The patches, in any real dtype; may be read-only or a memory map.
    architecture : dict
        Parameters of the model.
    options : TrainingOptions
        Options of the training.
    device : torch.device
        Device of the training.
    random_state : RandomState
        Source of all random numbers; not used if a checkpoint contains one.
    checkpoint : Checkpoint, default=None
        Read at the start, and written before the first epoch, after each epoch and at
        the end.
    known : Known, default=None
        Known classes and angles of some patches.

    Returns
    -------
    trained : Trained
        The result.
    """
    state = None if checkpoint is None else checkpoint.load()
    if state is None:
        model = new_model(random_state, **architecture)
        start_model(model, patches, random_state, options.n_init, known)
    else:
        with reading_checkpoint(checkpoint.path):
            model = from_arrays(state["model"], "cpu", **architecture)
            random_state = get_random_state(state)
            if state["is_finished"]:
                losses, validation_losses = stored_losses(state)
                return Trained(model, losses, validation_losses, random_state)
    trained = train(
        model,
        patches,
        options,
        device=device,
        random_state=random_state,
        checkpoint=checkpoint,
        state=state,
    )
    if checkpoint is not None:
        finished = {
            "is_finished": True,
            "model": model.state_dict(),
            "losses": trained.losses,
            "validation_losses": trained.validation_losses,
            "random_state": random_state.get_state(legacy=False),
        }
        checkpoint.save(finished)
    return trained


def train(
    model, patches, options, *, device, random_state, checkpoint=None, state=None
):
    """Train a model in place.

    Parameters
    ----------
    model : PatchModel
        The model.
    patches : ndarray of shape (n, h * w) or (n, h, w)
        The patches, in any real dtype; may be read-only or a memory map.
    options : TrainingOptions
        Options of the training.
    device : torch.device
        Device of the training.
    random_state : RandomState
        Shuffles the batches and seeds the samples from the posterior.
    checkpoint : Checkpoint, default=None
        Written before the first epoch and after each epoch.
    state : dict, default=None
        State to resume from, as read from the checkpoint.

    Returns
    -------
    trained : Trained
        The model and the mean negative evidence bound per pixel of each epoch.
    """
    held_out_from = None
    if options.validation_fraction is not None:
        held_out_from = (
            random_state.randint(len(patches))
            if state is None
            else state["held_out_from"]
        )
    split = Split(len(patches), options.validation_fraction, held_out_from)

    def save(net):
        check_weights(model, options.learning_rate)
        provisional = np.random.RandomState(0)
        calibrate(
            model,
            patches,
            provisional,
            from_scratch=True,
            n_drawn=_N_CHECKPOINT_PATCHES,
        )
        captured = capture_training_state(net, random_state)
        captured.update(is_finished=False, held_out_from=held_out_from)
        checkpoint.save(captured)

    def stop(net):
        if schedule.is_done(net):
            raise KeyboardInterrupt

    last = [] if checkpoint is None else [("checkpoint", AtEpochEnd(save))]
    first = [("schedule", FreeOffsetHalfway(options.n_before, options.n_planned))]
    schedule = None
    if options.convergence_tol is not None:
        n_batches = -(-len(split.training) // options.batch_size)
        schedule = AnnealWhenConverged(
            options.n_epochs, n_batches, options.convergence_tol
        )
        first = []
        last.append(("stop", AtEpochEnd(stop)))
    net = make_net(
        model,
        _BatchBound(),
        Batches,
        options,
        split,
        device=device,
        random_state=random_state,
        anneal=options.anneal,
        schedule=schedule,
        adam_eps=model.adam_eps,
        first_callbacks=first,
        last_callbacks=last,
    )
    model.generator = torch.Generator(device)
    if state is None:
        model.generator.manual_seed(draw_seed(random_state))
    is_mixed = options.mixed_precision
    with mixed_precision(model, device.type) if is_mixed else nullcontext():
        net.notify("on_train_begin", X=patches, y=None)
        if state is not None:
            with reading_checkpoint(checkpoint.path):
                restore_training_state(net, state)
        elif checkpoint is not None:
            save(net)
        n_left = options.n_epochs - len(net.history)
        if schedule is None or not schedule.is_done(net):
            run_epochs(net, patches, n_left)
        net.notify("on_train_end", X=patches, y=None)
    check_weights(model, options.learning_rate)
    model.offset_is_free = True
    if model.noise_std is None and model.noise_variance > 2:
        warnings.warn(
            "The model fits the patches worse than their mean. Lower "
            f"learning_rate={options.learning_rate}.",
            ConvergenceWarning,
            stacklevel=2,
        )
    calibrate(
        model,
        patches,
        random_state,
        from_scratch=options.calibrate_from_scratch,
        is_final=True,
    )
    return Trained(
        model,
        loss_curve(net, "train_loss"),
        loss_curve(net, "valid_loss"),
        random_state,
    )


class Batches:
    """Iterable of the batches of a subset of a skorch dataset.

    Parameters
    ----------
    subset : torch.utils.data.Subset
        Subset of a dataset whose `X` contains the patches.
    batch_size : int
        Largest number of patches per batch.
    random_state : RandomState, default=None
        Shuffles the patches before each pass; None keeps their order.
    """

    def __init__(self, subset, batch_size, random_state=None):
        self.patches = subset.dataset.X
        self.rows = IndexBatches(subset, batch_size, random_state)

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        for rows in self.rows:
            yield load_rows(self.patches, rows), torch.zeros(len(rows))


@contextmanager
def mixed_precision(model, device_type):
    """Run the layers of a model in bfloat16 within this context.

    Weights, gradients and operations between the layers remain in single precision,
    which coordinates and Fourier transforms require.

    Parameters
    ----------
    model : torch.nn.Module
        The model; modified in place and restored afterwards.
    device_type : str
        Type of the device of the model.
    """
    with ExitStack() as stack:
        for layer in model.modules():
            if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
                layer.forward = _in_bfloat16(layer.forward, device_type)
                stack.callback(delattr, layer, "forward")
        yield


def _in_bfloat16(forward, device_type):
    def compute(inputs):
        with torch.autocast(device_type, dtype=torch.bfloat16):
            return forward(inputs).float()

    return compute
