"""Results of an analysis as values for JSON and as lines of text."""

import platform
from importlib.metadata import PackageNotFoundError, version
from numbers import Integral, Real

import numpy as np
from scipy.spatial import cKDTree

from ..metrics import angular_error
from ._doubts import count_flags
from ._variants import as_number

# Columns within this distance of a true one are that column.
_MATCH_PX = 2.0
# Largest number of entries of the metadata of a file, and characters of each, kept.
_MAX_METADATA_ENTRIES = 200
_MAX_CHARACTERS = 200
_PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "matplotlib")


def summarize(analysis):
    """Return the results of an analysis as JSON-serializable values.

    Parameters
    ----------
    analysis : Analysis
        The analysis.

    Returns
    -------
    summary : dict
        The keys are described in the user guide.
    """
    sites, quality = analysis.sites, analysis.quality
    size = sites.pixel_size[0]
    spacing = float(quality.spacing[0])
    shift, shift_std = quality.net_displacement[0], quality.net_displacement_std[0]
    summary = {
        "image": analysis.name,
        "description": analysis.description,
        "shape": list(sites.images[0].shape),
        "n_sites": len(sites),
        "n_sublattices": len(quality.n_sites),
        "n_sites_of_sublattice": {str(k): n for k, n in quality.n_sites.items()},
        "n_cells": len(analysis.cells),
        "spacing_px": as_number(spacing),
        "spacing_nm": None if size is None else as_number(size * spacing),
        "pixel_size_nm": size,
        "registered": analysis.is_registered,
        "variants": [row for row in analysis.groups_table if row["is_variant"]],
        "other_groups": [row for row in analysis.groups_table if not row["is_variant"]],
        "n_domains": None if analysis.domains is None else len(analysis.domains),
        "n_walls": None if analysis.walls is None else len(analysis.walls),
        "warnings": [str(doubt) for doubt in analysis.doubts],
        "findings": analysis.findings,
        "quality": {
            "coverage": as_number(quality.coverage),
            "n_suspected_misses": len(quality.suspected_misses),
            "n_vacancies": len(quality.vacancies),
            "share_unconverged": quality.share_unconverged,
            "flags": count_flags(quality),
            "ellipticity": as_number(quality.ellipticity[0]),
            "net_displacement_px": [as_number(part) for part in shift],
            "net_displacement_std_px": [as_number(part) for part in shift_std],
        },
        "lattices": _describe_lattices(quality.lattices),
        "antipolar": analysis.antipolar,
        "window_size_px": analysis.window_size,
        "registration": analysis.registration,
        "reference_shift_px": None
        if analysis.reference_shift is None
        else [float(part) for part in analysis.reference_shift],
        "truth": analysis.truth,
        "parameters": analysis.parameters,
        "remarks": analysis.remarks,
        "frames": analysis.frames,
        "scan": analysis.scan,
        "versions": analysis.versions,
    }
    return summary


def _describe_lattices(lattices):
    """Return the lattices of an image as values for JSON."""
    return [
        {
            "share": as_number(lattices.share[number]),
            "n_sites": int(lattices.n_sites[number]),
            "vectors_px": [
                [as_number(part) for part in vector]
                for vector in lattices.vectors[number]
            ],
            "lengths_nm": [
                as_number(length * lattices.pixel_size[number])
                for length in lattices.lengths[number]
            ],
            "angle_deg": as_number(np.degrees(lattices.angle[number])),
            "bounds_px": [as_number(part) for part in lattices.bounds[number]],
        }
        for number in range(len(lattices))
    ]


def describe(analysis):
    """Return the results of an analysis as lines of text.

    Parameters
    ----------
    analysis : Analysis
        The analysis.

    Returns
    -------
    lines : list of str
        One statement per line.
    """
    lines = []
    registration = analysis.registration
    if analysis.is_registered and registration:
        kind = "together" if registration["is_pooled"] else "one by one"
        lines.append(
            f"Angles registered to the displacements of {registration['n_sites']} "
            f"columns ({kind}): offset {registration['offset_deg']:+.1f}° ± "
            f"{registration['offset_std_deg']:.1f}°."
        )
    rows = analysis.groups_table
    if rows and any(row["magnitude"] is not None for row in rows):
        lines.append(
            "Measured displacements (mean ± standard error; angles from +x, down "
            "positive):"
        )
        lines += [f"  {_describe_group(row)}" for row in rows]
        n_cells = len(analysis.cells)
        n_without = n_cells - sum(row["n_cells"] for row in rows)
        if n_without:
            lines.append(
                f"  no certain angle: {n_without} cells ({n_without / n_cells:.1%})"
            )
    lines += [f"  {finding}" for finding in analysis.findings]
    lines += [str(doubt) for doubt in analysis.doubts]
    truth = analysis.truth
    if truth:
        lines.append(
            f"Truth: {truth['n_found']} of {truth['n_true']} columns of this "
            f"sublattice found, {truth['n_invented']} invented."
        )
        if truth["n_compared"]:
            lines.append(
                f"Truth: {truth['share_right_variant']:.1%} of the "
                f"{truth['n_compared']} polar cells outside walls and interfaces have "
                "the right variant; median angular error "
                f"{truth['median_error_deg']:.1f}°."
            )
    return lines


def _describe_group(row):
    """Return one line about a group of cells."""
    text = f"{row['name']}: {row['n_cells']} cells ({row['share']:.1%}), "
    text += describe_displacement(row)
    if row["model_angle_deg"] is not None:
        text += f"; angle {row['model_angle_deg']:+.0f}°"
    return text


def describe_displacement(row):
    """Return the mean displacement of a group with its standard error as text.

    Parameters
    ----------
    row : dict
        A row of `describe_variants`.

    Returns
    -------
    text : str
        Length and direction, or that it is not significant.
    """
    if row["magnitude"] is None or row["magnitude_std"] is None:
        return "displacement not measured"
    digits = 1 if row["unit"] == "pm" else 2
    unit = row["unit"]
    text = f"{row['magnitude']:.{digits}f} {unit} ± "
    text += f"{row['magnitude_std']:.{digits}f} {unit}"
    if not row["is_significant"]:
        return f"{text}, not significant"
    return f"{text} at {row['angle_deg']:+.0f}° ± {row['angle_std_deg']:.0f}°"


def compare_with_truth(truth, cells, label, angle):
    """Compare cells with those of a generated image.

    Parameters
    ----------
    truth : Bunch or None
        Image with positions, sublattice, variant, wall and polarization.
    cells : AtomSites of length n_cells
        The cells.
    label : int
        Their sublattice.
    angle : ndarray of shape (n_cells,) or None
        Their angles, radians, which are compared after one rotation of all.

    Returns
    -------
    comparison : dict or None
        n_true, n_found, n_invented, n_compared, share_right_variant and
        median_error_deg; None without a truth.
    """
    if truth is None or "positions" not in truth:
        return None
    own = truth.sublattice == label
    distance, nearest = cKDTree(truth.positions[own]).query(cells.positions)
    matched = distance < _MATCH_PX
    comparison = {
        "n_true": int(own.sum()),
        "n_found": len(np.unique(nearest[matched])),
        "n_invented": int((~matched).sum()),
        "n_compared": 0,
    }
    vectors = truth.polarization[own][nearest]
    counted = matched & (truth.variant[own][nearest] >= 0)
    counted &= ~truth.wall[own][nearest] & np.isfinite(vectors).all(axis=1)
    if angle is not None:
        counted &= np.isfinite(angle)
    if angle is not None and counted.any():
        true = np.arctan2(*vectors[counted].T)
        error = np.degrees(np.abs(angular_error(true, angle[counted], register=True)))
        comparison |= {
            "n_compared": int(counted.sum()),
            "share_right_variant": float((error < 45).mean()),
            "median_error_deg": float(np.median(error)),
        }
    return comparison


def collect_versions():
    """Return the versions of Python and of the packages that results depend on."""
    from .. import __version__

    versions = {"sklearn-ferroic": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def flatten_metadata(metadata, prefix=""):
    """Return nested metadata as shortened texts with dotted names.

    Parameters
    ----------
    metadata : mapping
        Metadata of a file.
    prefix : str, default=""
        Name of the mapping.

    Returns
    -------
    entries : dict of str to str
        A limited number of entries.
    """
    entries = {}
    for key, value in metadata.items():
        name = f"{prefix}{key}"
        if hasattr(value, "items"):
            entries |= flatten_metadata(value, f"{name}.")
        elif isinstance(value, str | Real | Integral | bool) or value is None:
            text = str(value).strip()
            if text and text.isprintable():
                entries[name] = text[:_MAX_CHARACTERS]
        elif isinstance(value, list | tuple) and len(value) <= 8:
            text = str(value)
            if len(text) <= _MAX_CHARACTERS:
                entries[name] = text
        if len(entries) >= _MAX_METADATA_ENTRIES:
            break
    return dict(list(entries.items())[:_MAX_METADATA_ENTRIES])
