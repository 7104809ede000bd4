"""Text, tables and pictures of a report, in one HTML file."""

import io
import json
import re
from html import escape
from importlib.resources import files
from string import Template

import numpy as np

from ..._utils.optional import import_optional
from ..._utils.writing import write_whole
from .._figures import caption_of, group_colors
from .._summary import collect_versions
from .viewer_data import as_hex, as_url, viewer_data

# Resolution of the pictures, dots per inch of the figures.
_PICTURE_DPI = 140
# Figures that fill the width of the page.
_WIDE = {"columns", "latents", "profiles"}
_TITLES = {
    "columns": "Columns and flags",
    "displacements": "Measured displacements",
    "domains": "Domains and walls",
    "latents": "Latents",
    "decoded": "Decoded windows",
    "strain": "Tetragonality",
    "angles": "Angles",
    "means": "Mean displacements",
    "profiles": "Profiles",
}
# Lattices that are listed; all are in summary.json.
_MAX_LATTICES = 8
# Rows of a table that are shown; all are in the CSV files.
_MAX_ROWS = 30
_NUMBER_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")


def write_report(analysis, path):
    """Write the report of an analysis.

    Parameters
    ----------
    analysis : Analysis
        The analysis.
    path : pathlib.Path
        The file.
    """
    page = make_page(analysis)
    write_whole(path, lambda file: file.write(page.encode("utf-8")))


def make_page(analysis):
    """Return the report of an analysis.

    Parameters
    ----------
    analysis : Analysis
        The analysis.

    Returns
    -------
    page : str
        HTML.
    """
    return Template(_asset("report.html")).substitute(
        title=escape(f"Report on {analysis.name}"),
        style=_asset("report.css"),
        verdict=escape(verdict(analysis)),
        description=escape(" ".join([analysis.description, *analysis.remarks])),
        doubts=_doubts(analysis),
        variants=_variants(analysis),
        viewer=_VIEWER,
        figures="\n".join(_figures(analysis)),
        tables=_domains_and_walls(analysis) + _frames(analysis) + _quality(analysis),
        details=_details(analysis),
        script=_script(analysis),
    )


def verdict(analysis):
    """Return the result in one or two sentences.

    Parameters
    ----------
    analysis : Analysis
        The analysis.

    Returns
    -------
    text : str
        Number of cells, variants and length of the displacement.
    """
    image = analysis.sites.images[0]
    size = analysis.sites.pixel_size[0]
    n_rows, n_cols = image.shape
    extent = f"{n_rows} x {n_cols} px"
    if size is not None:
        extent = f"{n_rows * size:.1f} nm x {n_cols * size:.1f} nm"
    text = (
        f"{len(analysis.sites):,} columns and {len(analysis.cells):,} unit cells on "
        f"{extent}. "
    )
    if analysis.pose is None:
        return text + "Columns were located; no model was fitted."
    variants = [row for row in analysis.groups_table if row["is_variant"]]
    keys = {doubt.key for doubt in analysis.doubts}
    if not np.isfinite(analysis.cells.polarization).all(axis=1).any():
        return text + "No displacement could be measured in this projection."
    if "not_significant" in keys:
        return text + "No displacement differs from zero significantly."
    if analysis.groups.is_common:
        variants = [row for row in analysis.groups_table if row["is_significant"]]
    if not variants:
        return text + "No group of cells is displaced significantly."
    n = len(variants)
    number = _NUMBER_WORDS[n] if n < len(_NUMBER_WORDS) else str(n)
    kind = "variant" if analysis.is_registered else "group"
    lengths = [row["magnitude"] for row in variants]
    digits = 0 if variants[0]["unit"] == "pm" else 2
    low, high = f"{min(lengths):.{digits}f}", f"{max(lengths):.{digits}f}"
    span = low if low == high else f"{low} to {high}"
    if analysis.groups.is_common:
        text += (
            f"All cells have the same displacement, {span} {variants[0]['unit']}, "
            "which mistilt or coma also causes: this alone does not prove a polar "
            "material."
        )
    else:
        text += (
            f"{number.capitalize()} {kind}{'' if n == 1 else 's'} of displaced cells; "
            f"mean displacement {span} {variants[0]['unit']}."
        )
    if analysis.antipolar is not None:
        period, label = (
            analysis.antipolar[name] for name in ("period_rows", "sublattice")
        )
        kind = "AB"[label] if label < 2 else f"sublattice {label}"
        text += f" Antipolar order of the {kind} columns, period {period:.1f} rows."
    if not analysis.is_registered:
        text += " The angles of the model do not follow the displacements."
    return text


def _asset(name):
    """Return the text of a file of this package."""
    return (files(__package__) / name).read_text(encoding="utf-8")


def _doubts(analysis):
    """Return the box of doubts."""
    if not analysis.doubts and not analysis.findings:
        return (
            '<section class="card no-doubts"><b>No doubts found.</b> Noise, '
            "calibration, missing columns, mistilt, scan distortion and registration "
            "were checked."
            "</section>"
        )
    notes = "".join(f"<li>{escape(text)}</li>" for text in analysis.findings)
    notes = f"<p><b>Also found</b></p><ul>{notes}</ul>" if notes else ""
    if not analysis.doubts:
        return (
            '<section class="card no-doubts"><b>No doubts found.</b> Noise, '
            "calibration, missing columns, mistilt, scan distortion and registration "
            "were checked."
            f"{notes}</section>"
        )
    items = "".join(
        f"<li><b>{escape(doubt.title)}:</b> {escape(doubt.text)}</li>"
        for doubt in analysis.doubts
    )
    return (
        '<section class="card doubts" id="doubts"><b>Read this before you use the '
        f"numbers</b><ul>{items}</ul>{notes}</section>"
    )


def _variants(analysis):
    """Return the table of the groups of cells."""
    rows = analysis.groups_table
    if not rows:
        return ""
    colors = as_hex(group_colors(analysis))
    unit = rows[0]["unit"]
    body = []
    for row, color in zip(rows, colors, strict=True):
        digits = 1 if unit == "pm" else 2
        length, angle = "not measured", ""
        if row["magnitude"] is not None and row["magnitude_std"] is not None:
            length = (
                f"{row['magnitude']:.{digits}f} ± {row['magnitude_std']:.{digits}f}"
            )
            if row["is_significant"]:
                angle = f"{_degrees(row['angle_deg'])} ± {row['angle_std_deg']:.0f}°"
            else:
                angle = "not significant"
        model = row["model_angle_deg"]
        body.append(
            [
                f'<span class="swatch" style="background:{color}"></span>'
                f"{escape(row['name'])}",
                f"{row['n_cells']:,}",
                f"{row['share']:.1%}",
                length,
                angle,
                "" if model is None else _degrees(model),
            ]
        )
    head = [
        "",
        "cells",
        "share",
        f"mean displacement ({unit})",
        "direction",
        "angle of the model",
    ]
    note = (
        "Mean ± standard error. Directions grow clockwise from the right (0°): 90° is "
        "down. Groups that are not variants are not displaced significantly, have no "
        "common direction, or share one displacement with all others. The angle of the "
        "model is that of the whole window, which follows the lattice where "
        "displacements are small."
    )
    return (
        f"<h2>{'Groups' if analysis.groups.is_common else 'Variants'}</h2>"
        f'<section class="card named">{_table(head, body, numbers=range(1, 6))}'
        f'<p class="soft">{note}</p></section>'
    )


_VIEWER = """
<section class="card viewer-card">
<div class="viewer">
<div>
<div class="stage">
<canvas id="viewer-canvas" tabindex="0" role="img" aria-label="Map of the image with
its columns, displacements and domains. The figures below show the same."></canvas>
<div id="viewer-tip" role="status" hidden></div>
</div>
<p class="soft">Wheel: zoom; drag: move; double click: whole image; pointer on a column:
its values.</p>
</div>
<div>
<div id="viewer-layers"></div>
<div>
<button type="button" id="viewer-in">+</button><button type="button"
id="viewer-out">−</button><button type="button" id="viewer-reset">whole image</button>
</div>
<div id="viewer-legend"></div>
</div>
</div>
<noscript>The viewer needs JavaScript; the figures below show the same.</noscript>
</section>
"""


def _figures(analysis):
    """Yield the figures with their captions."""
    pillow = import_optional("PIL.Image", "plot")
    for name in analysis.figure_names:
        if name == "overview":
            continue
        data = io.BytesIO()
        figure = analysis.figure(name)
        figure.savefig(data, format="png", dpi=_PICTURE_DPI, bbox_inches="tight")
        with pillow.open(data) as picture:
            width, height = picture.size
            url = as_url(picture.convert("RGB"))
        kind = ' class="wide"' if name in _WIDE else ""
        title = _TITLES[name]
        yield (
            f'<figure{kind} id="figure-{name}"><img src="{url}" alt="{escape(title)}" '
            f'width="{width}" height="{height}"><figcaption><b>{escape(title)}.</b> '
            f"{escape(caption_of(name, analysis))}</figcaption></figure>"
        )


def _domains_and_walls(analysis):
    """Return the tables of the domains and the walls."""
    parts = []
    for title, table, columns in (
        ("Domains", analysis.domains, _DOMAIN_COLUMNS),
        ("Walls", analysis.walls, _WALL_COLUMNS),
    ):
        if table is None or not len(table):
            continue
        table = _in_pm(table, analysis)
        shown = [name for name in columns if name in table.columns]
        rows = [
            [_cell(row[name], row.get(_error_of(name))) for name in shown]
            for row in table.head(_MAX_ROWS).to_dict("records")
        ]
        more = len(table) - len(rows)
        note = f"{more} more are in {title.lower()}.csv. " if more else ""
        head = [columns[name] for name in shown]
        parts.append(
            f"<h2>{title}</h2><section class='card'>"
            f"{_table(head, rows, numbers=range(len(head)))}"
            f'<p class="soft">{note}{_NOTES[title]}</p></section>'
        )
    return "".join(parts)


def _in_pm(table, analysis):
    """Return a table of domains or walls with variants by name and lengths in pm."""
    table = table.copy()
    size = analysis.cells.pixel_size[0]
    for name in ("label", "label_a", "label_b"):
        if name in table:
            table[name] = [analysis.groups.names[int(n)] for n in table[name]]
    for name in ("magnitude", "magnitude_std"):
        if name in table and size is not None:
            table[f"{name}_pm"] = 1000 * size * table.pop(name)
    return table


_DOMAIN_COLUMNS = {
    "label": "variant",
    "n_cells": "cells",
    "area_nm2": "area (nm²)",
    "area_px2": "area (px²)",
    "magnitude_pm": "displacement (pm)",
    "magnitude": "displacement (px)",
    "angle_deg": "direction (°)",
}
_WALL_COLUMNS = {
    "label_a": "variant",
    "label_b": "variant",
    "wall_type": "type (°)",
    "angle_deg": "angle (°)",
    "charge": "charge",
    "length_nm": "length (nm)",
    "length_px": "length (px)",
    "width_nm": "width (nm)",
    "width_px": "width (px)",
}
_NOTES = {
    "Domains": "Connected regions of one variant. Mean ± standard error.",
    "Walls": "Angle between the displacements of both sides. Charge is that of the "
    "displacements. Width ± standard error.",
}


def _frames(analysis):
    """Return the table of the frames that were registered."""
    frames = analysis.frames
    if not frames:
        return ""
    rows = []
    for number, (shift, std, weight) in enumerate(
        zip(
            frames["shifts_px"], frames["shifts_std_px"], frames["weights"], strict=True
        )
    ):
        is_used = number not in frames["rejected"]
        cells = [
            "" if value is None or not is_used else f"{value:.{digits}f}"
            for value, digits in (
                *((part, 2) for part in shift),
                *((part, 3) for part in std),
                (weight, 2),
            )
        ]
        correlation = frames["correlation"][number]
        note = "" if is_used else "rejected"
        if frames["copies"][number] >= 0:
            note = f"copy of frame {frames['copies'][number]}"
        elif number == frames["reference"]:
            note = "reference"
        cells = [part.replace("-", "−") for part in cells]
        rows.append([str(number), *cells, f"{correlation:.2f}".replace("-", "−"), note])
    head = [
        "frame",
        "shift, rows (px)",
        "shift, columns (px)",
        "± rows (px)",
        "± columns (px)",
        "weight",
        "correlation",
        "",
    ]
    return (
        "<h2>Frames</h2><section class='card'>"
        f"{_table(head, rows, numbers=range(7))}"
        '<p class="soft">Displacement against the reference frame, weight in the '
        "average, and correlation with the average of the other frames.</p></section>"
    )


def _quality(analysis):
    """Return the table of the quality of the columns."""
    quality, sites = analysis.quality, analysis.sites
    size = sites.pixel_size[0]
    spacing = f"{quality.spacing[0]:.2f} px"
    if size is not None:
        spacing += f" ({quality.spacing[0] * size:.4f} nm)"
    shift = quality.net_displacement[0]
    lattices = quality.lattices
    rows = [
        ["columns", f"{len(sites):,}"],
        [
            "columns of each sublattice",
            ", ".join(f"{label}: {n:,}" for label, n in quality.n_sites.items()),
        ],
        ["distance of nearest columns", spacing],
        ["places of the lattice with a column", f"{quality.coverage:.2%}"],
        ["columns suspected missing", str(len(quality.suspected_misses))],
        ["vacancies", str(len(quality.vacancies))],
        ["fits that cannot be trusted", f"{quality.share_unconverged:.1%}"],
        [
            "error of a position, median",
            _length(np.nanmedian(sites.position_std), size),
        ],
        ["common elongation of the columns", f"{quality.ellipticity[0]:.2f}"],
    ]
    rows += [
        [
            "lattice" if len(lattices) == 1 else f"lattice {number + 1}",
            lattices.describe(number),
        ]
        for number in range(min(len(lattices), _MAX_LATTICES))
    ]
    if np.isfinite(shift).all():
        rows.append(
            [
                "mean displacement of B relative to A",
                f"{_length(shift[1], size)} to the right, "
                f"{_length(shift[0], size)} downwards",
            ]
        )
    if analysis.reference_shift is not None:
        row, col = analysis.reference_shift
        rows.append(
            [
                "subtracted, mean of the reference region",
                f"{_length(col, size)} to the right, {_length(row, size)} downwards",
            ]
        )
    rows = [[escape(name), escape(_minus(value))] for name, value in rows]
    return (
        f"<h2>Quality of the columns</h2><section class='card named'>{_table([], rows)}"
        "</section>"
    )


def _details(analysis):
    """Return parameters, versions, metadata and links."""
    parameters = _pairs(analysis.parameters)
    if analysis.window_size is not None:
        parameters += _pairs({"window_size used (px)": analysis.window_size})
    versions = _pairs(analysis.versions or collect_versions())
    names = ["sites.csv", "sites.h5", "summary.json", "analysis.log"]
    names += ["model.joblib"] if analysis.pose is not None else []
    links = ", ".join(f'<a href="{name}">{name}</a>' for name in names)
    text = (
        f'<section class="card"><p>Files in the folder of this report: {links}, and '
        '<a href="figures/">figures</a> for print. Rebuild this page with '
        "<code>sklearn-ferroic report FOLDER</code>.</p></section>"
        '<div class="grid compact">'
        f'<section class="card"><b>Parameters</b>{_table([], parameters)}</section>'
        f'<section class="card"><b>Versions</b>{_table([], versions)}</section></div>'
    )
    entries = _pairs(analysis.metadata_entries)
    if entries:
        text += (
            '<section class="card screen"><details><summary>Metadata of the file '
            f"</summary>{_table([], entries)}</details></section>"
        )
    return text


def _script(analysis):
    """Return the viewer and its data."""
    data = json.dumps(viewer_data(analysis), separators=(",", ":"), allow_nan=False)
    data = data.replace("<", "\\u003c")
    return (
        f'<script type="application/json" id="viewer-data">{data}</script>\n'
        f"<script>\n{_asset('viewer.js')}</script>"
    )


def _table(head, rows, numbers=()):
    """Return a table; its cells are HTML."""
    kinds = {column: ' class="number"' for column in numbers}
    parts = []
    if head:
        cells = "".join(
            f"<th{kinds.get(n, '')}>{escape(text)}</th>" for n, text in enumerate(head)
        )
        parts.append(f"<thead><tr>{cells}</tr></thead>")
    parts.append("<tbody>")
    for row in rows:
        cells = "".join(f"<td{kinds.get(n, '')}>{c}</td>" for n, c in enumerate(row))
        parts.append(f"<tr>{cells}</tr>")
    parts.append("</tbody>")
    return f'<div class="scroll"><table>{"".join(parts)}</table></div>'


def _pairs(mapping):
    """Return the entries of a mapping as rows of a table."""
    return [
        [escape(str(name)), "not set" if value is None else escape(str(value))]
        for name, value in mapping.items()
    ]


def _error_of(name):
    """Return the name of the column of standard errors, "magnitude_std_pm"."""
    base, _, unit = name.partition("_")
    return f"{base}_std_{unit}" if unit else f"{base}_std"


def _cell(value, std=None):
    """Return a value of a table as text, with its standard error if there is one."""
    if not isinstance(value, float | np.floating):
        return escape(str(value))
    if not np.isfinite(value):
        return ""
    if std is None or not 0 < std < np.inf:
        return f"{value:#.3g}".rstrip(".").replace("-", "−")
    # One digit of the error, two if it begins with 1.
    exponent = int(np.floor(np.log10(std)))
    decimals = max(0, -exponent + (std / 10.0**exponent < 2))
    return f"{value:.{decimals}f} ± {std:.{decimals}f}".replace("-", "−")


def _degrees(angle):
    """Return an angle in degrees as text with a minus sign."""
    return f"{angle:.0f}°".replace("-", "−")


def _minus(text):
    """Return a text with minus signs, and none before zeros."""
    return re.sub(r"-(0(?:\.0*)?(?![\d.]))", r"\1", text).replace("-", "−")


def _length(length, size):
    """Return a length in px as text in pm, or in px where it is not calibrated."""
    return f"{length:.3f} px" if size is None else f"{1000 * size * length:.1f} pm"
