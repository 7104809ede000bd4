"""Average of frames and correction of the scan in an analysis, and their report."""

from dataclasses import replace

import numpy as np

from ..registration import FrameAverager, ScanDistortionCorrector
from ._options import region_polygon


def average_stack(stack, options, remarks):
    """Register and average the frames of a stack.

    Parameters
    ----------
    stack : ndarray of shape (n_frames, n_rows, n_cols)
        The frames, a masked array where pixels are not to be used.
    options : AnalysisOptions
        Spacing and number of jobs.
    remarks : list of str
        What was done with the image; a sentence is appended.

    Returns
    -------
    image : ndarray of shape (n_rows, n_cols), float32
        The average of what all frames show.
    registration : dict
        Displacements, weights and rejected frames, in values for JSON.
    """
    averager = FrameAverager(spacing=options.spacing, n_jobs=options.n_jobs)
    image = averager.fit_transform(stack).image
    used = averager.weights_ > 0
    shifts = averager.shifts_
    rejected = averager.rejected_.tolist()
    low, high = (part(shifts[used], axis=0) for part in (np.min, np.max))
    text = f"Average of {used.sum()} of {len(stack)} registered frames"
    if rejected:
        text += f", without {', '.join(map(str, rejected))}"
    remarks.append(
        f"{text}; displacements relative to frame {averager.reference_} from "
        f"{low[0]:.1f} to {high[0]:.1f} px (rows) and from {low[1]:.1f} to "
        f"{high[1]:.1f} px (columns). Positions are counted from pixel "
        f"({averager.origin_[0]:.0f}, {averager.origin_[1]:.0f}) of that frame."
    )
    return image, {
        "n_frames": len(stack),
        "reference": int(averager.reference_),
        "rejected": rejected,
        "shifts_px": _rounded(shifts),
        "shifts_std_px": _rounded(averager.shifts_std_),
        "weights": _rounded(averager.weights_),
        "correlation": _rounded(averager.correlation_),
        "gains": _rounded(averager.gains_),
        "offsets": _rounded(averager.offsets_),
        "copies": averager.copies_.tolist(),
        "origin_px": averager.origin_.tolist(),
    }


def correct_scan(sites, source, options):
    """Correct the columns for the displacements of the scan lines.

    Parameters
    ----------
    sites : AtomSites
        All columns.
    source : InputImage
        The image.
    options : AnalysisOptions
        `reference`, whose lattice is taken for perfect.

    Returns
    -------
    sites : AtomSites
        The columns at their corrected positions, in the resampled image.
    source : InputImage
        The same with the result of the correction.
    """
    corrector = ScanDistortionCorrector()
    reference = None
    if options.reference is not None:
        reference = sites.in_polygon(region_polygon(options.reference))
    corrector.fit(source.image, sites=sites, reference=reference)
    corrected = corrector.transform_sites(sites)
    moved = np.sqrt(np.mean((corrected.positions - sites.positions) ** 2, axis=0))
    if reference is None:
        text = (
            "Jitter of the scan lines is corrected. Without a reference region, drift "
            "is not distinguished from strain and is left"
        )
    else:
        text = (
            "Drift and jitter of the scan lines are corrected by the lattice of "
            f"{np.count_nonzero(reference)} columns in the reference region"
        )
    error = np.median(corrector.line_shift_std_, axis=0)
    remark = (
        f"{text}: positions moved by {moved[0]:.2f} px (rows) and {moved[1]:.2f} px "
        f"(columns), root mean square; errors of the correction {error[0]:.2f} and "
        f"{error[1]:.2f} px."
    )
    scan = {
        "has_reference": reference is not None,
        "moved_px": _rounded(moved),
        "error_px": _rounded(error),
        "jitter_px": _rounded(corrector.jitter_),
        "drift_px_per_line": corrector.drift_.tolist(),
        "line_shift_px": _rounded(corrector.line_shift_),
    }
    return corrected, replace(source, remarks=[*source.remarks, remark], scan=scan)


def _rounded(values):
    """Return values as nested lists with four decimals, None where not finite."""
    values = np.round(np.asarray(values, dtype=float), 4)
    flat = [float(value) if np.isfinite(value) else None for value in values.ravel()]
    if values.ndim == 1:
        return flat
    width = values.shape[1]
    return [flat[start : start + width] for start in range(0, len(flat), width)]
