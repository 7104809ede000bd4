"""Data of the viewer in a report: image, sites, cells, walls and colours."""

import base64
import io

import numpy as np

from ..._utils.metadata import rounded
from ..._utils.optional import import_optional
from ...feature_extraction import PolarizationVector
from ...inspection._drawing.colors import angle_colors, get_colormap
from ...sites._flags import NO_FLAG, flags_as_text
from .._figures import group_colors

# Longest side of the image, px: enough for a zoom of two on a wide screen.
_MAX_SIDE_PX = 1400
_JPEG_QUALITY_PERCENT = 85
# Colours of the wheel and of a colour bar.
_N_DIRECTIONS = 72
_N_COLORS = 64
_LIMITS_PERCENT = (1, 99)
# Lattice vectors are rounded to this part of the cell, less than a line is wide.
_SHAPE_STEPS = 25


def viewer_data(analysis):
    """Return the data of the viewer as JSON-serializable values.

    Parameters
    ----------
    analysis : Analysis
        The analysis.

    Returns
    -------
    data : dict
        Numbers are rounded to what a screen shows.
    """
    sites = analysis.sites
    image = sites.images[0]
    quality = analysis.quality
    texts, flag = np.unique(
        flags_as_text(quality.flags).astype(str), return_inverse=True
    )
    shapes, shape = _cell_shapes(analysis)
    data = {
        "image": embed_image(image),
        "height": image.shape[0],
        "width": image.shape[1],
        "pixelSize": sites.pixel_size[0],
        "spacing": round(float(quality.spacing[0]), 2),
        "cell": round(analysis.cell_size, 2),
        "sites": {
            "row": rounded(sites.positions[:, 0], 2),
            "col": rounded(sites.positions[:, 1], 2),
            "sublattice": sites.sublattice.tolist(),
            "flag": flag.tolist(),
            "shape": shape.tolist(),
        },
        "shapes": shapes.tolist(),
        "flags": ["" if text == NO_FLAG else text for text in texts.tolist()],
        "misses": np.round(quality.suspected_misses.positions, 1).tolist(),
        "cells": _cells(analysis),
        "scalars": _scalars(analysis),
        "groups": _groups(analysis),
        "walls": _walls(analysis),
        "registered": analysis.is_registered,
        "directions": as_hex(
            angle_colors(np.radians(np.arange(0, 360, 360 // _N_DIRECTIONS)))
        ),
    }
    return data


def _cell_shapes(analysis):
    """Return the shapes of the unit cells, and the index of that of each site.

    Parameters
    ----------
    analysis : Analysis
        The analysis.

    Returns
    -------
    shapes : ndarray of shape (n_shapes, 4)
        Lattice vectors a and b ``(row, col)``, px, rounded so that there are few.
    index : ndarray of int of shape (n_sites,)
        Shape at each site; the most frequent one where there are no lattice vectors.
    """
    vectors = analysis.sites.lattice_vectors.reshape(-1, 4)
    known = np.isfinite(vectors).all(axis=1)
    cell = analysis.cell_size
    index = np.zeros(len(vectors), dtype=int)
    if not known.any():
        return np.array([[0.0, cell, cell, 0.0]]), index
    step = cell / _SHAPE_STEPS
    rounded = step * np.round(vectors[known] / step)
    shapes, own, counts = np.unique(
        rounded, axis=0, return_inverse=True, return_counts=True
    )
    index[:] = counts.argmax()
    index[known] = own.ravel()
    return np.round(shapes, 2), index


def embed_image(image):
    """Return an image as the text of a data URL.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.

    Returns
    -------
    url : str
        A grey picture with the contrast between the 0.1st and 99.9th percentile.
    """
    pillow = import_optional("PIL.Image", "plot")
    low, high = np.percentile(image, [0.1, 99.9])
    share = np.clip((image - low) / (high - low if high > low else 1.0), 0, 1)
    picture = pillow.fromarray(np.uint8(np.round(255 * share)))
    longest = max(picture.size)
    if longest > _MAX_SIDE_PX:
        size = [max(1, round(side * _MAX_SIDE_PX / longest)) for side in picture.size]
        picture = picture.resize(size, pillow.Resampling.LANCZOS)
    return as_url(picture)


def as_url(picture):
    """Return a picture of Pillow as the text of a data URL.

    Parameters
    ----------
    picture : PIL.Image.Image
        The picture.

    Returns
    -------
    url : str
        WebP, which is a third of the size of PNG, or PNG if Pillow has no WebP.
    """
    features = import_optional("PIL.features", "plot")
    kind = "webp" if features.check("webp") else "png"
    options = {"quality": _JPEG_QUALITY_PERCENT, "method": 4} if kind == "webp" else {}
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def _cells(analysis):
    """Return rows, displacements, angles and groups of the cells."""
    cells = analysis.cells
    size = cells.pixel_size[0]
    scale, digits = (1.0, 2) if size is None else (1000 * size, 1)
    _, std = PolarizationVector().fit(cells).transform_with_std(cells)
    std = np.sqrt((std**2).mean(axis=1))
    data = {
        "site": analysis.rows.tolist(),
        "dRow": rounded(scale * cells.polarization[:, 0], digits),
        "dCol": rounded(scale * cells.polarization[:, 1], digits),
        "error": rounded(scale * std, digits),
        "scale": scale,
        "unit": "px" if size is None else "pm",
    }
    if analysis.pose is None:
        return data
    data |= {
        "angle": rounded(np.degrees(analysis.angle), 0),
        "angleError": rounded(np.degrees(analysis.angle_std), 0),
        "polar": analysis.is_shown_polar.astype(int).tolist(),
        "group": analysis.labels.tolist(),
    }
    if analysis.domains is not None:
        data["domain"] = np.asarray(analysis.domains.attrs["domain"]).tolist()
    return data


def _scalars(analysis):
    """Return the scalar maps: name, sites, values and colours."""
    maps = []
    for number, name in enumerate(analysis.feature_names):
        if name.startswith("latent"):
            values = analysis.pose[:, number]
            maps.append(_scalar(name, analysis.rows, values, "viridis"))
    tetragonality = analysis.strain[:, 4]
    rows = np.flatnonzero(np.isfinite(tetragonality))
    if len(rows):
        maps.append(_scalar("b/a", rows, tetragonality[rows], "PuOr_r", center=1.0))
    return maps


def _scalar(name, rows, values, cmap, center=None):
    """Return one scalar map with its limits and colours."""
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, _LIMITS_PERCENT) if len(known) else (0.0, 1.0)
    if center is not None:
        reach = max(high - center, center - low, 1e-6)
        low, high = center - reach, center + reach
    colors = get_colormap(cmap)(np.linspace(0, 1, _N_COLORS))[:, :3]
    return {
        "name": name,
        "site": rows.tolist(),
        "value": rounded(values, 3),
        "low": round(float(low), 3),
        "high": round(float(high), 3),
        "colors": as_hex(colors),
    }


def _groups(analysis):
    """Return name and colour of each group."""
    if analysis.pose is None:
        return []
    colors = as_hex(group_colors(analysis))
    names = analysis.groups.names
    return [{"name": n, "color": c} for n, c in zip(names, colors, strict=True)]


def _walls(analysis):
    """Return the lines of the walls with their type and charge."""
    if analysis.walls is None:
        return []
    lines = analysis.walls.attrs["polylines"]
    return [
        {
            "points": np.round(lines[index], 1).tolist(),
            "charge": wall.charge,
            "type": str(wall.wall_type),
        }
        for index, wall in analysis.walls.iterrows()
    ]


def as_hex(colors):
    """Return RGB colours as texts."""
    values = np.round(255 * np.asarray(colors)).astype(int)
    return ["#{:02x}{:02x}{:02x}".format(*color) for color in values.tolist()]
