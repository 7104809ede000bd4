"""Building, starting and training the model; the one place that meets skorch."""

from typing import NamedTuple

import numpy as np
import skorch
import torch
from skorch.callbacks import Callback, LRScheduler

from ._alignment import align
from ._geometry import pose
from ._model import PosedImageModel

# Patches drawn for the common template and for the calibration; more change neither.
_MAX_SAMPLED = 2048


class TrainingOptions(NamedTuple):
    """How to train: `offset_from` is the epoch after which the offset is free."""

    n_epochs: int
    batch_size: int
    learning_rate: float
    anneal: bool
    offset_from: int
    verbose: int


class _BatchBound(torch.nn.Module):
    """The criterion: the model has computed its loss already."""

    def forward(self, bound, _):
        return bound


class _ReleaseOffset(Callback):
    """Hold the offset at zero until the canonical images have formed.

    Free from the start, it takes a part of the polarization.
    """

    def __init__(self, first_epoch):
        self.first_epoch = first_epoch

    def on_epoch_begin(self, net, **kwargs):
        net.module_.offset_is_free = len(net.history) > self.first_epoch


class _Batches:
    """Shuffled batches cut from the rows in one piece each."""

    def __init__(self, dataset, batch_size, random_state):
        self.rows = dataset.X
        self.batch_size = batch_size
        self.random_state = random_state

    def __len__(self):
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self):
        order = self.random_state.permutation(len(self.rows))
        for part in np.array_split(order, len(self)):
            yield load_rows(self.rows, np.sort(part)), torch.zeros(len(part))


def load_rows(rows, index):
    """Copy some rows into a float32 tensor; the rows may be a read-only map."""
    return torch.from_numpy(np.array(rows[index], dtype=np.float32))


def choose_device(device):
    """Resolve ``"auto"`` to the best device that is there."""
    if device != "auto":
        try:
            return torch.empty(0, device=device).device
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"device={device!r} cannot be used here: {error} "
                'Choose "auto", "cpu" or a device that this machine has.'
            ) from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def new_model(random_state, **architecture):
    """Build a model with first weights drawn from a RandomState."""
    model = _without_weights(architecture)
    model.initialize(_generator(random_state, "cpu"))
    return model


def from_arrays(weights, device, **architecture):
    """Rebuild a model from plain arrays."""
    model = _without_weights(architecture)
    model.load_state_dict(
        {name: torch.tensor(value) for name, value in weights.items()}
    )
    return model.to(device)


def to_arrays(model):
    """Copy a model's state into plain arrays."""
    return {name: value.numpy(force=True) for name, value in model.state_dict().items()}


def _without_weights(architecture):
    # Layers built in the ordinary way draw from torch's global generator.
    with torch.device("meta"):
        model = PosedImageModel(**architecture)
    return model.to_empty(device="cpu")


def _generator(random_state, device):
    seed = random_state.randint(np.iinfo(np.int32).max)
    return torch.Generator(device).manual_seed(int(seed))


def calibrate(model, rows, random_state):
    """Calibrate the angle's posterior on some of the patches."""
    with torch.no_grad():
        sample = draw_rows(rows, random_state).to(model.pixel_mean)
        model.calibrate(model.standardize(sample))


def draw_rows(rows, random_state):
    """Copy a bounded random sample of the rows into a tensor."""
    n_drawn = min(len(rows), _MAX_SAMPLED)
    chosen = random_state.choice(len(rows), n_drawn, replace=False)
    return load_rows(rows, np.sort(chosen))


def start_model(model, rows, random_state, n_init):
    """Set the scale of the pixels and start the decoder at the common template."""
    sample = draw_rows(rows, random_state)
    model.pixel_mean.copy_(sample.mean())
    scale = sample.std(correction=0)
    model.pixel_scale.copy_(scale if scale > 0 else torch.ones(()))
    patches = model.standardize(sample)
    angle = align(
        model.polar(patches), model.polar.weights, n_starts=n_init, n_iterations=15
    )
    side = model.decoder.side
    turned_back = pose(patches, -angle, torch.zeros(len(angle), 2), (side, side))
    with torch.no_grad():
        model.decoder.image.bias.copy_(turned_back.mean(dim=0))


def train(model, rows, options, *, device, random_state):
    """Train a model in place.

    Parameters
    ----------
    model : PosedImageModel
        The model.
    rows : ndarray of shape (n, h * w)
        The patches, in any real dtype; may be read-only or a memory map.
    options : TrainingOptions
        How to train.
    device : torch.device
        Where to train.
    random_state : RandomState
        Shuffles the batches and seeds the draws from the posterior.

    Returns
    -------
    losses : list of float
        Mean negative evidence bound per pixel of each epoch.
    """
    callbacks = [("release", _ReleaseOffset(options.offset_from))]
    if options.anneal:
        n_steps = options.n_epochs * -(-len(rows) // options.batch_size)
        schedule = LRScheduler(
            policy=torch.optim.lr_scheduler.CosineAnnealingLR,
            T_max=n_steps,
            step_every="batch",
        )
        callbacks.append(("schedule", schedule))
    net = skorch.NeuralNet(
        model,
        _BatchBound,
        optimizer=torch.optim.Adam,
        lr=options.learning_rate,
        max_epochs=options.n_epochs,
        batch_size=options.batch_size,
        iterator_train=_Batches,
        iterator_train__random_state=random_state,
        train_split=None,
        callbacks=callbacks,
        device=str(device),
        verbose=options.verbose,
    )
    net.initialize()
    model.generator = _generator(random_state, device)
    # Not net.fit, which takes an interrupt for the end of the training.
    net.notify("on_train_begin", X=rows, y=None)
    net.fit_loop(rows)
    net.notify("on_train_end", X=rows, y=None)
    model.offset_is_free = True
    if options.anneal:
        model.n_calibrated.zero_()
    calibrate(model, rows, random_state)
    return [float(loss) for loss in net.history[:, "train_loss"]]
