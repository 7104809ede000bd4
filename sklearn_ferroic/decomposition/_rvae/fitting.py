"""Training of RotationalVAE: from its parameters and patches to fitted values."""

import math
from contextlib import nullcontext
from itertools import count, islice
from typing import NamedTuple

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import _get_feature_names

from ..._torch.callbacks import copy_callbacks
from ..._torch.checkpoint import (
    Checkpoint,
    digest_arrays,
    get_random_state,
    read_checkpoint,
    reading_checkpoint,
    stored_losses,
)
from ..._torch.device import choose_device, warn_if_shared
from ..._torch.training import to_arrays
from ..._utils.offset import find_patch_offset, without_offset
from ..._utils.validation import count_pixels, resolve_patch_shape
from .._patch_rows import (
    check_features,
    check_patches,
    fingerprint,
    warn_of_few_patches,
)
from .._posed_columns import check_fitted_patches, fitted_offset
from .factors.checks import (
    MAX_CLASSES,
    check_angle,
    check_factors,
    check_labels,
    pixel_columns,
    warn_of_zero_angles,
)
from .training import (
    Known,
    Trained,
    TrainingOptions,
    fit_from_scratch,
    from_arrays,
    train,
    update_class_shares,
)

# Entries of the data in a checkpoint that describe the patches.
_N_DIGESTS = 3


class Fitted(NamedTuple):
    """Result of a training, which `RotationalVAE` stores in its attributes.

    `known` are digests of the known classes and angles of the first call. `classes` are
    the labels of the classes, None if they do not change or there are no classes;
    `n_classes_range` and `uncertain_class_share` are None without classes.
    """

    weights: dict
    architecture: dict
    noise_std: float
    losses: list
    validation_losses: list | None
    random_state: np.random.RandomState
    pixel_offset: float
    known: list
    class_shares: np.ndarray | None
    classes: np.ndarray | None
    n_classes_range: tuple | None
    uncertain_class_share: float | None


def fit(estimator, X, y=None, angle=None):
    """Train an estimator, from its previous weights if it has a warm start."""
    options = _training_options(
        estimator,
        n_epochs=estimator.max_epochs,
        anneal=estimator.learning_rate_schedule == "cosine",
        calibrate_from_scratch=True,
        n_before=0,
        validation_fraction=(
            estimator.validation_fraction if estimator.early_stopping else None
        ),
        convergence_tol=_convergence_tol(estimator),
    )
    random_state = check_random_state(estimator.random_state)
    if not (estimator.warm_start and hasattr(estimator, "weights_")):
        fitted = _start_training(estimator, X, y, options, random_state, angle)
        # through the wrapper of scikit-learn around the method
        warn_of_few_patches(estimator, X, stacklevel=4)
        return fitted
    if estimator.checkpoint is not None:
        raise ValueError(
            "A warm start cannot use a checkpoint, because it depends on the weights "
            "of the previous fit. Set checkpoint=None or warm_start=False."
        )
    patches = _check_continued(estimator, X, y, angle, "set warm_start=False")
    return _continue_training(
        estimator, patches, options, random_state, updates_shares=True
    )


def fit_one_pass(estimator, X, y=None):
    """Train a new or a fitted estimator for one pass."""
    for name in ("early_stopping", "checkpoint"):
        value = getattr(estimator, name)
        if value:
            raise ValueError(
                f"partial_fit does not support {name}={value!r}: each call is one "
                "pass, and the estimator can be saved between calls."
            )
    is_fitted = hasattr(estimator, "weights_")
    options = _training_options(
        estimator,
        n_epochs=1,
        anneal=False,
        calibrate_from_scratch=False,
        n_before=estimator.n_iter_ if is_fitted else 0,
        validation_fraction=None,
        convergence_tol=None,
    )
    if not is_fitted:
        random_state = check_random_state(estimator.random_state)
        return _start_training(estimator, X, y, options, random_state)
    patches = _check_continued(estimator, X, y, None, "use a new estimator")
    return _continue_training(
        estimator,
        patches,
        options,
        estimator._random_state,
        earlier_losses=estimator.loss_curve_,
    )


def load(cls, path):
    """Return an estimator with the parameters of a checkpoint, and its fitted values.

    The number and the names of the features, or None, come last.
    """
    content = read_checkpoint(path)
    with reading_checkpoint(path):
        origin, state = content["origin"], content["state"]
        architecture = origin["architecture"]
        architecture["patch_shape"] = tuple(architecture["patch_shape"])
        model = from_arrays(state["model"], "cpu", **architecture)
        if not all(torch.isfinite(value).all() for value in state["model"].values()):
            raise ValueError("some weights are not finite")
        trained = Trained(
            model,
            *stored_losses(state),
            get_random_state(state),
        )
        estimator = cls(**origin["parameters"])
        n_conditions = architecture.get("n_conditions", 0)
        n_features = math.prod(architecture["patch_shape"]) + n_conditions
        names = origin["feature_names"]
        if names is not None:
            names = np.asarray(names, dtype=object)
        offset = origin.get("pixel_offset", 0.0)
        known = origin["data"][_N_DIGESTS:]
        fitted = _fitted(
            estimator, architecture, trained, offset, known, origin.get("classes")
        )
        return estimator, fitted, n_features, names


def load_model(estimator):
    """Rebuild the model of a fitted estimator on its device."""
    device = choose_device(estimator.device)
    return from_arrays(estimator.weights_, device, **estimator._fitted_architecture)


def _start_training(estimator, X, y, options, random_state, angle=None):
    device = choose_device(estimator.device)
    patches = check_patches(estimator, X, min_samples=2)
    pixels = pixel_columns(patches, estimator.n_conditions)
    patch_shape = resolve_patch_shape(pixels, estimator.patch_shape)
    architecture = _architecture(estimator, patch_shape)
    labels, classes = check_labels(y, len(patches), estimator.n_classes)
    angle = check_angle(angle, len(patches), estimator)
    warn_of_zero_angles(angle, stacklevel=5)
    known = _digest_known(labels, classes, angle)
    offset = find_patch_offset(pixels)
    features, patches = patches, without_offset(patches, offset)
    checkpoint = None
    if estimator.checkpoint is not None:
        origin = _origin(estimator, X, patches, architecture, device)
        origin["pixel_offset"] = offset
        origin["classes"] = classes
        origin["data"] += known
        checkpoint = Checkpoint(estimator.checkpoint, origin)
    warn_if_shared(device)
    with nullcontext() if checkpoint is None else checkpoint.locked():
        trained = fit_from_scratch(
            patches,
            architecture,
            options,
            device=device,
            random_state=random_state,
            checkpoint=checkpoint,
            known=Known(labels, angle),
        )
    # attributes are set only after the fit has succeeded
    check_features(estimator, X, features, reset=True)
    return _fitted(estimator, architecture, trained, offset, known, classes)


def _digest_known(labels, classes, angle):
    """Return digests of known classes with their labels, and of known angles."""
    parts = [] if labels is None else [[labels, np.array(classes)]]
    if angle is not None:
        parts.append([angle])
    return [digest_arrays(part) for part in parts]


def _check_continued(estimator, X, y, angle, remedy):
    """Check the patches of a training that continues, and return them.

    What is known of its patches would have no effect, unless it is that of the start.
    """
    patches = check_fitted_patches(estimator, X)
    labels, classes = check_labels(y, len(patches), estimator.n_classes)
    angle = check_angle(angle, len(patches), estimator)
    started_with = getattr(estimator, "_known", [])
    for name, part in (
        ("y", _digest_known(labels, classes, None)),
        ("angle", _digest_known(None, None, angle)),
    ):
        if not set(part) <= set(started_with):
            raise ValueError(
                f"{name} is used when a training starts, and this one continues an "
                f"earlier one that was started with another {name} or none. Pass "
                f"{name}=None or the same patches and {name} as before, or {remedy}."
            )
    return patches


def _continue_training(
    estimator,
    patches,
    options,
    random_state,
    *,
    earlier_losses=(),
    updates_shares=False,
):
    architecture = _check_same_architecture(estimator)
    model = load_model(estimator)
    device = choose_device(estimator.device)
    if updates_shares and architecture["n_classes"]:
        model.to("cpu")
        update_class_shares(model, patches, random_state)
        model.to(device)
    warn_if_shared(device)
    trained = train(
        model,
        patches,
        options,
        device=device,
        random_state=random_state,
    )
    trained = trained._replace(losses=[*earlier_losses, *trained.losses])
    return _fitted(
        estimator,
        architecture,
        trained,
        fitted_offset(estimator),
        getattr(estimator, "_known", []),
        continues=True,
    )


def _fitted(
    estimator, architecture, trained, offset, known, labelled=None, *, continues=False
):
    """Return the fitted values; `labelled` are the labels of the first classes."""
    weights = to_arrays(trained.model)
    shares = classes = number_range = uncertain_share = None
    if architecture.get("n_classes", 0):
        shares = weights["classes.shares"]
        if estimator.n_classes == "auto":
            shares = shares[: np.count_nonzero(shares)]
        # Those of a training that is continued do not change.
        if not continues:
            given = [] if labelled is None else list(labelled)
            others = (label for label in count() if label not in given)
            classes = np.array([*given, *islice(others, len(shares) - len(given))])
        number_range = tuple(int(n) for n in weights["classes.number_range"])
        uncertain_share = float(weights["classes.uncertain_share"])
    variance = np.maximum(weights["noise_variance"], 0)
    return Fitted(
        weights,
        architecture,
        float(np.sqrt(variance) * weights["pixel_scale"]),
        trained.losses,
        trained.validation_losses,
        trained.random_state,
        offset,
        list(known),
        shares,
        classes,
        number_range,
        uncertain_share,
    )


def _convergence_tol(estimator):
    """Return the tolerance, None where the training loss is not a stopping criterion.

    The loss of networks that infer the angle may decrease again after a plateau; early
    stopping uses the validation loss; a capacity rises until the last epoch; the loss
    at a constant learning rate does not converge.
    """
    if estimator.encoder != "invariant" or estimator.early_stopping:
        return None
    if estimator.learning_rate_schedule == "constant":
        return None
    return None if estimator.kl_capacity is not None else estimator.convergence_tol


def _training_options(estimator, **schedule):
    return TrainingOptions(
        batch_size=estimator.batch_size,
        learning_rate=estimator.learning_rate,
        n_planned=estimator.max_epochs,
        n_init=estimator.n_init,
        callbacks=copy_callbacks(estimator.callbacks),
        n_iter_no_change=estimator.n_iter_no_change,
        tol=estimator.tol,
        mixed_precision=estimator.mixed_precision,
        verbose=int(estimator.verbose),
        **schedule,
    )


def _origin(estimator, X, patches, architecture, device):
    """Collect the description of a fit that is stored in its checkpoint."""
    parameters = estimator.get_params(deep=False)
    del parameters["callbacks"], parameters["checkpoint"]
    if isinstance(parameters["random_state"], np.random.RandomState):
        parameters["random_state"] = None
    names = _get_feature_names(X)
    return {
        "parameters": parameters,
        # digests of what is known follow
        "data": [len(patches), count_pixels(patches), fingerprint(patches)],
        "device": device.type,
        "architecture": architecture,
        "feature_names": None if names is None else list(names),
    }


def _architecture(estimator, patch_shape):
    if estimator.encoder == "invariant" and estimator.rotation_prior is not None:
        raise ValueError(
            f"rotation_prior={estimator.rotation_prior} does not apply to "
            "encoder='invariant', which computes the posterior of the angle. Set "
            "rotation_prior=None, or encoder='convolutional' or 'dense'."
        )
    n_classes = estimator.n_classes
    check_factors(estimator)
    return {
        "patch_shape": patch_shape,
        "n_classes": MAX_CLASSES if n_classes == "auto" else n_classes or 0,
        "n_conditions": estimator.n_conditions,
        "latent_dim": estimator.latent_dim,
        "n_hidden": estimator.n_hidden,
        "offset_scale": estimator.offset_scale if estimator.translation else 0.0,
        "encoder": estimator.encoder,
        "decoder": estimator.decoder,
        "rotation_prior": estimator.rotation_prior,
        "noise_std": estimator.noise_std,
        "kl_capacity": estimator.kl_capacity,
        "scaling": estimator.scaling,
        "coordinate_length": estimator.coordinate_length,
    }


def _check_same_architecture(estimator):
    given = estimator.patch_shape
    wanted = _architecture(
        estimator, estimator.patch_shape_ if given is None else tuple(given)
    )
    for name, fitted in estimator._fitted_architecture.items():
        if wanted[name] != fitted:
            raise ValueError(
                f"The fit cannot continue with {name}={wanted[name]}: it was started "
                f"with {name}={fitted}. Set warm_start=False or use a new "
                "estimator."
            )
    return wanted
