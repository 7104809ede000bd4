"""Running a trained model over many patches, a batch at a time."""

import numpy as np
import torch
from sklearn.utils import gen_batches

from .._angles import wrap_angle
from ._training import load_rows

# Patches inferred at a time; bounds the scratch memory.
_BATCH = 256


@torch.no_grad()
def infer_posterior(model, rows):
    """Pose and latents of patches, with their posterior widths.

    Parameters
    ----------
    model : PosedImageModel
        The model.
    rows : ndarray of shape (n, h * w)
        The patches.

    Returns
    -------
    values, widths : ndarray of shape (n, 3 + latent_dim)
        Angle in [-pi, pi), offset and latents, and their standard deviations;
        float32.
    """
    values, widths = [], []
    for patches in _batches(model, rows):
        mean, log_variance = model.encode(patches)
        found = model.infer_pose(patches, mean)
        spread = (0.5 * log_variance).exp()
        values.append(torch.cat([found.angle[:, None], found.offset, mean], dim=1))
        widths.append(
            torch.cat([found.angle_std[:, None], found.offset_std, spread], dim=1)
        )
    values, widths = _to_array(values), _to_array(widths)
    values[:, 0] = wrap_angle(values[:, 0])
    return values, widths


@torch.no_grad()
def infer_evidence(model, rows):
    """Evidence lower bound of each patch, nats; ndarray of shape (n,)."""
    bounds = [model.evidence_bound(patches) for patches in _batches(model, rows)]
    return torch.cat(bounds).numpy(force=True).astype(np.float64)


@torch.no_grad()
def draw_patches(model, columns):
    """Posed patches ``(n, h, w)`` from columns angle, offset (2) and latents."""
    drawn = []
    for part in gen_batches(len(columns), _BATCH):
        batch = load_rows(columns, part).to(model.pixel_mean)
        patches = model.reconstruct(batch[:, 3:], batch[:, 0], batch[:, 1:3])
        drawn.append(model.restore(patches))
    return _to_array(drawn).reshape(-1, *model.patch_shape)


def _batches(model, rows):
    for part in gen_batches(len(rows), _BATCH):
        yield model.standardize(load_rows(rows, part).to(model.pixel_mean))


def _to_array(batches):
    return torch.cat(batches).numpy(force=True).astype(np.float32)
