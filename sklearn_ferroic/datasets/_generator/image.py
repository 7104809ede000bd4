"""Image of the columns in a scanning microscope."""

import numpy as np

from .columns import inside, select
from .domains import material_fractions
from .lattice import drift_at
from .options import (
    A_BRIGHTNESS,
    B_BRIGHTNESS,
    B_WIDTH_RATIO,
    BACKGROUND,
    DETECTED_FRACTION,
    INTERFERENCE_PERIOD_LINES,
    SM_BRIGHTNESS_DEFICIT,
    TAIL_WIDTH_RATIO,
)
from .render import covariances, jitter_shift, render_columns, stretch_matrix

# What the columns hold for the rendering only.
_INTERNAL = ("materials", "samarium", "elongation")
# Widths of the tails at which these are cut: 3e-4 of the tails, 1e-5 of a column.
_TAIL_REACH_SIGMA = 4.0


def take_image(columns, options, crystal, streams):
    """Render the columns and the background between them, and detect electrons.

    Returns
    -------
    image : ndarray of shape `options.shape`, float32
        What the detector writes, ADU.
    truth : dict of ndarray
        The columns whose centre lies inside the image.
    """
    electrons = options.dose * (10 * options.pixel_size) ** 2
    electrons *= DETECTED_FRACTION
    axis = streams["scan"].uniform(0, 2 * np.pi)
    ramp = np.array([np.sin(axis), np.cos(axis)])
    ramp *= electrons * options.thickness_gradient / np.abs(ramp).sum()

    def electrons_at(row, col):
        """Return the electrons for a brightness of 1 at the local thickness."""
        row, col = row / options.shape[0] - 0.5, col / options.shape[1] - 0.5
        return electrons + ramp[0] * row + ramp[1] * col

    positions = columns["positions"]
    at_columns = electrons_at(*positions.T)
    amplitude = _brightness(columns) * at_columns
    amplitude *= _intensity_factor(columns, options, streams["intensity"])
    covariance = _covariance(columns, options, streams["optics"])
    jitter = streams["scan"].normal(size=(options.shape[0], 2))
    # Scan coils are steadier along the slow direction.
    jitter *= options.jitter * np.array([0.5, 1.0])
    image = _render_with_tails(positions, amplitude, covariance, jitter, options)
    level = _background_level(options, crystal)
    pixel_row, pixel_col = np.ogrid[: options.shape[0], : options.shape[1]]
    image += level[:, None] * electrons_at(pixel_row, pixel_col)
    image = _detect(image, electrons, options, streams)

    truth = {name: columns[name] for name in columns if name not in _INTERNAL}
    local = np.interp(positions[:, 0], np.arange(options.shape[0]), level)
    truth["scan_shift"] = jitter_shift(positions, covariance, jitter)
    truth["amplitude"] = options.detector_gain * amplitude
    truth["sigma"] = np.linalg.det(covariance) ** 0.25
    background = options.detector_gain * local * at_columns
    truth["background"] = background + options.detector_offset
    within = inside(positions, options.shape)
    return image.astype(np.float32), select(truth, within)


def expected_columns(columns, options, streams):
    """Return amplitudes and shapes of the columns at uniform thickness.

    Parameters
    ----------
    columns, options, streams : dict, Bunch, dict
        As in `take_image`.

    Returns
    -------
    electrons : float
        Electrons at the peak of a Bi column.
    amplitude : ndarray of shape (n,)
        Electrons at the peak of each column.
    covariance : ndarray of shape (n, 2, 2)
        Shapes of the columns, px squared.
    """
    electrons = options.dose * (10 * options.pixel_size) ** 2 * DETECTED_FRACTION
    amplitude = electrons * _brightness(columns)
    amplitude *= _intensity_factor(columns, options, streams["intensity"])
    return electrons, amplitude, _covariance(columns, options, streams["optics"])


def _render_with_tails(positions, amplitude, covariance, jitter, options):
    """Render columns whose profile is a Gaussian core with wider Gaussian tails."""
    image = render_columns(
        options.shape, positions, (1 - options.tails) * amplitude, covariance, jitter
    )
    if options.tails:
        image += render_columns(
            options.shape,
            positions,
            options.tails * amplitude,
            TAIL_WIDTH_RATIO**2 * covariance,
            jitter,
            reach=_TAIL_REACH_SIGMA,
        )
    return image


def _intensity_factor(columns, options, rng):
    """Return the factor by which each column is brighter than its composition."""
    scatter = np.array(options.intensity_scatter)[columns["sublattice"]]
    # Log-normal: never negative, and its mean is one.
    log_std = np.sqrt(np.log1p(scatter**2))
    draw = rng.normal(size=len(scatter))
    return np.exp(log_std * draw - log_std**2 / 2)


def _detect(expected, electrons, options, streams):
    """Count electrons and convert the counts to whole ADU of the detector.

    Parameters
    ----------
    expected : ndarray of shape (n_rows, n_cols)
        Expected electrons of each pixel.
    electrons : float
        Those at the peak of a Bi column, the unit of the interference.
    options, streams : Bunch, dict
        As in `take_image`. Without noise the result is the expectation, unrounded.

    Returns
    -------
    image : ndarray of shape (n_rows, n_cols)
        In ADU.
    """
    rng = streams["detector"]
    period, phase = rng.uniform(*INTERFERENCE_PERIOD_LINES), rng.uniform()
    n_rows, n_cols = expected.shape
    # Time since the start of the frame, in lines: the beam writes line by line.
    time = np.arange(n_rows)[:, None] + np.arange(n_cols) / n_cols
    wave = (
        options.interference * electrons * np.sin(2 * np.pi * (time / period + phase))
    )
    if not options.noisy:
        return options.detector_gain * (expected + wave) + options.detector_offset
    # The interference is electronic and does not change the number of electrons.
    detected = options.detector_gain * (streams["counts"].poisson(expected) + wave)
    detected += options.detector_offset
    if options.read_noise:
        detected += options.read_noise * rng.normal(size=expected.shape)
    return np.maximum(np.rint(detected), 0)


def _brightness(columns):
    a_site = columns["materials"] @ A_BRIGHTNESS
    a_site = a_site - SM_BRIGHTNESS_DEFICIT * columns["samarium"]
    b_site = columns["materials"] @ B_BRIGHTNESS
    return np.where(columns["sublattice"] == 0, a_site, b_site)


def _covariance(columns, options, rng):
    sigma = options.column_width_nm / options.pixel_size
    sigma = np.where(columns["sublattice"] == 0, sigma, B_WIDTH_RATIO * sigma)
    astigmatism = stretch_matrix(options.astigmatism, rng.uniform(0, np.pi))
    return covariances(sigma, columns["elongation"], astigmatism)


def _background_level(options, crystal):
    """Return the brightness between the columns for each row of the image."""
    height = options.shape[0]
    rows = np.arange(-options.drift - 1, height + options.drift + 1, 0.5)
    seen = rows + drift_at(rows, height, crystal.drift)[:, 0]
    # The probe's tails blur what lies between the columns over half a cell.
    fractions = material_fractions(
        np.interp(np.arange(height), seen, rows),
        crystal.top,
        crystal.cell,
        crystal.substrate,
        options.layers,
        crystal.interface + crystal.cell / 2,
    )
    return fractions @ np.array(BACKGROUND)
