"""Figures of an analysis."""

import numpy as np

from .._utils.optional import import_optional
from ..domains import layer_profile
from ..inspection import (
    AngleHistogramDisplay,
    CellMapDisplay,
    DomainMapDisplay,
    LatentManifoldDisplay,
    PolarizationMapDisplay,
    ProfileDisplay,
    SiteQualityDisplay,
    SitesDisplay,
)
from ._model import DECODED_EXTENT_STD
from ._variants import NON_POLAR_RAD

# Width of the figures, inches: that of a page.
_WIDTH_IN = 7.0
# Angles that are not registered are drawn with this share of their colour.
_PALE_SHARE = 0.3
# Quantile of chi-square with two degrees of freedom that 95 % lie below.
_CHI_SQUARE_95_PERCENT = 5.99


FIGURE_NAMES = (
    "overview",
    "columns",
    "displacements",
    "domains",
    "latents",
    "decoded",
    "strain",
    "angles",
    "means",
    "profiles",
)


def figure_names(analysis):
    """Return the names of the figures of an analysis.

    Parameters
    ----------
    analysis : Analysis
        The analysis.

    Returns
    -------
    names : list of str
        Those that can be drawn.
    """
    is_measured = _is_measured(analysis)
    has_pose = analysis.pose is not None
    available = {
        "overview": has_pose,
        "columns": True,
        "displacements": is_measured,
        "domains": has_pose,
        "latents": has_pose and "latent0" in analysis.feature_names,
        "decoded": analysis.decoded is not None,
        "strain": np.isfinite(analysis.strain[:, 4]).any(),
        "angles": has_pose,
        "means": has_pose and is_measured,
        "profiles": is_measured and _has_lattice(analysis),
    }
    return [name for name in FIGURE_NAMES if available[name]]


def draw_figure(analysis, name):
    """Draw a figure of an analysis.

    Parameters
    ----------
    analysis : Analysis
        The analysis.
    name : str
        Name of the figure.

    Returns
    -------
    figure : matplotlib Figure
        The figure.
    """
    names = figure_names(analysis)
    if name not in names:
        raise ValueError(
            f"There is no figure {name!r} of this analysis. There are "
            f"{', '.join(names)}."
        )
    return _DRAW[name](analysis)


def caption_of(name, analysis):
    """Return the sentences that explain a figure to a reader of the report.

    Parameters
    ----------
    name : str
        Name of the figure.
    analysis : Analysis
        The analysis.

    Returns
    -------
    caption : str
        A few sentences.
    """
    caption = _CAPTIONS[name]
    if name == "domains" and not analysis.is_registered:
        caption = (
            "Angle of the model in each cell. The angles do not follow the measured "
            "displacements: their zero is arbitrary, so that colours show which cells "
            "are alike, and not where they point."
        )
    return caption


_CAPTIONS = {
    "overview": "All stages at a glance.",
    "columns": "Left: the columns that were found, by sublattice. Right: flags of "
    "columns that need a look, and places where a column is missing.",
    "displacements": "Measured displacement of each column from the centre of its "
    "cage of columns of the other kind. The colour is the direction, as in the wheel; "
    "arrows are magnified as stated.",
    "domains": "Direction in each cell (colour, as in the wheel; grey: no certain "
    "direction), and the walls between domains with their charge. Charge is that of "
    "the displacements; where the polarization is opposite to the displacement of the "
    "B columns, as in PbTiO3 and BiFeO3, head-to-head and tail-to-tail are exchanged.",
    "latents": "Latents of the model: what distinguishes windows besides their "
    "rotation, such as composition, thickness or strain.",
    "decoded": "Windows that the model draws for values of its latents. They show what "
    "the latents mean.",
    "strain": "Ratio of the lattice vectors b (nearest to the vertical) and a (nearest "
    "to the horizontal) around each A column: c/a where c is vertical, a/c where it is "
    "horizontal.",
    "angles": "Angles of all cells with a certain direction. Peaks are the variants.",
    "means": "Mean displacement of each group of cells, with the ellipse that contains "
    "the true mean with a probability of 95 %. An ellipse that contains the centre is "
    "not significant.",
    "profiles": "Mean displacement in each layer of cells, from top to bottom and from "
    "left to right, with standard errors.",
}


def _is_measured(analysis):
    """Return whether any cell has a measured displacement."""
    return bool(np.isfinite(analysis.cells.polarization).all(axis=1).any())


def _has_lattice(analysis):
    """Return whether cells have lattice vectors."""
    return bool(np.isfinite(analysis.cells.lattice_vectors).all(axis=(1, 2)).any())


def _in_unit(analysis):
    """Return the displacement of the cells in pm or px, and the unit."""
    size = analysis.cells.pixel_size[0]
    scale, unit = (1.0, "px") if size is None else (1000 * size, "pm")
    return scale * analysis.cells.polarization, unit


def _figure(width=_WIDTH_IN, height=None, analysis=None, n_cols=1, extra_in=0.8):
    """Return a figure whose panels have the shape of the image."""
    figure_module = import_optional("matplotlib.figure", "plot")
    if height is None:
        n_rows_px, n_cols_px = analysis.sites.images[0].shape
        height = width / n_cols * n_rows_px / n_cols_px + extra_in
        if height > 1.6 * width:
            width, height = width * 1.6 * width / height, 1.6 * width
    figure = figure_module.Figure(figsize=(width, height), layout="constrained")
    backend = import_optional("matplotlib.backends.backend_agg", "plot")
    backend.FigureCanvasAgg(figure)
    return figure


def _letter(axes):
    """Write a letter at the top left of each panel."""
    for letter, ax in zip("abcdefgh", axes, strict=False):
        ax.set_title(letter, loc="left", weight="bold")


def _draw_columns(analysis):
    figure = _figure(analysis=analysis, n_cols=2, extra_in=1.1, width=10)
    axes = figure.subplots(1, 2)
    SitesDisplay.from_sites(analysis.sites, ax=axes[0])
    axes[0].set_title("Columns")
    SiteQualityDisplay.from_sites(
        analysis.sites, quality=analysis.quality, ax=axes[1], scale_bar=False
    )
    axes[1].set_title("Flags")
    axes[0].set_anchor("N")
    _letter(axes)
    return figure


def _draw_displacements(analysis):
    figure = _figure(analysis=analysis)
    ax = figure.subplots()
    _add_arrows(analysis, ax)
    return figure


def _add_arrows(analysis, ax):
    vectors, unit = _in_unit(analysis)
    PolarizationMapDisplay.from_sites(analysis.cells, vectors=vectors, unit=unit, ax=ax)
    label = int(analysis.cells.sublattice[0])
    kind = "AB"[label] if label < 2 else f"sublattice {label}"
    ax.set_title(f"Measured displacement of {kind} columns")


def _draw_domains(analysis):
    figure = _figure(analysis=analysis, extra_in=1.3)
    ax = figure.subplots()
    _add_domains(analysis, ax, walls=True)
    return figure


def _add_domains(analysis, ax, walls=False):
    """Draw the map of directions, pale if they are not registered."""
    registered = analysis.is_registered
    options, shown = {}, analysis.is_shown_polar
    if registered and walls and analysis.walls is not None and len(analysis.walls):
        options["walls"] = analysis.walls
    elif registered:
        # No lines between cells that are grey for different reasons.
        options["labels"] = np.where(shown, analysis.labels, -1)
    display = DomainMapDisplay.from_sites(
        analysis.cells, analysis.angle, polar=shown, ax=ax, **options
    )
    if registered:
        n_variants = int(analysis.groups.is_variant.sum())
        title = f"{n_variants or 'No'} variant{'' if n_variants == 1 else 's'}"
    else:
        colors = display.cells_.get_facecolor()
        colors[:, :3] = 1 - _PALE_SHARE * (1 - colors[:, :3])
        display.cells_.set_facecolor(colors)
        title = "Angles of the model, not registered (zero arbitrary)"
    grey = "grey: no certain direction" if not shown.all() else ""
    remarks = "; ".join(filter(None, [analysis.caveat, grey]))
    ax.set_title(f"{title}\n({remarks})" if remarks else title)
    return display


def _draw_latents(analysis):
    names = [name for name in analysis.feature_names if name.startswith("latent")]
    figure = _figure(analysis=analysis, n_cols=len(names), width=10)
    axes = np.atleast_1d(figure.subplots(1, len(names)))
    for ax, name in zip(axes, names, strict=True):
        _add_latent(analysis, ax, name, scale_bar=ax is axes[0])
    _letter(axes)
    return figure


def _add_latent(analysis, ax, name, scale_bar=False):
    values = analysis.pose[:, analysis.feature_names.index(name)]
    text = name.replace("latent", "latent ")
    CellMapDisplay.from_sites(
        analysis.cells, values, values_name=text, ax=ax, scale_bar=scale_bar
    )
    ax.set_title(text.capitalize())


def _draw_decoded(analysis):
    figure = _figure(width=4.6, height=4.8)
    _add_decoded(analysis, figure.subplots())
    return figure


def _add_decoded(analysis, ax):
    images = analysis.decoded
    values = np.linspace(-DECODED_EXTENT_STD, DECODED_EXTENT_STD, len(images))
    LatentManifoldDisplay(images, values, values).plot(ax)
    ax.set_title("Decoded latents")


def _draw_strain(analysis):
    figure = _figure(analysis=analysis)
    ax = figure.subplots()
    own = np.flatnonzero(analysis.sites.sublattice == 0)
    CellMapDisplay.from_sites(
        analysis.sites[own],
        analysis.strain[own, 4],
        values_name="b/a",
        center=1.0,
        ax=ax,
    )
    ax.set_title("Tetragonality of the A lattice")
    return figure


def _draw_angles(analysis):
    figure = _figure(width=4.6, height=3.4)
    ax = figure.subplots()
    _add_angles(analysis, ax)
    return figure


def _add_angles(analysis, ax):
    angle = analysis.angle
    with np.errstate(invalid="ignore"):
        certain = analysis.angle_std < NON_POLAR_RAD
    AngleHistogramDisplay.from_predictions(
        angle[certain] if certain.any() else angle, ax=ax
    )
    ax.set_xticks(range(-180, 181, 90))
    ax.set_title("Certain angles" if certain.any() else "Angles (none is certain)")


def _draw_means(analysis):
    figure = _figure(width=4.6, height=4.6)
    ax = figure.subplots()
    _add_means(analysis, ax)
    return figure


def _add_means(analysis, ax):
    """Draw the mean displacement of every group with its region of 95 % confidence."""
    ellipse = import_optional("matplotlib.patches", "plot").Ellipse
    groups, colors = analysis.groups, group_colors(analysis)
    size = analysis.cells.pixel_size[0]
    scale, unit = (1.0, "px") if size is None else (1000 * size, "pm")
    pooled = groups.pooled
    known = np.flatnonzero(np.isfinite(pooled.covariance).all(axis=(1, 2)))
    ax.axhline(0, color="0.8", linewidth=0.8)
    ax.axvline(0, color="0.8", linewidth=0.8)
    reach = 0.0
    for n in known:
        row, col = scale * pooled.mean[n]
        values, axes = np.linalg.eigh(scale**2 * pooled.covariance[n])
        long, short = 2 * np.sqrt(_CHI_SQUARE_95_PERCENT * np.maximum(values[::-1], 0))
        ax.add_patch(
            ellipse(
                (col, row),
                long,
                short,
                angle=np.degrees(np.arctan2(*axes[:, 1])),
                facecolor=colors[n],
                edgecolor="black",
                alpha=0.5,
            )
        )
        ax.annotate(
            "", (col, row), (0, 0), arrowprops={"arrowstyle": "-|>", "color": colors[n]}
        )
        ax.text(col, row, f" {n}", weight="bold")
        reach = max(reach, np.hypot(row, col) + long / 2)
    if not len(known):
        ax.text(0, 0, "none measured", ha="center", va="center")
    reach = 1.15 * reach or 1.0
    ax.set(
        xlim=(-reach, reach),
        ylim=(reach, -reach),
        aspect="equal",
        xlabel=f"to the right ({unit})",
        ylabel=f"downwards ({unit})",
        title="Means (95 %)",
    )


def group_colors(analysis):
    """Return the colour of each group: that of its direction, grey for none.

    Parameters
    ----------
    analysis : Analysis
        The analysis.

    Returns
    -------
    colors : ndarray of shape (n_groups, 3)
        RGB in [0, 1].
    """
    from ..inspection._drawing.colors import NEUTRAL_RGB, angle_colors

    groups = analysis.groups
    colors = np.tile(np.array(NEUTRAL_RGB), (len(groups), 1))
    if not analysis.is_registered:
        colors[groups.significant] = 0.0
        return colors
    for n in np.flatnonzero(groups.is_variant):
        own = groups.number == groups.pooled.labels[n]
        mean = np.angle(np.nansum(np.exp(1j * analysis.angle[own])))
        colors[n] = angle_colors([mean])[0]
    return colors


def _draw_profiles(analysis):
    figure = _figure(width=10, height=3.4)
    axes = figure.subplots(1, 2)
    vectors, unit = _in_unit(analysis)
    values = {"to the right": vectors[:, 1], "downwards": vectors[:, 0]}
    titles = {"b": "Layers from top to bottom", "a": "Layers from left to right"}
    for ax, (axis, title) in zip(axes, titles.items(), strict=True):
        profile = layer_profile(analysis.cells, values, axis=axis)
        ProfileDisplay.from_profile(
            profile, values_name=f"displacement ({unit})", ax=ax
        )
        ax.set_title(title)
    _letter(axes)
    return figure


def _draw_overview(analysis):
    """Draw all stages in one figure."""
    figure = _figure(width=24, height=8.6)
    panels = figure.subplot_mosaic(
        "acde\nacde\nacdf\nbcdf\nbcdg\nbcdg", width_ratios=[1, 2, 2, 0.8]
    )
    bare = SitesDisplay.from_sites(analysis.sites, ax=panels["a"])
    bare.scatter_.remove()
    bare.legend_.remove()
    bare.image_.set_clim(*np.nanpercentile(bare.image, [0.1, 99.9]))
    panels["a"].set_title("Image")
    if "latent0" in analysis.feature_names:
        values = analysis.pose[:, analysis.feature_names.index("latent0")]
        SitesDisplay.from_sites(
            analysis.cells,
            values=values,
            values_name="latent 0",
            ax=panels["b"],
            scale_bar=False,
        )
        panels["b"].set_title("Latent 0")
    else:
        SitesDisplay.from_sites(analysis.sites, ax=panels["b"], scale_bar=False)
        panels["b"].set_title("Columns")
    if _is_measured(analysis):
        _add_arrows(analysis, panels["c"])
    else:
        SitesDisplay.from_sites(analysis.cells, ax=panels["c"])
        panels["c"].set_title("Located columns; their displacement cannot be measured")
    _add_domains(analysis, panels["d"])
    if analysis.decoded is not None:
        _add_decoded(analysis, panels["e"])
    else:
        panels["e"].text(0.5, 0.5, "no network", ha="center", va="center")
        panels["e"].set_axis_off()
    _add_angles(analysis, panels["f"])
    _add_means(analysis, panels["g"])
    for name, ax in panels.items():
        ax.set_title(name, loc="left", weight="bold")
    return figure


_DRAW = {
    "overview": _draw_overview,
    "columns": _draw_columns,
    "displacements": _draw_displacements,
    "domains": _draw_domains,
    "latents": _draw_latents,
    "decoded": _draw_decoded,
    "strain": _draw_strain,
    "angles": _draw_angles,
    "means": _draw_means,
    "profiles": _draw_profiles,
}
