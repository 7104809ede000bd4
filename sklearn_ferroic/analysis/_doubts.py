"""Reasons to doubt a result, in words for the reader of a report."""

import re
from typing import NamedTuple

import numpy as np

from .._utils.scale import FINE_SPACING_PX, describe_implausible_pixel_size
from ..feature_extraction import pool_polarization
from ..registration._lines.row_bands import measure_row_bands
from ..sites import SiteFlag
from ._variants import (
    SAME_DIRECTION_RAD,
    SIGNIFICANCE_LEVEL,
    count_displaced_regions,
    find_alternating,
)

# Median significance of the columns below which single displacements mean little: the
# standard error of a position is then more than an eighth of the column's width.
_LOW_SIGNIFICANCE_ERRORS = 8.0
# Shares of the columns that no good image has.
_MISSING_SHARE = 0.01
_UNCONVERGED_SHARE = 0.05
# Columns elongated alike by more than this are due to the microscope.
_ELONGATION_RATIO = 1.15
# Fewer cells than this train a network poorly, and their variants have few examples.
_FEW_CELLS = 300


_WITH_A_TITLE = re.compile(
    r"The columns of image \d+ are [\d.]+ px apart|Implausible pixel size"
)


class Doubt(NamedTuple):
    """A reason to doubt a result.

    Parameters
    ----------
    key : str
        Short name, such as "mistilt".
    title : str
        What it is about, in a few words.
    text : str
        What was found, what it means and what helps.
    """

    key: str
    title: str
    text: str

    def __str__(self):
        return f"{self.title}: {self.text}"


def doubts_of_image(source, quality, cells, caught):
    """Return the reasons to doubt that follow from the image and its columns.

    Parameters
    ----------
    source : InputImage or None
        The image; None if only its columns are known.
    quality : SiteQuality
        Quality of all columns.
    cells : AtomSites of length n_cells
        Columns at the centres of the cells.
    caught : list of str
        Warnings of the stages.

    Returns
    -------
    doubts : list of Doubt
        In the order of the stages.
    """
    # What the locators warn of, too, has a title of its own here.
    caught = [text for text in caught if not _WITH_A_TITLE.match(text)]
    doubts = [*_of_grey_values(source), *_of_calibration(quality, cells)]
    if quality.spacing[0] < FINE_SPACING_PX:
        doubts.append(
            Doubt(
                "sampling",
                "Coarse sampling",
                f"nearest columns are {quality.spacing[0]:.1f} px apart. Below "
                f"{FINE_SPACING_PX:.0f} px, positions have larger errors than the "
                "table says, and some columns may be missed. Use an image of higher "
                "magnification, or one that was not binned.",
            )
        )
    n_sites = len(quality.sites)
    n_missed = len(quality.suspected_misses)
    if n_missed > max(2, _MISSING_SHARE * n_sites):
        doubts.append(
            Doubt(
                "missing_columns",
                "Missing columns",
                f"{n_missed} places of the lattice show a column and have none in the "
                f"table ({n_sites} columns were found). Their neighbours have no "
                "displacement. A trained network finds faint columns: --locator unet.",
            )
        )
    if quality.share_unconverged > _UNCONVERGED_SHARE:
        doubts.append(
            Doubt(
                "fits",
                "Fits",
                f"{quality.share_unconverged:.0%} of the fits of columns cannot be "
                "trusted. Damaged or amorphous regions can be left out with --crop or "
                "--mask.",
            )
        )
    significance = float(np.nanmedian(cells.significance))
    if significance < _LOW_SIGNIFICANCE_ERRORS:
        error = float(np.nanmedian(cells.position_std))
        doubts.append(
            Doubt(
                "low_dose",
                "Low dose",
                "few electrons, or faint columns: those at the centres of the cells "
                f"exceed the noise only {significance:.1f} times, and each of their "
                f"positions is uncertain by {_length(error, cells)}. Trust means over "
                "many cells, not single arrows.",
            )
        )
    ratio = quality.ellipticity[0]
    if np.isfinite(ratio) and ratio > _ELONGATION_RATIO:
        angle = np.degrees(quality.ellipse_rotation[0])
        doubts.append(
            Doubt(
                "elongated",
                "Elongated columns",
                f"all columns are {ratio:.2f} times as long as wide, along "
                f"{_degrees(angle)}: astigmatism, drift, vibration or mistilt.",
            )
        )
    doubts += _of_scan_lines(source, quality.sites)
    if len(cells) < _FEW_CELLS:
        doubts.append(
            Doubt(
                "few_cells",
                "Few cells",
                f"the image shows {len(cells)} cells. The network learns from at least "
                f"{_FEW_CELLS}; variants of few cells may be chance.",
            )
        )
    return doubts + [Doubt("warning", "Note", text) for text in caught]


def _of_grey_values(source):
    """Return the doubts about the grey values of a file."""
    if source is None:
        return
    if source.is_8_bit:
        yield Doubt(
            "eight_bit",
            "8-bit image",
            "the grey values have 8 bits, as those of a screenshot or of an exported "
            "picture. Contrast may have been changed, and the pixel size is usually "
            "lost. Use the file of the microscope if there is one.",
        )
    if source.saturated_share:
        yield Doubt(
            "saturated",
            "Saturated pixels",
            f"{source.saturated_share:.1%} of the pixels have the highest grey value. "
            "Columns whose tops are cut off have larger errors.",
        )


def _of_scan_lines(source, sites):
    """Return the doubt about rows of columns that the scan displaces together."""
    if source is not None and source.scan is not None:
        return  # corrected, and reported with the errors of the correction
    bands = measure_row_bands(sites)
    if bands is not None and bands.are_significant:
        yield Doubt(
            "scan_distortion",
            "Scan distortion",
            "columns in the same scan lines are displaced together along the lines, by "
            f"{_length(bands.size, sites)} (standard deviation), which is "
            f"{bands.share:.1f} times the standard error of a position, and more than "
            "columns above each other, as by jitter of the scan. In maps of strain and "
            "displacement it looks like bands along the rows. --correct-scan "
            "(ScanDistortionCorrector) reduces it in this image; two scans at 0° and "
            "90° (--frame pair) or an average of short exposures (--frame average, "
            "FrameAverager) are better.",
        )


def _of_calibration(quality, cells):
    """Return the doubts about the pixel size."""
    size, spacing = cells.pixel_size[0], float(quality.spacing[0])
    if size is None:
        yield Doubt(
            "no_pixel_size",
            "No pixel size",
            "the file contains none, so lengths are in px. --pixel-size, in nm per "
            "pixel, gives them in pm and nm.",
        )
        return
    text = describe_implausible_pixel_size(spacing, size)
    if text:
        yield Doubt(
            "calibration",
            "Calibration",
            f"{text} Every length in pm and nm is wrong with it; --pixel-size, in nm "
            "per pixel, sets the right one.",
        )


def doubts_of_result(pose, groups, cells, cell, has_reference):
    """Return the reasons to doubt that follow from the model and the displacements.

    Parameters
    ----------
    pose : Pose
        Angle and clusters.
    groups : Groups
        Groups of cells.
    cells : AtomSites of length n_cells
        The cells.
    cell : float
        Side of the unit cell, px.
    has_reference : bool
        Whether the displacement of a reference region was subtracted.

    Returns
    -------
    doubts : list of Doubt
        The most important first.
    findings : list of str
        Sentences about the displacements that raise no doubt.
    caveat : str
        Remark for the title of a map, "" if there is none.
    """
    measured = np.isfinite(cells.polarization).all(axis=1)
    if not measured.any():
        doubt = Doubt(
            "not_registered",
            "Not registered",
            "no displacement could be measured, as no column lies in a complete cage "
            "of the other sublattice: another projection than along a cube axis, or "
            "one kind of column only. The zero of the angles is arbitrary, and the "
            "directions need not be polar.",
        )
        return [doubt], [], "no displacement measured"
    doubts, findings, caveats = [], [], []
    whole = pool_polarization(cells)
    is_common = bool(whole.p_value[0] < SIGNIFICANCE_LEVEL)
    n_regions, n_displaced = count_displaced_regions(cells, cell)
    if n_regions:
        findings.append(
            f"{n_displaced} of {n_regions} squares of 6 x 6 cells are displaced "
            "significantly."
        )
    for first, second in find_alternating(groups, cells):
        findings.append(
            f"{groups.names[first].capitalize()} and {groups.names[second]} point in "
            "opposite directions and alternate from one or two rows to the next: "
            "antipolar order."
        )
    is_polar = bool(groups.significant.any())
    if not (is_polar or is_common or n_displaced):
        doubts.append(
            Doubt(
                "not_significant",
                "No significant displacement",
                "neither the mean over any group of cells nor that of any region "
                "differs from zero. The map shows what the model finds, which need "
                "not be polar.",
            )
        )
        return doubts, findings, "displacement not significant"
    if not pose.is_registered:
        where = "" if is_polar or is_common else " in some regions"
        doubts.append(
            Doubt(
                "not_registered",
                "Not registered",
                f"the displacements are significant{where}, but the angles of the "
                "model do not follow them. Trust the arrows and the means, not the "
                "colours of the map.",
            )
        )
        caveats.append("angles do not follow displacements")
    elif _share_an_angle(pose, groups):
        findings.append(
            "Some variants have one angle and different displacements: there the "
            "colours of the map show the lattice, and the arrows the displacement."
        )
    if is_common and not has_reference:
        text, caveat = _common_displacement(groups, cells, whole)
        doubts.append(Doubt("mistilt", "Mistilt", text))
        caveats += [caveat] if caveat else []
    return doubts, findings, "; ".join(caveats)


def _common_displacement(groups, cells, whole):
    """Return the possible causes of a displacement of all cells, and a caveat."""
    length = _length(float(np.hypot(*whole.mean[0])), cells)
    direction = _degrees(np.degrees(np.arctan2(*whole.mean[0])))
    start = f"the mean displacement of all cells is {length} along {direction}. "
    remedy = (
        " The option --reference, with a region that is not polar, such as the "
        "substrate, subtracts it."
    )
    if not groups.is_common:
        return (
            f"{start}Mistilt and coma displace all columns of one kind alike and add "
            "such a vector to a polarization; the image alone does not separate the "
            f"two.{remedy}",
            "",
        )
    return (
        f"{start}All groups are displaced alike, as mistilt or coma displaces them, "
        f"too: this alone does not prove a polar material.{remedy}",
        "one displacement for all, as mistilt makes too",
    )


def _share_an_angle(pose, groups):
    """Return whether two variants have nearly the same angle of the model."""
    means = [
        np.mean(np.exp(1j * pose.angle[groups.number == n]))
        for n in np.flatnonzero(groups.is_variant)
    ]
    gaps = np.abs(np.angle(np.outer(means, np.conj(means))))
    upper = np.triu_indices(len(means), 1)
    return bool(means) and bool((gaps[upper] < SAME_DIRECTION_RAD / 2).any())


def count_flags(quality):
    """Return the number of sites with each flag.

    Parameters
    ----------
    quality : SiteQuality
        Quality of the sites.

    Returns
    -------
    counts : dict of str to int
        Flags that occur, by their names.
    """
    counts = {
        flag.name.lower(): int(np.count_nonzero(quality.flags & flag))
        for flag in SiteFlag
    }
    return {name: count for name, count in counts.items() if count}


def in_terms_of_options(text):
    """Return a message of the package with the options of the command.

    Parameters
    ----------
    text : str
        Message that names parameters, such as ``spacing=``.

    Returns
    -------
    text : str
        The same with ``--spacing``.
    """
    text = re.sub(r'\blocator="unet"', "--locator unet", text)
    text = re.sub(r"\binvert=True", "--invert", text)
    text = re.sub(r'\bframe="(mean|average)"', r"--frame \1", text)
    text = re.sub(r'\bwindow_size="auto"', "--window-size auto", text)
    text = text.replace("need -image,", "need --invert,")
    text = re.sub(r"\bof image 0\b", "of the image", text)
    text = re.sub(r"\bin image 0\b", "in the image", text)
    text = text.replace("UNetAtomLocator", "--locator unet")
    text = re.sub(r"^Image 0: ", "", text)
    names = "dataset|signal|spacing|window_size|pixel_size|frame|crop|mask|sublattice|"
    names += "n_clusters|reference|max_epochs"
    return re.sub(
        rf"\b({names})=(?=[\w'\"])",
        lambda match: f"--{_OPTIONS.get(match[1], match[1]).replace('_', '-')} ",
        re.sub(
            rf"\b({names})=(?![\w'\"])",
            lambda match: f"--{_OPTIONS.get(match[1], match[1]).replace('_', '-')}",
            text,
        ),
    )


# Options of the command that have another name than the parameter.
_OPTIONS = {"n_clusters": "clusters", "max_epochs": "epochs"}


def _length(length, cells):
    """Return a length in px as text in pm, or in px where it is not calibrated."""
    size = cells.pixel_size[0]
    return f"{length:.2f} px" if size is None else f"{1000 * size * length:.1f} pm"


def _degrees(angle):
    """Return an angle in degrees as text; angles grow clockwise from +x."""
    return f"{angle:+.0f}°".replace("-", "−")
