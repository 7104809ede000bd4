"""Parameters and methods that all locators share."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import StrOptions

from .._image.context import ImageContext
from .._image.input import check_images, displacement_errors, image_metadata
from .._lattice.neighbors import typical_spacing
from .._utils.transformers import ImagesToSitesMixin
from .._utils.validation import N_JOBS, Interval, check_on_image
from ..sites import AtomSites, SiteFlag
from ._assembly import LabeledFit, assemble_sites, nearest_columns
from ._batch import estimate_scales
from ._checks import check_sublattice
from ._detection.refine import refine_columns
from ._fitting.profiles import PROFILES
from ._fitting.windows import MASS_RADIUS_SIGMA, center_of_mass

# Fits that end farther from the given position, in spacings, are those of another
# column: half the way to the nearest one.
_MAX_SHIFT_SPACINGS = 0.5
# Centres of mass are taken again around the centre of mass, to reach the peak from
# half a column's width away.
_N_CENTERING_ROUNDS = 8


class LocatorMixin(ImagesToSitesMixin, auto_wrap_output_keys=None):
    """Mixin of estimators that locate columns."""

    _parameter_constraints: dict = {
        "sublattice": [Interval(Integral, 0, None, closed="left"), "array-like", None],
        "spacing": [Interval(Real, 1, None, closed="left"), None],
        "refine": [StrOptions({"gaussian", "center_of_mass"}), None],
        # The keys as they are at the time of the check: profiles may be added.
        "shape": [StrOptions(PROFILES.keys())],
        "border": [StrOptions({"keep", "drop"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tile_size": [Interval(Integral, 256, None, closed="left"), None],
        "n_jobs": N_JOBS,
    }

    def refit(self, sites):
        """Fit the columns of sites again, from their positions.

        Use it after sites were added or removed by hand: all columns of each image are
        fitted together, and displacements, lattice vectors and flags are measured
        again. No column is added, removed or labelled; pairs with the flag MERGED keep
        it. Errors that the fit does not show, `distortion_std`, are part of
        `position_std` as before. Sites do not have the mask of their images: columns
        next to masked pixels are fitted to the values that were filled in, and may be
        displaced.

        Parameters
        ----------
        sites : AtomSites of length n_sites
            All sites of the images, of all sublattices.

        Returns
        -------
        refitted : AtomSites of length n_sites
            The same columns in the same order. Where a fit is not usable, the
            position is that of `sites` and ``converged`` is False.

        Raises
        ------
        TypeError
            If `sites` are not AtomSites.
        ValueError
            If a position is off the image.
        """
        if not isinstance(sites, AtomSites):
            raise TypeError(f"refit needs AtomSites, got {type(sites).__name__}.")
        self._validate_params()
        if not len(sites):
            return sites[:]
        used = np.unique(sites.frame)
        rows = [np.flatnonzero(sites.frame == frame) for frame in used]
        for frame, own in zip(used, rows, strict=True):
            check_on_image(sites.positions[own], sites.images[frame])
        images, masks, _ = carried = check_images(
            [(sites.images[frame], sites.pixel_size[frame]) for frame in used]
        )
        labeled, scales = [], []
        for image, mask, own in zip(images, masks, rows, strict=True):
            positions = sites.positions[own]
            spacing = self.spacing or typical_spacing(positions)
            ((spacing, sigma, _),) = estimate_scales([image], [mask], spacing, None)
            context = ImageContext(image, mask, spacing, sigma, max_iter=self.max_iter)
            fit, _ = refine_columns(
                context,
                _centered(context, positions, sites.converged[own]),
                refine=self.refine,
                shape=self.shape,
                tile_size=self.tile_size,
                max_shift=_MAX_SHIFT_SPACINGS,
            )
            part = LabeledFit(fit, sites.sublattice[own], nearest_columns(fit))
            merged = (sites.flags[own] & SiteFlag.MERGED) > 0
            labeled.append(part._replace(merged=merged) if merged.any() else part)
            scales.append((spacing, sigma))
        fitted = assemble_sites(
            carried,
            labeled,
            scales,
            sublattice=None,
            border="keep",
            probabilities=[sites.probability[own] for own in rows],
        )
        refitted = sites[:]
        order = np.concatenate(rows)
        for field in sites.fields:
            if field in fitted.fields and not field.kept_by_refit:
                values = getattr(refitted, field.name).copy()
                values[order] = getattr(fitted, field.name)
                setattr(refitted, field.name, values)
            elif field not in fitted.fields and field.is_geometric:
                # A value of a subclass that belongs to the positions before.
                setattr(refitted, field.name, None)
        _complete_distortion_errors(refitted)
        _add_distortion_errors(refitted)
        return refitted

    def _validate_params(self):
        super()._validate_params()
        check_sublattice(self.sublattice)

    def _assemble(self, carried, labeled, scales, probabilities=None, *, X):
        """Return the sites of the columns, with the metadata of the images `X`."""
        sites = assemble_sites(
            carried,
            labeled,
            scales,
            sublattice=self.sublattice,
            border=self.border,
            probabilities=probabilities,
        )
        sites.metadata = image_metadata(X, len(sites.images))
        _set_distortion_errors(sites, displacement_errors(X, len(sites.images)))
        _add_distortion_errors(sites)
        return sites


def _set_distortion_errors(sites, errors):
    """Set the errors of columns by the displacements of the rows of averaged frames."""
    std = sites.distortion_std.copy()
    for frame, error in enumerate(errors):
        if error is None:
            continue
        own = sites.frame == frame
        rows = np.arange(len(error))
        for axis in range(2):
            std[own, axis] = np.interp(sites.positions[own, 0], rows, error[:, axis])
    sites.distortion_std = std


def _complete_distortion_errors(sites):
    """Set the errors of added columns to those of the others in the rows around."""
    std = sites.distortion_std.copy()
    for frame in np.unique(sites.frame):
        own = np.flatnonzero(sites.frame == frame)
        known = np.isfinite(std[own]).all(axis=1)
        if known.all() or not known.any():
            continue
        given, added = own[known], own[~known]
        given = given[np.argsort(sites.positions[given, 0], kind="stable")]
        for axis in range(2):
            std[added, axis] = np.interp(
                sites.positions[added, 0], sites.positions[given, 0], std[given, axis]
            )
    sites.distortion_std = std


def _add_distortion_errors(sites):
    """Add the errors that fits do not show to those of the fits, in quadrature."""
    more = np.nan_to_num(sites.distortion_std)
    sites.position_std = np.hypot(sites.position_std, more)


def _centered(context, positions, converged):
    """Return positions of which those that were not fitted are moved to the peak.

    They may have been set by hand: the fit starts from the centre of mass around them.
    """
    moved = positions.copy()
    rough = np.flatnonzero(~converged)
    if not len(rough):
        return moved
    last = np.array(context.shape) - 1
    moved[rough] = center_of_mass(
        context.image,
        np.clip(moved[rough], 0, last),
        MASS_RADIUS_SIGMA * context.sigma,
        _N_CENTERING_ROUNDS,
        context.mask,
    )
    lost = np.hypot(*(moved - positions).T) > _MAX_SHIFT_SPACINGS * context.spacing
    moved[lost] = positions[lost]
    return moved
