"""The image that a scanning microscope takes of the columns."""

import numpy as np

from . import _columns, _domains, _lattice, _presets, _render

# What the columns hold for the rendering only.
_INTERNAL = ("materials", "samarium", "elongation")


def take_image(columns, options, crystal, streams):
    """Render the columns and the background between them, and count electrons.

    Returns
    -------
    image : ndarray of shape `options.shape`, float32
        Detected electrons a pixel.
    truth : dict of ndarray
        The columns whose centre lies inside the image.
    """
    gain = options.dose * (10 * options.pixel_size) ** 2 * _presets.DETECTED_FRACTION
    axis = streams["scan"].uniform(0, 2 * np.pi)
    ramp = np.array([np.sin(axis), np.cos(axis)])
    ramp *= gain * options.thickness_gradient / np.abs(ramp).sum()

    def counts_at(row, col):
        """Electrons that a brightness of 1 yields at the local thickness."""
        row, col = row / options.shape[0] - 0.5, col / options.shape[1] - 0.5
        return gain + ramp[0] * row + ramp[1] * col

    positions = columns["positions"]
    at_columns = counts_at(*positions.T)
    amplitude = _brightness(columns) * at_columns
    covariance = _covariance(columns, options)
    jitter = streams["scan"].normal(size=(options.shape[0], 2))
    # Scan coils are steadier along the slow direction.
    jitter *= options.jitter * np.array([0.5, 1.0])
    image = _render.render_columns(
        options.shape, positions, amplitude, covariance, jitter
    )
    level = _background_level(options, crystal)
    pixel_row, pixel_col = np.ogrid[: options.shape[0], : options.shape[1]]
    image += level[:, None] * counts_at(pixel_row, pixel_col)
    if options.noisy:
        image = streams["counts"].poisson(image)

    truth = {name: columns[name] for name in columns if name not in _INTERNAL}
    local = np.interp(positions[:, 0], np.arange(options.shape[0]), level)
    truth["amplitude"] = amplitude
    truth["sigma"] = np.linalg.det(covariance) ** 0.25
    truth["background"] = local * at_columns
    within = _columns.inside(positions, options.shape)
    return image.astype(np.float32), _columns.select(truth, within)


def _brightness(columns):
    a_site = columns["materials"] @ _presets.A_BRIGHTNESS
    a_site = a_site - _presets.SM_DEFICIT * columns["samarium"]
    b_site = columns["materials"] @ _presets.B_BRIGHTNESS
    return np.where(columns["sublattice"] == 0, a_site, b_site)


def _covariance(columns, options):
    width = options.column_width_nm / options.pixel_size
    width = np.where(columns["sublattice"] == 0, width, _presets.B_WIDTH_RATIO * width)
    return _render.covariances(width, columns["elongation"])


def _background_level(options, crystal):
    """Brightness between the columns for each row of the image."""
    height = options.shape[0]
    rows = np.arange(-options.drift - 1, height + options.drift + 1, 0.5)
    seen = rows + _lattice.drift_at(rows, height, crystal.drift)[:, 0]
    # The probe's tails blur what lies between the columns over half a cell.
    fractions = _domains.material_fractions(
        np.interp(np.arange(height), seen, rows),
        crystal.top,
        crystal.cell,
        crystal.substrate,
        options.layers,
        crystal.interface + crystal.cell / 2,
    )
    return fractions @ np.array(_presets.BACKGROUND)
