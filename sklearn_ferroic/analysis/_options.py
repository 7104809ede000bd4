"""Options of an analysis."""

from dataclasses import asdict, dataclass
from numbers import Integral
from os import PathLike, fspath

import numpy as np


@dataclass(frozen=True)
class AnalysisOptions:
    """Options of :func:`~sklearn_ferroic.analyze`, which documents them."""

    pixel_size: float | None = None
    dataset: str | None = None
    signal: str | int | None = None
    frame: int | str | None = None
    crop: tuple | None = None
    mask: object = None
    invert: bool = False
    spacing: float | None = None
    locator: str = "peaks"
    sublattice: int | str = "auto"
    window_size: int | str = "auto"
    n_clusters: int | str = "auto"
    reference: tuple | None = None
    correct_scan: bool = False
    vae: bool = True
    max_epochs: int = 20
    random_state: int = 0
    n_jobs: int | None = None
    verbose: int = 0

    def as_dict(self):
        """Return the options as JSON-serializable values."""
        values = asdict(self)
        if isinstance(self.mask, PathLike):
            values["mask"] = fspath(self.mask)
        elif self.mask is not None and not isinstance(self.mask, str):
            values["mask"] = f"array of shape {np.shape(self.mask)}"
        for name in ("crop", "reference"):
            if values[name] is not None:
                values[name] = np.asarray(values[name]).tolist()
        return {
            name: int(value)
            if isinstance(value, Integral) and not isinstance(value, bool)
            else value
            for name, value in values.items()
        }


def region_polygon(region):
    """Return the corners of a region.

    Parameters
    ----------
    region : sequence of 4 numbers, or array-like of shape (n_vertices, 2)
        First row, last row, first column and last column, or the corners of a polygon
        ``(row, col)``, px.

    Returns
    -------
    vertices : ndarray of shape (n_vertices, 2)
        Corners ``(row, col)``, px.
    """
    try:
        region = np.asarray(region, dtype=np.float64)
    except (TypeError, ValueError):
        region = np.empty(0)
    if region.ndim == 1 and region.size > 4 and region.size % 2 == 0:
        region = region.reshape(-1, 2)
    if region.shape == (4,):
        first_row, last_row, first_col, last_col = region
        if not (first_row < last_row and first_col < last_col):
            raise ValueError(
                "reference= takes first row, last row, first column and last column in "
                f"this order, got {region.tolist()}."
            )
        return np.array(
            [
                [first_row, first_col],
                [first_row, last_col],
                [last_row, last_col],
                [last_row, first_col],
            ]
        )
    if region.ndim != 2 or region.shape[1:] != (2,) or len(region) < 3:
        raise ValueError(
            "reference= takes four numbers, first row, last row, first column and last "
            "column, or the corners (row, col) of a polygon, three at least."
        )
    if not np.isfinite(region).all():
        raise ValueError("reference= takes finite numbers, got NaN or infinity.")
    return region
