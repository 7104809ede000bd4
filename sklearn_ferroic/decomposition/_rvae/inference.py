"""Inference with a trained model, in batches."""

import warnings

import numpy as np
import torch
from sklearn.utils import gen_batches

from ..._utils.angles import wrap_angle
from .._patch_rows import load_rows

# Number of patches per batch; bounds the scratch memory.
_BATCH_PATCHES = 256
# Smallest number of patches for an estimate of their magnification.
_FEWEST_SCALED = 20
# Smallest increase of the correlation with the lattice of the fit by scaling it, as a
# ratio, and smallest scale factor, at which the magnification is considered different.
# Strain is below the latter.
_LEAST_CORRELATION_RATIO, _LEAST_SCALE_RATIO = 1.03, 1.1


@torch.no_grad()
def infer_posterior(model, rows):
    """Infer pose and latents of patches, with their posterior widths.

    Parameters
    ----------
    model : PatchModel
        The model.
    rows : ndarray of shape (n, h * w) or (n, h, w)
        The patches.

    Returns
    -------
    values, widths : ndarray of shape (n, 3 + latent_dim + n_classes)
        Angle in [-pi, pi), offset, latents and class probabilities, and their standard
        deviations; float32.
    """
    found = (model.infer(patches) for patches in _batches(model, rows))
    values, widths = _gather(found, len(rows), np.float32)
    values[:, 0] = wrap_angle(values[:, 0])
    return values, widths


@torch.no_grad()
def warn_about_magnification(model, rows, stacklevel):
    """Warn if the lattice in patches has another scale than that of the fit."""
    if len(rows) < _FEWEST_SCALED:
        return
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), _BATCH_PATCHES)).astype(
        np.intp
    )
    scale, gain = model.find_scale(next(_batches(model, rows[chosen])))
    if gain > _LEAST_CORRELATION_RATIO and max(scale, 1 / scale) > _LEAST_SCALE_RATIO:
        warnings.warn(
            f"The lattice in X is {scale:.2f} times as large, in pixels, as that of "
            "the training patches. A model is valid for one magnification: resample "
            "the image to the pixel size of the fit, or fit another model.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )


@torch.no_grad()
def infer_evidence(model, rows):
    """Compute the evidence lower bound of each patch, nats, (n,)."""
    found = ((model.evidence_bound(patches),) for patches in _batches(model, rows))
    return _gather(found, len(rows), np.float64)[0]


@torch.no_grad()
def infer_lattice_angle(model, rows):
    """Infer the rotation of the lattice of each patch, radians, (n,)."""
    found = ((model.lattice_angle(patches),) for patches in _batches(model, rows))
    return _gather(found, len(rows), np.float32)[0]


@torch.no_grad()
def draw_patches(model, columns, lattice_angle=None):
    """Draw patches ``(n, h, w)`` from columns angle, offset (2), latents, classes."""

    def draw(part, latents, angle, offset):
        lattice = None
        if lattice_angle is not None:
            lattice = load_rows(lattice_angle, part)[:, 0].to(angle)
        return model.reconstruct(latents, angle, offset, lattice)

    return _draw(model, columns, draw)


@torch.no_grad()
def draw_canonical_patches(model, latents):
    """Draw images ``(n, h, w)`` in canonical pose from latents, classes."""

    def draw(part, latents, angle, offset):
        return model.draw_canonical(latents, angle, offset)

    return _draw(model, np.pad(latents, [(0, 0), (3, 0)]), draw)


def _draw(model, columns, draw):
    """Apply a function of rows, latents, angles and offsets to columns, in batches."""

    def batches():
        for part in gen_batches(len(columns), _BATCH_PATCHES):
            batch = load_rows(columns, part).to(model.pixel_mean)
            patches = draw(part, batch[:, 3:], batch[:, 0], batch[:, 1:3])
            yield (model.restore(patches),)

    drawn = _gather(batches(), len(columns), np.float32)[0]
    return drawn.reshape(-1, *model.patch_shape)


def _batches(model, rows):
    for part in gen_batches(len(rows), _BATCH_PATCHES):
        yield model.prepare(load_rows(rows, part).to(model.pixel_mean))


def _gather(batches, n_rows, dtype):
    """Copy the tensors of all batches into arrays that are allocated beforehand.

    Results allocated batch by batch, between large temporary arrays, would fragment the
    memory.
    """
    arrays, start = None, 0
    for batch in batches:
        if arrays is None:
            arrays = [np.empty((n_rows, *part.shape[1:]), dtype) for part in batch]
        for array, part in zip(arrays, batch, strict=True):
            array[start : start + len(part)] = part.numpy(force=True)
        start += len(batch[0])
    return arrays
